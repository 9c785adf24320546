"""What is to be tidied up when a signal ends the program: pid files, sockets.

A program that is told to end (SIGTERM, SIGINT, SIGHUP, SIGALRM) says so in its log, removes its
files and dies of that very signal, so that its parent sees why.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # the package around it imports enum
import posix

from netloom.base.log import get_logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

FATAL = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)

log = get_logger("fatal_signal")


def describe(number: int) -> str:
    """A signal for a person: `15 (Terminated)`."""
    return f"{number} ({signal.strsignal(number) or 'unknown'})"


class FatalSignals:
    """The files of one process. They are removed by `cleanup` or by a fatal signal, and never by
    a process forked later."""

    def __init__(self) -> None:
        self._files: dict[str, int] = {}

    def install(self) -> None:
        """Take over the fatal signals that are not ignored."""
        for number in FATAL:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._handle)

    def add_file(self, path: str) -> None:
        self._files[path] = posix.getpid()

    def remove_file(self, path: str) -> None:
        """Forget `path`; it is no longer ours to delete."""
        self._files.pop(path, None)

    def unlink(self, path: str) -> None:
        """Delete `path` now."""
        self._files.pop(path, None)
        _unlink(path)

    def cleanup(self) -> None:
        """Delete all files."""
        pid = posix.getpid()
        for path, owner in list(self._files.items()):
            if owner == pid:
                _unlink(path)
        self._files.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        log.warn("terminating with signal %s", describe(number))
        self.cleanup()
        signal.signal(number, signal.SIG_DFL)
        posix.kill(posix.getpid(), number)


def _unlink(path: str) -> None:
    try:
        posix.unlink(path)
    except FileNotFoundError:
        # Gone is gone.
        return
    except OSError as error:
        log.warn('could not unlink "%s" (%s)', path, error.strerror)


def set_timeout(signals: FatalSignals, seconds: int) -> None:
    """Have SIGALRM end this program in so many seconds; 0 for never (`--timeout`)."""
    signals.install()
    signal.alarm(seconds)
