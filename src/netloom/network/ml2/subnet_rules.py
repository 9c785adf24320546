"""What a subnet may look like: prefixes, IPv6 modes, name servers and routes."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from netloom.network.call import Call
from netloom.network.document import Document
from netloom.network.errors import fail, invalid_input
from netloom.network.ipam.addresses import AUTO_MODES

#: Longest prefixes in which DHCP has addresses to give.
LONGEST_WITH_DHCP = {4: 30, 6: 126}
LEAST_MTU = {4: 68, 6: 1280}


def check_prefix(subnet: Document, call: Call, network: Document) -> None:
    """Raise unless hosts can live in this prefix, and the network carries its IP version."""
    version, prefix = subnet["ip_version"], ip_network(subnet["cidr"])
    if prefix.version != version:
        raise invalid_input(f"cidr '{subnet['cidr']}' does not match the ip_version '{version}'")
    if prefix.prefixlen == 0:
        raise invalid_input("0 is not allowed as CIDR prefix length")
    if version == 6 and str(prefix.network_address) == "::":
        raise invalid_input("IPv6 subnet '::' is not supported")
    if network["mtu"] and network["mtu"] < LEAST_MTU[version]:
        raise fail("NetworkMTUSubnetConflict", net_id=network["id"], mtu=LEAST_MTU[version])
    if not subnet["enable_dhcp"]:
        return
    if prefix.prefixlen > LONGEST_WITH_DHCP[version]:
        raise invalid_input(
            "Subnet has a prefix length that is incompatible with DHCP service enabled"
        )
    if prefix.is_multicast:
        raise invalid_input("Multicast IP subnet is not supported if enable_dhcp is True")
    if prefix.is_loopback:
        raise invalid_input("Loopback IP subnet is not supported if enable_dhcp is True")
    if version == 4 and int(prefix.network_address) == 0:
        raise invalid_input(
            "First IP '0.0.0.0' of network is not supported if enable_dhcp is True."
        )


def check_ipv6_modes(subnet: Document, *, turned_off: bool = False) -> None:
    """Raise unless the modes fit each other, the version and the prefix."""
    advertised, address = subnet.get("ipv6_ra_mode"), subnet.get("ipv6_address_mode")
    if subnet["ip_version"] == 4:
        for name, value in (("ipv6_ra_mode", advertised), ("ipv6_address_mode", address)):
            if value is not None:
                raise invalid_input(f"{name} is not valid when ip_version is 4")
        return
    if advertised is None and address is None:
        return
    if turned_off:
        raise invalid_input("Cannot disable enable_dhcp with ipv6 attributes set")
    if not subnet["enable_dhcp"]:
        raise invalid_input(
            "ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False"
        )
    if advertised and address and advertised != address:
        raise invalid_input(
            f"ipv6_ra_mode set to '{advertised}' with ipv6_address_mode set to '{address}' is not "
            "valid. If both attributes are set, they must be the same value"
        )
    if address in AUTO_MODES and ip_network(subnet["cidr"]).prefixlen != 64:
        raise invalid_input(
            f"Invalid CIDR {subnet['cidr']} for IPv6 address mode. OpenStack uses the EUI-64 "
            "address format, which requires the prefix to be /64"
        )


def check_servers(call: Call, subnet: Document) -> None:
    """Not too many name servers and routes, all of the subnet's IP version."""
    version, key = subnet["ip_version"], subnet.get("id", "new subnet")
    servers, routes = subnet["dns_nameservers"], subnet["host_routes"]
    if len(servers) > call.settings.max_dns_nameservers:
        raise fail(
            "DNSNameServersExhausted", subnet_id=key, quota=call.settings.max_dns_nameservers
        )
    if len(routes) > call.settings.max_subnet_host_routes:
        raise fail("HostRoutesExhausted", subnet_id=key, quota=call.settings.max_subnet_host_routes)
    for name, value in (
        *(("dns_nameserver", server) for server in servers),
        *(("nexthop", route["nexthop"]) for route in routes),
        *(("destination", route["destination"]) for route in routes),
    ):
        if ip_address(value.partition("/")[0]).version != version:
            raise invalid_input(f"{name} '{value}' does not match the ip_version '{version}'")
