"""The fixed-size matches of OpenFlow 1.0 (40 bytes, ovs-fields(7)) and 1.1 (88 bytes).

Such a match may demand fields that its Ethernet type or protocol does not have; they are dropped.
"""

from __future__ import annotations

from struct import Struct

from netloom.base.log import get_logger
from netloom.flow.fields import SLOT, VLAN_CFI
from netloom.flow.match import Match
from netloom.flow.ports import port_from_of10, port_from_of11, port_to_of10
from netloom.flow.prerequisites import FRAME, normalize_match, report_normalization
from netloom.openflow.errors import OpenFlowError

log = get_logger("ofp_port")

OFP10_MATCH = Struct(">IH6s6sHBxHBB2xIIHH")
OFP11_MATCH = Struct(">HHII6s6s6s6sHBxHBBIIIIHHIB3xQQ")

# Wildcard bits of 1.0
_W_IN_PORT = 1 << 0
_W_VLAN = 1 << 1
_W_SRC_SHIFT = 8
_W_DST_SHIFT = 14
_W_PCP = 1 << 20
_W_TOS = 1 << 21
_W_ALL = (1 << 22) - 1
#: Wildcard bit -> slot.
_SIMPLE10 = (
    (1 << 2, "dl_src"), (1 << 3, "dl_dst"), (1 << 4, "dl_type"), (1 << 5, "nw_proto"),
    (1 << 6, "tp_src"), (1 << 7, "tp_dst"),
)  # fmt: skip

OFP_VLAN_NONE = 0xFFFF
_OFPVID_ANY = 0xFFFE


def _prefix(bits_wild: int) -> int:
    """The mask of an IPv4 prefix of which `bits_wild` bits are wild (32 and more: all)."""
    return 0xFFFFFFFF << bits_wild & 0xFFFFFFFF if bits_wild < 32 else 0


def _vlan10(vlan: int, pcp: int, no_vlan: bool, no_pcp: bool) -> tuple[int, int]:
    """TCI and its mask."""
    if no_vlan and no_pcp:
        return 0, 0
    if not no_vlan and vlan == OFP_VLAN_NONE:
        return 0, 0xFFFF
    tci, mask = VLAN_CFI, VLAN_CFI
    if not no_vlan:
        tci |= vlan & 0xFFF
        mask |= 0xFFF
    if not no_pcp:
        tci |= (pcp & 7) << 13
        mask |= 7 << 13
    return tci, mask


def decode_ofp10_match(data: bytes, pos: int) -> Match:
    """The match at `pos`, without what its Ethernet type or protocol does not have, which is
    logged. Whoever asks for something in a frame asks for a frame."""
    match, lines = normalize_match(read_ofp10_match(data, pos))
    if lines:
        report_normalization(lines)
        if not match.mask & FRAME:
            match = Match(match.value, match.mask | SLOT["packet_type"].mask)
    return match


def read_ofp10_match(data: bytes, pos: int) -> Match:
    """The match at `pos`, with all that it demands."""
    (wild, in_port, src, dst, vlan, pcp, dl_type, tos, proto, nw_src, nw_dst, tp_src,
     tp_dst) = OFP10_MATCH.unpack_from(data, pos)  # fmt: skip
    found = {
        "dl_src": int.from_bytes(src, "big"), "dl_dst": int.from_bytes(dst, "big"),
        "dl_type": dl_type, "nw_proto": proto, "tp_src": tp_src, "tp_dst": tp_dst,
    }  # fmt: skip
    value = mask = 0
    for bit, name in _SIMPLE10:
        if not wild & bit:
            slot = SLOT[name]
            value |= found[name] << slot.shift
            mask |= slot.mask
    tci, tci_mask = _vlan10(vlan, pcp, bool(wild & _W_VLAN), bool(wild & _W_PCP))
    pairs = [
        ("vlan_tci", tci, tci_mask),
        ("nw_src", nw_src, _prefix(wild >> _W_SRC_SHIFT & 0x3F)),
        ("nw_dst", nw_dst, _prefix(wild >> _W_DST_SHIFT & 0x3F)),
        ("nw_tos", tos, 0 if wild & _W_TOS else 0xFC),
        ("in_port", port_from_of10(in_port), 0 if wild & _W_IN_PORT else 0xFFFFFFFF),
    ]
    for name, number, bits in pairs:
        shift = SLOT[name].shift
        value |= (number & bits) << shift
        mask |= bits << shift
    return Match(value, mask)


def is_exact10(data: bytes, pos: int) -> bool:
    """Whether a 1.0 match has no wildcards: such a flow has the highest priority."""
    return int.from_bytes(data[pos : pos + 4], "big") & _W_ALL == 0


def encode_ofp10_match(match: Match) -> bytes:
    value, mask = match.value, match.mask
    wild = _W_ALL & ~(0x3F << _W_SRC_SHIFT) & ~(0x3F << _W_DST_SHIFT)
    found = {}
    for bit, name in _SIMPLE10:
        slot = SLOT[name]
        found[name] = slot.get(value)
        if mask & slot.mask:
            wild &= ~bit
    in_port = 0
    if mask & SLOT["in_port"].mask:
        wild &= ~_W_IN_PORT
        in_port = port_to_of10(SLOT["in_port"].get(value)) or 0
    for name, shift in (("nw_src", _W_SRC_SHIFT), ("nw_dst", _W_DST_SHIFT)):
        bits = SLOT[name].get(mask)
        wild |= (32 - bits.bit_count()) << shift
    tos = SLOT["nw_tos"].get(value) & 0xFC
    if SLOT["nw_tos"].get(mask) & 0xFC:
        wild &= ~_W_TOS
    vlan, pcp, wild = _encode_vlan10(SLOT["vlan_tci"].get(value), SLOT["vlan_tci"].get(mask), wild)
    return OFP10_MATCH.pack(
        wild, in_port, found["dl_src"].to_bytes(6, "big"), found["dl_dst"].to_bytes(6, "big"),
        vlan, pcp, found["dl_type"], tos, found["nw_proto"], SLOT["nw_src"].get(value),
        SLOT["nw_dst"].get(value), found["tp_src"], found["tp_dst"],
    )  # fmt: skip


def _encode_vlan10(tci: int, mask: int, wild: int) -> tuple[int, int, int]:
    if not mask:
        return 0, 0, wild
    if mask & VLAN_CFI and not tci & VLAN_CFI:
        return OFP_VLAN_NONE, 0, wild & ~(_W_VLAN | _W_PCP)
    vlan = pcp = 0
    if mask & 0xFFF:
        vlan = tci & 0xFFF
        wild &= ~_W_VLAN
    if mask >> 13:
        pcp = tci >> 13
        wild &= ~_W_PCP
    return vlan, pcp, wild


# OpenFlow 1.1

_W11_IN_PORT = 1 << 0
_W11_VLAN = 1 << 1
_W11_PCP = 1 << 2
_W11_TYPE = 1 << 3
_W11_TOS = 1 << 4
_W11_PROTO = 1 << 5
_W11_TP_SRC = 1 << 6
_W11_TP_DST = 1 << 7
_W11_LABEL = 1 << 8
_W11_TC = 1 << 9
_W11_ALL = (1 << 10) - 1
_OFPMT11_STANDARD = 0
_IPV4 = 0x0800
_ICMP = 1


def decode_ofp11_match(data: bytes, pos: int) -> tuple[Match, int]:
    """The match at `pos`, without what its Ethernet type or protocol does not have, and its end."""
    if len(data) - pos < OFP11_MATCH.size:
        raise OpenFlowError("OFPBMC_BAD_LEN")
    (kind, size, in_port, wild, src, src_mask, dst, dst_mask, vlan, pcp, dl_type, tos, proto,
     nw_src, nw_src_mask, nw_dst, nw_dst_mask, tp_src, tp_dst, label, tc, metadata,
     metadata_mask) = OFP11_MATCH.unpack_from(data, pos)  # fmt: skip
    if kind != _OFPMT11_STANDARD:
        raise OpenFlowError("OFPBMC_BAD_TYPE")
    if size != OFP11_MATCH.size:
        raise OpenFlowError("OFPBMC_BAD_LEN")
    port = port_from_of11(in_port)
    if port is None and not wild & _W11_IN_PORT:
        log.warn_rl(
            "port %d is outside the supported range 0 through 65279 or 0xffffff00 through "
            "0xffffffff", in_port,
        )  # fmt: skip
        raise OpenFlowError("OFPBMC_BAD_VALUE")
    tci, tci_mask = _decode_vlan11(vlan, pcp, wild)
    if tos & 3 and not wild & (_W11_TOS | _W11_TYPE) and dl_type == _IPV4:
        raise OpenFlowError("OFPBMC_BAD_VALUE")
    l4 = proto in (6, 17, 132, 1)
    pairs = [
        ("in_port", port or 0, 0 if wild & _W11_IN_PORT else 0xFFFFFFFF),
        ("dl_src", int.from_bytes(src, "big"), 0xFFFFFFFFFFFF ^ int.from_bytes(src_mask, "big")),
        ("dl_dst", int.from_bytes(dst, "big"), 0xFFFFFFFFFFFF ^ int.from_bytes(dst_mask, "big")),
        ("vlan_tci", tci, tci_mask),
        ("dl_type", dl_type, 0 if wild & _W11_TYPE else 0xFFFF),
        ("nw_tos", tos, 0 if wild & _W11_TOS else 0xFC),
        ("nw_proto", proto, 0 if wild & _W11_PROTO else 0xFF),
        ("nw_src", nw_src, 0xFFFFFFFF ^ nw_src_mask),
        ("nw_dst", nw_dst, 0xFFFFFFFF ^ nw_dst_mask),
        ("tp_src", tp_src, 0 if wild & _W11_TP_SRC or not l4 else 0xFFFF),
        ("tp_dst", tp_dst, 0 if wild & _W11_TP_DST or not l4 else 0xFFFF),
        ("mpls_lse0", label << 12, 0 if wild & _W11_LABEL else 0xFFFFF000),
        ("mpls_lse0", tc << 9, 0 if wild & _W11_TC else 0xE00),
        ("metadata", metadata, 0xFFFFFFFFFFFFFFFF ^ metadata_mask),
    ]
    value = mask = 0
    for name, number, bits in pairs:
        shift = SLOT[name].shift
        value |= (number & bits) << shift
        mask |= bits << shift
    _check_icmp11(value)
    return normalize_match(Match(value, mask))[0], pos + OFP11_MATCH.size


def _check_icmp11(value: int) -> None:
    """Types and codes of ICMP have eight bits, where ports have sixteen."""
    is_icmp = SLOT["dl_type"].get(value) == _IPV4 and SLOT["nw_proto"].get(value) == _ICMP
    if is_icmp and any(SLOT[name].get(value) > 0xFF for name in ("tp_src", "tp_dst")):
        raise OpenFlowError("OFPBMC_BAD_FIELD")


def _decode_vlan11(vlan: int, pcp: int, wild: int) -> tuple[int, int]:
    if wild & _W11_VLAN:
        return 0, 0
    if vlan == OFP_VLAN_NONE:
        return 0, 0xFFFF
    tci, mask = VLAN_CFI, VLAN_CFI
    if vlan != _OFPVID_ANY:
        if vlan & ~0xFFF:
            raise OpenFlowError("OFPBMC_BAD_VALUE")
        tci |= vlan
        mask |= 0xFFF
    if not wild & _W11_PCP:
        if pcp > 7:
            raise OpenFlowError("OFPBMC_BAD_VALUE")
        tci |= pcp << 13
        mask |= 7 << 13
    return tci, mask


def _encode_vlan11(tci: int, mask: int, wild: int) -> tuple[int, int, int]:
    if not mask:
        return 0, 0, wild
    wild &= ~_W11_VLAN
    if mask & VLAN_CFI and not tci & VLAN_CFI:
        return OFP_VLAN_NONE, 0, wild
    vlan = tci & 0xFFF if mask & 0xFFF else _OFPVID_ANY
    if mask >> 13:
        return vlan, tci >> 13, wild & ~_W11_PCP
    return vlan, 0, wild


def encode_ofp11_match(match: Match) -> bytes:
    value, mask = match.value, match.mask
    wild = _W11_ALL

    def exact(name: str, bit: int, bits: int = -1) -> int:
        nonlocal wild
        slot = SLOT[name]
        if slot.get(mask) & bits:
            wild &= ~bit
        return slot.get(value)

    in_port = exact("in_port", _W11_IN_PORT)
    dl_type = exact("dl_type", _W11_TYPE)
    tos = exact("nw_tos", _W11_TOS, 0xFC) & 0xFC
    proto = exact("nw_proto", _W11_PROTO)
    tp_src = exact("tp_src", _W11_TP_SRC)
    tp_dst = exact("tp_dst", _W11_TP_DST)
    label = exact("mpls_lse0", _W11_LABEL, 0xFFFFF000) >> 12
    tc = exact("mpls_lse0", _W11_TC, 0xE00) >> 9 & 7
    vlan, pcp, wild = _encode_vlan11(SLOT["vlan_tci"].get(value), SLOT["vlan_tci"].get(mask), wild)

    def pair(name: str) -> tuple[int, int]:
        slot = SLOT[name]
        return slot.get(value), slot.get(mask) ^ slot.ones

    (src, src_mask), (dst, dst_mask) = pair("dl_src"), pair("dl_dst")
    macs = [number.to_bytes(6, "big") for number in (src, src_mask, dst, dst_mask)]
    return OFP11_MATCH.pack(
        _OFPMT11_STANDARD, OFP11_MATCH.size, in_port, wild, *macs, vlan, pcp, dl_type, tos,
        proto, *pair("nw_src"), *pair("nw_dst"), tp_src, tp_dst, label, tc, *pair("metadata"),
    )  # fmt: skip
