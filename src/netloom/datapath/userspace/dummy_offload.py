"""Hardware of dummies: devices that run flows of their data path by themselves, for tests.

A flow is given to the device where its packets come in, with a *mark*, the number by which the
device tells that it recognised a packet's flow. Then nobody has to look the flow up, but its
actions are the data path's to run. Actions that the hardware can do (outputs to other devices that
are polled, headers of UDP tunnels) it does alone, and the data path does not see the packet at all;
if an output is gone meanwhile, the packet is handed to software after all.

The provider `dummy_x` is there for orders of providers: it takes ports and flows, and no packets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from netloom.base.log import DBG, get_logger
from netloom.datapath.actions import DpActions, Output, TunnelPush
from netloom.datapath.flow_text import format_ufid
from netloom.datapath.offload import CLASSES, OffloadPolicy
from netloom.datapath.offload import log as offload_log
from netloom.datapath.ufid import flow_ufid
from netloom.datapath.userspace.cache import CachedFlow
from netloom.flow.key import IN_PORT_MASK
from netloom.flow.match import Match
from netloom.flow.print import format_flow, format_megaflow
from netloom.netdev.device import Device
from netloom.netdev.dummy import POLLED_TYPE, DummyDevice

if TYPE_CHECKING:
    from netloom.datapath.userspace.execute import Execution

log: Final = get_logger("dpif_offload_dummy")

#: The data paths that these providers are for.
DATAPATH_TYPE: Final = "dummy"
#: The provider whose devices look at packets.
_LOOKING: Final = "dummy"
#: Numbers of the types of tunnels over UDP whose headers hardware puts on: VXLAN and Geneve.
_UDP_TUNNELS: Final = frozenset({4, 5})


class HardwareFlow:
    """A flow that a device has."""

    __slots__ = ("flow", "is_whole", "mark", "port")

    def __init__(self, flow: CachedFlow, port: DummyPort, mark: int) -> None:
        self.flow = flow
        self.port = port
        self.mark = mark
        #: The device runs the actions, too.
        self.is_whole = False


class DummyPort:
    """A port whose device runs flows (`offload.OffloadedPort`)."""

    def __init__(self, provider: DummyProvider, number: int, device: DummyDevice) -> None:
        self.provider = provider
        self.number = number
        self.name = device.name
        self.is_polled = device.type == POLLED_TYPE
        self.recognised = self.carried = self.missed = self.aborted = 0
        #: By mask, then by the bits under it.
        self._flows: dict[int, dict[int, HardwareFlow]] = {}

    def add(self, found: HardwareFlow) -> None:
        """Take a flow."""
        flow = found.flow
        self._flows.setdefault(flow.mask, {})[flow.key & flow.mask] = found

    def remove(self, found: HardwareFlow) -> None:
        """Forget a flow."""
        group = self._flows[found.flow.mask]
        del group[found.flow.key & found.flow.mask]
        if not group:
            del self._flows[found.flow.mask]

    def find(self, key: int) -> HardwareFlow | None:
        """The flow of a packet."""
        for mask, group in self._flows.items():
            found = group.get(key & mask)
            if found is not None:
                return found
        return None

    def flows(self) -> list[HardwareFlow]:
        return [found for group in self._flows.values() for found in group.values()]


class DummyProvider:
    """One kind of such hardware in one data path (`offload.Provider`)."""

    def __init__(self, type_: str) -> None:
        self.type = type_
        self.by_number: dict[int, DummyPort] = {}
        self._next_mark = 1
        self._free_marks: list[int] = []

    def ports(self) -> Iterable[DummyPort]:
        return [self.by_number[number] for number in sorted(self.by_number)]

    def take_mark(self) -> int:
        """A number that no flow has."""
        if self._free_marks:
            return self._free_marks.pop()
        self._next_mark += 1
        return self._next_mark - 1

    def give_back(self, mark: int) -> None:
        self._free_marks.append(mark)


class DummyOffload:
    """The providers of one data path (`offload.Hardware`)."""

    def __init__(self, policy: OffloadPolicy) -> None:
        self.policy = policy
        self._providers = {type_: DummyProvider(type_) for type_ in policy.in_order(_types())}
        self._ports: dict[int, DummyPort] = {}
        #: Packets whose flow was told, and packets that were not seen, since the start.
        self.n_recognised = self.n_carried = 0

    @property
    def providers(self) -> list[DummyProvider]:
        return list(self._providers.values())

    def add_port(self, device: Device, number: int) -> None:
        """A port was added to the data path: of the first provider that is to have it, if any."""
        for type_ in self.policy.order_of(device.name, list(self._providers)):
            if not isinstance(device, DummyDevice):
                text = "netdev %s failed can_offload for dpif-offload provider %s"
                offload_log.dbg(text, device.name, type_)
                continue
            provider = self._providers[type_]
            port = self._ports[number] = DummyPort(provider, number, device)
            provider.by_number[number] = port
            text = "netdev %s added to dpif-offload provider %s"
            offload_log.dbg(text, device.name, type_)
            return

    def remove_port(self, number: int) -> None:
        """A port goes, and its flows go from its device; in the data path they stay."""
        port = self._ports.pop(number, None)
        if port is None:
            return
        del port.provider.by_number[number]
        for found in port.flows():
            found.flow.hardware = None
            port.provider.give_back(found.mark)

    def put(self, flow: CachedFlow) -> None:
        """Give a flow, or one with other actions, to the device where its packets come in."""
        port = self._ports.get(flow.key & IN_PORT_MASK)
        if port is None or not self.policy.enabled:
            return
        found = flow.hardware
        is_new = found is None
        if found is None:
            found = flow.hardware = HardwareFlow(flow, port, port.provider.take_mark())
            port.add(found)
        found.is_whole = _can_run(flow.actions, port)
        if log.threshold >= DBG:
            match = format_megaflow(Match(flow.key, flow.mask))
            word, ufid = "create" if is_new else "modify", _format_ufid(flow)
            text = "%s: flow put[%s]: %s flow match: %s, mark: %d"
            log.dbg(text, port.name, word, ufid, match, found.mark)
            _tell("add" if is_new else "modify", ufid)

    def remove(self, flow: CachedFlow) -> None:
        """A flow goes: also from the device."""
        found = flow.hardware
        if found is None:
            return
        flow.hardware = None
        found.port.remove(found)
        found.port.provider.give_back(found.mark)
        if log.threshold >= DBG:
            ufid = _format_ufid(flow)
            log.dbg("%s: flow del: %s mark: %d", found.port.name, ufid, found.mark)
            _tell("delete", ufid)

    def source_port(self, execution: Execution) -> int:
        """The UDP source port of a tunnel's packet that a packet goes into as it is; 0 if the
        device where it came in has no say."""
        if not self.policy.enabled or execution.key & IN_PORT_MASK not in self._ports:
            return 0
        return _fnv1a(execution.frozen().data) & 0xFFFF

    def look_at(self, number: int, key: int) -> CachedFlow | None:
        """A packet came in: its flow, if the device knows it and could do its part."""
        port = self._ports.get(number)
        if port is None or not self.policy.enabled or port.provider.type != _LOOKING:
            return None
        found = port.find(key)
        if found is None:
            port.missed += 1
            return None
        if log.threshold >= DBG:
            _tell_packet(found, key)
        if not found.is_whole:
            port.recognised += 1
            self.n_recognised += 1
            return found.flow
        port.carried += 1
        ports = port.provider.by_number
        if any(isinstance(a, Output) and a.port not in ports for a in found.flow.actions):
            log.dbg("Failed HW pipeline, sent to sw!")
            port.aborted += 1
            return None
        self.n_carried += 1
        return found.flow


def dummy_offload(datapath_type: str, policy: OffloadPolicy | None) -> DummyOffload | None:
    """The hardware of a new data path's devices; None if there is none for its type, or there is
    no policy."""
    if policy is None or datapath_type != DATAPATH_TYPE:
        return None
    return DummyOffload(policy)


def _types() -> list[str]:
    return [name for name, type_ in CLASSES.items() if type_ == DATAPATH_TYPE]


def _can_run(actions: DpActions, port: DummyPort) -> bool:
    """Can the device run the actions on packets from `port`? To drop them it can."""
    ports = port.provider.by_number
    for action in actions:
        if isinstance(action, Output):
            other = ports.get(action.port)
            if other is None or other is port or not other.is_polled:
                return False
        elif not isinstance(action, TunnelPush) or action.type not in _UDP_TUNNELS:
            return False
    return True


def _fnv1a(data: bytes) -> int:
    """The FNV-1a hash of 32 bits, which is the same on every machine."""
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def _format_ufid(flow: CachedFlow) -> str:
    return format_ufid(flow_ufid(flow.key & flow.mask, flow.mask))


def _tell(what: str, ufid: str) -> None:
    log.dbg("succeed to %s netdev flow %s", what, ufid.removeprefix("ufid:"))


def _tell_packet(found: HardwareFlow, key: int) -> None:
    flow = found.flow
    # A device knows no number of its port.
    match = format_megaflow(Match(flow.key, flow.mask & ~IN_PORT_MASK))
    packet = format_flow(key & ~IN_PORT_MASK)
    text = "%s: packet: %s matches with flow: %s %s with mark: %d"
    log.dbg(text, found.port.name, packet, _format_ufid(flow), match, found.mark)
