"""A switch in a private run directory: ovsdb-server and ovs-vswitchd, started and stopped by hand.

The programs may be Netloom's own or a peer's (`Programs`), which is how benchmarks and tests put
the two side by side.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from netloom.base.errors import NetloomError
from netloom.lab.commands import Result, run
from netloom.lab.namespace import Namespace

#: How long a daemon may take to end after SIGTERM before it is killed.
STOP_TIMEOUT_S = 20.0
DAEMONS = ("ovs-vswitchd", "ovsdb-server")


class Programs:
    """Where the programs of one implementation are, and the environment that they need."""

    def __init__(self, path: tuple[str, ...], env: dict[str, str] | None = None) -> None:
        self.path = path
        self.env = env or {}


def own_programs() -> Programs:
    """Netloom's own, installed beside the running interpreter."""
    return Programs((str(Path(sys.executable).parent),))


class Switch:
    """The two daemons of one switch, and the tools that talk to them."""

    def __init__(
        self,
        rundir: Path,
        namespace: Namespace | None = None,
        programs: Programs | None = None,
        vswitchd_options: tuple[str, ...] = (),
    ) -> None:
        self.rundir = rundir
        self.namespace = namespace
        self.programs = programs or own_programs()
        self.vswitchd_options = vswitchd_options

    @property
    def env(self) -> dict[str, str]:
        """The environment in which the classic tools find this switch."""
        directories = dict.fromkeys(
            ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"), str(self.rundir)
        )
        path = os.pathsep.join((*self.programs.path, os.environ.get("PATH", os.defpath)))
        return {**os.environ, **directories, **self.programs.env, "PATH": path}

    @property
    def db_socket(self) -> Path:
        return self.rundir / "db.sock"

    def run(self, *argv: str, check: bool = True, stdin: str | None = None) -> Result:
        """Run one of the tools against this switch."""
        return run(*argv, check=check, env=self.env, stdin=stdin)

    def _run_inside(self, *argv: str) -> Result:
        # Not `ip netns exec`: in the mounts that it makes, nothing that is pinned outlives a
        # daemon.
        inside = ("nsenter", f"--net=/run/netns/{self.namespace.name}") if self.namespace else ()
        return run(*inside, *argv, env=self.env)

    def _daemon_options(self, name: str) -> tuple[str, ...]:
        return (
            "--detach",
            "--no-chdir",
            f"--pidfile={self.rundir / name}.pid",
            f"--log-file={self.rundir / name}.log",
            "-vconsole:off",
        )

    def start(self) -> None:
        """Make the database if there is none, and start both daemons."""
        self.rundir.mkdir(parents=True, exist_ok=True)
        database = self.rundir / "conf.db"
        if not database.exists():
            self.run("ovsdb-tool", "create", str(database))
        self.start_ovsdb_server()
        self.run("ovs-vsctl", "--no-wait", "init")
        self.start_vswitchd()

    def start_ovsdb_server(self) -> None:
        self._run_inside(
            "ovsdb-server",
            *self._daemon_options("ovsdb-server"),
            f"--remote=punix:{self.db_socket}",
            str(self.rundir / "conf.db"),
        )

    def start_vswitchd(self) -> None:
        self._run_inside(
            "ovs-vswitchd",
            *self._daemon_options("ovs-vswitchd"),
            *self.vswitchd_options,
            f"unix:{self.db_socket}",
        )

    def pid(self, name: str) -> int | None:
        """The daemon's process, if its pid file names one that runs with this directory."""
        try:
            pid = int((self.rundir / f"{name}.pid").read_text())
        except (OSError, ValueError):
            return None
        return pid if self._is_own(pid) else None

    def _is_own(self, pid: int) -> bool:
        """Whether a process runs with this directory."""
        try:
            return str(self.rundir).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    def kill(self, name: str, signal_number: int = signal.SIGKILL) -> None:
        """Send a daemon a signal and wait until it is gone."""
        pid = self.pid(name)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal_number)
        give_up = time.monotonic() + STOP_TIMEOUT_S
        # Its pid file goes before it does.
        while self._is_own(pid):
            if time.monotonic() > give_up:
                raise NetloomError(f"{name} (pid {pid}) does not end")
            time.sleep(0.01)

    def stop(self) -> None:
        """End both daemons, the switch before its database."""
        for name in DAEMONS:
            try:
                self.kill(name, signal.SIGTERM)
            except NetloomError:
                self.kill(name)


def forget_switches(rundirs: Sequence[Path]) -> None:
    """Remove what switches left in the kernel that have ended, and whose namespaces are gone."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    module = "netloom.programs.vswitchd_remains"
    env = {**os.environ, "PYTHONPATH": path}
    run(sys.executable, "-m", module, *map(str, rundirs), env=env)
