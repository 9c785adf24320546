"""A selector that serves some descriptors itself, before the event loop hears of them.

What asyncio does for one readable descriptor (its own round, a handle, a context) costs more than
the work of a packet. So descriptors of packets have their handlers called here, as often as they
become readable, and only others, or what a handler has asked of the loop, let the loop go on.

The loop does not see these descriptors: one that was closed here, and whose number is somebody
else's now, is his.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike


class _Light:
    """Marks a descriptor that is served here."""

    __slots__ = ("handler",)

    def __init__(self, handler: Callable[[], None]) -> None:
        self.handler = handler


class _Others(Mapping["FileDescriptorLike", selectors.SelectorKey]):
    """All that is registered, less what is served here."""

    def __init__(self, every: Mapping[FileDescriptorLike, selectors.SelectorKey]) -> None:
        self._every = every

    def __getitem__(self, fd: FileDescriptorLike) -> selectors.SelectorKey:
        key = self._every[fd]
        if type(key.data) is _Light:
            raise KeyError(fd)
        return key

    def __iter__(self) -> Iterator[FileDescriptorLike]:
        return (fd for fd, key in self._every.items() if type(key.data) is not _Light)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class LightSelector(selectors.DefaultSelector):
    """See the module. Whoever asks something of the loop sets `is_over`; a handler is called by
    `select` while the loop waits, and must not raise."""

    def __init__(self) -> None:
        super().__init__()
        self.is_over = False
        self._n_light = 0

    def serve(self, fd: int, handler: Callable[[], None]) -> None:
        """Call `handler` whenever `fd` is readable."""
        self.register(fd, selectors.EVENT_READ, _Light(handler))
        self._n_light += 1

    def forget(self, fd: FileDescriptorLike) -> None:
        """Serve it no more, if it was served."""
        key = super().get_map().get(fd)
        if key is not None and type(key.data) is _Light:
            self.unregister(fd)
            self._n_light -= 1

    def register(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        self.forget(fileobj)
        return super().register(fileobj, events, data)

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return _Others(super().get_map())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready of the others, after at most `timeout` seconds; nothing also if the loop
        has to look what there is to do."""
        if not self._n_light:
            return super().select(timeout)
        self.is_over = False
        until = None if timeout is None else monotonic() + timeout
        while True:
            ready = super().select(timeout)
            others = []
            for event in ready:
                light = event[0].data
                if type(light) is _Light:
                    light.handler()
                else:
                    others.append(event)
            if others or self.is_over or not ready:
                return others
            if until is not None:
                timeout = until - monotonic()
                if timeout <= 0:
                    return others
