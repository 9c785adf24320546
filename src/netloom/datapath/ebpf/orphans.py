"""Flows that an earlier daemon left in the kernel.

The programs run them as before, whether there is a daemon or not; what they mean is not known here.
So `ofproto` is asked for each of them (an upcall "adopt"): the flow that it puts replaces the
orphan if its mask is the same, else the orphan goes. Three kinds have to wait:

- flows of packets that come back (`recirc_id`): their number means nothing to this process. Once
  all others mean something again no packet comes with an old number any more, and they go, after a
  moment for packets that are on their way. Until then nobody else may have their numbers.
- flows of bridges that the programs switch by themselves: they come again, or go.
- flows of ports that nobody has asked for yet: they go as soon as the first configuration is
  complete, at the latest after `ORPHAN_MS`.

Nothing goes before this process begins to answer: until then the kernel goes on as it is
(other_config:flow-restore-wait).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from netloom.datapath.dpif import Upcall
from netloom.flow.fields import SLOT

if TYPE_CHECKING:
    from netloom.datapath.ebpf.flowtable import FlowTable

#: How long flows and ports of an earlier daemon wait for this one's configuration.
ORPHAN_MS: Final = 10_000
#: How long a packet may be on its way from one flow to the next.
ON_THEIR_WAY_MS: Final = 500
IN_PORT: Final = SLOT["in_port"]
RECIRC_ID: Final = SLOT["recirc_id"]
#: The mask of flows of bridges that the programs run by themselves.
SWITCHED: Final = IN_PORT.mask | RECIRC_ID.mask


class Orphans:
    """See the module. Flows are named by (masked key, mask)."""

    def __init__(self, table: FlowTable) -> None:
        self._table = table
        names = table.names()
        self._coming_back = {name for name in names if RECIRC_ID.get(name[0])}
        self._names = names - self._coming_back
        self.recirc_ids = frozenset(RECIRC_ID.get(key) for key, _ in self._coming_back)
        self._asked: list[tuple[int, int]] = []
        self._give_up_ms: int | None = None
        self._is_complete = False
        self._answered_ms: int | None = None

    def __bool__(self) -> bool:
        """Are there any?"""
        return bool(self._names or self._coming_back or self._asked)

    def begin(self, now_ms: int) -> None:
        """This process answers from now on."""
        if self._give_up_ms is None:
            self._give_up_ms = now_ms + ORPHAN_MS
        if self._is_complete:
            self._give_up_ms = min(self._give_up_ms, now_ms)

    def complete(self) -> None:
        """All ports that this process is to have are there: there is nothing to wait for."""
        self._is_complete = True

    def has_given_up(self, now_ms: int) -> bool:
        """Has all been waited for that was to be waited for?"""
        return self._give_up_ms is not None and now_ms >= self._give_up_ms

    def discard(self, name: tuple[int, int]) -> None:
        """Somebody said what that flow does."""
        self._names.discard(name)
        self._coming_back.discard(name)

    def clear(self) -> None:
        """All flows were removed."""
        self._names.clear()
        self._coming_back.clear()

    def ask(self, ports: set[int], now_ms: int, limit: int) -> list[Upcall]:
        """Questions about some more of them."""
        asked: list[Upcall] = []
        for name in list(self._names):
            key, mask = name
            if len(asked) >= limit:
                break
            if mask == SWITCHED:
                # It does not say what packets it was for, so there is nothing to ask.
                if self.has_given_up(now_ms - ON_THEIR_WAY_MS):
                    self._names.discard(name)
                    self._table.delete(key, mask, now_ms)
                continue
            if IN_PORT.get(key) in ports:
                asked.append(Upcall("adopt", key, b""))
                self._names.discard(name)
                self._asked.append(name)
            elif self.has_given_up(now_ms):
                self._names.discard(name)
                self._table.delete(key, mask, now_ms)
        return asked

    def drop(self, is_wanted: Callable[[int, int], bool], now_ms: int) -> None:
        """Remove those that nobody wants: after the answers to what was asked."""
        for key, mask in self._asked:
            if not is_wanted(key, mask):
                self._table.delete(key, mask, now_ms)
        self._asked.clear()
        if not self._coming_back:
            return
        if self._answered_ms is None:
            if all(mask == SWITCHED for _, mask in self._names):
                self._answered_ms = now_ms
        elif now_ms >= self._answered_ms + ON_THEIR_WAY_MS:
            for key, mask in self._coming_back:
                self._table.delete(key, mask, now_ms)
            self._coming_back.clear()
