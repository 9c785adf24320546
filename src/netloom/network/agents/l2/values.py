"""What the L2 agent wishes: frozen values, equal if nothing changed."""

from __future__ import annotations

from dataclasses import dataclass, field

from netloom.network.watch.derive import Endpoint, Rule

DEAD_VLAN = 4095
PATCH_INT, PATCH_TUN = "patch-int", "patch-tun"
TUNNEL_TABLES = {"gre": 3, "vxlan": 4, "geneve": 6}


@dataclass(frozen=True, slots=True)
class LocalNetwork:
    """A network with a port on this host, under its VLAN on the integration bridge."""

    id: str
    vlan: int
    network_type: str
    physical_network: str
    segmentation_id: int


@dataclass(frozen=True, slots=True)
class LocalPort:
    """A port that is plugged in here.

    `addresses`: the (MAC, IP prefix) pairs that it may send from. `filtered`: security groups
    apply; otherwise the port may send and receive anything. `rules` name remote groups, not
    their members.
    """

    id: str
    name: str
    ofport: int
    network: LocalNetwork
    mac: str
    addresses: tuple[tuple[str, str], ...]
    filtered: bool
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class TunnelPort:
    """A port of br-tun that leads to another host."""

    network_type: str
    remote: str
    name: str


@dataclass(frozen=True, slots=True)
class Wish:
    """All that should be on this host."""

    ports: tuple[LocalPort, ...] = ()
    #: (bridge port, number) of what is plugged in and no port of the service.
    dead: tuple[tuple[str, int], ...] = ()
    networks: tuple[LocalNetwork, ...] = ()
    #: Network -> where else its ports are.
    behind: tuple[tuple[str, tuple[Endpoint, ...]], ...] = ()
    #: (network type, address) of every host to have a tunnel to.
    tunnels: tuple[TunnelPort, ...] = ()
    #: (group, ethertype) -> prefixes of its members, for groups that rules name.
    members: tuple[tuple[tuple[str, str], tuple[str, ...]], ...] = field(default=())
