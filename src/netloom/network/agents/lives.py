"""The ends of processes that are not one's children: programs that an earlier agent started, say.
`Lives` hears of them at once; `end` brings one about."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

#: How long a process may take to end before it is killed.
END_S = 5.0


async def end(pid: int, patience_s: float = END_S) -> None:
    """End a process, and wait until it is gone: what it still writes or removes as it goes must not
    hit whoever comes after it."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        async with asyncio.timeout(patience_s):
            await gone.wait()
    except ProcessLookupError:
        return
    except TimeoutError:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def command_line(pid: int) -> bytes:
    """The words of a process' command line, a NUL byte after each; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class Lives:
    """Processes by a name of one's own."""

    def __init__(self) -> None:
        self._watched: dict[str, tuple[int, int]] = {}

    def watch(self, name: str, pid: int, ended: Callable[[], None]) -> None:
        """Call `ended` when the process does; once, and not if somebody else is watched under the
        name by then. Raises ProcessLookupError if there is no such process."""
        if self._watched.get(name, (0, 0))[0] == pid:
            return
        self.forget(name)
        descriptor = os.pidfd_open(pid)
        self._watched[name] = pid, descriptor

        def over() -> None:
            self.forget(name)
            ended()

        asyncio.get_running_loop().add_reader(descriptor, over)

    def forget(self, name: str) -> None:
        """Watch no longer."""
        _, descriptor = self._watched.pop(name, (0, -1))
        if descriptor >= 0:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
