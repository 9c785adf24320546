"""Formats and numbers of the headers: struct formats, lengths, protocol numbers.

Each `Struct` is a whole header in network byte order, its fields in the order of the standard
that the comment names. Code that reads one field of a header uses the field's offset.
"""

from __future__ import annotations

from struct import Struct

# Ethernet II, IEEE 802.3: dst, src, type.
ETHERNET = Struct(">6s6sH")
ETH_LEN = 14
ETH_TYPE_MIN = 0x0600

ETH_TYPE_IP = 0x0800
ETH_TYPE_ARP = 0x0806
ETH_TYPE_TEB = 0x6558
ETH_TYPE_RARP = 0x8035
ETH_TYPE_VLAN_8021Q = 0x8100
ETH_TYPE_IPV6 = 0x86DD
ETH_TYPE_LACP = 0x8809
ETH_TYPE_MPLS = 0x8847
ETH_TYPE_MPLS_MCAST = 0x8848
ETH_TYPE_VLAN_8021AD = 0x88A8
ETH_TYPE_ERSPAN1 = 0x88BE
ETH_TYPE_LLDP = 0x88CC
ETH_TYPE_NSH = 0x894F
VLAN_TYPES = (ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021AD)
MPLS_TYPES = (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST)

# IEEE 802.2 LLC and SNAP: dsap, ssap, control, organisation, type. The first six bytes of a
# header whose type is an Ethernet type:
SNAP_ETHERNET = b"\xaa\xaa\x03\0\0\0"
LLC_SNAP_LEN = 8

# IEEE 802.1Q tag: tpid, tci.
VLAN = Struct(">HH")
VLAN_LEN = 4
VLAN_VID_MASK = 0x0FFF
VLAN_CFI = 0x1000
VLAN_PCP_MASK = 0xE000
VLAN_PCP_SHIFT = 13

# RFC 3032 label stack entry: label 20, traffic class 3, bottom of stack 1, TTL 8.
MPLS_LSE = Struct(">I")
MPLS_LEN = 4
MPLS_BOS = 0x100

# RFC 826 for Ethernet and IPv4: htype, ptype, hlen, plen, op, sha, spa, tha, tpa.
ARP = Struct(">HHBBH6s4s6s4s")
ARP_LEN = 28
ARP_ETHERNET_IPV4 = b"\0\x01\x08\0\x06\x04"
ARP_OP_REQUEST = 1
ARP_OP_REPLY = 2
ARP_OP_RARP = 3

# RFC 791: version and IHL, TOS, total length, identification, flags and fragment offset, TTL,
# protocol, checksum, source, destination.
IPV4 = Struct(">BBHHHBBH4s4s")
IPV4_LEN = 20
IPV4_DONT_FRAGMENT = 0x4000
IPV4_MORE_FRAGMENTS = 0x2000
IPV4_OFFSET_MASK = 0x1FFF

# RFC 8200: version 4, traffic class 8 and flow label 20; payload length, next header, hop limit,
# source, destination.
IPV6 = Struct(">IHBB16s16s")
IPV6_LEN = 40
IPV6_LABEL_MASK = 0x000FFFFF
# Fragment header: next header, reserved, offset (13 bits) and flags, identification.
IPV6_FRAGMENT = Struct(">BBHI")
IPV6_FRAGMENT_LEN = 8
IPV6_OFFSET_MASK = 0xFFF8
IPV6_MORE_FRAGMENTS = 0x0001

IPPROTO_HOPOPTS = 0
IPPROTO_ICMP = 1
IPPROTO_IGMP = 2
IPPROTO_TCP = 6
IPPROTO_UDP = 17
IPPROTO_ROUTING = 43
IPPROTO_FRAGMENT = 44
IPPROTO_GRE = 47
IPPROTO_AH = 51
IPPROTO_ICMPV6 = 58
IPPROTO_NONE = 59
IPPROTO_DSTOPTS = 60
IPPROTO_SCTP = 132
#: Extension headers of IPv6 that a parser walks over.
IPV6_EXTENSIONS = frozenset(
    {IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT, IPPROTO_AH, IPPROTO_DSTOPTS}
)

# RFC 9293: ports, sequence, acknowledgement, data offset (4) reserved and flags (12), window,
# checksum, urgent pointer.
TCP = Struct(">HHIIHHHH")
TCP_LEN = 20
TCP_FLAGS_MASK = 0x0FFF
TCP_FIN = 0x001
TCP_SYN = 0x002
TCP_RST = 0x004
TCP_PSH = 0x008
TCP_ACK = 0x010
TCP_URG = 0x020
TCP_CWR = 0x080

# RFC 768: ports, length, checksum.
UDP = Struct(">HHHH")
UDP_LEN = 8

# RFC 9260: ports, verification tag, CRC32c.
SCTP = Struct(">HHII")
SCTP_LEN = 12

# RFC 792: type, code, checksum, rest of header.
ICMP = Struct(">BBHI")
ICMP_LEN = 8
ICMP_ECHO_REPLY = 0
ICMP_UNREACHABLE = 3
ICMP_ECHO_REQUEST = 8
ICMP_TIME_EXCEEDED = 11

# RFC 4443: type, code, checksum, then by type; RFC 4861 for neighbour discovery.
ICMPV6_LEN = 4
ICMPV6_DATA_LEN = 8
ICMPV6_ECHO_REQUEST = 128
ICMPV6_ECHO_REPLY = 129
ND_ROUTER_SOLICIT = 133
ND_ROUTER_ADVERT = 134
ND_NEIGHBOR_SOLICIT = 135
ND_NEIGHBOR_ADVERT = 136
ND_LEN = 24
ND_OPT_SOURCE_LINKADDR = 1
ND_OPT_TARGET_LINKADDR = 2
ND_LLA_OPT_LEN = 8

# RFC 2236: type, maximum response time, checksum, group.
IGMP = Struct(">BBH4s")
IGMP_LEN = 8

# RFC 8300 base and service path headers: version 2, O, unused, TTL 6, length 6; unused 4,
# MD type 4; next protocol; path identifier 24 and service index 8.
NSH = Struct(">HBBI")
NSH_BASE_LEN = 8
NSH_MD1_LEN = 24
NSH_MD_TYPE1 = 1
NSH_MD_TYPE2 = 2

#: Offset of the checksum in the transport header, by protocol (SCTP's is a CRC32c).
CHECKSUM_OFFSET = {
    IPPROTO_TCP: 16,
    IPPROTO_UDP: 6,
    IPPROTO_ICMP: 2,
    IPPROTO_ICMPV6: 2,
    IPPROTO_IGMP: 2,
    IPPROTO_SCTP: 8,
}

#: Shortest Ethernet frame without its frame check sequence.
ETH_MIN_FRAME = 60
