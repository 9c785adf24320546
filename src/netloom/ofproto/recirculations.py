"""Frozen translations, and the numbers by which packets come back to them.

A translation that cannot go on until the data path has done something (tracked a connection, hashed
a packet, uncovered a header) is frozen: what it knew becomes a `FrozenState`, the data path is told
`recirc(ID)`, and the packet comes up again with that number in its key.

What must hold: while a flow of the data path mentions a number, its state is here; equal states
that are held have one number, so that a flow that is translated again comes out the same. Who has
a number from `acquire` gives it back with `release`. A state that nobody holds stays for a moment,
for packets that are on their way, but is not given out again.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from netloom.openflow.actions import Action

#: How long a state that nobody holds is kept for packets on their way.
GRACE_MS: Final = 500


class FrozenState(NamedTuple):
    """What a translation goes on with. `metadata` is a key with in_port (of OpenFlow, on
    `bridge`), registers, metadata and tunnel; without `actions` it goes on in `table_id`;
    `userdata` is that of a pause."""

    bridge: str
    table_id: int
    metadata: int
    conntracked: bool = False
    stack: tuple[tuple[int, int], ...] = ()
    mirrored: frozenset[tuple[str, str, int]] = frozenset()
    actions: tuple[Action, ...] = ()
    action_set: tuple[Action, ...] = ()
    userdata: bytes = b""

    def __hash__(self) -> int:
        return hash((self.bridge, self.table_id, self.metadata, self.actions, self.action_set))


class _Entry:
    __slots__ = ("n_holders", "recirc_id", "state")

    def __init__(self, recirc_id: int, state: FrozenState) -> None:
        self.recirc_id = recirc_id
        #: None: it is no longer.
        self.state: FrozenState | None = state
        self.n_holders = 1


class Recirculations:
    """All frozen states of a backer. `foreign` are numbers of somebody else's, for good."""

    def __init__(self, foreign: frozenset[int] = frozenset()) -> None:
        self._foreign = foreign
        self._by_id: dict[int, _Entry] = {}
        self._by_state: dict[FrozenState, _Entry] = {}
        self._last_id = 0
        #: (when to forget it, entry), in that order.
        self._leaving: deque[tuple[int, _Entry]] = deque()

    def __len__(self) -> int:
        return len(self._by_id)

    def acquire(self, state: FrozenState) -> int:
        """The number of a state, which the caller holds from now on."""
        entry = self._by_state.get(state)
        if entry is not None:
            entry.n_holders += 1
            return entry.recirc_id
        number = self._last_id
        while True:
            number = number % 0xFFFFFFFF + 1
            if number not in self._by_id and number not in self._foreign:
                break
        self._last_id = number
        self._by_id[number] = self._by_state[state] = _Entry(number, state)
        return number

    def hold(self, recirc_id: int) -> None:
        """Hold a number once more; it must be held already."""
        self._by_id[recirc_id].n_holders += 1

    def release(self, recirc_ids: tuple[int, ...], now_ms: int) -> None:
        """Hold these numbers no more."""
        for number in recirc_ids:
            entry = self._by_id[number]
            entry.n_holders -= 1
            if not entry.n_holders:
                if entry.state is not None:
                    del self._by_state[entry.state]
                self._leaving.append((now_ms + GRACE_MS, entry))

    def find(self, recirc_id: int) -> FrozenState | None:
        entry = self._by_id.get(recirc_id)
        return entry.state if entry is not None else None

    def forget_bridge(self, name: str) -> None:
        """Nothing goes on in a bridge that is gone, nor in a later one of the same name."""
        for entry in self._by_id.values():
            if entry.state is not None and entry.state.bridge == name:
                self._by_state.pop(entry.state, None)
                entry.state = None

    def run(self, now_ms: int) -> None:
        """Forget what nobody has held for long enough."""
        leaving = self._leaving
        while leaving and leaving[0][0] <= now_ms:
            del self._by_id[leaving.popleft()[1].recirc_id]
