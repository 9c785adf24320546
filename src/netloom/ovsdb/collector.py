"""The garbage collector, put off while much is made that stays.

Reading a whole database makes hundreds of thousands of objects, none of them garbage. The collector
looks at all of them again and again, which takes several times as long as making them."""

from __future__ import annotations

import gc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


class NoCollection:
    """`with NoCollection():` runs the block without collections, unless they are off anyway."""

    __slots__ = ("_was_on",)

    def __enter__(self) -> None:
        self._was_on = gc.isenabled()
        gc.disable()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._was_on:
            gc.enable()
