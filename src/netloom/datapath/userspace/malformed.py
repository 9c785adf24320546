"""What is wrong with an IP packet of which nothing but its Ethernet type could be read.

Such a packet is no drop: flows see it as one of its type without addresses. That there are any is
counted, by the names of Open vSwitch.
"""

from __future__ import annotations

from netloom.packet.headers import ETH_TYPE_IP, ETH_TYPE_IPV6, IPV4_LEN, IPV6_LEN
from netloom.packet.parse import parse

IPV4_SHORT = "miniflow_extract_ipv4_pkt_too_short"
IPV4_LENGTH = "miniflow_extract_ipv4_pkt_len_error"
IPV6_SHORT = "miniflow_extract_ipv6_pkt_too_short"
IPV6_LENGTH = "miniflow_extract_ipv6_pkt_len_error"


def find_fault(packet: bytes, vlan_limit: int) -> str:
    """The counter of what is wrong; "" if the headers are whole, or it is no IP packet."""
    headers = parse(packet, 0, vlan_limit)
    size = len(packet) - headers.l3
    if headers.l3 < 0 or headers.l4 >= 0:
        return ""
    if headers.dl_type == ETH_TYPE_IP:
        return IPV4_SHORT if size < IPV4_LEN else IPV4_LENGTH
    if headers.dl_type == ETH_TYPE_IPV6:
        if size < IPV6_LEN:
            return IPV6_SHORT
        payload = int.from_bytes(packet[headers.l3 + 4 : headers.l3 + 6], "big")
        return IPV6_LENGTH if payload > size - IPV6_LEN else ""
    return ""
