"""The neighbour cache: IP address of a next hop, on a bridge -> its Ethernet address.

Learned from ARP replies and neighbour advertisements that a bridge delivers to its own address, and
from the senders of tunnel packets; used ones stay, others age.
"""

from __future__ import annotations

from collections.abc import Container

from netloom.flow.address import format_mac
from netloom.flow.mapped import format_mapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: Seconds after which an unused entry goes, and the most that may be set.
DEFAULT_AGING_S: Final = 900
MAX_AGING_S: Final = 3600
#: Entries; more would be somebody's game.
MAX_NEIGHBOURS: Final = 65_536


class Neighbours:
    """See the module. `generation` grows when a lookup may give another answer."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, int], tuple[int, int]] = {}
        self.aging_s = DEFAULT_AGING_S
        self.generation = 0

    def lookup(self, bridge: str, address: int) -> int | None:
        entry = self._entries.get((bridge, address))
        return None if entry is None else entry[0]

    def touch(self, bridge: str, address: int, now_ms: int) -> None:
        """A packet was sent there."""
        entry = self._entries.get((bridge, address))
        if entry is not None:
            self._entries[bridge, address] = (entry[0], now_ms + self.aging_s * 1_000)

    def set(self, bridge: str, address: int, mac: int, now_ms: int) -> None:
        name = (bridge, address)
        entry = self._entries.get(name)
        if entry is None and len(self._entries) >= MAX_NEIGHBOURS:
            return
        if entry is None or entry[0] != mac:
            self.generation += 1
        self._entries[name] = (mac, now_ms + self.aging_s * 1_000)

    def follow(self, bridge: str, address: int, mac: int) -> None:
        """An entry that is there has this Ethernet address now, and is no younger for that."""
        old, until_ms = self._entries[bridge, address]
        if mac != old:
            self._entries[bridge, address] = (mac, until_ms)
            self.generation += 1

    def on(self, bridges: Container[str]) -> list[tuple[str, int]]:
        """(bridge, address) of the entries on some bridges."""
        return [name for name in self._entries if name[0] in bridges]

    def flush(self, bridge: str | None = None) -> None:
        """Forget all, or all of one bridge."""
        doomed = [name for name in self._entries if bridge in (None, name[0])]
        for name in doomed:
            del self._entries[name]
        self.generation += bool(doomed)

    def run(self, now_ms: int) -> None:
        doomed = [name for name, (_, until_ms) in self._entries.items() if until_ms <= now_ms]
        for name in doomed:
            del self._entries[name]
        self.generation += bool(doomed)

    def show(self) -> str:
        """The text of `tnl/neigh/show`."""
        lines = ["IP                                            MAC                 Bridge\n",
                 "=" * 74 + "\n"]  # fmt: skip
        for (bridge, address), (mac, _) in self._entries.items():
            lines.append(f"{format_mapped(address):<46}{format_mac(mac):<20}{bridge}\n")
        return "".join(lines)
