"""What commands have changed of ovsdb-server's command line, kept for the process that `--monitor`
starts when this one crashes: both have one file, which has no name and goes with the last of them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from netloom.ovsdb.server_config import RELAY
from netloom.rpc.fast_json import FastJson

if TYPE_CHECKING:
    from netloom.programs.ovsdb_server import Arguments, Program


class KeptArguments:
    """To be made before the process forks."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("ovsdb-server", os.MFD_CLOEXEC)

    def restore(self, arguments: Arguments) -> None:
        """Put what was kept, if anything was, in place of what the command line says."""
        data = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        if not data:
            return
        kept = FastJson().decode(data)
        arguments.databases = kept["databases"]
        arguments.remotes = set(kept["remotes"])
        arguments.sync_from = kept["sync_from"]
        arguments.sync_exclude = kept["sync_exclude"]
        arguments.is_active = not kept["is_backup"]

    def keep(self, program: Program) -> None:
        """Write down what the program serves now."""
        common = program.databases.common
        data = FastJson().encode(
            {
                "databases": _databases(program),
                "remotes": sorted(program.remotes.wanted),
                "sync_from": common.active,
                "sync_exclude": common.excluded,
                "is_backup": common.is_backup,
            }
        )
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, data, 0)


def _databases(program: Program) -> list[str]:
    """The databases as the command line would name them. The daemon may have left the directory
    where it was started, so files have their whole names."""
    names = []
    for name, config in program.databases.configured():
        served = program.server.served[name]
        if config.model == RELAY:
            assert config.source is not None
            names.append(f"relay:{name}:{config.source.target}")
        elif served.cluster is not None:
            names.append(served.cluster.path)
        else:
            assert served.store is not None
            names.append(served.store.log.path)
    return names
