"""What an agent is told by its configuration files, in Neutron's sections and names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from netloom.base.errors import ConfigError
from netloom.network.config import kinds
from netloom.network.config.ini import expand, merge, parse_file


@dataclass(frozen=True, slots=True)
class L2Settings:
    """`openvswitch_agent.ini`, and where the service is."""

    host: str = ""
    server_url: str = "http://127.0.0.1:9696"
    report_interval: int = 10
    integration_bridge: str = "br-int"
    tunnel_bridge: str = "br-tun"
    local_ip: str = ""
    bridge_mappings: Mapping[str, str] = field(default_factory=dict)
    datapath_type: str = "system"
    ovsdb_connection: str = ""
    tunnel_types: tuple[str, ...] = ()
    l2_population: bool = False
    arp_responder: bool = False
    vxlan_udp_port: int = 4789
    dont_fragment: bool = True
    enable_security_group: bool = True


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """`dhcp_agent.ini` or `l3_agent.ini`, and where the service is."""

    host: str = ""
    server_url: str = "http://127.0.0.1:9696"
    report_interval: int = 10
    integration_bridge: str = "br-int"
    state_path: str = "/var/lib/neutron"
    dns_domain: str = "openstacklocal"
    dnsmasq: str = "dnsmasq"
    nft: str = "nft"

    def note_room(self, name: str) -> None:
        """Write down a namespace before it is made, for whoever cleans up."""
        path = Path(self.state_path) / "namespaces"
        path.parent.mkdir(parents=True, exist_ok=True)
        known = path.read_text().split() if path.exists() else []
        if name not in known:
            with path.open("a") as names:
                names.write(f"{name}\n")

    def noted_rooms(self) -> set[str]:
        """All names that were written down, whether they are still there or not."""
        path = Path(self.state_path) / "namespaces"
        return set(path.read_text().split()) if path.exists() else set()


Table = Mapping[tuple[str, str], tuple[Callable[[str], Any], str]]

#: (section, option) -> (what its text means, field)
ROOM_OPTIONS: Table = MappingProxyType(
    {
        ("DEFAULT", "host"): (kinds.text, "host"),
        ("DEFAULT", "state_path"): (kinds.text, "state_path"),
        ("DEFAULT", "dns_domain"): (kinds.text, "dns_domain"),
        ("netloom", "server_url"): (kinds.text, "server_url"),
        ("netloom", "dnsmasq"): (kinds.text, "dnsmasq"),
        ("netloom", "nft"): (kinds.text, "nft"),
        ("ovs", "integration_bridge"): (kinds.text, "integration_bridge"),
        ("OVS", "integration_bridge"): (kinds.text, "integration_bridge"),
        ("agent", "report_interval"): (kinds.integer, "report_interval"),
        ("AGENT", "report_interval"): (kinds.integer, "report_interval"),
    }
)
#: (section, option) -> (what its text means, field)
OPTIONS: Table = MappingProxyType(
    {
        ("DEFAULT", "host"): (kinds.text, "host"),
        ("netloom", "server_url"): (kinds.text, "server_url"),
        ("agent", "report_interval"): (kinds.integer, "report_interval"),
        ("AGENT", "report_interval"): (kinds.integer, "report_interval"),
        ("ovs", "integration_bridge"): (kinds.text, "integration_bridge"),
        ("ovs", "tunnel_bridge"): (kinds.text, "tunnel_bridge"),
        ("ovs", "local_ip"): (kinds.text, "local_ip"),
        ("ovs", "bridge_mappings"): (kinds.mapping, "bridge_mappings"),
        ("ovs", "datapath_type"): (kinds.one_of("system", "netdev"), "datapath_type"),
        ("ovs", "ovsdb_connection"): (kinds.text, "ovsdb_connection"),
        ("agent", "tunnel_types"): (kinds.words, "tunnel_types"),
        ("agent", "l2_population"): (kinds.boolean, "l2_population"),
        ("agent", "arp_responder"): (kinds.boolean, "arp_responder"),
        ("agent", "vxlan_udp_port"): (kinds.integer, "vxlan_udp_port"),
        ("agent", "dont_fragment"): (kinds.boolean, "dont_fragment"),
        ("securitygroup", "enable_security_group"): (kinds.boolean, "enable_security_group"),
        ("securitygroup", "firewall_driver"): (
            kinds.one_of("openvswitch", "noop"),
            "firewall_driver",
        ),
    }
)


def _read(files: list[tuple[str, str]], table: Table) -> dict[str, Any]:
    sections = merge([parse_file(text, name) for name, text in files])
    fields: dict[str, Any] = {}
    for section, options in sections.items():
        for name, values in options.items():
            value = values[-1]
            known = table.get((section, name))
            if known is None:
                raise ConfigError(f"[{section}] has no option '{name}'", value.where)
            kind, target = known
            try:
                fields[target] = kind(expand(sections, section, value))
            except ValueError as error:
                raise ConfigError(f"[{section}] {name}: {error}", value.where) from None
    return fields


def load_room_settings(files: list[tuple[str, str]]) -> RoomSettings:
    """As `load_l2_settings`, for the DHCP and L3 agents."""
    return replace(RoomSettings(), **_read(files, ROOM_OPTIONS))


def load_l2_settings(files: list[tuple[str, str]]) -> L2Settings:
    """The settings of (name, text) files, later ones first in right.

    `ConfigError` names file and line of an option that is unknown or has a value that is wrong.
    """
    fields = _read(files, OPTIONS)
    if fields.pop("firewall_driver", "") == "noop":
        fields["enable_security_group"] = False
    settings = replace(L2Settings(), **fields)
    if settings.tunnel_types and not settings.local_ip:
        raise ConfigError("tunnels need a local address", "[ovs] local_ip")
    for tunnel in settings.tunnel_types:
        if tunnel not in ("gre", "vxlan", "geneve"):
            raise ConfigError(
                f"'{tunnel}' is not one of gre, vxlan, geneve", "[agent] tunnel_types"
            )
    return settings
