"""Performs the steps of a plan on bridges and devices, and knows what became of them.

What must hold: no step's failure keeps another one from being done, and none stops the daemon. An
interface that cannot be had is in `errors`, with the text for its row, and not in `actual()`: so
the next plan tries it again. `wants_retry` says when that may help: a device came, went or changed.
"""

from __future__ import annotations

import os
from typing import Protocol

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.base.record import replace
from netloom.netdev.device import Device, DeviceFactory, DeviceState
from netloom.netdev.errors import OptionsRefused
from netloom.ofproto.interface import Bridge
from netloom.ofproto.settings import BridgeSettings, BundleSettings, PortSettings
from netloom.vswitchd import plan as steps
from netloom.vswitchd.identity import bridge_mac, datapath_id, fake_bridge_mac
from netloom.vswitchd.local_networks import configure_local_port
from netloom.vswitchd.quality import check_policing, clear_queues, dscp_marks, set_queues
from netloom.vswitchd.wish import (
    BridgeWish,
    HostStack,
    InterfaceWish,
    LimitsWish,
    PortWish,
    Wish,
    ZonesWish,
)

log = get_logger("bridge")
netdev_log = get_logger("netdev")

#: What an Ethernet carries, if no device says otherwise.
DEFAULT_MTU = 1500


class DataPaths(Protocol):
    """Makes bridges: the program's choice of data paths."""

    def types(self) -> frozenset[str]:
        """The values that Bridge.datapath_type may have."""

    def device_type(self, datapath_type: str, interface_type: str) -> str:
        """What a data path opens for an Interface type ("tap" for "internal", say)."""

    def set_zones(self, zones: tuple[ZonesWish, ...]) -> None:
        """The connection tracking zones of all data paths; what is not named is as by default."""

    def set_limits(self, limits: LimitsWish) -> None:
        """What holds for all data paths that there are and will be."""

    def create_bridge(self, name: str, datapath_type: str) -> Bridge:
        """Raises ConfigError if there is no such data path."""

    @property
    def host_stack(self) -> HostStack | None:
        """The IP stack behind devices that are no dummies; None if there are none."""

    def shortfall(self, datapath_type: str) -> str:
        """What the data path of existing bridges lacks of its type's promise; "" if nothing."""

    def remove_bridge(self, bridge: Bridge) -> None:
        """Destroy a bridge, whose ports are gone already."""


class LiveInterface:
    """A port as it was added. `device` is None for a patch port."""

    __slots__ = ("device", "ofport", "state", "wish")

    def __init__(self, wish: InterfaceWish, device: Device | None, ofport: int) -> None:
        self.wish = wish
        self.device = device
        self.ofport = ofport
        #: The device's state when last looked at.
        self.state: DeviceState | None = None if device is None else device.state()


class LiveBridge:
    """A bridge as it was made."""

    def __init__(self, wish: BridgeWish, bridge: Bridge) -> None:
        self.wish = wish
        self.bridge = bridge
        self.interfaces: dict[str, LiveInterface] = {}
        self.bundles: dict[str, BundleSettings] = {}
        self.mac = ""
        #: Of its first row: it stays if a transaction puts another row in its place.
        self.default_mac = ""
        #: What internal ports were given last.
        self.mtu = DEFAULT_MTU
        self.settings: BridgeSettings | None = None

    @property
    def name(self) -> str:
        return self.wish.name

    @property
    def datapath_id(self) -> int:
        return 0 if self.settings is None else self.settings.datapath_id

    def macs(self) -> dict[str, str]:
        """The addresses of the devices, by interface name."""
        return {
            name: live.state.mac for name, live in self.interfaces.items() if live.state is not None
        }

    def actual(self) -> BridgeWish:
        """The part of the wish that was granted."""
        ports = []
        for port in self.wish.ports:
            present = tuple(
                self.interfaces[wish.name].wish
                for wish in port.interfaces
                if wish.name in self.interfaces
            )
            bundle = self.bundles.get(port.name)
            if present and bundle is not None:
                ports.append(replace(port, interfaces=present, bundle=bundle))
        return replace(self.wish, ports=tuple(ports))


class Applier:
    """All bridges of the daemon, and the devices that are their ports."""

    def __init__(self, devices: DeviceFactory, datapaths: DataPaths) -> None:
        self._devices = devices
        self._datapaths = datapaths
        self.bridges: dict[str, LiveBridge] = {}
        #: Why an interface is not there, by interface name.
        self.errors: dict[str, str] = {}
        #: Grows with every change of what is: status looks at its rows again.
        self.version = 0
        self._changes_seen = devices.changes()
        #: The daemon ends, or waits for another: queues stay as they are, for who comes next.
        self.leaves = False

    # -- what is -------------------------------------------------------------------------

    def actual(self) -> Wish:
        """What was granted of all wishes so far."""
        return Wish(bridges=tuple(live.actual() for live in self.bridges.values()))

    def ofports(self) -> dict[tuple[str, str], int]:
        """The OpenFlow port numbers, by bridge and interface."""
        return {
            (bridge.name, name): live.ofport
            for bridge in self.bridges.values()
            for name, live in bridge.interfaces.items()
        }

    def find(self, interface: str) -> LiveInterface | None:
        """The port of that name, of whichever bridge."""
        for bridge in self.bridges.values():
            found = bridge.interfaces.get(interface)
            if found is not None:
                return found
        return None

    def device_events(self) -> bool:
        """Whether a device came, went or changed since the last call."""
        changes = self._devices.changes()
        changed = changes != self._changes_seen
        self._changes_seen = changes
        return changed

    # -- performing ----------------------------------------------------------------------

    def _drop_lost(self) -> None:
        """Ports that somebody else has taken away are not there; so they come back if wished."""
        for live in self.bridges.values():
            for name in [name for name in live.interfaces if not live.bridge.has_port(name)]:
                self._del_interface(live, name)

    def apply(self, wish: Wish) -> list[steps.Step]:
        """Make what is what is wished, as far as possible; the steps that were taken."""
        self._drop_lost()
        todo = steps.plan(self.actual(), wish, self.ofports())
        self._datapaths.set_limits(wish.limits)
        wished = {i.name: i for b in wish.bridges for p in b.ports for i in p.interfaces}
        self.errors = {name: text for name, text in self.errors.items() if name in wished}
        self.errors |= {name: i.error for name, i in wished.items() if i.error is not None}
        for step in todo:
            self._perform(step)
        self._datapaths.set_zones(wish.zones)
        if todo:
            self.version += 1
            # A port that came or went may be the other end of a patch port of any bridge.
            for live in self.bridges.values():
                live.bridge.devices_changed()
        return todo

    def _perform(self, step: steps.Step) -> None:
        if isinstance(step, steps.CreateBridge):
            self._create_bridge(step)
            return
        live = self.bridges.get(step.bridge)
        if live is None:
            # Its creation failed, which is logged: nothing can be done with it.
            return
        if isinstance(step, steps.DestroyBridge):
            self._destroy(live)
        elif isinstance(step, steps.DelBundle):
            live.bridge.bundle_del(step.name)
            live.bundles.pop(step.name, None)
        elif isinstance(step, steps.DelInterface):
            self._del_interface(live, step.name)
        elif isinstance(step, steps.AddInterface):
            self._add_interface(live, step.wish)
        elif isinstance(step, steps.ChangeInterface):
            self._change_interface(live, step.wish)
        elif isinstance(step, steps.SetBundle):
            self._set_bundle(live, step.settings)
        elif isinstance(step, steps.SettleBridge):
            live.wish = step.wish
            self.settle(live)
            self._configure_local_port(live)

    def _create_bridge(self, step: steps.CreateBridge) -> None:
        try:
            bridge = self._datapaths.create_bridge(step.bridge, step.datapath_type)
        except ConfigError as error:
            log.err("failed to create bridge %s: %s", step.bridge, error)
            return
        # The rest of the wish is set when the bridge is settled.
        self.bridges[step.bridge] = LiveBridge(
            BridgeWish(
                name=step.bridge,
                datapath_type=step.datapath_type,
                settings=BridgeSettings(name=step.bridge, datapath_id=0),
                ports=(),
                default_mac="",
            ),
            bridge,
        )

    def _destroy(self, live: LiveBridge) -> None:
        for name in sorted(live.interfaces, key=lambda name: name == live.name):
            self._del_interface(live, name)
        self._datapaths.remove_bridge(live.bridge)
        del self.bridges[live.name]

    def shortfall(self, bridge: LiveBridge) -> str:
        """What the data path of a bridge lacks; "" if nothing."""
        return self._datapaths.shortfall(bridge.wish.datapath_type)

    def close(self, leaves: bool = False) -> None:
        """Remove all bridges; if the daemon `leaves`, queues of devices stay."""
        self.leaves = leaves
        for live in list(self.bridges.values()):
            self._destroy(live)
        self.leaves = False

    # -- interfaces ----------------------------------------------------------------------

    def _add_interface(self, live: LiveBridge, wish: InterfaceWish) -> None:
        device: Device | None = None
        try:
            if wish.type != "patch":
                device = self._open(live, wish)
                self._request_mtu(wish, device)
            ofport = live.bridge.port_add(_port_settings(wish), device)
        except ConfigError as error:
            if device is not None:
                device.close()
            self.errors[wish.name] = str(error)
            _log_refusal(wish.name, error)
            return
        self.errors.pop(wish.name, None)
        live.interfaces[wish.name] = LiveInterface(wish, device, ofport)
        set_queues(wish, device)
        check_policing(wish)
        log.info("bridge %s: added interface %s on port %d", live.name, wish.name, ofport)

    def _open(self, live: LiveBridge, wish: InterfaceWish) -> Device:
        type_ = self._datapaths.device_type(live.wish.datapath_type, wish.type)
        return self._devices.open(wish.name, type_, dict(wish.options))

    def _request_mtu(self, wish: InterfaceWish, device: Device) -> None:
        if not wish.mtu:
            return
        try:
            device.set_mtu(wish.mtu)
        except ConfigError as error:
            text = "failed to set MTU for network device %s: %s"
            netdev_log.warn_rl(text, wish.name, error.message)

    def _del_interface(self, live: LiveBridge, name: str) -> None:
        interface = live.interfaces.pop(name)
        for bundle in [b for b in live.bundles.values() if name in b.members]:
            if not any(member in live.interfaces for member in bundle.members):
                live.bridge.bundle_del(bundle.name)
                del live.bundles[bundle.name]
        if live.bridge.has_port(name):
            live.bridge.port_del(name)
        if interface.device is not None:
            if not self.leaves:
                clear_queues(interface.device)
            interface.device.close()
        log.info("bridge %s: deleted interface %s on port %d", live.name, name, interface.ofport)

    def _change_interface(self, live: LiveBridge, wish: InterfaceWish) -> None:
        interface = live.interfaces[wish.name]
        try:
            if interface.device is not None:
                if interface.wish.options != wish.options:
                    interface.device.set_options(dict(wish.options))
                if interface.wish.mtu != wish.mtu:
                    self._request_mtu(wish, interface.device)
                interface.state = interface.device.state()
                if interface.wish.qos != wish.qos:
                    set_queues(wish, interface.device)
            if interface.wish.policing != wish.policing:
                check_policing(wish)
            live.bridge.port_configure(_port_settings(wish))
        except ConfigError as error:
            _log_refusal(wish.name, error)
            self._del_interface(live, wish.name)
            self.errors[wish.name] = str(error)
            return
        interface.wish = wish
        self.errors.pop(wish.name, None)

    def _set_bundle(self, live: LiveBridge, settings: BundleSettings) -> None:
        present = tuple(name for name in settings.members if name in live.interfaces)
        if not present:
            return
        live.bridge.bundle_set(replace(settings, members=present))
        live.bundles[settings.name] = settings

    # -- who the bridge is ---------------------------------------------------------------

    def settle(self, live: LiveBridge) -> None:
        """Bring address, datapath id, MTUs and settings in line with the ports that there are."""
        macs = live.macs()
        live.default_mac = live.default_mac or live.wish.default_mac
        live.mac = bridge_mac(replace(live.wish, default_mac=live.default_mac), macs)
        self._set_mac(live, live.name, live.mac)
        for port in live.wish.ports:
            self._set_interface_mac(live, port, macs)
        self._follow_mtu(live)
        number = datapath_id(live.wish, live.mac)
        settings = replace(live.wish.settings, datapath_id=number)
        own = int(live.mac.replace(":", "") or "0", 16)
        if settings.stp is not None and not settings.stp.system_id:
            settings = replace(settings, stp=replace(settings.stp, system_id=own))
        if settings.rstp is not None and not settings.rstp.address:
            settings = replace(settings, rstp=replace(settings.rstp, address=own))
        if settings == live.settings:
            return
        if number != live.datapath_id:
            log.info("bridge %s: using datapath ID %016x", live.name, number)
        live.settings = settings
        live.bridge.configure(settings)

    def _set_interface_mac(self, live: LiveBridge, port: PortWish, macs: dict[str, str]) -> None:
        for wish in port.interfaces:
            if wish.name == live.name or wish.type != "internal":
                continue
            if wish.mac:
                self._set_mac(live, wish.name, wish.mac)
            elif port.fake_bridge:
                self._set_mac(live, wish.name, fake_bridge_mac(live.wish, port, macs))

    def _set_mac(self, live: LiveBridge, name: str, mac: str) -> None:
        interface = live.interfaces.get(name)
        if interface is None or interface.device is None or interface.state is None:
            return
        if interface.state.mac == mac:
            return
        try:
            interface.device.set_mac(mac)
        except ConfigError as error:
            if name == live.name:
                log.err_rl("bridge %s: failed to set bridge Ethernet address: %s", name, error)
            else:
                log.err("interface %s: setting MAC failed (%s)", name, error)
        interface.state = interface.device.state()

    def _follow_mtu(self, live: LiveBridge) -> None:
        """Internal ports for which nobody asks for an MTU take the smallest of the others, so that
        what the host sends fits through every port. What the host made of them since stays until
        that changes, unless it is too much."""
        following: list[tuple[Device, LiveInterface, DeviceState]] = []
        others = []
        for each in live.interfaces.values():
            if each.device is None or each.state is None:
                continue
            if each.wish.type == "internal" and not each.wish.mtu:
                following.append((each.device, each, each.state))
            elif each.state.mtu:
                others.append(each.state.mtu)
        mtu = min(others, default=DEFAULT_MTU)
        has_changed, live.mtu = mtu != live.mtu, mtu
        for device, interface, state in following:
            if state.mtu == mtu or (state.mtu < mtu and not has_changed):
                continue
            try:
                device.set_mtu(mtu)
            except ConfigError as error:
                log.warn_rl("interface %s: setting MTU failed (%s)", interface.wish.name, error)
            interface.state = device.state()

    def _configure_local_port(self, live: LiveBridge) -> None:
        """As controllers ask; a dummy is no device of the host."""
        stack = self._datapaths.host_stack
        local = live.interfaces.get(live.name)
        if stack is None or local is None or local.device is None:
            return
        if local.state is not None and local.state.ifindex:
            for wanted in live.wish.local_networks:
                configure_local_port(live.name, local.device, wanted, stack)

    # -- devices that change by themselves -----------------------------------------------

    def refresh(self) -> bool:
        """Look at all devices: remove ports whose device vanished, follow addresses and MTUs that
        changed. Whether anything did."""
        changed = False
        for live in list(self.bridges.values()):
            changed_here = False
            for name, interface in list(live.interfaces.items()):
                if interface.device is None:
                    continue
                state = interface.device.state()
                if not state.present:
                    self._lose(live, name)
                    changed_here = True
                elif state != interface.state:
                    interface.state = state
                    changed_here = True
            if changed_here:
                self.settle(live)
                live.bridge.devices_changed()
                changed = True
        if changed:
            self.version += 1
        return changed

    def _lose(self, live: LiveBridge, name: str) -> None:
        self._del_interface(live, name)
        self.errors[name] = f"could not open network device {name} (No such device)"


def _log_refusal(name: str, error: ConfigError) -> None:
    """Say in the log why an interface cannot be had."""
    if isinstance(error, OptionsRefused):
        reason = os.strerror(error.code)
        netdev_log.warn_rl("%s: could not set configuration (%s)", name, reason)
    else:
        log.warn_rl("%s", error)


def _port_settings(wish: InterfaceWish) -> PortSettings:
    return PortSettings(
        name=wish.name,
        type=wish.type,
        ofport_request=wish.ofport,
        peer=wish.peer,
        mtu=wish.mtu,
        mac=wish.mac if wish.type == "patch" else "",
        lacp_port_id=wish.lacp[0],
        lacp_port_priority=wish.lacp[1],
        lacp_key=wish.lacp[2],
        bfd=wish.bfd,
        cfm=wish.cfm,
        lldp=wish.lldp,
        policing=wish.policing,
        polling=wish.polling,
        marks=dscp_marks(wish.qos),
    )
