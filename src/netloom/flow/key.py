"""Names for the parts of a key that hot code touches, and how to take a key apart.

`X_SHIFT` is the bit at which slot X starts, `X_MASK` all of its bits in place, so the idioms are

    key >> DL_TYPE_SHIFT & 0xFFFF            read
    key & ~NW_SRC_MASK | ip << NW_SRC_SHIFT  write

Module constants cost a dict lookup; `SLOT["x"].get(key)` costs a call and three attributes. The
numbers come from the table in `fields`, never from here.
"""

from __future__ import annotations

from netloom.flow.fields import FIELD, SLOT, SLOTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


def shift_of(name: str) -> int:
    """The bit of the key at which the slot `name` starts."""
    return SLOT[name].shift


def mask_of(name: str) -> int:
    """All bits of the slot `name`, in place."""
    return SLOT[name].mask


IN_PORT_SHIFT: Final = shift_of("in_port")
IN_PORT_MASK: Final = mask_of("in_port")
RECIRC_ID_SHIFT: Final = shift_of("recirc_id")
RECIRC_ID_MASK: Final = mask_of("recirc_id")
DL_TYPE_SHIFT: Final = shift_of("dl_type")
DL_TYPE_MASK: Final = mask_of("dl_type")
DL_DST_SHIFT: Final = shift_of("dl_dst")
DL_DST_MASK: Final = mask_of("dl_dst")
DL_SRC_SHIFT: Final = shift_of("dl_src")
DL_SRC_MASK: Final = mask_of("dl_src")
VLAN_TCI_SHIFT: Final = shift_of("vlan_tci")
VLAN_TCI_MASK: Final = mask_of("vlan_tci")
VLAN_TPID_SHIFT: Final = shift_of("vlan_tpid")
VLAN_TPID_MASK: Final = mask_of("vlan_tpid")
VLAN1_TCI_SHIFT: Final = shift_of("vlan1_tci")
VLAN1_TCI_MASK: Final = mask_of("vlan1_tci")
VLAN1_TPID_SHIFT: Final = shift_of("vlan1_tpid")
VLAN1_TPID_MASK: Final = mask_of("vlan1_tpid")
NW_SRC_SHIFT: Final = shift_of("nw_src")
NW_SRC_MASK: Final = mask_of("nw_src")
NW_DST_SHIFT: Final = shift_of("nw_dst")
NW_DST_MASK: Final = mask_of("nw_dst")
TP_SRC_SHIFT: Final = shift_of("tp_src")
TP_SRC_MASK: Final = mask_of("tp_src")
TP_DST_SHIFT: Final = shift_of("tp_dst")
TP_DST_MASK: Final = mask_of("tp_dst")
NW_PROTO_SHIFT: Final = shift_of("nw_proto")
NW_PROTO_MASK: Final = mask_of("nw_proto")
NW_TOS_SHIFT: Final = shift_of("nw_tos")
NW_TOS_MASK: Final = mask_of("nw_tos")
NW_FRAG_SHIFT: Final = shift_of("nw_frag")
NW_FRAG_MASK: Final = mask_of("nw_frag")
NW_TTL_SHIFT: Final = shift_of("nw_ttl")
NW_TTL_MASK: Final = mask_of("nw_ttl")
TCP_FLAGS_SHIFT: Final = shift_of("tcp_flags")
TCP_FLAGS_MASK: Final = mask_of("tcp_flags")
IGMP_GROUP_SHIFT: Final = shift_of("igmp_group")
IGMP_GROUP_MASK: Final = mask_of("igmp_group")
IPV6_LABEL_SHIFT: Final = shift_of("ipv6_label")
IPV6_LABEL_MASK: Final = mask_of("ipv6_label")
CT_ZONE_SHIFT: Final = shift_of("ct_zone")
CT_ZONE_MASK: Final = mask_of("ct_zone")
CT_STATE_SHIFT: Final = shift_of("ct_state")
CT_STATE_MASK: Final = mask_of("ct_state")
CT_MARK_SHIFT: Final = shift_of("ct_mark")
CT_MARK_MASK: Final = mask_of("ct_mark")
CT_LABEL_SHIFT: Final = shift_of("ct_label")
CT_LABEL_MASK: Final = mask_of("ct_label")
PACKET_TYPE_SHIFT: Final = shift_of("packet_type")
PACKET_TYPE_MASK: Final = mask_of("packet_type")
PKT_MARK_SHIFT: Final = shift_of("pkt_mark")
PKT_MARK_MASK: Final = mask_of("pkt_mark")
CONJ_ID_SHIFT: Final = shift_of("conj_id")
CONJ_ID_MASK: Final = mask_of("conj_id")
ACTSET_OUTPUT_SHIFT: Final = shift_of("actset_output")
ACTSET_OUTPUT_MASK: Final = mask_of("actset_output")
DP_HASH_SHIFT: Final = shift_of("dp_hash")
DP_HASH_MASK: Final = mask_of("dp_hash")
SKB_PRIORITY_SHIFT: Final = shift_of("skb_priority")
SKB_PRIORITY_MASK: Final = mask_of("skb_priority")
METADATA_SHIFT: Final = shift_of("metadata")
METADATA_MASK: Final = mask_of("metadata")
TUN_ID_SHIFT: Final = shift_of("tun_id")
TUN_ID_MASK: Final = mask_of("tun_id")
TUN_SRC_SHIFT: Final = shift_of("tun_src")
TUN_SRC_MASK: Final = mask_of("tun_src")
TUN_DST_SHIFT: Final = shift_of("tun_dst")
TUN_DST_MASK: Final = mask_of("tun_dst")
TUN_IPV6_SRC_SHIFT: Final = shift_of("tun_ipv6_src")
TUN_IPV6_SRC_MASK: Final = mask_of("tun_ipv6_src")
TUN_IPV6_DST_SHIFT: Final = shift_of("tun_ipv6_dst")
TUN_IPV6_DST_MASK: Final = mask_of("tun_ipv6_dst")
IPV6_SRC_SHIFT: Final = shift_of("ipv6_src")
IPV6_SRC_MASK: Final = mask_of("ipv6_src")
IPV6_DST_SHIFT: Final = shift_of("ipv6_dst")
IPV6_DST_MASK: Final = mask_of("ipv6_dst")
MPLS_LSE0_SHIFT: Final = shift_of("mpls_lse0")
MPLS_LSE0_MASK: Final = mask_of("mpls_lse0")
ARP_SHA_SHIFT: Final = shift_of("arp_sha")
ARP_SHA_MASK: Final = mask_of("arp_sha")
ARP_THA_SHIFT: Final = shift_of("arp_tha")
ARP_THA_MASK: Final = mask_of("arp_tha")
ND_TARGET_SHIFT: Final = shift_of("nd_target")
ND_TARGET_MASK: Final = mask_of("nd_target")
NSH_FLAGS_SHIFT: Final = shift_of("nsh_flags")

#: All registers, in place.
REGS_MASK: Final = sum(mask_of(f"reg{n}") for n in range(32))
#: Everything that describes the tunnel a packet came through, in place.
TUNNEL_MASK: Final = sum(slot.mask for slot in SLOTS if slot.name.startswith("tun_"))
#: Everything that connection tracking adds to a key, in place.
CT_MASK: Final = sum(slot.mask for slot in SLOTS if slot.name.startswith("ct_"))
#: Everything that is read from the packet's own bytes, in place. The rest comes with the packet.
PACKET_MASK: Final = sum(slot.mask for slot in SLOTS if slot.stage != 0 and slot.name[:3] != "ct_")
METADATA_ALL_MASK: Final = sum(slot.mask for slot in SLOTS) & ~PACKET_MASK

#: Values of nw_frag.
FRAG_ANY: Final = 1
FRAG_LATER: Final = 2

#: dl_type of a packet in 802.3 format without a SNAP type.
DL_TYPE_NONE: Final = 0x05FF

#: How many VLAN tags and MPLS labels a key can hold.
MAX_VLANS: Final = 2
MAX_MPLS_LABELS: Final = 3


def make_key(**fields: int) -> int:
    """A key from field or slot names, for tests and small tools:
    `make_key(in_port=1, dl_type=0x800)`. A name that is both means the field."""
    key = 0
    for name, value in fields.items():
        key = FIELD[name].put(key, value) if name in FIELD else SLOT[name].put(key, value)
    return key


def explain_key(key: int) -> dict[str, int]:
    """slot name -> value of every slot that is not zero, top to bottom."""
    return {slot.name: value for slot in SLOTS if (value := slot.get(key))}
