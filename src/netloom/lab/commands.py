"""Run a command and keep what it said."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from netloom.base.errors import NetloomError

#: No command of a lab should take longer; one that does is stuck.
COMMAND_TIMEOUT_S = 60.0


class CommandFailed(NetloomError):
    """A command ended with another status than 0."""

    def __init__(self, argv: tuple[str, ...], status: int, output: str) -> None:
        super().__init__(f"{' '.join(argv)}: exit status {status}\n{output}".rstrip())
        self.status = status
        self.output = output


class Result:
    """What a command printed, standard output and error apart, and its exit status."""

    __slots__ = ("argv", "status", "stderr", "stdout")

    def __init__(self, argv: tuple[str, ...], status: int, stdout: str, stderr: str) -> None:
        self.argv = argv
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    @property
    def ok(self) -> bool:
        return self.status == 0


def run(
    *argv: str,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    timeout_s: float = COMMAND_TIMEOUT_S,
    stdin: str | None = None,
) -> Result:
    """Run `argv`; with `check`, raise CommandFailed when it fails."""
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        env=env,
        timeout=timeout_s,
        input="" if stdin is None else stdin,
    )
    if check and done.returncode:
        raise CommandFailed(argv, done.returncode, done.stdout + done.stderr)
    return Result(argv, done.returncode, done.stdout, done.stderr)
