"""Which connections `flush-conntrack` means: `mark=1/1 ct_nw_src=10.0.0.1,ct_nw_proto=6`."""

from __future__ import annotations

from collections.abc import Sequence

from netloom.base.record import Record
from netloom.datapath.userspace.conntrack.connection import Connection
from netloom.datapath.userspace.conntrack.tuples import Tuple
from netloom.flow.address import parse_ipv6, parse_plain_ipv4
from netloom.openflow.number_text import c_int
from netloom.packet.headers import ETH_TYPE_IP, ETH_TYPE_IPV6, IPPROTO_ICMP, IPPROTO_ICMPV6

_ICMPS = (IPPROTO_ICMP, IPPROTO_ICMPV6)
_ADDRESSES = ("ct_nw_src", "ct_nw_dst", "ct_ipv6_src", "ct_ipv6_dst")
#: Fields that are numbers: member of `Ends`, bits.
_PORTS = {"ct_tp_src": ("sport", 16), "ct_tp_dst": ("dport", 16)}
_ICMP = {"icmp_id": ("icmp_id", 16), "icmp_type": ("icmp_type", 8), "icmp_code": ("icmp_code", 8)}
#: Both directions; what more is said is too much.
_MAX_TUPLES = 2


class Ends(Record):
    """One direction's members as they must be. 0 is any, but for ICMP's."""

    src: int = 0
    dst: int = 0
    sport: int = 0
    dport: int = 0
    icmp_id: int = 0
    icmp_type: int = 0
    icmp_code: int = 0

    def matches(self, key: Tuple, is_icmp: bool) -> bool:
        if self.src not in (0, key.src) or self.dst not in (0, key.dst):
            return False
        if is_icmp:
            return (self.icmp_id << 16 | self.icmp_type << 8 | self.icmp_code) == key.sport
        return self.sport in (0, key.sport) and self.dport in (0, key.dport)

    def is_empty(self, is_icmp: bool) -> bool:
        return not (self.src or self.dst or (not is_icmp and (self.sport or self.dport)))

    def is_complete(self, is_icmp: bool) -> bool:
        return bool(self.src and self.dst and (is_icmp or (self.sport and self.dport)))


class ConnectionFilter(Record):
    """What is said of a connection: the family and the protocol (0: any), its tuples, and its mark
    and labels, each with a mask."""

    dl_type: int = 0
    proto: int = 0
    original: Ends = Ends()
    reply: Ends = Ends()
    mark: tuple[int, int] = (0, 0)
    labels: tuple[int, int] = (0, 0)

    def __bool__(self) -> bool:
        return self != ConnectionFilter()

    @property
    def _is_icmp(self) -> bool:
        return self.proto in _ICMPS

    @property
    def one(self) -> Tuple | None:
        """The tuple, in zone 0, if it is all that is said: either direction of one connection."""
        ends, is_icmp = self.original, self._is_icmp
        is_all = self.reply.is_empty(is_icmp) and not (self.mark[1] or self.labels[1])
        if not is_all or not ends.is_complete(is_icmp):
            return None
        ports = (ends.sport, ends.dport)
        if is_icmp:
            port = ends.icmp_id << 16 | ends.icmp_type << 8 | ends.icmp_code
            ports = (port, port)
        return Tuple(0, self.dl_type, self.proto, ends.src, ends.dst, *ports)

    def matches(self, connection: Connection) -> bool:
        key, (mark, mark_mask), (labels, labels_mask) = connection.key, self.mark, self.labels
        return (
            self.dl_type in (0, key.dl_type)
            and self.proto in (0, key.proto)
            and self.original.matches(key, self._is_icmp)
            and self.reply.matches(connection.reverse, self._is_icmp)
            and not (mark ^ connection.mark) & mark_mask
            and not (labels ^ connection.label) & labels_mask
        )


def is_of(connection: Connection, wanted: Tuple) -> bool:
    """Is `wanted` a direction of the connection? Of ICMP only the first "port" is compared."""
    n_compared = 6 if wanted.proto in _ICMPS else 7
    return any(
        each[:n_compared] == wanted[:n_compared] for each in (connection.key, connection.reverse)
    )


def parse_filter(words: Sequence[str]) -> ConnectionFilter:
    """`[mark=X[/M]] [labels=X[/M]] [TUPLE [TUPLE]]`. Raises ValueError with the text of what is
    wrong. No words, or empty ones, are a filter of nothing."""
    rest = list(words)
    mark = _pop_masked(rest, "mark", 32)
    labels = _pop_masked(rest, "labels", 128)
    if len(rest) > _MAX_TUPLES:
        raise ValueError("invalid arguments")
    reader = _Reader()
    original, reply = map(reader.read, (*rest, "", "")[:_MAX_TUPLES])
    return ConnectionFilter(reader.dl_type, reader.proto, original, reply, mark, labels)


def _pop_masked(words: list[str], name: str, bits: int) -> tuple[int, int]:
    """The value and the mask of the first word, if it is of that name."""
    if not words or not words[0].startswith(f"{name}="):
        return 0, 0
    value_text, slash, mask_text = words.pop(0).partition("=")[2].partition("/")
    every = (1 << bits) - 1
    value, mask = c_int(value_text), c_int(mask_text) if slash else every
    if value is None or value >> bits:
        raise ValueError(f"failed to parse {name}")
    return value, every if mask is None or mask >> bits else mask


class _Reader:
    """Reads the tuples of one connection: both have the same protocols."""

    def __init__(self) -> None:
        self.dl_type = self.proto = 0

    def read(self, text: str) -> Ends:
        found: dict[str, int] = {}
        for word in text.replace(" ", ",").split(","):
            if word:
                self._read_word(found, *word.partition("=")[::2])
        if not self.proto and (found.get("sport") or found.get("dport")):
            raise ValueError("port is set without protocol")
        return Ends(**found)

    def _read_word(self, found: dict[str, int], name: str, value: str) -> None:
        if not value:
            raise ValueError(f"field {name} missing value")
        if name in _ADDRESSES:
            self._read_address(found, name, value)
        elif name == "ct_nw_proto":
            self.proto = _number(name, value, 8)
        elif name in _PORTS:
            member, bits = _PORTS[name]
            found[member] = _number(name, value, bits)
        elif name in _ICMP:
            if self.proto not in _ICMPS:
                raise ValueError("invalid L4 fields")
            member, bits = _ICMP[name]
            found[member] = _number(name, value, bits)
        else:
            raise ValueError(f"invalid conntrack tuple field: {name}")

    def _read_address(self, found: dict[str, int], name: str, value: str) -> None:
        is_ipv4 = name.startswith("ct_nw")
        family = ETH_TYPE_IP if is_ipv4 else ETH_TYPE_IPV6
        if self.dl_type not in (0, family):
            raise ValueError(f"the L3 protocol does not match {value}")
        member = name[-3:]
        if found.get(member):
            raise ValueError(f"{name} is set multiple times")
        address = parse_plain_ipv4(value) if is_ipv4 else parse_ipv6(value)
        if address is None:
            raise ValueError(f"failed to parse field {name}")
        self.dl_type = family
        found[member] = address


def _number(name: str, text: str, bits: int) -> int:
    number = c_int(text)
    if number is None or number < 0 or number >> bits:
        raise ValueError(f"failed to parse field {name}")
    return number
