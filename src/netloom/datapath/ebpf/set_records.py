"""Records of `Set`: writes of four bytes under a mask, each with the checksums that it is part of.

One row a header: where it is, and where in it the slots of a key are. What is written elsewhere
than in a header's fixed part is not compiled.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from netloom.datapath import actions as dp
from netloom.datapath.ebpf.spec import ACTION, CHECKSUM, LAYER, OP
from netloom.flow.fields import SLOT


class Uncompilable(Exception):
    """An action that the kernel programs cannot do; the text says which."""


def record(op: str, a8: int = 0, a16: int = 0, a32: int = 0, a64: int = 0) -> bytes:
    """One record, of the operation's name."""
    return ACTION.pack(OP[op], a8, a16, a32, a64)


_IPV4: Final = 1
_IPV6: Final = 2
_ARP: Final = 3
_MPLS: Final = 4
_NSH: Final = 5
#: Stands for the context of a service header, which the programs find like a transport header.
_NSH_CONTEXT: Final = 0x100
_TCP: Final = 6
_UDP: Final = 17
_ICMP: Final = 1
_ICMPV6: Final = 58


class _Member(NamedTuple):
    """Where the value of a slot is in its header: `at` bytes from the start, `low` bits above the
    least significant bit of these `n_bytes`."""

    slot: str
    at: int
    n_bytes: int
    low: int = 0


class _Header(NamedTuple):
    layer: str
    what: int
    size: int
    members: tuple[_Member, ...]
    #: Offset of a word -> its checksum; those left out have `checksum`.
    checksum: str
    checksums: dict[int, str]


_PORTS: Final = (_Member("tp_src", 0, 2), _Member("tp_dst", 2, 2))
_TYPES: Final = (_Member("tp_src", 0, 1), _Member("tp_dst", 1, 1))
_SERVICE: Final = (
    _Member("nsh_flags", 0, 2, 12), _Member("nsh_ttl", 0, 2, 6), _Member("nsh_path", 4, 4)
)  # fmt: skip
_CONTEXT: Final = tuple(_Member(f"nsh_c{number + 1}", 4 * number, 4) for number in range(4))
_LABEL: Final = _Header("NETWORK", _MPLS, 4, (_Member("mpls_lse0", 0, 4),), "NONE", {})
_HEADERS: Final = {
    "eth": _Header(
        "ETHERNET", 0, 12, (_Member("dl_dst", 0, 6), _Member("dl_src", 6, 6)), "NONE", {}
    ),
    "mpls": _LABEL,
    dp.KNOWN_LABEL: _LABEL,
    "ipv4": _Header(
        "NETWORK", _IPV4, 20,
        (_Member("nw_tos", 1, 1), _Member("nw_ttl", 8, 1), _Member("nw_src", 12, 4),
         _Member("nw_dst", 16, 4)),
        "IPV4_PSEUDO", {0: "IPV4", 8: "IPV4"},
    ),
    "ipv6": _Header(
        "NETWORK", _IPV6, 40,
        (_Member("nw_tos", 0, 4, 20), _Member("ipv6_label", 0, 4), _Member("nw_ttl", 7, 1),
         _Member("ipv6_src", 8, 16), _Member("ipv6_dst", 24, 16)),
        "PSEUDO", {0: "NONE", 4: "NONE"},
    ),
    "arp": _Header(
        "NETWORK", _ARP, 28,
        (_Member("nw_proto", 6, 2), _Member("arp_sha", 8, 6), _Member("nw_src", 14, 4),
         _Member("arp_tha", 18, 6), _Member("nw_dst", 24, 4)),
        "NONE", {},
    ),
    "tcp": _Header("TRANSPORT", _TCP, 4, _PORTS, "TRANSPORT", {}),
    "udp": _Header("TRANSPORT", _UDP, 4, _PORTS, "TRANSPORT", {}),
    "tcp_flags": _Header(
        "TRANSPORT", _TCP, 16, (_Member("tcp_flags", 12, 2),), "TRANSPORT", {}
    ),
    "icmp": _Header("TRANSPORT", _ICMP, 4, _TYPES, "TRANSPORT", {}),
    "icmpv6": _Header("TRANSPORT", _ICMPV6, 4, _TYPES, "TRANSPORT", {}),
    "nsh": _Header("NETWORK", _NSH, 8, _SERVICE, "NONE", {}),
    "nd": _Header("TRANSPORT", _ICMPV6, 24, (_Member("nd_target", 8, 16),), "TRANSPORT", {}),
}  # fmt: skip
#: What comes behind some of them, of packets that have it.
_BEHIND: Final = {"nsh": _Header("TRANSPORT", _NSH_CONTEXT, 16, _CONTEXT, "NONE", {})}
#: Bits of a slot that have a place in its header; a TCP header has four more bits in the word.
_WRITABLE_BITS: Final = {
    "tcp_flags": 0xFFF, "ipv6_label": 0xFFFFF, "nsh_flags": 3, "nsh_ttl": 0x3F
}  # fmt: skip
_ALL_OF_ARP_OP: Final = 0xFF
#: Set actions of what is beside the packet.
METADATA: Final = {
    "skb_mark": ("pkt_mark", "SET_MARK"),
    "skb_priority": ("skb_priority", "SET_PRIORITY"),
}


def set_records(action: dp.Set) -> list[bytes]:
    """The records of a `Set`. Raises Uncompilable."""
    if action.header in METADATA:
        name, op = METADATA[action.header]
        slot = SLOT[name]
        return [record(op, a32=slot.get(action.value & action.mask), a64=slot.get(action.mask))]
    if action.header == "vlan":
        tci = SLOT["vlan_tci"]
        return [record("SET_VLAN", a16=tci.get(action.value), a32=tci.get(action.mask))]
    header = _HEADERS.get(action.header)
    if header is None:
        raise Uncompilable(f"set({action.header}())")
    _check_members(action, header)
    records = _write_header(action, header)
    if action.header in _BEHIND:
        records += _write_header(action, _BEHIND[action.header])
    return records


def _write_header(action: dp.Set, header: _Header) -> list[bytes]:
    """The writes of the words of one header."""
    value = bytearray(header.size)
    mask = bytearray(header.size)
    for member in header.members:
        _put(value, member, action.value & action.mask)
        _put(mask, member, action.mask)
    if action.header == "arp" and any(mask[6:8]):
        # The key has the low byte; the packet's other byte becomes zero.
        mask[6:8] = b"\xff\xff"
    return [
        record(
            "SET",
            LAYER[header.layer] | CHECKSUM[header.checksums.get(at, header.checksum)] << 4,
            at,
            int.from_bytes(mask[at : at + 4], "little"),
            int.from_bytes(value[at : at + 4], "little") | header.what << 32,
        )
        for at in range(0, header.size, 4)
        if any(mask[at : at + 4])
    ]


def _check_members(action: dp.Set, header: _Header) -> None:
    """Refuse what is written elsewhere than in the header's fixed part."""
    if action.header == "nd" and action.mask & (SLOT["arp_sha"].mask | SLOT["arp_tha"].mask):
        raise Uncompilable("set(nd(sll, tll))")
    if action.header == "arp" and SLOT["nw_proto"].get(action.mask) not in (0, _ALL_OF_ARP_OP):
        raise Uncompilable("a part of ARP's operation")


def _put(header: bytearray, member: _Member, key: int) -> None:
    """Write the member's bits of `key` (a key or a mask) to their place."""
    bits = SLOT[member.slot].get(key) & _WRITABLE_BITS.get(member.slot, -1)
    room = 8 * member.n_bytes
    if member.slot in ("nw_proto", "tp_src", "tp_dst"):
        bits &= (1 << room) - 1
    end = member.at + member.n_bytes
    old = int.from_bytes(header[member.at : end], "big")
    header[member.at : end] = (old | bits << member.low).to_bytes(member.n_bytes, "big")
