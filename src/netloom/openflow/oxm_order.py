"""The order in which the entries of a match are written (NXM and OXM), by what the match is of."""

from __future__ import annotations

from netloom.flow.fields import N_REGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_REGS: Final = " ".join(f"reg{n}" for n in range(N_REGS))
#: OpenFlow 1.5 has registers of its own, of 64 bits.
_XREGS: Final = " ".join(f"xreg{n}" for n in range(N_REGS // 2))
_FIRST: Final = "dp_hash recirc_id conj_id {in_port} actset_output eth_src eth_dst eth_type"
_IP: Final = "ip_frag {tos} nw_ecn nw_ttl ipv6_label nw_proto"
_L3: Final = {
    0x0800: f"ip_src ip_dst {_IP} {{l4}}",
    0x86DD: f"ipv6_src ipv6_dst {_IP} {{l4}} {{nd}}",
    0x0806: "arp_op arp_spa arp_tpa arp_sha arp_tha",
    0x8035: "arp_op arp_spa arp_tpa arp_sha arp_tha",
    0x8847: "mpls_tc mpls_bos mpls_ttl mpls_label",
    0x8848: "mpls_tc mpls_bos mpls_ttl mpls_label",
}
_L4: Final = {
    (0x0800, 1): "icmp_type icmp_code",
    (0x86DD, 58): "icmpv6_type icmpv6_code",
    6: "tcp_src tcp_dst tcp_flags",
    17: "udp_src udp_dst",
    132: "sctp_src sctp_dst",
}
_ND: Final = {135: "nd_target nd_sll nd_reserved nd_options_type",
       136: "nd_target nd_tll nd_reserved nd_options_type"}  # fmt: skip
_LAST: Final = (
    "tun_id tun_flags tun_src tun_dst tun_ipv6_src tun_ipv6_dst tun_gbp_id tun_gbp_flags "
    "tun_erspan_idx tun_erspan_ver tun_erspan_dir tun_erspan_hwid tun_gtpu_flags tun_gtpu_msgtype "
    "tun_metadata0 nsh_flags nsh_ttl nsh_mdtype nsh_np nsh_spi nsh_si nsh_c1 nsh_c2 nsh_c3 nsh_c4 "
    "{regs} pkt_mark ct_state ct_zone ct_mark ct_label ct_nw_src ct_ipv6_src ct_nw_dst "
    "ct_ipv6_dst ct_nw_proto ct_tp_src ct_tp_dst metadata"
)


def entry_order(version: int, dl_type: int, nw_proto: int, nd: int) -> list[str]:
    """Names of the fields that a match of this Ethernet type, IP protocol and type of neighbour
    discovery may have."""
    l3 = _L3.get(dl_type, "")
    if "{l4}" in l3:
        l4 = _L4.get((dl_type, nw_proto), _L4.get(nw_proto, ""))
        l3 = l3.format(l4=l4, nd=_ND.get(nd, ""), tos="ip_dscp" if version >= 2 else "nw_tos")
    text = f"{_FIRST} vlan_tci {l3} {_LAST}".replace("{in_port}", "in_port")
    return text.replace("{regs}", _REGS if version < 6 else _XREGS).split()
