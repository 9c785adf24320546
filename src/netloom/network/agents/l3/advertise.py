"""Router advertisements (RFC 4861) and gratuitous ARP (RFC 5227), as octets.

A router advertises on every interface with a subnet that has an `ipv6_ra_mode`: `slaac` and
`dhcpv6-stateless` let machines make their own addresses, the latter with options from DHCPv6;
with `dhcpv6-stateful` addresses come from DHCPv6 as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from struct import pack

from netloom.network.agents.rooms import Link
from netloom.network.document import Document
from netloom.network.watch.replica import Replica

STATEFUL, STATELESS, SLAAC = "dhcpv6-stateful", "dhcpv6-stateless", "slaac"
HOP_LIMIT = 64
#: How long a machine keeps the router, its names servers, and a prefix; seconds.
ROUTER_S, VALID_S, PREFERRED_S = 300, 86400, 14400
MANAGED, OTHER = 0x80, 0x40
ON_LINK, AUTONOMOUS = 0x80, 0x40
ARP_REQUEST, ARP_REPLY = 1, 2


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What a router says on a device. `prefixes` are (prefix, whether machines may make their own
    addresses of it)."""

    device: str
    mac: str
    mtu: int
    flags: int
    prefixes: tuple[tuple[str, bool], ...]
    servers: tuple[str, ...] = ()


def advertisement_of(replica: Replica, port: Document, link: Link) -> Advertisement | None:
    """The advertisement of a router's interface; None if nothing is to be advertised there."""
    flags, prefixes, servers = 0, [], list[str]()
    for fixed in port["fixed_ips"]:
        subnet = replica.get("subnet", fixed["subnet_id"])
        mode = (subnet or {}).get("ipv6_ra_mode")
        if subnet is None or not mode:
            continue
        flags |= {STATEFUL: MANAGED, STATELESS: OTHER}.get(mode, 0)
        prefixes.append((subnet["cidr"], mode != STATEFUL))
        if mode == SLAAC:
            servers += [one for one in subnet["dns_nameservers"] if ":" in one]
    if not prefixes:
        return None
    return Advertisement(
        link.inner, link.mac, link.mtu, flags, tuple(sorted(prefixes)), tuple(servers)
    )


def encode(one: Advertisement) -> bytes:
    """The ICMPv6 message; the checksum is left to the kernel."""
    message = pack("!BBHBBHII", 134, 0, 0, HOP_LIMIT, one.flags, ROUTER_S, 0, 0)
    message += pack("!BB6s", 1, 1, _mac(one.mac))
    message += pack("!BBHI", 5, 1, 0, one.mtu)
    for cidr, autonomous in one.prefixes:
        prefix = IPv6Network(cidr)
        flags = ON_LINK | (AUTONOMOUS if autonomous else 0)
        message += pack("!BBBBIII", 3, 4, prefix.prefixlen, flags, VALID_S, PREFERRED_S, 0)
        message += prefix.network_address.packed
    if one.servers:
        message += pack("!BBHI", 25, 1 + 2 * len(one.servers), 0, ROUTER_S)
        message += b"".join(IPv6Address(server).packed for server in one.servers)
    return message


def gratuitous_arp(mac: str, address: str) -> list[bytes]:
    """Frames that tell everybody who has an address: as a request and as an answer, as some heed
    only one of them."""
    hardware, protocol = _mac(mac), IPv4Address(address).packed
    frames = []
    for operation, target in ((ARP_REQUEST, bytes(6)), (ARP_REPLY, hardware)):
        frame = b"\xff" * 6 + hardware + pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, operation)
        frames.append(frame + hardware + protocol + target + protocol)
    return frames


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
