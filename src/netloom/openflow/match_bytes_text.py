"""Matches as they stand in flow mods of OpenFlow 1.0, for who asked for all there is (`-mmm`): the
members of the fixed-size match one by one, wildcards as `*`, and the entries of an NXM match."""

from __future__ import annotations

from netloom.flow.ports import format_port, port_from_of10
from netloom.openflow.message_table import Frame
from netloom.openflow.old_match import OFP10_MATCH
from netloom.openflow.oxm_text import format_entries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

_IN_PORT, _VLAN, _SRC, _DST, _TYPE, _PROTO, _TP_SRC, _TP_DST = (1 << n for n in range(8))
_PCP: Final = 1 << 20
_TOS: Final = 1 << 21
_NW_SRC_SHIFT: Final = 8
_NW_DST_SHIFT: Final = 14
_TYPES: Final = {0x0800: "ip", 0x0806: "arp", 0x8035: "rarp", 0x8847: "mpls", 0x8848: "mplsm"}
_PROTOCOLS: Final = {1: "icmp", 6: "tcp", 17: "udp", 132: "sctp"}
_ICMP: Final = 1
#: Where in an NXM flow mod the length of the match stands, and where the match starts.
_NX_LENGTH_AT: Final = 24
_NX_MATCH_AT: Final = 32


def flow_mod_match_text(frame: Frame, port_names: Mapping[int, str] | None) -> str | None:
    """The match in a flow mod of OpenFlow 1.0; None for other flow mods."""
    data, at = frame.data, frame.body
    if frame.row.name == "NXT_FLOW_MOD":
        size = int.from_bytes(data[at + _NX_LENGTH_AT : at + _NX_LENGTH_AT + 2], "big")
        start = at + _NX_MATCH_AT
        return format_entries(data[start : start + size])
    return ofp10_match_text(data, at, port_names) if frame.version == 1 else None


def _address(number: int, wild: int) -> str:
    """An IPv4 prefix of which `wild` bits are wild."""
    if wild >= 32:
        return "*"
    text = ".".join(map(str, number.to_bytes(4, "big")))
    return f"{text}/{32 - wild}" if wild else text


def _mac(data: bytes) -> str:
    return data.hex(":")


def ofp10_match_text(data: bytes, pos: int, port_names: Mapping[int, str] | None = None) -> str:
    """The fixed-size match at `pos`, all of it."""
    (wild, in_port, src, dst, vlan, pcp, dl_type, tos, proto, nw_src, nw_dst, tp_src,
     tp_dst) = OFP10_MATCH.unpack_from(data, pos)  # fmt: skip
    type_word = "" if wild & _TYPE else _TYPES.get(dl_type, "")
    proto_word = ""
    if type_word == "ip" and not wild & _PROTO:
        proto_word = _PROTOCOLS.get(proto, "")
    words = [proto_word or type_word] if type_word else []

    def put(name: str, bit: int, text: str) -> None:
        words.append(f"{name}={'*' if wild & bit else text}")

    put("in_port", _IN_PORT, format_port(port_from_of10(in_port), port_names))
    put("dl_vlan", _VLAN, str(vlan))
    put("dl_vlan_pcp", _PCP, str(pcp))
    put("dl_src", _SRC, _mac(src))
    put("dl_dst", _DST, _mac(dst))
    if not type_word:
        put("dl_type", _TYPE, f"0x{dl_type:04x}")
    words.append(f"nw_src={_address(nw_src, wild >> _NW_SRC_SHIFT & 0x3F)}")
    words.append(f"nw_dst={_address(nw_dst, wild >> _NW_DST_SHIFT & 0x3F)}")
    if not proto_word:
        put("arp_op" if type_word in ("arp", "rarp") else "nw_proto", _PROTO, str(proto))
    put("nw_tos", _TOS, str(tos))
    ends = ("icmp_type", "icmp_code") if proto == _ICMP else ("tp_src", "tp_dst")
    put(ends[0], _TP_SRC, str(tp_src))
    put(ends[1], _TP_DST, str(tp_dst))
    return ",".join(words)
