"""The life of a daemon, from its start to its exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from netloom.base.errors import NetloomError

if TYPE_CHECKING:
    from netloom.transport.daemon import Daemon
    from netloom.transport.loop import MainLoop


class Program(Protocol):
    """What a daemon runs."""

    @property
    def loop(self) -> MainLoop: ...

    def start(self) -> None:
        """Begin; raises `NetloomError` if that is not possible."""

    def close(self) -> None:
        """End what `start` has begun."""


def live(daemon: Daemon, program: Program) -> int:
    """Run the program's loop until it is stopped; the exit status. Whatever happens, the daemon's
    files do not outlive it. An exception that nobody expected is a crash."""
    try:
        program.start()
        status = program.loop.run()
    except NetloomError:
        daemon.close()
        raise
    except Exception as error:  # noqa: BLE001 - reported as a crash, with its trace
        return daemon.crash(error)
    program.close()
    daemon.close()
    return status
