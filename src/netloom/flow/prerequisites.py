"""What a flow must match before a field means anything, and matches without such fields.

A match on a field whose prerequisites it lacks is an error in NXM and OXM, for these say what they
mean; the fixed-length match of OpenFlow 1.0 and text may have such fields, and they are dropped
("normalized"), so that two matches that mean the same are the same.
"""

from __future__ import annotations

from netloom.base.log import INFO, get_logger
from netloom.flow import print as flow_print
from netloom.flow.fields import PREREQUISITES, SLOT, TRANSPORT, Field
from netloom.flow.match import Match

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_log = get_logger("ofp_match")

#: ct_state bits that a packet has only with an entry (new, est, rel, rpl, snat, dnat).
_CT_ENTRY = 0x01 | 0x02 | 0x04 | 0x08 | 0x40 | 0x80
_CT_INVALID = 0x10
_CT_TRACKED = 0x20

_CT_STATE = SLOT["ct_state"]
_NW_FRAG = SLOT["nw_frag"]
_DL_TYPE = SLOT["dl_type"]
_PACKET_TYPE = SLOT["packet_type"]
_FRAG_LATER = 2


def prerequisites_met(field: Field, match: Match) -> bool:
    """Whether `match` demands all that a match on `field` presupposes. A match that says nothing
    of the packet type is one of Ethernet packets."""
    value, mask = match.value, match.mask
    if field.prerequisite == "-":
        return True
    if field.prerequisite == "ct":
        return ct_entry_matched(value, mask)
    if field.prerequisite in TRANSPORT and _NW_FRAG.get(value) & _FRAG_LATER:
        return False
    return _any_alternative(field.prerequisite, value, mask)


def key_meets(field: Field, key: int) -> bool:
    """Whether a packet with `key` has `field`."""
    if field.prerequisite == "-":
        return True
    if field.prerequisite == "ct":
        return bool(_CT_STATE.get(key) & (0x01 | 0x02 | 0x08))
    if field.prerequisite in TRANSPORT and _NW_FRAG.get(key) & _FRAG_LATER:
        return False
    return _any_alternative(field.prerequisite, key, -1)


def ct_entry_matched(value: int, mask: int) -> bool:
    """Whether only packets of a connection match: those in a state that needs one, or tracked
    ones that are said not to be invalid."""
    state = _CT_STATE.get(value)
    explicitly_valid = (
        state & _CT_TRACKED and _CT_STATE.get(mask) & _CT_INVALID and not state & _CT_INVALID
    )
    return bool(state & _CT_ENTRY or explicitly_valid)


#: A match that leaves them open is taken to mean 0: Ethernet, and the code of ICMP that neighbour
#: discovery has.
_MAY_BE_WILD = ("packet_type", "tp_dst")


def _any_alternative(prerequisite: str, value: int, mask: int) -> bool:
    packet_type = _PACKET_TYPE.get(value)
    if packet_type >> 16 == 1:  # the packet type says what the Ethernet type would
        value = _DL_TYPE.put(value, packet_type & 0xFFFF)
        mask |= _DL_TYPE.mask
    for alternative in PREREQUISITES[prerequisite]:
        for name, wanted, bits in alternative:
            slot = SLOT[name]
            if name not in _MAY_BE_WILD and mask >> slot.shift & bits != bits:
                break
            if value >> slot.shift & bits != wanted:
                break
        else:
            return True
    return False


_TCP_UDP_SCTP = frozenset({6, 17, 132})
_ETHER = SLOT["dl_src"].mask | SLOT["dl_dst"].mask
#: What nothing but a frame has; all else that has prerequisites depends on these.
FRAME = _ETHER | SLOT["dl_type"].mask | SLOT["vlan_tci"].mask
_NW_ADDR = SLOT["nw_src"].mask | SLOT["nw_dst"].mask
_TP_ADDR = SLOT["tp_src"].mask | SLOT["tp_dst"].mask
_NW_PROTO = SLOT["nw_proto"].mask
_IP_ANY = SLOT["nw_tos"].mask | SLOT["nw_ttl"].mask
_ARP_SHA = SLOT["arp_sha"].mask
_ARP_THA = SLOT["arp_tha"].mask
_IPV6 = SLOT["ipv6_src"].mask | SLOT["ipv6_dst"].mask | SLOT["ipv6_label"].mask
_ND_TARGET = SLOT["nd_target"].mask
_MPLS = sum(SLOT[f"mpls_lse{n}"].mask for n in range(4))
_TCP_FLAGS = SLOT["tcp_flags"].mask
_IGMP_GROUP = SLOT["igmp_group"].mask
#: Values that fields may depend on, but for the types of ICMPv6.
_DECIDING = sum({
    name: SLOT[name].mask
    for alternatives in PREREQUISITES.values()
    for alternative in alternatives
    for name, _, _ in alternative
    if name not in ("tp_src", "tp_dst")
}.values()) | SLOT["packet_type"].mask | SLOT["nw_frag"].mask | SLOT["ct_state"].mask  # fmt: skip
_ICMPV6 = 58 << SLOT["nw_proto"].shift
#: What is dropped without a word in the log.
_UNSAID = _TCP_FLAGS | _IGMP_GROUP
#: What normalization may drop; all other fields stay even where they cannot match.
_CONDITIONAL = (
    _ETHER | _NW_ADDR | _TP_ADDR | _NW_PROTO | _IP_ANY | _ARP_SHA | _ARP_THA
    | _IPV6 | _ND_TARGET | _MPLS
)  # fmt: skip


def normalize_match(
    match: Match, port_names: Mapping[int, str] | None = None
) -> tuple[Match, list[str]]:
    """`match` without fields whose prerequisites it lacks, and the lines to log (module
    ofp_match, level INFO) if that dropped something worth a word, else none."""
    allowed = _permitted(match)
    silent = _UNSAID & ~_permitted_unsaid(match)
    dropped = _CONDITIONAL & ~allowed | silent
    normal = _narrow_icmp(Match(match.value, match.mask & ~dropped))
    if not match.mask & _CONDITIONAL & ~allowed:
        return normal, []
    return normal, [
        "normalization changed ofp_match, details:",
        f" pre: {flow_print.format_match(match, port_names)}",
        f"post: {flow_print.format_match(normal, port_names)}",
    ]


def report_normalization(lines: list[str]) -> None:
    """Logs what `normalize_match` says, not too often."""
    if lines and _log.admits(INFO, lines[0], 1, 5):
        for line in lines:
            _log.info("%s", line)


def is_normal_as(match: Match) -> tuple[int, int] | None:
    """Of matches for which this is the same, `normalize_match` changes all or none; None if that
    is not easy to say."""
    if match.value & _NW_PROTO == _ICMPV6:
        return None
    return match.mask, match.value & _DECIDING


def _permitted_unsaid(match: Match) -> int:
    """Those of the fields that are dropped without a word that the match may demand."""
    dl_type, nw_proto = SLOT["dl_type"].get(match.value), SLOT["nw_proto"].get(match.value)
    packet_type = SLOT["packet_type"].get(match.value)
    if packet_type >> 16 == 1:
        dl_type = packet_type & 0xFFFF
    if dl_type not in (0x0800, 0x86DD):
        return 0
    may = _TCP_FLAGS if nw_proto == 6 else 0
    if _any_alternative("nd", match.value, match.mask):
        may |= _TCP_FLAGS | _IGMP_GROUP
    return may


def _narrow_icmp(match: Match) -> Match:
    """A match on type or code of ICMP through the wider and maskable tp_src or tp_dst demands
    all of the 8 bits that these have."""
    value = match.value
    kind = (SLOT["dl_type"].get(value), SLOT["nw_proto"].get(value))
    if kind not in ((0x0800, 1), (0x86DD, 58)) or not match.mask & _TP_ADDR:
        return match
    mask = match.mask
    for slot in (SLOT["tp_src"], SLOT["tp_dst"]):
        if slot.get(mask):
            value = slot.put(value, slot.get(value) & 0xFF)
            mask |= slot.mask
    if SLOT["tp_dst"].get(value):
        mask &= ~(_ND_TARGET | _ARP_SHA | _ARP_THA)  # code 0 alone is neighbour discovery
    return Match(value, mask)


def _permitted(match: Match) -> int:
    """The conditional slots that the match may demand something of."""
    packet_type = SLOT["packet_type"].get(match.value)
    exact_type = SLOT["packet_type"].get(match.mask) == 0xFFFFFFFF
    may = 0
    if not packet_type:
        may = _ETHER
        dl_type = SLOT["dl_type"].get(match.value)
    else:
        dl_type = packet_type & 0xFFFF if exact_type and packet_type >> 16 == 1 else 0
    nw_proto = SLOT["nw_proto"].get(match.value)
    if dl_type == 0x0800:
        may |= _NW_PROTO | _IP_ANY | _NW_ADDR
        return may | _TP_ADDR if nw_proto in _TCP_UDP_SCTP or nw_proto == 1 else may
    if dl_type == 0x86DD:
        return may | _NW_PROTO | _IP_ANY | _IPV6 | _permitted_ipv6(match, nw_proto)
    if dl_type in (0x0806, 0x8035):
        return may | _NW_PROTO | _NW_ADDR | _ARP_SHA | _ARP_THA
    if dl_type in (0x8847, 0x8848):
        return may | _MPLS
    return may


def _permitted_ipv6(match: Match, nw_proto: int) -> int:
    if nw_proto in _TCP_UDP_SCTP:
        return _TP_ADDR
    if nw_proto != 58:
        return 0
    kind = SLOT["tp_src"].get(match.value)
    if kind == 135:
        return _TP_ADDR | _ND_TARGET | _ARP_SHA
    if kind == 136:
        return _TP_ADDR | _ND_TARGET | _ARP_THA
    return _TP_ADDR
