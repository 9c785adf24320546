"""Stand-ins for what `vswitchd` uses: a replica of plain rows, devices, bridges, data paths.

They behave: devices exist or not, come and go, keep what they are told; bridges hand out OpenFlow
port numbers as a real one does and write down every call.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING

from netloom.base.errors import ConfigError
from netloom.base.record import replace
from netloom.netdev.device import Device, DeviceState, DeviceStats, Packet
from netloom.ofproto.interface import Bridge
from netloom.ofproto.link_status import LinkStatus
from netloom.ofproto.settings import (
    BridgeSettings,
    BundleSettings,
    ControllerSettings,
    ControllerStatus,
    PortInfo,
    PortSettings,
)
from netloom.ofproto.trees import BridgeTreeStatus, PortTreeStatus
from netloom.openflow.connection import Connection
from netloom.ovsdb.row import Row
from netloom.ovsdb.uuids import Uuid
from netloom.vswitchd.apply import LiveBridge
from netloom.vswitchd.wish import HostStack, LimitsWish, ZonesWish

if TYPE_CHECKING:
    from netloom.ovsdb.types import Datum

_REFERENCES = {
    ("Bridge", "netflow"): "NetFlow",
    ("Bridge", "sflow"): "sFlow",
    ("Bridge", "ipfix"): "IPFIX",
    ("Flow_Sample_Collector_Set", "bridge"): "Bridge",
    ("Flow_Sample_Collector_Set", "ipfix"): "IPFIX",
    ("Open_vSwitch", "bridges"): "Bridge",
    ("Bridge", "ports"): "Port",
    ("Open_vSwitch", "manager_options"): "Manager",
    ("Bridge", "controller"): "Controller",
    ("Bridge", "mirrors"): "Mirror",
    ("Mirror", "output_port"): "Port",
    ("Mirror", "select_src_port"): "Port",
    ("Mirror", "select_dst_port"): "Port",
    ("Port", "interfaces"): "Interface",
    ("Port", "qos"): "QoS",
    ("Bridge", "auto_attach"): "AutoAttach",
}


class FakeReplica:
    """Rows made by hand: `add("Port", name="p1", tag=(5,))`."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Row]] = {}
        self._numbers = count(1)

    def add(self, table: str, **columns: Datum) -> Row:
        uuid = Uuid(f"{next(self._numbers):08x}-0000-4000-8000-000000000000")
        row = Row(table, uuid, dict(columns))
        self._rows.setdefault(table, []).append(row)
        return row

    def rows(self, table: str) -> list[Row]:
        return list(self._rows.get(table, ()))

    def refs(self, row: Row, column: str) -> list[Row]:
        by_uuid = {found.uuid: found for found in self.rows(_REFERENCES[row.table, column])}
        return [by_uuid[uuid] for uuid in row.uuids(column)]

    # What most tests need.

    def add_port(
        self, name: str, interface: Mapping[str, Datum] | None = None, **port: Datum
    ) -> Row:
        row = self.add("Interface", name=name, **(interface or {}))
        return self.add("Port", name=name, interfaces=(row.uuid,), **port)

    def add_bridge(self, name: str, *ports: Row, local: bool = True, **columns: Datum) -> Row:
        members = [*ports]
        if local:
            members.append(self.add_port(name, {"type": "internal"}))
        uuids = tuple(row.uuid for row in members)
        row = self.add("Bridge", name=name, ports=uuids, **columns)
        root = (self.rows("Open_vSwitch") or [self.add("Open_vSwitch", bridges=())])[0]
        root.data = {**root.data, "bridges": (*root.uuids("bridges"), row.uuid)}
        return row


class FakeDevice:
    """A device in memory."""

    def __init__(self, factory: FakeDevices, name: str, type_: str, mac: str) -> None:
        self.name = name
        self.type = type_
        self.options: dict[str, str] = {}
        self.counters = DeviceStats()
        self.closed = False
        self.current = DeviceState(
            present=True, admin_up=True, link_up=True, mtu=1500, mac=mac, ifindex=7
        )
        self._factory = factory

    def state(self) -> DeviceState:
        present = self.name in self._factory.existing or self.type in self._factory.made_types
        return replace(self.current, present=self.current.present and present)

    def stats(self) -> DeviceStats:
        return self.counters

    def receive(self, limit: int) -> list[Packet]:
        return []

    def send(self, packets: list[Packet]) -> None:
        self.counters = replace(self.counters, tx_packets=self.counters.tx_packets + len(packets))

    def fileno(self) -> int | None:
        return None

    def set_options(self, options: Mapping[str, str]) -> None:
        if "bad" in options:
            raise ConfigError(f"{self.name}: could not set configuration (Invalid argument)")
        self.options = dict(options)

    def set_mtu(self, mtu: int) -> None:
        if mtu > 9000:
            raise ConfigError("Invalid argument")
        self.current = replace(self.current, mtu=mtu)

    def set_mac(self, mac: str) -> None:
        self.current = replace(self.current, mac=mac)

    def set_admin_up(self, up: bool) -> None:
        self.current = replace(self.current, admin_up=up)

    def close(self) -> None:
        assert not self.closed, f"{self.name} is closed twice"
        self.closed = True


class FakeDevices:
    """A factory: `existing` system devices by name, with their addresses."""

    def __init__(self, **existing: str) -> None:
        self.existing: dict[str, str] = dict(existing)
        self.made_types = frozenset({"internal", "dummy"})
        self.open_devices: dict[str, FakeDevice] = {}
        self._changes = 0

    def types(self) -> frozenset[str]:
        return self.made_types | {"system"}

    def open(self, name: str, type_: str, options: Mapping[str, str]) -> Device:
        if type_ not in self.types():
            text = "Address family not supported by protocol"
            raise ConfigError(f"could not open network device {name} ({text})")
        if type_ == "system" and name not in self.existing:
            raise ConfigError(f"could not open network device {name} (No such device)")
        mac = self.existing.get(name, "aa:55:aa:55:00:01")
        device = FakeDevice(self, name, type_, mac)
        device.set_options(options)
        self.open_devices[name] = device
        return device

    def appear(self, name: str, mac: str = "00:00:5e:00:53:01") -> None:
        self.existing[name] = mac
        self._changes += 1

    def vanish(self, name: str) -> None:
        del self.existing[name]
        self._changes += 1

    def touch(self) -> None:
        self._changes += 1

    def changes(self) -> int:
        return self._changes

    def poll_fds(self) -> list[int]:
        return []


class FakeBridge:
    """Hands out port numbers; `calls` is what it was told, in order."""

    status_version = 0

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: list[tuple[str, str]] = []
        self.settings: BridgeSettings | None = None
        self.numbers: dict[str, int] = {}
        self.devices: dict[str, Device | None] = {}
        self.bundles: dict[str, BundleSettings] = {}
        self.peers: dict[str, str] = {}
        self.destroyed = False

    def configure(self, settings: BridgeSettings) -> None:
        assert settings != self.settings, "configured twice with the same settings"
        self.settings = settings
        self.calls.append(("configure", settings.name))

    def port_add(self, settings: PortSettings, device: Device | None) -> int:
        assert settings.name not in self.numbers
        if settings.name.startswith("refuse"):
            text = "Device or resource busy"
            raise ConfigError(f"could not add network device {settings.name} to ofproto ({text})")
        number = settings.ofport_request
        if settings.name == self.name:
            number = 65534
        elif not number or number in self.numbers.values():
            number = next(n for n in count(1) if n not in self.numbers.values())
        self.numbers[settings.name] = number
        self.devices[settings.name] = device
        self.peers[settings.name] = settings.peer
        self.calls.append(("port_add", settings.name))
        return number

    def port_configure(self, settings: PortSettings) -> None:
        self.peers[settings.name] = settings.peer
        self.calls.append(("port_configure", settings.name))

    def port_del(self, name: str) -> None:
        del self.numbers[name]
        self.calls.append(("port_del", name))

    def has_port(self, name: str) -> bool:
        return name in self.numbers

    def bundle_set(self, settings: BundleSettings) -> None:
        assert set(settings.members) <= set(self.numbers), "a bundle of ports that are not there"
        self.bundles[settings.name] = settings
        self.calls.append(("bundle_set", settings.name))

    def bundle_del(self, name: str) -> None:
        del self.bundles[name]
        self.calls.append(("bundle_del", name))

    def ports(self) -> list[PortInfo]:
        return [PortInfo(name, number, number, name) for name, number in self.numbers.items()]

    def accept(self, machine: Connection, controller: ControllerSettings | None) -> None:
        self.calls.append(("accept", "" if controller is None else controller.target))

    def serve(self, machine: Connection) -> bool:
        self.calls.append(("serve", ""))
        return True

    def forget(self, machine: Connection) -> None:
        self.calls.append(("forget", ""))

    def run(self, now_ms: int) -> None: ...

    def deadline(self) -> int | None:
        return None

    def devices_changed(self) -> None:
        self.calls.append(("devices_changed", ""))

    def port_status(self, bundle: str) -> PortTreeStatus:
        return PortTreeStatus()

    def active_member(self, bundle: str) -> str:
        return ""

    def bridge_status(self) -> BridgeTreeStatus:
        return BridgeTreeStatus()

    def link_status(self, name: str) -> LinkStatus:
        assert name in self.numbers
        return LinkStatus()

    def mirror_stats(self, mirror_id: str) -> tuple[int, int] | None:
        return None

    def device_stats(self, name: str) -> DeviceStats | None:
        device = self.devices.get(name)
        return device.stats() if device is not None else DeviceStats()

    def destroy(self) -> None:
        assert not self.numbers, "destroyed with ports"
        self.destroyed = True


class FakeDataPaths:
    """Makes fake bridges of the types "system" and "netdev"."""

    def __init__(self) -> None:
        self.made: list[FakeBridge] = []
        self.lacks = ""
        self.host_stack: HostStack | None = None

    def shortfall(self, datapath_type: str) -> str:
        return self.lacks if datapath_type == "system" else ""

    def types(self) -> frozenset[str]:
        return frozenset({"system", "netdev"})

    def device_type(self, datapath_type: str, interface_type: str) -> str:
        return interface_type

    def set_limits(self, limits: LimitsWish) -> None:
        self.limits = limits

    def set_zones(self, zones: tuple[ZonesWish, ...]) -> None:
        self.zones = zones

    def create_bridge(self, name: str, datapath_type: str) -> FakeBridge:
        if datapath_type not in self.types():
            raise ConfigError("Address family not supported by protocol")
        bridge = FakeBridge(name)
        self.made.append(bridge)
        return bridge

    def remove_bridge(self, bridge: Bridge) -> None:
        bridge.destroy()


class FakeConnections:
    """Connections that a test sets by hand."""

    def __init__(self) -> None:
        self.statuses: dict[tuple[str, str], ControllerStatus] = {}
        self.followed: list[str] = []
        self.serial = 0

    def follow(self, bridges: dict[str, LiveBridge]) -> None:
        self.followed = sorted(bridges)

    def status(self, bridge: str, target: str, now_ms: int) -> ControllerStatus | None:
        return self.statuses.get((bridge, target))

    def changes(self) -> int:
        return self.serial
