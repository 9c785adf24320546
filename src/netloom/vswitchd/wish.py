"""What the database asks for, as frozen values: the currency of `desired`, `plan` and `apply`.

Values hold everything that a step needs, so that two equal wishes mean that nothing is to be done.
`BridgeWish.settings.datapath_id` and addresses that depend on devices are absent: `identity`
chooses them when the devices are known.
"""

from __future__ import annotations

from typing import Protocol

from netloom.base.record import Record
from netloom.datapath.offload import OffloadSettings
from netloom.netdev.qos import FREE, Policing, Qos
from netloom.ofproto.settings import BridgeSettings, BundleSettings, ZoneSettings
from netloom.protocols.bfd import BfdSettings
from netloom.protocols.cfm import CfmSettings
from netloom.protocols.lldp import LldpSettings

Pairs = tuple[tuple[str, str], ...]


class InterfaceWish(Record):
    """An Interface row, as far as it is configuration.

    `type` is the Interface type, never empty ("system" for ""); `ofport` the number to ask for: the
    requested one, else the one that the row had last; 0 for none. `peer` is a patch port's other
    end. `mac` ("" for none) and `mtu` (0 for none) are requests; the `mac` of a patch port, which
    has no device to ask, is simply its address. `error`, if not None, says for the row why the
    interface cannot be had at all."""

    name: str
    type: str
    options: Pairs = ()
    ofport: int = 0
    ofport_requested: bool = False
    peer: str = ""
    mac: str = ""
    mtu: int = 0
    #: LACP's number of the port, priority and key; 0 for the usual number and key.
    lacp: tuple[int, int, int] = (0, 65_535, 0)
    bfd: BfdSettings | None = None
    cfm: CfmSettings | None = None
    lldp: LldpSettings | None = None
    #: How its packets are queued (its Port's), and how much may come in.
    qos: Qos | None = None
    policing: Policing = FREE
    #: The keys of `other_config` that say how threads poll it.
    polling: Pairs = ()
    error: str | None = None


class PortWish(Record):
    """A Port row: its bundle, and the interfaces that it is made of.

    `mac` is Port.mac ("" for none), which counts when a bridge's address is chosen. A `fake_bridge`
    has an address of its own, of the ports with its tag."""

    name: str
    interfaces: tuple[InterfaceWish, ...]
    bundle: BundleSettings
    mac: str = ""
    fake_bridge: bool = False


class LocalNetwork(Record):
    """An IPv4 address and mask for a bridge's own port, and a router (0: none)."""

    address: int
    mask: int
    gateway: int = 0


class HostStack(Protocol):
    """The host's own IP stack, by way of names of devices."""

    def set_ipv4(self, device: str, address: int, mask: int) -> None:
        """Raises OSError."""

    def add_router(self, gateway: int) -> None:
        """Raises OSError."""


class BridgeWish(Record):
    """A Bridge row and its ports, sorted by name.

    `settings` has no datapath id yet. `datapath_id` is the configured one or 0; `hwaddr` the
    configured address or ""; `default_mac` what to use when no port has an address to lend;
    `local_networks` what controllers have the bridge's own port be given."""

    name: str
    datapath_type: str
    settings: BridgeSettings
    ports: tuple[PortWish, ...]
    default_mac: str
    datapath_id: int = 0
    hwaddr: str = ""
    local_networks: tuple[LocalNetwork, ...] = ()

    def interface(self, name: str) -> InterfaceWish | None:
        """The interface of that name, if one of the ports has it."""
        return next((i for port in self.ports for i in port.interfaces if i.name == name), None)


class LimitsWish(Record):
    """What holds for all data paths: how many VLAN tags of a packet are read, how long a flow may
    be idle, how many flows there may be; whether the kernel data path may hand packets to other
    ends of veth pairs; and whether somebody still restores OpenFlow flows."""

    n_vlans: int = 1
    max_idle_ms: int = 10_000
    n_flows: int = 200_000
    has_shortcuts: bool = True
    is_restoring: bool = False
    #: How long flows may take to be restored; 0 for as long as it takes.
    restore_timeout_s: int = 0
    #: Flows that only sample packets say that they drop them.
    explicit_sampled_drops: bool = False
    offload: OffloadSettings = OffloadSettings()
    #: The keys of `other_config` that are about threads that poll.
    polling: Pairs = ()
    #: Dummies may leave TCP uncut. Devices of Linux always may; once it is so it stays so.
    leaves_segments: bool = False


class ZonesWish(Record):
    """The connection tracking zones of the data path of a type; `default_limit` -1 for none."""

    datapath_type: str
    zones: tuple[ZoneSettings, ...] = ()
    default_limit: int = -1


class Wish(Record):
    """The whole configuration. `problems` are complaints for the log, by where they are."""

    bridges: tuple[BridgeWish, ...] = ()
    zones: tuple[ZonesWish, ...] = ()
    limits: LimitsWish = LimitsWish()
    stats_interval_ms: int = 5_000
    #: (I-SID, VLAN) of Auto-Attach.
    mappings: tuple[tuple[int, int], ...] = ()
    #: Is the database told of the machine itself, too (`Open_vSwitch.statistics`)?
    tells_of_machine: bool = False
    problems: tuple[tuple[str, str, str], ...] = ()

    def bridge(self, name: str) -> BridgeWish | None:
        return next((bridge for bridge in self.bridges if bridge.name == name), None)


NOTHING = Wish()
