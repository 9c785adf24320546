"""The network under the tunnels, as far as a switch must know it to build outer headers itself.

    routes      where to send what is for an address: device, gateway, own address (`ovs/route/*`)
    neighbours  Ethernet addresses of the next hops, learned from ARP and ND packets
                that reach a bridge (`tnl/neigh/*`)
    listeners   which packets that reach a bridge's own addresses belong to which tunnel
                (`tnl/ports/show`)

One `Underlay` serves all bridges of the daemon. It knows devices by name (`devices`, kept by the
backers) and asks them for addresses. Every change that may alter a translation raises `generation`;
the backers then revalidate.

Addresses are numbers of 128 bits (`flow.mapped`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netloom.base.errors import ConfigError
from netloom.base.record import replace
from netloom.flow.mapped import ipv4_of, map_ipv4
from netloom.netdev.device import Device
from netloom.ofproto.underlay.listeners import Listeners
from netloom.ofproto.underlay.neighbours import Neighbours
from netloom.ofproto.underlay.routes import Route, Routes, next_hop, source_for


class Underlay:
    """See the module."""

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        #: Ethernet addresses seen as text -> as numbers.
        self._macs: dict[str, int] = {}
        #: Addresses that dummies were given, and those of the host's devices.
        self.given: dict[str, tuple[tuple[int, int], ...]] = {}
        self._host: dict[str, tuple[tuple[int, int], ...]] = {}
        self.routes = Routes(self.addresses)
        self.neighbours = Neighbours()
        self.listeners = Listeners()
        #: The addresses of a device of the host, also where its routes are not followed.
        self.host_addresses: Callable[[str], Sequence[int]] = lambda device: ()
        #: What the host's kernel knows: (device, IPv4 address) -> Ethernet address.
        self.host_neighbour: Callable[[str, int], int | None] = lambda device, address: None
        self._watched: dict[str, tuple[int, tuple[tuple[int, int], ...]]] = {}

    @property
    def generation(self) -> int:
        return self.routes.generation + self.neighbours.generation + self.listeners.generation

    def addresses(self, name: str) -> tuple[tuple[int, int], ...]:
        """(address, prefix length) of a device; none if it is unknown or has none."""
        return self.given.get(name, ()) + self._host.get(name, ())

    def mac(self, name: str) -> int:
        """The Ethernet address of a device; 0 if it has none."""
        device = self.devices.get(name)
        text = device.state().mac if device is not None else ""
        number = self._macs.get(text)
        if number is None:
            number = self._macs[text] = int(text.replace(":", "") or "0", 16)
        return number

    def next_hop_mac(self, address: int) -> int | None:
        """The Ethernet address of who the host hands packets for an IPv4 address to, if the kernel
        knows it. Raises ConfigError if there is no way there."""
        mapped = map_ipv4(address)
        route = self.routes.lookup(mapped)
        if route is None:
            raise ConfigError("No such device or address")
        if route.is_local:
            return None
        return self.host_neighbour(route.device, ipv4_of(next_hop(route, mapped)))

    def has_carrier(self, name: str) -> bool:
        """Is the link of a device up? One that is nobody's port is taken to be."""
        device = self.devices.get(name)
        return device is None or device.state().link_up

    def run(self, now_ms: int) -> None:
        """Look whether devices that routes lead through changed their addresses, and listen at the
        new ones; forget neighbours that have not been heard of."""
        self.neighbours.run(now_ms)
        wanted = {}
        for name in self.routes.devices():
            if name not in self.devices:
                continue
            addresses = self.addresses(name)
            if addresses and (mac := self.mac(name)):
                wanted[name] = (mac, addresses)
        if wanted != self._watched:
            self._watched = wanted
            self.listeners.set_addresses(
                [(mac, ip) for mac, ips in wanted.values() for ip, _ in ips]
            )

    def give(self, name: str, address: int, length: int) -> None:
        """Give a dummy an address; its network becomes a route."""
        if (address, length) not in self.given.get(name, ()):
            self.given[name] = (*self.given.get(name, ()), (address, length))
        self.routes.add_own(name, address, length)

    def attach(self, device: Device) -> None:
        """A device has become a port of some bridge."""
        self.devices[device.name] = device

    def detach(self, device: Device) -> None:
        if self.devices.get(device.name) is device:
            del self.devices[device.name]
            if self.given.pop(device.name, None) is not None:
                self.routes.remove_own(device.name)

    def set_host(
        self, addresses: dict[str, tuple[tuple[int, int], ...]], routes: tuple[Route, ...]
    ) -> None:
        """What the host's kernel has now; routes without a source get that of their device."""
        self._host = addresses
        found = []
        for route in routes:
            own = addresses.get(route.device, ())
            source = route.source or source_for(route.prefix, own)
            source = source or (source_for(route.gateway, own) if route.gateway else 0)
            if source:
                found.append(replace(route, source=source))
        self.routes.set_system(tuple(found))
