"""Devices of the host that tunnels lead through without being ports of a bridge.

Where the address of a tunnel's end is a plain device's, as with Open vSwitch's kernel module, that
device becomes a port of the data path that no bridge has: an uplink. Its packets stay the host's,
but for those that are some tunnel's; these get their outer headers off (`translate.underlay`).
Packets into tunnels leave by it with the Ethernet address that the host's own neighbour table has.

What must hold: a device is an uplink only while some tunnel is there and a route leads through it,
and never while it is a port of a bridge. Data paths that cannot leave packets to the host
(`Dpif.uplinks`) have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.datapath.dpif import DpPortNo, UplinkPorts
from netloom.netdev.device import Device
from netloom.ofproto.ports import OfPort
from netloom.ofproto.settings import PortSettings

if TYPE_CHECKING:
    from netloom.ofproto.backer import Backer

log = get_logger("ofproto_dpif")

#: How often the host's table is looked at for a neighbour that is asked for, and for how long.
POLL_MS, PATIENCE_MS = 10, 1_000
#: How often it is looked at for those in use, which may have moved.
REFRESH_MS = 5_000
LOOPBACK = "lo"


class Host(Protocol):
    """The host as far as uplinks need it (`netdev.linux.uplinks`)."""

    def open(self, name: str) -> Device: ...

    def find(self, device: str, address: int) -> int | None: ...

    def ask(self, device: str, address: int) -> None: ...


class HostNeighbourWanted:
    """Asks again for a neighbour while packets for it are dropped."""

    __slots__ = ("_address", "_device", "_uplinks")

    def __init__(self, uplinks: Uplinks, device: str, address: int) -> None:
        self._uplinks = uplinks
        self._device = device
        self._address = address

    def ask(self, now_ms: int) -> None:
        self._uplinks.want(self._device, self._address, now_ms)

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        self.ask(used_ms)


class Uplinks:
    """See the module. `ports` are the uplinks by name; their bridges are in no list."""

    def __init__(self, backer: Backer) -> None:
        self._backer = backer
        #: None: there are no uplinks.
        self.host: Host | None = None
        self.ports: dict[str, OfPort] = {}
        self._seen: tuple[int, int, bool] | None = None
        self._heard = -1
        #: (device, address) that the host was asked for, and until when it is waited for.
        self._wanted: dict[tuple[str, int], int] = {}
        self._refresh_ms = 0

    def run(self, now_ms: int) -> None:
        """Follow routes, ports and tunnels; see who has answered."""
        leaving = self._backer.dpif.uplinks
        if self.host is None or leaving is None:
            return
        self._find_neighbours(self.host, now_ms)
        seen = self._state()
        if seen != self._seen:
            self._follow(self.host, leaving)
            self._seen = self._state()
        listeners = self._backer.underlay.listeners
        if self.ports and listeners.generation != self._heard:
            self._heard = listeners.generation
            leaving.listen(listeners.ends())

    def deadline(self) -> int | None:
        """When to look again, in the daemon's milliseconds."""
        if self._wanted:
            return min(self._wanted.values()) - PATIENCE_MS + POLL_MS
        return self._refresh_ms if self.ports else None

    def want(self, device: str, address: int, now_ms: int) -> None:
        """Have the host find a neighbour."""
        if self.host is not None and (device, address) not in self._wanted:
            self._wanted[device, address] = now_ms + PATIENCE_MS
            self.host.ask(device, address)

    def release(self, name: str) -> None:
        """The device is to be a port of a bridge, or is gone."""
        port = self.ports.pop(name, None)
        if port is None:
            return
        backer = self._backer
        assert port.device is not None
        backer.ports.pop(port.dp_port, None)
        backer.underlay.detach(port.device)
        backer.dpif.port_del(DpPortNo(port.dp_port))
        port.device.close()
        backer.config_changed()
        log.info("tunnels do not lead through %s any more", name)

    def close(self) -> None:
        for name in list(self.ports):
            self.release(name)

    def _state(self) -> tuple[int, int, bool]:
        backer = self._backer
        return backer.config_generation, backer.underlay.routes.generation, bool(backer.tunnels)

    def _follow(self, host: Host, leaving: UplinkPorts) -> None:
        wanted = self._wanted_devices()
        for name in self.ports.keys() - wanted:
            self.release(name)
        for name in sorted(wanted - self.ports.keys()):
            self._add(host, leaving, name)

    def _wanted_devices(self) -> set[str]:
        backer = self._backer
        if not backer.tunnels:
            return set()
        underlay = backer.underlay
        return {
            name
            for name in underlay.routes.devices()
            if name != LOOPBACK
            and underlay.addresses(name)
            and (name in self.ports or name not in underlay.devices)
        }

    def _add(self, host: Host, leaving: UplinkPorts, name: str) -> None:
        backer = self._backer
        try:
            device = host.open(name)
        except ConfigError as error:
            log.warn_rl("tunnels cannot lead through %s: %s", name, error)
            return
        try:
            if not device.state().mac.strip("0:"):
                # Nothing with Ethernet headers: another tunnel, perhaps.
                raise ConfigError("it has no Ethernet address")
            number = leaving.add_uplink(device).number
        except ConfigError as error:
            device.close()
            log.warn_rl("tunnels cannot lead through %s: %s", name, error)
            return
        bridge = backer.hidden_bridge(name)
        port = OfPort(bridge, PortSettings(name, "system"), 1, backer.clock.now_ms())
        port.device, port.dp_port = device, number
        self.ports[name] = backer.ports[number] = port
        backer.underlay.attach(device)
        backer.config_changed()
        log.info("tunnels may lead through %s, which stays the host's", name)

    def _find_neighbours(self, host: Host, now_ms: int) -> None:
        neighbours = self._backer.underlay.neighbours
        for (device, address), until_ms in list(self._wanted.items()):
            mac = host.find(device, address)
            if mac is not None:
                neighbours.set(device, address, mac, now_ms)
            if mac is not None or now_ms >= until_ms:
                del self._wanted[device, address]
        if now_ms < self._refresh_ms:
            return
        self._refresh_ms = now_ms + REFRESH_MS
        for device, address in neighbours.on(self.ports):
            mac = host.find(device, address)
            if mac is not None:
                neighbours.follow(device, address, mac)
            host.ask(device, address)
