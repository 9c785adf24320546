"""A bridge's OpenFlow sessions without sockets: what a controller sends and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.flow.fields import FIELD
from netloom.netdev.dummy import DummyDevice
from netloom.ofproto.connmgr import ConnectionManager
from netloom.ofproto.groups import Groups
from netloom.ofproto.meters import MeterNumbers, Meters
from netloom.ofproto.ports import OfPort
from netloom.ofproto.settings import BridgeSettings, ControllerSettings, PortSettings
from netloom.ofproto.tables import Tables
from netloom.ofproto.tlv_table import TlvTable
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow.connection import Connection, Received
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.messages_nx import CtFlush

TARGET = "tcp:127.0.0.1:6653"
PORT = m.PhyPort(1, 0xAA55AA55000F, "p1")
LOCAL = m.PhyPort(0xFFFFFFFE, 0xFAEE858A1749, "br0")
KEY = FIELD["in_port_oxm"].put(0, 1)
FRAME = bytes(range(60))


def make_dpif() -> UserspaceDpif:
    return UserspaceDpif("dummy", "dummy@ovs-dummy", ManualClock(), Counters())


def make_meters() -> Meters:
    """Meters of a data path of their own."""
    return Meters(make_dpif(), MeterNumbers())


class FakeSwitch:
    """A bridge of two ports that notes what it is asked to do."""

    def __init__(self) -> None:
        self.name = "br0"
        self.datapath_id = 0xFAEE858A1749
        self.tables = Tables()
        self.groups = Groups()
        self.tlv_table = TlvTable()
        self.dpif = make_dpif()
        self.meters = Meters(self.dpif, MeterNumbers())
        self.calls: list[object] = []
        self.manager: ConnectionManager | None = None
        #: IPv4 address -> Ethernet address of the next hop.
        self.next_hops: dict[int, int] = {}

    def local_mac(self) -> int | None:
        return 0xFAEE858A1749

    def next_hop_mac(self, address: int) -> int | None:
        """As `next_hops` says."""
        return self.next_hops.get(address)

    def phy_ports(self) -> list[m.PhyPort]:
        return [PORT, LOCAL]

    def port_stats(self) -> list[m.PortStats]:
        return [m.PortStats(1, rx_packets=7), m.PortStats(0xFFFFFFFE)]

    def ports_in_order(self) -> list[OfPort]:
        return [self._port(number) for number in (1, 0xFFFFFFFE)]

    def _port(self, number: int) -> OfPort:
        port = OfPort(cast(Any, None), PortSettings(f"p{number}", "dummy"), number, 0)
        port.device = DummyDevice(port.name, "dummy", 1, lambda: 0)
        return port

    def port_mod(self, mod: m.PortMod) -> None:
        if mod.port_no != PORT.port_no:
            raise OpenFlowError("OFPPMFC_BAD_PORT")
        if self.manager is not None:
            self.manager.port_status(m.OFPPR_MODIFY, PORT)

    def packet_out(self, message: m.PacketOut, now_ms: int) -> None:
        self.calls.append(message)

    def prepare_packet_out(self, message: m.PacketOut, now_ms: int) -> Callable[[], None]:
        return lambda: self.packet_out(message, now_ms)

    def resume(self, packet_in: m.PacketIn, now_ms: int) -> None:
        raise OpenFlowError("NXR_STALE")

    def flush_connections(self, request: CtFlush) -> None:
        """No connections."""

    def refresh_statistics(self) -> None:
        self.calls.append("refresh")
        for rule in self.tables.rules():
            rule.n_packets = 3

    def settle(self, now_ms: int) -> None:
        self.calls.append("settle")


class Bench:
    """A manager, and controllers whose bytes reach it."""

    def __init__(self, settings: BridgeSettings | None = None) -> None:
        self.now_ms = 1_000
        self.switch = FakeSwitch()
        self.dpif = self.switch.dpif
        self.manager = ConnectionManager(self.switch)
        self.switch.manager = self.manager
        self.manager.configure(settings or BridgeSettings("br0", 1), self.now_ms)

    def join(self, version: int = 4, controller: ControllerSettings | None = None) -> Client:
        return Client(self, version, controller)

    def run(self, after_ms: int = 0) -> None:
        self.now_ms += after_ms
        self.manager.run(self.now_ms)


class Client:
    def __init__(self, bench: Bench, version: int, controller: ControllerSettings | None) -> None:
        self.bench = bench
        self.side = Connection("client", (version,))
        self.machine = Connection("unix", (1, 2, 3, 4, 5, 6))
        bench.manager.accept(self.machine, controller, bench.now_ms)
        self.ask()

    def ask(self, *requests: m.Message | bytes) -> list[m.Message]:
        """Sends requests; returns all that has come back."""
        for request in requests:
            if isinstance(request, bytes):
                self.side.send_bytes(request)
            else:
                self.side.send(request)
        self.machine.receive_data(self.side.data_to_send())
        self.bench.run()
        return self.received()

    def received(self) -> list[m.Message]:
        self.side.receive_data(self.machine.data_to_send())
        messages = []
        while (event := self.side.next_event()) is not None:
            if isinstance(event, Received):
                messages.append(event.message)
        return messages

    def error(self, *requests: m.Message | bytes) -> str:
        (reply,) = self.ask(*requests)
        assert isinstance(reply, m.Error)
        return reply.name


def primary(**rest: int) -> ControllerSettings:
    return ControllerSettings(TARGET, **rest)  # type: ignore[arg-type]


def settings(mode: str, *controllers: ControllerSettings) -> BridgeSettings:
    return BridgeSettings("br0", 1, fail_mode=mode, controllers=controllers)


def add(*actions: a.Action, **rest: int) -> m.FlowMod:
    made = {"priority": 10, "table_id": 0, "new_cookie": 0} | rest
    return m.FlowMod(m.OFPFC_ADD, actions=actions, **made)  # type: ignore[arg-type]
