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
from collections.abc import Mapping, Sequence
from pathlib import Path

from netloom.lab.namespace import Namespace
from netloom.lab.switch import DAEMONS

STOP_TIMEOUT_S = 5.0
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
    pidfiles = [*directory.glob("**/*.pid"), *directory.glob("*/dhcp/*/pid")]
    for pidfile in sorted(pidfiles):
        if pidfile.stem not in DAEMONS:
            _end(pidfile, signal.SIGTERM)


def _running(pidfile: Path) -> int | None:
    try:
        pid = int(pidfile.read_text())
        cmdline = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if str(pidfile.parent).encode() in cmdline else None


def _end(pidfile: Path, number: int) -> None:
    give_up = time.monotonic() + STOP_TIMEOUT_S
    while (pid := _running(pidfile)) is not None:
        os.kill(pid, signal.SIGKILL if time.monotonic() > give_up else number)
        _reap(pid)
        time.sleep(0.02)
    pidfile.unlink(missing_ok=True)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        # Somebody else's child: of the lab's process that made it.
        return
