"""A PostgreSQL of a test's own: its data in a scratch directory, its socket there too."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.peers import wait_until

from netloom.lab.peers import peer_root

SYSTEM = Path("/usr/lib/postgresql")


def programs() -> Path:
    """Where initdb and postgres are; skips the test if they are nowhere."""
    for root in (peer_root().parent / "postgresql/usr/lib/postgresql", SYSTEM):
        found = sorted(root.glob("*/bin/initdb"))
        if found:
            return found[-1].parent
    pytest.skip("PostgreSQL is not unpacked here (tools/fetch_peers.py)")


def _somebody() -> str | None:
    """The user to run as: PostgreSQL refuses to run as root."""
    return "nobody" if os.getuid() == 0 else None


@contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """A running server; its URL."""
    binaries = programs()
    user = _somebody()
    data = directory / "pg"
    data.mkdir()
    env = {"PATH": f"{binaries}:/usr/bin:/bin", "LC_ALL": "C", "HOME": str(data)}
    libraries = binaries.parents[3] / f"lib/{os.uname().machine}-linux-gnu"
    if libraries.is_dir():
        env["LD_LIBRARY_PATH"] = str(libraries)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(data, entry.pw_uid, entry.pw_gid)
        for parent in (directory, *directory.parents):
            if parent.stat().st_uid == 0 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o111)
    command = [str(binaries / "initdb"), "-D", str(data / "d"), "-U", "netloom", "-A", "trust"]
    subprocess.run(
        [*command, "-E", "UTF8", "-N"],
        check=True,
        env=env,
        user=user,
        capture_output=True,
        cwd=data,
    )
    settings = ("listen_addresses=", f"unix_socket_directories={data}", "max_connections=60")
    options = [word for setting in settings for word in ("-c", setting)]
    server = subprocess.Popen(
        [str(binaries / "postgres"), "-D", str(data / "d"), *options],
        env=env,
        user=user,
        cwd=data,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_until((data / ".s.PGSQL.5432").exists)
        yield f"postgresql://netloom@/postgres?host={data}"
    finally:
        server.terminate()
        server.wait(60)
        shutil.rmtree(data, ignore_errors=True)
