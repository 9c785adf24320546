"""What a simple controller makes of a switch: one that learns addresses, or a hub.

    switch = LearningSwitch(connection, policy, clock.now_ms)
    switch.take(event)                 # for each event of the OpenFlow connection

Once the version is settled, a switch is asked for its features, told how much of a packet to send,
and given what the user wants in its tables; from OpenFlow 1.3 on, where packets without a flow are
dropped, also the flow that sends them here. Then each packet that comes in teaches where its sender
is. If it is known where the packet is to go, the switch gets a flow for its like, which the policy
may make wide; else the packet is flooded.

No I/O: the connection holds what is to be sent.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.base.record import Record
from netloom.flow import ports
from netloom.flow.address import format_mac
from netloom.flow.extract import extract_key
from netloom.flow.fields import FIELD, SLOT
from netloom.flow.match import Match
from netloom.flow.prerequisites import normalize_match
from netloom.ofproto.mac_table import MacTable
from netloom.openflow import messages as m
from netloom.openflow import protocol as p
from netloom.openflow.actions import Action, Enqueue, Output
from netloom.openflow.connection import Negotiated, Received
from netloom.openflow.message_text import Style, format_message
from netloom.openflow.old_match import OFP10_MATCH, read_ofp10_match

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from netloom.openflow.connection import Connection, Event

log = get_logger("learning_switch")

#: So many bytes of a packet come with it, where the switch keeps the rest.
MISS_SEND_LEN = 128
#: Bits of `OFPFW_*` of OpenFlow 1.0: all of layers 3 and 4, and the VLAN's priority.
L2_ONLY = 0x3820F0
#: Reserved group addresses (STP, LACP, LLDP ...), which bridges never forward.
_RESERVED, _RESERVED_MASK = 0x0180C2000000, 0xFFFFFFFFFFF0
_IN_PORT, _SRC, _DST = SLOT["in_port"], SLOT["dl_src"], SLOT["dl_dst"]
#: Where an address is does not depend on the VLAN: one is as good as another.
_VLAN = 0


class Policy(Record):
    """What the user wants. `max_idle_s` is None for no flows, 0 for flows that stay; `wildcards`
    are those of OpenFlow 1.0's match; `port_queues` are of ports by name; `usable` are the
    protocols that can say all of `flows`."""

    learns: bool = True
    max_idle_s: int | None = 60
    wildcards: int = 0
    normal: bool = False
    default_queue: int | None = None
    port_queues: tuple[tuple[str, int], ...] = ()
    flows: tuple[m.FlowMod, ...] = ()
    usable: int = p.P_ANY


def mask_of_wildcards(wildcards: int) -> int:
    """The bits of a key that a match of OpenFlow 1.0 with these wildcards looks at."""
    nothing = bytes(6)
    match = OFP10_MATCH.pack(wildcards, 0, nothing, nothing, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    return read_ofp10_match(match, 0).mask


class MuteConnection:
    """A machine that says hello for `connection`, and nothing else, whatever it is told."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.data_to_send = connection.data_to_send
        self.deadline = connection.deadline
        self.advance = connection.advance

    def receive_data(self, data: bytes) -> None:
        if not self._connection.version:
            self._connection.receive_data(data)

    def next_event(self) -> Event | None:
        if not self._connection.version:
            self._connection.next_event()
        return None


class LearningSwitch:
    """One switch, at the other end of `connection`."""

    def __init__(self, connection: Connection, policy: Policy, now_ms: Callable[[], int]) -> None:
        self._connection = connection
        self._policy = policy
        self._now_ms = now_ms
        self._mask = mask_of_wildcards(policy.wildcards)
        self._table: MacTable[int] = MacTable()
        self._queue_of_name = dict(policy.port_queues)
        self._queues: dict[int, int] = {}
        self._datapath_id = 0
        self._is_ready = False

    # What the switch says

    def take(self, event: Event) -> None:
        """Deal with an event of the connection."""
        if isinstance(event, Negotiated):
            self._greet()
        elif isinstance(event, Received):
            self._receive(event.message, event.data)

    def _receive(self, message: m.Message, data: bytes) -> None:
        if isinstance(message, m.FeaturesReply):
            self._datapath_id = message.datapath_id
            self._is_ready = True
            self._take_ports(message.ports)
            if self._connection.version >= 4 and self._queue_of_name:
                # Its ports are asked for apart.
                self._connection.send(m.PortDescRequest())
        elif isinstance(message, m.PortDescReply):
            self._take_ports(message.ports)
        elif isinstance(message, m.PacketIn):
            if self._is_ready:
                self._take_packet(message)
        elif isinstance(message, m.Error):
            text = format_message(data, Style(1)).rstrip("\n")
            log.dbg_rl("%016x: OpenFlow packet ignored: %s", self._datapath_id, text)

    def _take_ports(self, listed: tuple[m.PhyPort, ...]) -> None:
        for port in listed:
            queue = self._queue_of_name.get(port.name)
            if queue is not None:
                self._queues[port.port_no] = queue

    # What it is told at first

    def _greet(self) -> None:
        connection = self._connection
        connection.send(m.FeaturesRequest())
        connection.send(m.SetConfig(0, MISS_SEND_LEN))
        if connection.version >= 4:
            everything = (Output(ports.CONTROLLER, MISS_SEND_LEN),)
            connection.send(
                m.FlowMod(m.OFPFC_ADD, priority=0, table_id=0, actions=everything, new_cookie=0)
            )
        if self._policy.flows and self._choose_protocol():
            for flow in self._policy.flows:
                connection.send(flow)

    def _choose_protocol(self) -> bool:
        """Have the connection use a protocol that can say the user's flows."""
        connection, usable = self._connection, self._policy.usable
        if connection.protocol & usable:
            return True
        for wanted, version in p.VERSION.items():
            if version == connection.version and wanted & usable:
                self._use_protocol(wanted)
                return True
        log.err("%s: no usable protocol for its flows", connection.name)
        return False

    def _use_protocol(self, wanted: int) -> None:
        connection = self._connection
        if wanted & p.P_NXM_ANY:
            connection.send(m.SetFlowFormat(m.NXFF_NXM))
        if wanted & p.P_TID & p.P_OF10_ANY:
            connection.send(m.FlowModTableId(True))
        connection.protocol = wanted

    # What becomes of packets

    def _take_packet(self, message: m.PacketIn) -> None:
        in_port = _IN_PORT.get(message.match.value)
        key = extract_key(message.packet, in_port)
        to_port = self._decide(key, in_port)
        actions = self._actions(to_port, in_port)
        max_idle_s, is_kept = self._policy.max_idle_s, message.buffer_id != m.NO_BUFFER
        if max_idle_s is not None and (to_port != ports.FLOOD or not self._policy.learns):
            match, _ = normalize_match(Match(key, self._mask))
            flow = m.FlowMod(
                m.OFPFC_ADD, match, priority=1, actions=actions,
                idle_timeout=max_idle_s, buffer_id=message.buffer_id, new_cookie=0, out_group=0,
            )  # fmt: skip
            self._connection.send(flow)
            must_send = not is_kept and to_port != ports.NONE
        else:
            must_send = is_kept or to_port != ports.NONE
        if must_send:
            packet = b"" if is_kept else message.packet
            match = Match().with_field(FIELD["in_port_oxm"], in_port)
            self._connection.send(m.PacketOut(packet, match, actions, message.buffer_id))

    def _decide(self, key: int, in_port: int) -> int:
        """Where a packet goes: a port, perhaps a reserved one; NONE drops it."""
        source, target = _SRC.get(key), _DST.get(key)
        if target & _RESERVED_MASK == _RESERVED:
            return ports.NONE
        if not self._policy.learns:
            return ports.FLOOD
        now_ms = self._now_ms()
        self._table.run(now_ms)
        if self._table.learn(source, _VLAN, in_port, now_ms):
            log.dbg_rl(
                "%016x: learned that %s is on port %s",
                self._datapath_id, format_mac(source), port_text(in_port),
            )  # fmt: skip
        entry = self._table.lookup(target, _VLAN)
        if entry is None:
            return ports.FLOOD
        if entry.bundle == in_port:
            return ports.NONE
        return ports.NORMAL if self._policy.normal else entry.bundle

    def _actions(self, to_port: int, in_port: int) -> tuple[Action, ...]:
        if to_port == ports.NONE:
            return ()
        queue = self._queues.get(in_port, self._policy.default_queue)
        if queue is None or to_port >= ports.MAX:
            return (Output(to_port),)
        return (Enqueue(to_port, queue),)


def port_text(port: int) -> str:
    """A port's number, or the name of a reserved one."""
    return ports.RESERVED.get(port, str(port))
