"""Which connections `flush-conntrack` means: `ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_dst=80`."""

from __future__ import annotations

from netloom.base.numbers import decimal
from netloom.base.record import Record
from netloom.datapath.userspace.conntrack.tuples import Tuple, is_icmp
from netloom.flow.address import parse_ipv6, parse_plain_ipv4
from netloom.packet.headers import ETH_TYPE_IP, ETH_TYPE_IPV6, IPPROTO_ICMP, IPPROTO_ICMPV6


class TupleFilter(Record):
    """Members of a tuple as they must be; None for any. `icmp` is (id, type, code)."""

    dl_type: int | None = None
    proto: int | None = None
    src: int | None = None
    dst: int | None = None
    sport: int | None = None
    dport: int | None = None
    icmp: tuple[int | None, int | None, int | None] = (None, None, None)

    def __bool__(self) -> bool:
        return self != TupleFilter()

    @property
    def is_complete(self) -> bool:
        """Whether it names one connection rather than a kind of them."""
        has_ends = bool(self.src and self.dst and self.proto)
        is_icmp = self.proto in (IPPROTO_ICMP, IPPROTO_ICMPV6)
        return has_ends and (is_icmp or bool(self.sport and self.dport))

    def matches(self, key: Tuple) -> bool:
        for name in ("dl_type", "proto", "src", "dst"):
            wanted = getattr(self, name)
            if wanted is not None and wanted != getattr(key, name):
                return False
        if is_icmp(key):
            # With an address, what is not said of ICMP is zero; ovs-ofctl(8), ct-flush.
            is_exact = self.src is not None or self.dst is not None
            found = (key.sport >> 16, key.sport >> 8 & 0xFF, key.sport & 0xFF)
            return not is_exact or tuple(each or 0 for each in self.icmp) == found
        return self.sport in (None, key.sport) and self.dport in (None, key.dport)


_NUMBERS = {"ct_nw_proto": 8, "ct_tp_src": 16, "ct_tp_dst": 16}
_ICMP = {"icmp_id": 16, "icmp_type": 8, "icmp_code": 8}


def parse_tuple_filter(text: str) -> TupleFilter:
    """Raises ValueError with the text of what is wrong. The empty text is a filter of nothing."""
    found: dict[str, int] = {}
    icmp: dict[str, int] = {}
    dl_type: int | None = None
    for word in text.replace(" ", ",").split(","):
        if not word:
            continue
        name, equals, value = word.partition("=")
        if not equals or not value:
            raise ValueError(f"field {name} missing value")
        if name in ("ct_nw_src", "ct_nw_dst", "ct_ipv6_src", "ct_ipv6_dst"):
            is_ipv4 = name.startswith("ct_nw")
            family = ETH_TYPE_IP if is_ipv4 else ETH_TYPE_IPV6
            address = parse_plain_ipv4(value) if is_ipv4 else parse_ipv6(value)
            if address is None:
                raise ValueError(f"failed to parse field {name}")
            if dl_type not in (None, family):
                raise ValueError("the fields of both IPv4 and IPv6 cannot be mixed")
            dl_type = family
            found[name[-3:]] = address
        elif name in _NUMBERS:
            found[name] = _number(name, value, _NUMBERS[name])
        elif name in _ICMP:
            icmp[name] = _number(name, value, _ICMP[name])
        else:
            raise ValueError(f"invalid conntrack tuple field: {name}")
    proto = found.get("ct_nw_proto")
    if icmp and proto not in (IPPROTO_ICMP, IPPROTO_ICMPV6):
        raise ValueError("invalid L4 fields")
    if not proto and (found.get("ct_tp_src") or found.get("ct_tp_dst")):
        raise ValueError("port is set without protocol")
    return TupleFilter(
        dl_type,
        proto,
        found.get("src"),
        found.get("dst"),
        found.get("ct_tp_src"),
        found.get("ct_tp_dst"),
        (icmp.get("icmp_id"), icmp.get("icmp_type"), icmp.get("icmp_code")),
    )


def _number(name: str, text: str, bits: int) -> int:
    number = decimal(text)
    if number is None or number >> bits:
        raise ValueError(f"failed to parse field {name}")
    return number
