"""Arithmetic of subnets: keys of addresses, pools, what is usable, addresses made from MACs."""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
    summarize_address_range,
)
from itertools import pairwise

from netloom.network.document import Document
from netloom.network.errors import fail

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Pool = dict[str, str]
AUTO_MODES = ("slaac", "dhcpv6-stateless")


def address_key(address: str | Address) -> str:
    """32 hexadecimal digits that sort as the addresses do."""
    return f"{int(ip_address(address)):032x}"


def address_of_key(key: str, version: int) -> str:
    """The address in canonical text."""
    number = int(key, 16)
    return str(IPv4Address(number) if version == 4 else IPv6Address(number))


def is_automatic(subnet: Document) -> bool:
    """Whether hosts make their own addresses here (SLAAC), so that the MAC decides."""
    return subnet["ip_version"] == 6 and subnet.get("ipv6_address_mode") in AUTO_MODES


def from_mac(cidr: str, mac: str) -> str:
    """The address with the modified EUI-64 of `mac` in the prefix (RFC 4291, appendix A)."""
    digits = mac.replace(":", "")
    number = int(digits[:6] + "fffe" + digits[6:], 16) ^ (1 << 57)
    return str(ip_address(int(ip_network(cidr).network_address) + number))


def is_usable(address: str, cidr: str, *, router: bool = False) -> bool:
    """Whether a host may have the address: inside, and neither the first nor, in IPv4, the last.
    The first of IPv6 is its routers' (RFC 4291, section 2.6.1)."""
    network = ip_network(cidr)
    found = ip_address(address)
    if found.version != network.version or found not in network:
        return False
    if network.prefixlen >= network.max_prefixlen - 1:
        return True
    if found == network.network_address:
        return router and network.version == 6
    return network.version == 6 or found != network.broadcast_address


def contains(cidr: str, address: str) -> bool:
    """Whether the address is one of the prefix."""
    network, found = ip_network(cidr), ip_address(address)
    return network.version == found.version and found in network


def default_gateway(cidr: str, *, cut: bool = False) -> str:
    """The first host's address; of IPv6, the subnet's own, which every router answers to
    (RFC 4291, section 2.6.1), unless the prefix was cut from a pool."""
    network = ip_network(cidr)
    if network.version == 6 and not cut:
        return str(network.network_address)
    offset = 0 if network.prefixlen >= network.max_prefixlen - 1 else 1
    if network.prefixlen == network.max_prefixlen - 1 and network.version == 4:
        offset = 0
    return str(network.network_address + offset)


def default_pools(cidr: str, gateway: str | None) -> list[Pool]:
    """Everything usable but the gateway."""
    network = ip_network(cidr)
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.version == 4 and network.prefixlen < 31:
        first, last = first + 1, last - 1
    elif network.version == 6 and network.prefixlen < 127:
        first += 1
    spans = [(first, last)]
    if gateway is not None and ip_address(gateway) in network:
        at = int(ip_address(gateway))
        spans = [(first, min(at - 1, last)), (max(at + 1, first), last)]
    make = IPv4Address if network.version == 4 else IPv6Address
    return [{"start": str(make(low)), "end": str(make(high))} for low, high in spans if low <= high]


def check_pools(pools: list[Pool], cidr: str) -> None:
    """Raise unless the pools lie within the subnet and apart."""
    network = ip_network(cidr)
    spans: list[tuple[int, int, str]] = []
    for pool in pools:
        start, end = ip_address(pool["start"]), ip_address(pool["end"])
        shown = f"{start}-{end}"
        if (
            start.version != network.version
            or end.version != network.version
            or int(start) > int(end)
        ):
            raise fail("InvalidAllocationPool", pool=shown)
        if start not in network or end not in network:
            raise fail("OutOfBoundsAllocationPool", pool=shown, subnet_cidr=cidr)
        spans.append((int(start), int(end), shown))
    spans.sort()
    for (_, end_1, pool_1), (start_2, _, pool_2) in pairwise(spans):
        if start_2 <= end_1:
            raise fail("OverlappingAllocationPools", pool_1=pool_1, pool_2=pool_2, subnet_cidr=cidr)


def pool_with(address: str, pools: list[Pool]) -> Pool | None:
    """The pool that the address is in."""
    wanted = ip_address(address)
    for pool in pools:
        start, end = ip_address(pool["start"]), ip_address(pool["end"])
        if start.version == wanted.version and int(start) <= int(wanted) <= int(end):
            return pool
    return None


def pool_size(pools: list[Pool]) -> int:
    return sum(int(ip_address(pool["end"])) - int(ip_address(pool["start"])) + 1 for pool in pools)


def overlap(first: str, second: str) -> bool:
    """Whether two prefixes have addresses in common."""
    one, other = ip_network(first), ip_network(second)
    return one.version == other.version and one.overlaps(other)


def free_prefix(pool: list[str], taken: list[str], prefixlen: int) -> str | None:
    """The first prefix of this length in the pool that overlaps none of `taken`."""
    for entry in sorted(pool, key=lambda text: (ip_network(text).prefixlen * -1, text)):
        network = ip_network(entry)
        if network.prefixlen > prefixlen:
            continue
        size = 1 << (network.max_prefixlen - prefixlen)
        at = int(network.network_address)
        last = int(network.broadcast_address)
        busy = sorted(
            (int(used.network_address), int(used.broadcast_address))
            for used in (ip_network(text) for text in taken)
            if used.version == network.version and used.overlaps(network)
        )
        for low, high in busy:
            if at + size - 1 < low:
                break
            at = max(at, -(-(high + 1) // size) * size)
        if at + size - 1 <= last:
            return f"{ip_address(at) if network.version == 4 else IPv6Address(at)}/{prefixlen}"
    return None


def merge_prefixes(prefixes: list[str]) -> list[str]:
    """The prefixes with neighbours joined, as subnet pools show them."""
    networks = [ip_network(text) for text in prefixes]
    if len({network.version for network in networks}) > 1:
        raise fail("PrefixVersionMismatch")
    spans = sorted((int(net.network_address), int(net.broadcast_address)) for net in networks)
    joined: list[tuple[int, int]] = []
    for low, high in spans:
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    if not networks:
        return []
    make = IPv4Address if networks[0].version == 4 else IPv6Address
    return [
        str(network)
        for low, high in joined
        for network in summarize_address_range(make(low), make(high))
    ]
