"""Listening ports: which packets for the switch's own addresses are a tunnel's.

Each tunnel port of a data path listens at every address of every device that a route leads
through, for its UDP port or its protocol. A classifier holds the combinations, so that a lookup
says which bits of a packet decided it, as for any rule.
"""

from __future__ import annotations

from netloom.flow.fields import SLOT
from netloom.flow.mapped import ipv4_of, is_ipv4
from netloom.flow.match import Match
from netloom.flow.odp_text import format_odp_flow
from netloom.ofproto.classifier import Classifier
from netloom.openflow.actions import Conjunction

_HIDDEN = SLOT["in_port"].mask | SLOT["recirc_id"].mask


class Listener:
    """Packets that match are those of the tunnels at data-path port `number`."""

    __slots__ = ("match", "name", "number")
    priority = 0
    conjunctions: tuple[Conjunction, ...] = ()

    def __init__(self, match: Match, number: int, name: str) -> None:
        self.match = match
        self.number = number
        self.name = name


class _Tunnel:
    """A tunnel port of a data path, and for how many tunnels."""

    __slots__ = ("name", "number", "nw_proto", "tp_port", "users")

    def __init__(self, name: str, number: int, nw_proto: int, tp_port: int) -> None:
        self.name = name
        self.number = number
        self.nw_proto = nw_proto
        self.tp_port = tp_port
        self.users = 0


class Listeners:
    """See the module. `generation` grows with every change."""

    def __init__(self) -> None:
        #: By data-path port and protocol.
        self._tunnels: dict[tuple[int, int], _Tunnel] = {}
        self._addresses: list[tuple[int, int]] = []
        self._classifier: Classifier[Listener] = Classifier(())
        self.generation = 0

    def add(self, number: int, name: str, nw_proto: int, tp_port: int) -> None:
        """One more tunnel uses the port."""
        tunnel = self._tunnels.get((number, nw_proto))
        if tunnel is None:
            tunnel = _Tunnel(name, number, nw_proto, tp_port)
            self._tunnels[number, nw_proto] = tunnel
            self._rebuild()
        tunnel.users += 1

    def remove(self, number: int, nw_proto: int) -> None:
        tunnel = self._tunnels[number, nw_proto]
        tunnel.users -= 1
        if not tunnel.users:
            del self._tunnels[number, nw_proto]
            self._rebuild()

    def set_addresses(self, addresses: list[tuple[int, int]]) -> None:
        """(Ethernet address, IP address) of all devices that may be listened at."""
        self._addresses = addresses
        self._rebuild()

    def ends(self) -> list[tuple[int, int, int]]:
        """Where anybody listens: (address, protocol, UDP port or 0)."""
        return [
            (address, tunnel.nw_proto, tunnel.tp_port)
            for _, address in self._addresses
            for tunnel in self._tunnels.values()
        ]

    def _rebuild(self) -> None:
        self.generation += 1
        self._classifier = Classifier(())
        for mac, address in self._addresses:
            for tunnel in self._tunnels.values():
                listener = Listener(_match(tunnel, mac, address), tunnel.number, tunnel.name)
                # Of two that listen for the same the first gets the packets.
                if self._classifier.find(listener.match, 0) is None:
                    self._classifier.insert(listener)

    def __bool__(self) -> bool:
        """Does anybody listen?"""
        return bool(len(self._classifier))

    def lookup(self, key: int, mask: int) -> tuple[int | None, int]:
        """The data-path port of the tunnel whose packet `key` is, and `mask` with what decided."""
        if not len(self._classifier):
            return None, mask
        found, decided = self._classifier.lookup(key, mask)
        return (None if found is None else found.number), mask | decided

    def show(self, verbose: bool = False) -> str:
        """The text of `tnl/ports/show`."""
        lines = ["Listening ports:\n"]
        if verbose:
            for rule in self._classifier.rules():
                text = format_odp_flow(rule.match.value, rule.match.mask & ~_HIDDEN)
                lines.append(f"{rule.name} ({rule.number}) : {text}\n")
            return "".join(lines)
        for tunnel in self._tunnels.values():
            lines.append(f"{tunnel.name} ({tunnel.number}) ref_cnt={tunnel.users}\n")
        return "".join(lines)


def _match(tunnel: _Tunnel, mac: int, address: int) -> Match:
    family = ("nw_dst", 0x0800) if is_ipv4(address) else ("ipv6_dst", 0x86DD)
    values = {
        "dl_dst": mac,
        "dl_type": family[1],
        family[0]: ipv4_of(address) or address,
        "nw_proto": tunnel.nw_proto,
        "nw_frag": 0,
        # A packet with a tag is no tunnel's.
        "vlan_tci": 0,
    }
    if tunnel.tp_port:
        values["tp_dst"] = tunnel.tp_port
    value = mask = 0
    for name, wanted in values.items():
        slot = SLOT[name]
        value |= wanted << slot.shift
        mask |= (3 << slot.shift) if name == "nw_frag" else slot.mask
    return Match(value, mask)
