"""From the service's documents to the files and options of dnsmasq."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from uuid import NAMESPACE_DNS, uuid5

from netloom.network.agents.rooms import Room, link_of
from netloom.network.document import Document
from netloom.network.watch.replica import Replica

OWNER = "network:dhcp"
PREFIX = "qdhcp-"
LEASE = "86400s"
#: Ways to get an address, or what belongs to it, in which DHCPv6 has a part.
STATES = ("dhcpv6-stateful", "dhcpv6-stateless")


@dataclass(frozen=True, slots=True)
class Server:
    """The DHCP server of one network; `port` is None until the service has one for it."""

    network_id: str
    subnets: tuple[str, ...]
    room: Room | None
    options: tuple[str, ...] = ()
    hosts: str = ""
    opts: str = ""
    names: str = ""


def device_id(host: str, network: str) -> str:
    """What tells the port of this host's server from others of the network."""
    return f"dhcp{uuid5(NAMESPACE_DNS, host)}-{network}"


def servers_of(replica: Replica, host: str, domain: str) -> list[Server]:
    """The servers that the service has scheduled to this host."""
    found = []
    for schedule in replica.all("network_schedule"):
        network = replica.get("network", schedule["id"])
        if network is None or host not in schedule["hosts"] or not network["admin_state_up"]:
            continue
        subnets = replica.find("subnet", "network_id", network["id"])
        served = [one for one in subnets if one["enable_dhcp"] and not _by_router(one)]
        if served:
            found.append(_server(replica, network, served, host, domain))
    return sorted(found, key=lambda server: server.network_id)


def _server(
    replica: Replica, network: Document, subnets: list[Document], host: str, domain: str
) -> Server:
    ids = tuple(subnet["id"] for subnet in subnets)
    ports = replica.find("port", "network_id", network["id"])
    wanted = device_id(host, network["id"])
    own = next((one for one in ports if one["device_id"] == wanted), None)
    if own is None:
        return Server(network["id"], ids, None)
    link = link_of(replica, own, "ns-")
    room = Room(f"{PREFIX}{network['id']}", (link,))
    options = [f"--interface={link.inner}", f"--dhcp-option-force=option:mtu,{network['mtu']}"]
    options += [f"--domain={domain}"] if domain else []
    options += [_range(subnet) for subnet in subnets]
    opts = [line for subnet in subnets for line in _subnet_options(subnet, own)]
    hosts, names = [], []
    for port in ports:
        if port["id"] != own["id"]:
            hosts += _host_lines(port, set(ids), domain, opts)
            names += _name_lines(port, domain)
    return Server(
        network["id"],
        ids,
        room,
        tuple(options),
        "".join(f"{line}\n" for line in sorted(hosts)),
        "".join(f"{line}\n" for line in opts),
        "".join(f"{line}\n" for line in sorted(names)),
    )


def _range(subnet: Document) -> str:
    net = ip_network(subnet["cidr"])
    tag = f"set:subnet-{subnet['id']}"
    if net.version == 4:
        return f"--dhcp-range={tag},{net.network_address},static,{net.netmask},{LEASE}"
    # Never a mode in which dnsmasq advertises itself: that is the router's business.
    return f"--dhcp-range={tag},{net.network_address},static,{net.prefixlen},{LEASE}"


def _by_router(subnet: Document) -> bool:
    """Whether machines of the subnet get all they need from advertisements."""
    if subnet["ip_version"] == 4 or subnet["ipv6_address_mode"] in STATES:
        return False
    return bool(subnet["ipv6_address_mode"] or subnet["ipv6_ra_mode"])


def _subnet_options(subnet: Document, own: Document) -> list[str]:
    tag = f"tag:subnet-{subnet['id']}"
    mine = [one["ip_address"] for one in own["fixed_ips"] if one["subnet_id"] == subnet["id"]]
    servers = subnet["dns_nameservers"] or mine
    if subnet["ip_version"] == 6:
        dns = ",".join(f"[{one}]" for one in servers)
        return [f"{tag},option6:dns-server,{dns}"] if dns else []
    lines = [f"{tag},option:dns-server,{','.join(servers)}"] if servers else []
    routes = [f"{one['destination']},{one['nexthop']}" for one in subnet["host_routes"]]
    if subnet["gateway_ip"]:
        lines.append(f"{tag},option:router,{subnet['gateway_ip']}")
        routes += [f"0.0.0.0/0,{subnet['gateway_ip']}"] if routes else []
    else:
        lines.append(f"{tag},option:router")
    if routes:
        lines.append(f"{tag},option:classless-static-route,{','.join(routes)}")
    return lines


def _host_lines(port: Document, served: set[str], domain: str, opts: list[str]) -> list[str]:
    lines = []
    extra = port["extra_dhcp_opts"]
    tag = f"port-{port['id']}"
    for one in extra:
        kind = "option" if one.get("ip_version", 4) == 4 else "option6"
        opts.append(f"tag:{tag},{kind}:{one['opt_name']},{one['opt_value']}")
    for fixed in port["fixed_ips"]:
        if fixed["subnet_id"] not in served:
            continue
        address = fixed["ip_address"]
        shown = f"[{address}]" if ":" in address else address
        words = [port["mac_address"], *([f"set:{tag}"] if extra else [])]
        name = _name(port, address)
        lines.append(",".join([*words, f"{name}.{domain.rstrip('.')}" if domain else name, shown]))
    return lines


def _name(port: Document, address: str) -> str:
    given: str = port.get("dns_name") or ""
    return given or "host-" + address.replace(".", "-").replace(":", "-")


def _name_lines(port: Document, domain: str) -> list[str]:
    lines = []
    for fixed in port["fixed_ips"]:
        name = _name(port, fixed["ip_address"])
        full = f"{name}.{domain.rstrip('.')}" if domain else name
        lines.append(f"{fixed['ip_address']}\t{full} {name}")
    return lines
