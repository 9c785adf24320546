"""A selector that serves some descriptors itself, before the event loop hears of them.

What asyncio does for one readable descriptor (its own round, a handle, a context) costs more than
the work of a packet. So descriptors of packets have their handlers called here, as often as they
become readable, and only others, or what a handler has asked of the loop, let the loop go on.

The loop does not see these descriptors: one that was closed here, and whose number is somebody
else's now, is his. For the others this is what `selectors.EpollSelector` is, in fewer steps. Of
these, the readers of streams whose owner wants so are called here, too (`call_at_once`): a question
that is answered while it is read costs no round of the loop.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import ceil
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, SelectorKey
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
#: For so long the next question is looked for without sleeping: a little more than who asks one
#: after the other takes between an answer and a question, and about what waking up takes.
ACTIVE_S = 50e-6
#: Who asks again within this time, which includes waking up, is expected to do so again.
SOON_S = 150e-6


def _number(file: FileDescriptorLike) -> int:
    return file if isinstance(file, int) else file.fileno()


def _mask(events: int) -> int:
    return (_IN if events & EVENT_READ else 0) | (_OUT if events & EVENT_WRITE else 0)


class LightSelector(BaseSelector):
    """See the module. Whoever asks something of the loop sets `is_over`; a handler is called by
    `select` while the loop waits, and must not raise."""

    def __init__(self) -> None:
        self.is_over = False
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._keys: dict[FileDescriptorLike, SelectorKey] = {}
        self._at_once: set[int] = set()
        #: The last question came soon after the answer to the one before.
        self._expects = False
        #: With one processor, who is waited for could not run.
        self._may_expect = len(os.sched_getaffinity(0)) > 1

    def serve(self, fd: int, handler: Callable[[], None]) -> None:
        """Call `handler` whenever `fd` is readable."""
        self._epoll.register(fd, _IN)
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        """Serve it no more, if it was served."""
        if self._handlers.pop(fd, None) is not None:
            # It may be closed.
            with suppress(OSError):
                self._epoll.unregister(fd)

    def call_at_once(self, fd: int, wanted: bool) -> None:
        """Call what asyncio has registered as reader of `fd`, or leave that to the loop again."""
        if wanted:
            self._at_once.add(fd)
        else:
            self._at_once.discard(fd)

    def register(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> SelectorKey:
        fd = _number(fileobj)
        self.forget(fd)
        if fd in self._keys:
            raise KeyError(f"{fileobj!r} is registered already")
        self._epoll.register(fd, _mask(events))
        key = self._keys[fd] = SelectorKey(fileobj, fd, events, data)
        return key

    def unregister(self, fileobj: FileDescriptorLike) -> SelectorKey:
        key = self._keys.pop(_number(fileobj))
        with suppress(OSError):
            self._epoll.unregister(key.fd)
        return key

    def modify(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> SelectorKey:
        key = self._keys[_number(fileobj)]
        if events != key.events:
            self._epoll.modify(key.fd, _mask(events))
        key = self._keys[key.fd] = key._replace(events=events, data=data)
        return key

    def get_key(self, fileobj: FileDescriptorLike) -> SelectorKey:
        return self._keys[_number(fileobj)]

    def get_map(self) -> Mapping[FileDescriptorLike, SelectorKey]:
        return self._keys

    def close(self) -> None:
        self._epoll.close()
        self._handlers.clear()
        self._keys.clear()

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """What is ready of the others, after at most `timeout` seconds; nothing also if the loop
        has to look what there is to do."""
        self.is_over = False
        until = None if timeout is None else monotonic() + timeout
        handlers, poll, at_once = self._handlers, self._epoll.poll, self._at_once
        others: list[tuple[SelectorKey, int]] = []
        answered = False
        while True:
            # In milliseconds, and no sooner than asked for.
            wait = -1 if timeout is None else ceil(timeout * 1e3) * 1e-3 if timeout > 0 else 0
            n_most = len(handlers) + len(self._keys) + 1
            ready = self._next_question(wait, n_most) if answered else poll(wait, n_most)
            answered = False
            for fd, event in ready:
                handler = handlers.get(fd)
                if handler is not None:
                    handler()
                elif (key := self._keys.get(fd)) is None:
                    continue
                elif event == _IN and fd in at_once:
                    # asyncio's handles of who reads and who writes.
                    key.data[0]._run()
                    answered = self._may_expect
                else:
                    # An error is for both directions.
                    seen = (EVENT_READ if event & ~_OUT else 0) | (
                        EVENT_WRITE if event & ~_IN else 0
                    )
                    others.append((key, seen & key.events))
            if others or self.is_over or not ready:
                return others
            if until is not None:
                timeout = until - monotonic()
                if timeout <= 0:
                    return others

    def _next_question(self, wait: float, n_most: int) -> list[tuple[int, int]]:
        """`poll` after a question was answered: actively at first, if the next one should be here
        soon, for it takes as long to fall asleep and to wake up again as to answer."""
        poll = self._epoll.poll
        began = monotonic()
        if self._expects and wait:
            until = began + ACTIVE_S
            while monotonic() < until:
                if ready := poll(0, n_most):
                    return ready
        ready = poll(wait, n_most)
        self._expects = monotonic() - began < SOON_S
        return ready
