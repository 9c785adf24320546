"""Processes of a lab besides the switches: the service and the agents.

Each has a pid file and a log beside its configuration, whose path is on its command line: that is
how a process is told from another one that got the same number later.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from netloom.base.errors import NetloomError
from netloom.lab.namespace import Namespace
from netloom.lab.switch import DAEMONS
from netloom.network.agents.lives import command_line
from netloom.network.agents.rooms import occupants

STOP_TIMEOUT_S = 20.0
SOURCE = Path(__file__).parents[2]
MAIN = "import sys; from netloom.programs.netloom import main; sys.exit(main())"


class Process:
    """`netloom WORDS` in a directory of the lab, in a namespace if one is given."""

    def __init__(
        self,
        directory: Path,
        name: str,
        words: Sequence[str],
        namespace: Namespace | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.name = name
        self.words = tuple(words)
        self.namespace = namespace
        self.env = {**os.environ, **(env or {})}

    @property
    def pidfile(self) -> Path:
        return self.directory / f"{self.name}.pid"

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    def start(self) -> None:
        """Start it; its output goes to the log."""
        inside = ("nsenter", f"--net=/run/netns/{self.namespace.name}") if self.namespace else ()
        path = os.pathsep.join([str(SOURCE), *filter(None, [self.env.get("PYTHONPATH")])])
        with self.log.open("a") as log:
            started = subprocess.Popen(
                (*inside, sys.executable, "-c", MAIN, *self.words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self.env, "PYTHONPATH": path},
                start_new_session=True,
            )
        self.pidfile.write_text(f"{started.pid}\n")

    def pid(self) -> int | None:
        """The process, if it runs."""
        return _running(self.pidfile)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal and wait until it is gone."""
        _end(self.pidfile, number)


def stop_processes(directory: Path) -> None:
    """End what `Process` started in the directories of a lab."""
    for pidfile in sorted(directory.glob("**/*.pid")):
        if pidfile.stem not in DAEMONS:
            _end(pidfile, signal.SIGTERM)


def end_occupants(directory: Path, namespaces: Sequence[str]) -> None:
    """End whatever else runs in the namespaces of a lab, and the servers that its agents started.

    The agents must have ended: they start a server again whose end they see. What was just being
    started comes into sight only now, so it takes rounds until none is found."""
    spared = _self_and_ancestors()
    _end_all(lambda: (occupants(namespaces) | _servers(directory)) - spared)


def _servers(directory: Path) -> set[int]:
    """Those whose pid file is in the directory, whatever namespace they are in and whether the file
    is there yet."""
    word = f"\0--pid-file={directory}/".encode()
    pids = {int(entry) for entry in os.listdir("/proc") if entry.isdigit()}
    return {pid for pid in pids if word in command_line(pid)}


def _end_all(find: Callable[[], set[int]]) -> None:
    began = time.monotonic()
    while found := find():
        passed = time.monotonic() - began
        if passed > 2 * STOP_TIMEOUT_S:
            raise NetloomError(f"do not end: {', '.join(map(str, sorted(found)))}")
        for pid in found:
            _signal(pid, signal.SIGKILL if passed > STOP_TIMEOUT_S else signal.SIGTERM)
            _reap(pid)
        time.sleep(0.02)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        # It has ended by itself.
        return


def _self_and_ancestors() -> set[int]:
    """Whoever takes a lab down from a shell inside of it keeps the shell."""
    found, pid = set[int](), os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            # After the name, which may have spaces and parentheses in it: state, parent.
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return found


def _running(pidfile: Path) -> int | None:
    try:
        pid = int(pidfile.read_text())
    except (OSError, ValueError):
        return None
    return pid if str(pidfile.parent).encode() in command_line(pid) else None


def _end(pidfile: Path, number: int) -> None:
    give_up = time.monotonic() + STOP_TIMEOUT_S
    while (pid := _running(pidfile)) is not None:
        _signal(pid, signal.SIGKILL if time.monotonic() > give_up else number)
        _reap(pid)
        time.sleep(0.02)
    pidfile.unlink(missing_ok=True)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        # Somebody else's child: of the lab's process that made it.
        return
