"""Making the packet in the data path what the key says: the header changes before an output.

For each header, if a bit that the translation looked at or set (`context.mask`) differs between
`base` and `key`, the header is set under that mask. Bits outside the mask are equal: nobody touched
them.
"""

from __future__ import annotations

from netloom.datapath import actions as dp
from netloom.flow.fields import SLOT, SLOTS, VLAN_CFI
from netloom.flow.key import FRAG_LATER
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.labels import LABELS_MASK, MPLS_TYPES, commit_labels, with_labels
from netloom.packet.headers import ETH_TYPE_NSH, NSH_MD_TYPE1
from netloom.packet.types import PT_ETHERNET, PT_MPLS, PT_MPLS_MC, PT_NSH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


def _slots(*names: str) -> int:
    return sum(SLOT[name].mask for name in names)


def _parts(*names: str) -> tuple[int, ...]:
    return tuple(SLOT[name].mask for name in names)


_ETH: Final = _slots("dl_src", "dl_dst")
_IPV4: Final = _slots("nw_src", "nw_dst", "nw_tos", "nw_ttl")
_IPV6: Final = _slots("ipv6_src", "ipv6_dst", "ipv6_label", "nw_tos", "nw_ttl")
_ARP: Final = _slots("nw_src", "nw_dst", "arp_sha", "arp_tha", "nw_proto")
_PORTS: Final = _slots("tp_src", "tp_dst")
_ND: Final = _slots("nd_target", "arp_sha", "arp_tha")
_NSH: Final = _slots(
    "nsh_flags",
    "nsh_ttl",
    "nsh_mdtype",
    "nsh_np",
    "nsh_path",
    "nsh_c1",
    "nsh_c2",
    "nsh_c3",
    "nsh_c4",
)
#: The reserved word of neighbour messages, and the type of their first option.
_ND_EXT: Final = SLOT["igmp_group"].mask | 0xFF << SLOT["tcp_flags"].shift
_PRIORITY: Final = _slots("skb_priority")
_MARK: Final = _slots("pkt_mark")
#: Slots of a header -> each of them: those that are equal already are not written again.
_PARTS: Final = {
    _ETH: _parts("dl_src", "dl_dst"),
    _IPV4: _parts("nw_src", "nw_dst", "nw_tos", "nw_ttl"),
    _IPV6: _parts("ipv6_src", "ipv6_dst", "ipv6_label", "nw_tos", "nw_ttl"),
    _ARP: _parts("nw_src", "nw_dst", "arp_sha", "arp_tha", "nw_proto"),
    _PORTS: _parts("tp_src", "tp_dst"),
    _ND: _parts("nd_target", "arp_sha", "arp_tha"),
    # One part: what stays as it is is written again, if it was looked at.
    _NSH: (_NSH & ~_slots("nsh_mdtype", "nsh_np"),),
    _ND_EXT: (SLOT["igmp_group"].mask, 0xFF << SLOT["tcp_flags"].shift),
    _PRIORITY: (_PRIORITY,),
    _MARK: (_MARK,),
}
#: Headers that data paths do not write: their flows go up to `ofproto` for each packet.
_SLOW: Final = frozenset({"arp", "icmp", "icmpv6", "nd", "nd_ext"})
#: What is written of a header by a data path that writes none in part. ARP is written in part all
#: the same, ICMP never.
_WHOLE: Final = {
    "eth": _ETH,
    "ipv4": _IPV4 | _slots("nw_proto", "nw_frag"),
    "ipv6": _IPV6 | _slots("nw_proto", "nw_frag"),
    "nsh": _NSH,
    "tcp": _PORTS,
    "udp": _PORTS,
    "sctp": _PORTS,
    "nd": _ND,
    "nd_ext": _ND_EXT,
    "skb_priority": _PRIORITY,
    "skb_mark": _MARK,
}

_DL_TYPE_SHIFT: Final = SLOT["dl_type"].shift
_NW_PROTO_SHIFT: Final = SLOT["nw_proto"].shift
_NW_FRAG_SHIFT: Final = SLOT["nw_frag"].shift
_TP_SRC: Final = SLOT["tp_src"]
_PACKET_TYPE: Final = SLOT["packet_type"]
_DL_DST: Final = SLOT["dl_dst"]
_DL_SRC: Final = SLOT["dl_src"]
_DL_TYPE: Final = SLOT["dl_type"]
_NSH_PARTS: Final = {
    name: SLOT[f"nsh_{slot}"]
    for name, slot in (
        ("flags", "flags"), ("ttl", "ttl"), ("md_type", "mdtype"), ("protocol", "np"),
        ("path", "path"),
    )
}  # fmt: skip
_NSH_CONTEXT: Final = tuple(SLOT[f"nsh_c{number}"] for number in (1, 2, 3, 4))
#: All that stands in the packet, from Ethernet on.
FRAME_MASK: Final = sum(
    slot.mask for slot in SLOTS if slot.stage and not slot.name.startswith("ct_")
)

#: dl_type -> header name of the network layer and its slots.
_NETWORK: Final = {
    0x0800: ("ipv4", _IPV4),
    0x86DD: ("ipv6", _IPV6),
    0x0806: ("arp", _ARP),
    0x8035: ("arp", _ARP),
}
#: (dl_type, nw_proto) -> header name of the transport layer.
_TRANSPORT: Final = {
    (ip, proto): name
    for ip in (0x0800, 0x86DD)
    for proto, name in ((6, "tcp"), (17, "udp"), (132, "sctp"))
} | {(0x0800, 1): "icmp", (0x86DD, 58): "icmpv6"}

_ICMP_BYTES: Final = 0xFF << SLOT["tp_src"].shift | 0xFF << SLOT["tp_dst"].shift
_TAGS: Final = tuple((SLOT[tpid], SLOT[tci]) for tpid, tci in
              (("vlan_tpid", "vlan_tci"), ("vlan1_tpid", "vlan1_tci")))  # fmt: skip
TAGS_MASK: Final = sum(tpid.mask | tci.mask for tpid, tci in _TAGS)
#: What an action can change and `commit` writes; a difference elsewhere is no business of the
#: packet.
_ALL: Final = (
    _ETH | _NSH | _IPV4 | _IPV6 | _ARP | _PORTS | _ND | _ND_EXT | TAGS_MASK | LABELS_MASK
    | SLOT["pkt_mark"].mask | SLOT["skb_priority"].mask | SLOT["packet_type"].mask
)  # fmt: skip


def commit(context: Context) -> None:
    """Emit what makes `base` equal to `key`."""
    if not ((context.key ^ context.base) & _ALL or context.pending_encap or context.pending_decap):
        return
    if context.log is not None and (
        (context.key ^ context.base) & _ALL & ~TAGS_MASK
        or context.pending_encap
        or context.pending_decap
    ):
        context.log.give_up()
    _commit_layers(context)
    if not _PACKET_TYPE.get(context.base):
        _set(context, "eth", _ETH)
    has_labels = (context.key | context.base) & LABELS_MASK
    if has_labels:
        commit_labels(context, only_last=True)
    if _DL_TYPE.get(context.key) == ETH_TYPE_NSH:
        _set(context, "nsh", _NSH)
    dl_type = context.base >> _DL_TYPE_SHIFT & 0xFFFF
    network = _NETWORK.get(dl_type)
    if network is not None and _may_have(context):
        _set(context, *network)
        _commit_transport(context, dl_type)
    if has_labels:
        commit_labels(context, only_last=False)
    _commit_tags(context)
    _set(context, "skb_priority", _PRIORITY)
    _set(context, "skb_mark", _MARK)


def _commit_layers(context: Context) -> None:
    """Put the headers on and take off those that make the packet one of another type."""
    wanted, has = _PACKET_TYPE.get(context.key), _PACKET_TYPE.get(context.base)
    if context.pending_encap:
        if wanted == PT_ETHERNET:
            _push_ethernet(context)
        elif wanted == PT_NSH:
            context.emit(_push_nsh(context))
            context.base = context.base & ~FRAME_MASK | context.key & FRAME_MASK
        else:
            if not has:
                # Labels inside of a frame stay there.
                context.base = with_labels(context.base, [])
            commit_labels(context, only_last=False, is_encap=True)
    elif context.pending_decap or wanted != has:
        if wanted >> 16 and has == PT_ETHERNET:
            context.emit(dp.PopEth())
            context.base = context.base & ~_ETH | context.key & _ETH
        elif has == PT_NSH:
            context.emit(dp.PopNsh())
            context.base = context.base & ~FRAME_MASK | context.key & FRAME_MASK
        elif has in (PT_MPLS, PT_MPLS_MC):
            commit_labels(context, only_last=False)
        elif not wanted:
            _push_ethernet(context)
    context.base = _PACKET_TYPE.put(context.base, wanted)
    context.pending_encap = context.pending_decap = False


def _push_ethernet(context: Context) -> None:
    context.emit(dp.PushEth(_DL_DST.get(context.key), _DL_SRC.get(context.key)))
    context.base = context.base & ~_ETH | context.key & _ETH


def _push_nsh(context: Context) -> dp.PushNsh:
    md_type = _NSH_PARTS["md_type"].get(context.key)
    fixed = b"".join(slot.get(context.key).to_bytes(4, "big") for slot in _NSH_CONTEXT)
    data = fixed if md_type == NSH_MD_TYPE1 else context.encap_data
    parts = {name: slot.get(context.key) for name, slot in _NSH_PARTS.items()}
    return dp.PushNsh(**parts, context=data)


def _may_have(context: Context) -> bool:
    """Has the packet, as it is to be, a header of the network layer? One of protocol 0 may have
    none."""
    if context.key >> _DL_TYPE_SHIFT & 0xFFFF in MPLS_TYPES:
        return False
    return bool(context.key >> _NW_PROTO_SHIFT & 0xFF)


def _set(context: Context, header: str, slots: int) -> None:
    different = (context.key ^ context.base) & slots
    if not different:
        return
    mask = context.mask & sum([part for part in _PARTS[slots] if different & part])
    if header in _SLOW:
        context.slow.add("action")
        if header.startswith("icmp"):
            # Type and code are one: there is no writing one of them only.
            context.mask |= _ICMP_BYTES
            mask = _ICMP_BYTES
        elif slots == _ND_EXT:
            mask |= SLOT["igmp_group"].mask
    if header in _WHOLE and not context.bridge.backer.features.has("masked_set_action"):
        mask = _WHOLE[header]
        context.mask |= mask
    context.emit(dp.Set(header, context.key & mask, mask))
    context.base = context.base & ~slots | context.key & slots


def _commit_transport(context: Context, dl_type: int) -> None:
    if context.base >> _NW_FRAG_SHIFT & FRAG_LATER:
        return
    proto = context.base >> _NW_PROTO_SHIFT & 0xFF
    header = _TRANSPORT.get((dl_type, proto))
    if header is None:
        return
    if header == "icmpv6" and _TP_SRC.get(context.base) in (135, 136):
        # An option has its type before its content: the data path finds it by that.
        _set(context, "nd_ext", _ND_EXT)
        _set(context, "nd", _ND)
    _set(context, header, _PORTS)


def tags_of(key: int) -> list[tuple[int, int]]:
    """(TPID, TCI) of each tag, outermost first."""
    tags = [(tpid.get(key), tci.get(key)) for tpid, tci in _TAGS]
    return [tag for tag in tags if tag[1] & VLAN_CFI]


def with_tags(key: int, tags: list[tuple[int, int]]) -> int:
    """`key` with these tags instead; more than a key can hold are cut off at the inside."""
    key &= ~TAGS_MASK
    for (tpid, tci), tag in zip(_TAGS, tags, strict=False):
        key |= tag[0] << tpid.shift | tag[1] << tci.shift
    return key


def _commit_tags(context: Context) -> None:
    if not (context.key ^ context.base) & TAGS_MASK:
        return
    old, new = tags_of(context.base), tags_of(context.key)
    if len(old) > 1 and old != new[-len(old) :]:
        # A pop looks at the tag behind.
        context.mask |= _TAGS[1][0].mask | _TAGS[1][1].mask
    while old and new and old[-1] == new[-1]:
        old.pop()
        new.pop()
    for number, _ in enumerate(old):
        context.mask |= _TAGS[number][0].mask | _TAGS[number][1].mask
        context.emit(dp.PopVlan())
    for tpid, tci in reversed(new):
        context.emit(dp.PushVlan(tpid or 0x8100, tci))
    context.base = context.base & ~TAGS_MASK | context.key & TAGS_MASK
