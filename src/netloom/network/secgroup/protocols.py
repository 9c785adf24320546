"""Protocols as rules name them, and their numbers."""

from __future__ import annotations

#: Names of protocols and their numbers (IANA).
PROTOCOLS = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "hopopt": 0,
    "icmp": 1,
    "igmp": 2,
    "ip": 0,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-icmp": 58,
    "icmpv6": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "sctp": 132,
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "vrrp": 112,
}


def protocol_number(protocol: str | None) -> int | None:
    """The IANA number; None means any protocol."""
    if protocol in (None, "any"):
        return None
    assert protocol is not None
    return int(protocol) if protocol.isdigit() else PROTOCOLS[protocol]
