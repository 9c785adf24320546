"""Packet types: what a packet starts with (OpenFlow 1.5.1, section 7.2.3.11).

A type is a number of 32 bits, a namespace above 16 bits of type: Ethernet frames are 0, and
namespace 1 holds the Ethernet types of packets that start with that header. NSH (RFC 8300,
section 2.2) has numbers of its own for what comes behind it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PT_ETHERNET: Final = 0
PT_IPV4: Final = 0x1_0800
PT_IPV6: Final = 0x1_86DD
PT_MPLS: Final = 0x1_8847
PT_MPLS_MC: Final = 0x1_8848
PT_NSH: Final = 0x1_894F
_NAMESPACE_ETHERTYPE: Final = 1 << 16

#: NSH's "Next Protocol" -> packet type.
_NSH_PROTOCOLS: Final = {1: PT_IPV4, 2: PT_IPV6, 3: PT_ETHERNET, 4: PT_NSH}
_TO_NSH: Final = {packet_type: number for number, packet_type in _NSH_PROTOCOLS.items()}


def packet_type_of(eth_type: int) -> int:
    """The type of a packet that starts with the header of an Ethernet type."""
    return _NAMESPACE_ETHERTYPE | eth_type


def nsh_protocol_of(packet_type: int) -> int | None:
    """What an NSH header says of a packet behind it; None if it has no number for that."""
    return _TO_NSH.get(packet_type)


def type_of_nsh_protocol(number: int) -> int | None:
    """The type of a packet behind an NSH header; None if nobody knows it."""
    return _NSH_PROTOCOLS.get(number)
