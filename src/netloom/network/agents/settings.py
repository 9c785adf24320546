"""What an agent is told by its configuration files, in Neutron's sections and names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from netloom.base.errors import ConfigError
from netloom.network.agents.options import L2_OPTIONS, ROOM_OPTIONS, read_options


@dataclass(frozen=True, slots=True)
class L2Settings:
    """`openvswitch_agent.ini`, and where the service is."""

    host: str = ""
    server_url: str = "http://127.0.0.1:9696"
    #: Options of `[keystone_authtoken]`; none: the service asks for no token.
    keystone: Mapping[str, str] = field(default_factory=dict)
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
    #: Options of `[keystone_authtoken]`; none: the service asks for no token.
    keystone: Mapping[str, str] = field(default_factory=dict)
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


def load_room_settings(files: list[tuple[str, str]]) -> RoomSettings:
    """As `load_l2_settings`, for the DHCP and L3 agents."""
    return replace(RoomSettings(), **read_options(files, ROOM_OPTIONS))


def load_l2_settings(files: list[tuple[str, str]]) -> L2Settings:
    """The settings of (name, text) files, later ones first in right.

    `ConfigError` names file and line of an option that is unknown or has a value that is wrong.
    """
    fields = read_options(files, L2_OPTIONS)
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
