"""Instructions and actions that were decoded before, and what flow mods have in common."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.openflow.actions import Action
    from netloom.openflow.flow_mod_shape import FlowModShape


def decode_actions(data: bytes, version: int) -> tuple[Action, ...]:
    """As that of `action_decode`, which who only writes messages never loads."""
    from netloom.openflow.action_decode import decode_actions

    return decode_actions(data, version)


def decode_action_list(data: bytes, version: int) -> tuple[Action, ...]:
    """As that of `action_decode`."""
    from netloom.openflow.action_decode import decode_action_list

    return decode_action_list(data, version)


def decode_instructions(data: bytes, version: int) -> tuple[Action, ...]:
    """As that of `action_decode`."""
    from netloom.openflow.action_decode import decode_instructions

    return decode_instructions(data, version)


class InstructionMemo:
    """The instructions of flow mods, and the actions of packet-outs, that came lately on a
    connection: many do the same, and then share one tuple, which takes its memory once and is read
    once."""

    __slots__ = ("_actions", "_known", "_lists", "fixed", "shape")

    _SIZE = 1_024

    def __init__(self) -> None:
        self._known: dict[tuple[int, bytes], tuple[Action, ...]] = {}
        self._actions: dict[tuple[int, bytes], tuple[Action, ...]] = {}
        self._lists: dict[tuple[int, bytes], tuple[Action, ...]] = {}
        #: The shape of flow mods that came in a row, if they had one.
        self.shape: FlowModShape | None = None
        #: What precedes the match in the last flow mod that was read as a whole, but for cookie and
        #: transaction.
        self.fixed = b""

    def decode(self, data: bytes, version: int) -> tuple[Action, ...]:
        """Like `decode_instructions`."""
        found = self._known.get((version, data))
        if found is None:
            found = decode_instructions(data, version)
            if len(self._known) >= self._SIZE:
                self._known.clear()
            self._known[version, data] = found
        return found

    def decode_actions(self, data: bytes, version: int) -> tuple[Action, ...]:
        """Like `action_decode.decode_actions`."""
        found = self._actions.get((version, data))
        if found is None:
            found = decode_actions(data, version)
            if len(self._actions) >= self._SIZE:
                self._actions.clear()
            self._actions[version, data] = found
        return found

    def decode_action_list(self, data: bytes, version: int) -> tuple[Action, ...]:
        """Like `action_decode.decode_action_list`."""
        found = self._lists.get((version, data))
        if found is None:
            found = decode_action_list(data, version)
            if len(self._lists) >= self._SIZE:
                self._lists.clear()
            self._lists[version, data] = found
        return found
