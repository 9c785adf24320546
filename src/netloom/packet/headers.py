"""Formats and numbers of the headers: struct formats, lengths, protocol numbers.

Each `Struct` is a whole header in network byte order, its fields in the order of the standard
that the comment names. Code that reads one field of a header uses the field's offset.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Ethernet II, IEEE 802.3: dst, src, type.
ETHERNET: Final = Struct(">6s6sH")
ETH_LEN: Final = 14
ETH_TYPE_MIN: Final = 0x0600

ETH_TYPE_IP: Final = 0x0800
ETH_TYPE_ARP: Final = 0x0806
ETH_TYPE_TEB: Final = 0x6558
ETH_TYPE_RARP: Final = 0x8035
ETH_TYPE_VLAN_8021Q: Final = 0x8100
ETH_TYPE_IPV6: Final = 0x86DD
ETH_TYPE_LACP: Final = 0x8809
ETH_TYPE_MPLS: Final = 0x8847
ETH_TYPE_MPLS_MCAST: Final = 0x8848
ETH_TYPE_VLAN_8021AD: Final = 0x88A8
ETH_TYPE_ERSPAN1: Final = 0x88BE
ETH_TYPE_LLDP: Final = 0x88CC
ETH_TYPE_NSH: Final = 0x894F
VLAN_TYPES: Final = (ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021AD)
MPLS_TYPES: Final = (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST)

# IEEE 802.2 LLC and SNAP: dsap, ssap, control, organisation, type. The first six bytes of a
# header whose type is an Ethernet type:
SNAP_ETHERNET: Final = b"\xaa\xaa\x03\0\0\0"
LLC_SNAP_LEN: Final = 8

# IEEE 802.1Q tag: tpid, tci.
VLAN: Final = Struct(">HH")
VLAN_LEN: Final = 4
VLAN_VID_MASK: Final = 0x0FFF
VLAN_CFI: Final = 0x1000
VLAN_PCP_MASK: Final = 0xE000
VLAN_PCP_SHIFT: Final = 13

# RFC 3032 label stack entry: label 20, traffic class 3, bottom of stack 1, TTL 8.
MPLS_LSE: Final = Struct(">I")
MPLS_LEN: Final = 4
MPLS_BOS: Final = 0x100

# RFC 826 for Ethernet and IPv4: htype, ptype, hlen, plen, op, sha, spa, tha, tpa.
ARP: Final = Struct(">HHBBH6s4s6s4s")
ARP_LEN: Final = 28
ARP_ETHERNET_IPV4: Final = b"\0\x01\x08\0\x06\x04"
ARP_OP_REQUEST: Final = 1
ARP_OP_REPLY: Final = 2
ARP_OP_RARP: Final = 3

# RFC 791: version and IHL, TOS, total length, identification, flags and fragment offset, TTL,
# protocol, checksum, source, destination.
IPV4: Final = Struct(">BBHHHBBH4s4s")
IPV4_LEN: Final = 20
IPV4_DONT_FRAGMENT: Final = 0x4000
IPV4_MORE_FRAGMENTS: Final = 0x2000
IPV4_OFFSET_MASK: Final = 0x1FFF

# RFC 8200: version 4, traffic class 8 and flow label 20; payload length, next header, hop limit,
# source, destination.
IPV6: Final = Struct(">IHBB16s16s")
IPV6_LEN: Final = 40
IPV6_LABEL_MASK: Final = 0x000FFFFF
# Fragment header: next header, reserved, offset (13 bits) and flags, identification.
IPV6_FRAGMENT: Final = Struct(">BBHI")
IPV6_FRAGMENT_LEN: Final = 8
IPV6_OFFSET_MASK: Final = 0xFFF8
IPV6_MORE_FRAGMENTS: Final = 0x0001

IPPROTO_HOPOPTS: Final = 0
IPPROTO_ICMP: Final = 1
IPPROTO_IGMP: Final = 2
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
IPPROTO_ROUTING: Final = 43
IPPROTO_FRAGMENT: Final = 44
IPPROTO_GRE: Final = 47
IPPROTO_AH: Final = 51
IPPROTO_ICMPV6: Final = 58
IPPROTO_NONE: Final = 59
IPPROTO_DSTOPTS: Final = 60
IPPROTO_SCTP: Final = 132
#: Extension headers of IPv6 that a parser walks over.
IPV6_EXTENSIONS: Final = frozenset(
    {IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT, IPPROTO_AH, IPPROTO_DSTOPTS}
)

# RFC 9293: ports, sequence, acknowledgement, data offset (4) reserved and flags (12), window,
# checksum, urgent pointer.
TCP: Final = Struct(">HHIIHHHH")
TCP_LEN: Final = 20
TCP_FLAGS_MASK: Final = 0x0FFF
TCP_FIN: Final = 0x001
TCP_SYN: Final = 0x002
TCP_RST: Final = 0x004
TCP_PSH: Final = 0x008
TCP_ACK: Final = 0x010
TCP_URG: Final = 0x020
TCP_CWR: Final = 0x080

# RFC 768: ports, length, checksum.
UDP: Final = Struct(">HHHH")
UDP_LEN: Final = 8

# RFC 9260: ports, verification tag, CRC32c.
SCTP: Final = Struct(">HHII")
SCTP_LEN: Final = 12

# RFC 792: type, code, checksum, rest of header.
ICMP: Final = Struct(">BBHI")
ICMP_LEN: Final = 8
ICMP_ECHO_REPLY: Final = 0
ICMP_UNREACHABLE: Final = 3
ICMP_ECHO_REQUEST: Final = 8
ICMP_TIME_EXCEEDED: Final = 11

# RFC 4443: type, code, checksum, then by type; RFC 4861 for neighbour discovery.
ICMPV6_LEN: Final = 4
ICMPV6_DATA_LEN: Final = 8
ICMPV6_ECHO_REQUEST: Final = 128
ICMPV6_ECHO_REPLY: Final = 129
ND_ROUTER_SOLICIT: Final = 133
ND_ROUTER_ADVERT: Final = 134
ND_NEIGHBOR_SOLICIT: Final = 135
ND_NEIGHBOR_ADVERT: Final = 136
ND_LEN: Final = 24
ND_OPT_SOURCE_LINKADDR: Final = 1
ND_OPT_TARGET_LINKADDR: Final = 2
ND_LLA_OPT_LEN: Final = 8

# RFC 2236: type, maximum response time, checksum, group.
IGMP: Final = Struct(">BBH4s")
IGMP_LEN: Final = 8

# RFC 8300 base and service path headers: version 2, O, unused, TTL 6, length 6; unused 4,
# MD type 4; next protocol; path identifier 24 and service index 8.
NSH: Final = Struct(">HBBI")
NSH_BASE_LEN: Final = 8
NSH_MD1_LEN: Final = 24
NSH_MD_TYPE1: Final = 1
NSH_MD_TYPE2: Final = 2

#: Offset of the checksum in the transport header, by protocol (SCTP's is a CRC32c).
CHECKSUM_OFFSET: Final = {
    IPPROTO_TCP: 16,
    IPPROTO_UDP: 6,
    IPPROTO_ICMP: 2,
    IPPROTO_ICMPV6: 2,
    IPPROTO_IGMP: 2,
    IPPROTO_SCTP: 8,
}

#: Shortest Ethernet frame without its frame check sequence.
ETH_MIN_FRAME: Final = 60
