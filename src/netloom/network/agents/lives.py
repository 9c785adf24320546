"""Hears at once when a process ends that is not one's child: a program that an earlier agent
started, say."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable


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
