"""The words of data-path flow text (ovs-dpctl(8)): each attribute's members, and the slots behind.

One row an attribute, in the order in which flows are printed: name, then members as
`word=slot[:low:bits]:form`. A member without a word is the attribute's whole content. Forms: dec,
hex (zero is "0") are numbers, whose masks are hexadecimal, as in byte (decimal without mask) and
word (zero is "0x0"), where masks have all their digits; op is the
opcode of ARP, of which a key has 8 bits; the others are addresses, fragments and flag sets.
Parser and printer are both driven by this table; what no row can say (nesting, the bits of a tag)
stands in them.
"""

from __future__ import annotations

from netloom.flow.fields import SLOT

_ROWS = """
skb_priority =skb_priority:hex
tunnel tun_id=tun_id:hex0 src=tun_src:ipv4 dst=tun_dst:ipv4 ipv6_src=tun_ipv6_src:ipv6 ipv6_dst=tun_ipv6_dst:ipv6 tos=tun_tos:hex ttl=tun_ttl:dec tp_src=tun_tp_src:dec tp_dst=tun_tp_dst:dec
skb_mark =pkt_mark:hex
ct_state =ct_state:ct_state
ct_zone =ct_zone:hex
ct_mark =ct_mark:hex
ct_label =ct_label:hex
ct_tuple4 src=ct_nw_src:ipv4 dst=ct_nw_dst:ipv4 proto=ct_nw_proto:dec tp_src=ct_tp_src:dec tp_dst=ct_tp_dst:dec
ct_tuple6 src=ct_ipv6_src:ipv6 dst=ct_ipv6_dst:ipv6 proto=ct_nw_proto:dec src_port=ct_tp_src:dec dst_port=ct_tp_dst:dec
recirc_id =recirc_id:hex
dp_hash =dp_hash:hex
in_port =in_port:port
packet_type ns=packet_type:16:16:dec id=packet_type:0:16:hex
eth src=dl_src:mac dst=dl_dst:mac
vlan vid=vlan_tci:0:12:dec pcp=vlan_tci:13:3:dec
eth_type =dl_type:type
ipv4 src=nw_src:ipv4 dst=nw_dst:ipv4 proto=nw_proto:dec tos=nw_tos:hex ttl=nw_ttl:dec frag=nw_frag:0:2:frag
ipv6 src=ipv6_src:ipv6 dst=ipv6_dst:ipv6 label=ipv6_label:0:20:hex proto=nw_proto:dec tclass=nw_tos:hex hlimit=nw_ttl:dec frag=nw_frag:0:2:frag
arp sip=nw_src:ipv4 tip=nw_dst:ipv4 op=nw_proto:op sha=arp_sha:mac tha=arp_tha:mac
mpls label=mpls_lse0:12:20:dec tc=mpls_lse0:9:3:dec ttl=mpls_lse0:0:8:dec bos=mpls_lse0:8:1:dec
nsh flags=nsh_flags:byte ttl=nsh_ttl:byte mdtype=nsh_mdtype:byte np=nsh_np:byte spi=nsh_path:8:24:word si=nsh_path:0:8:byte c1=nsh_c1:word c2=nsh_c2:word c3=nsh_c3:word c4=nsh_c4:word
tcp src=tp_src:dec dst=tp_dst:dec
tcp_flags =tcp_flags:0:12:tcp_flags
udp src=tp_src:dec dst=tp_dst:dec
sctp src=tp_src:dec dst=tp_dst:dec
icmp type=tp_src:0:8:dec code=tp_dst:0:8:dec
icmpv6 type=tp_src:0:8:dec code=tp_dst:0:8:dec
nd target=nd_target:ipv6 sll=arp_sha:mac tll=arp_tha:mac
nd_ext nd_reserved=igmp_group:hex nd_options_type=tcp_flags:0:8:dec
"""  # noqa: E501


class Member:
    """One word of an attribute: `bits` bits of the key from bit `shift`."""

    __slots__ = ("bits", "form", "ones", "shift", "word")

    def __init__(self, text: str) -> None:
        self.word, _, place = text.partition("=")
        slot_name, *view, self.form = place.split(":")
        slot = SLOT[slot_name]
        low, bits = (int(part) for part in view) if view else (0, slot.bits)
        self.shift = slot.shift + low
        self.bits = bits
        self.ones = (1 << bits) - 1

    def get(self, key: int) -> int:
        return key >> self.shift & self.ones


ATTRIBUTES: dict[str, tuple[Member, ...]] = {
    row.split()[0]: tuple(Member(text) for text in row.split()[1:])
    for row in _ROWS.split("\n")
    if row
}

#: Attribute -> all its bits, in place.
ATTRIBUTE_MASKS: dict[str, int] = {
    name: sum(member.ones << member.shift for member in members)
    for name, members in ATTRIBUTES.items()
}
