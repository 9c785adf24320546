"""Instructions that were decoded before."""

from __future__ import annotations

from netloom.openflow.action_decode import decode_instructions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.openflow.actions import Action


class InstructionMemo:
    """The instructions of flow mods that came lately on a connection: many flows do the same, and
    then share one tuple, which takes its memory once and is read once."""

    __slots__ = ("_known",)

    _SIZE = 1_024

    def __init__(self) -> None:
        self._known: dict[tuple[int, bytes], tuple[Action, ...]] = {}

    def decode(self, data: bytes, version: int) -> tuple[Action, ...]:
        """Like `decode_instructions`."""
        found = self._known.get((version, data))
        if found is None:
            found = decode_instructions(data, version)
            if len(self._known) >= self._SIZE:
                self._known.clear()
            self._known[version, data] = found
        return found
