"""The OpenFlow sessions of one bridge: requests in, replies and asynchronous messages out.

    manager = ConnectionManager(switch)
    manager.configure(settings, now_ms)
    manager.accept(machine, controller, now_ms)     # None: somebody on the management socket
    manager.run(now_ms)                             # read what came, answer, send what is due
    manager.forget(machine, now_ms)

What it is: everything of OpenFlow that is between the bytes of a connection (`openflow.connection`)
and the tables and ports of a switch (`SwitchSide`). Nothing here does I/O: machines are read and
written, their owner moves the bytes.

What must hold: requests of one session are carried out in their order, and the reply to a barrier
is sent only after the data path obeys all that came before it. A request that fails changes
nothing and is answered with an OFPT_ERROR that starts with the request. A peer that breaks the
protocol is left alone (its machine goes on raising `ProtocolError`, which makes the owner close
it). A secondary controller changes nothing.

How: `connmgr_requests` has one handler per message, `connmgr_stats` those of statistics;
`sessions` says who gets which asynchronous message, `packet_in` how many; `connmgr_fail` keeps the
bridge going without a controller. Cost: an asynchronous message is encoded once per session that
wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from netloom.base.counters import Counters
from netloom.base.errors import ProtocolError
from netloom.base.log import get_logger
from netloom.flow.fields import SLOT
from netloom.flow.match import MATCH_ALL
from netloom.ofproto import connmgr_requests
from netloom.ofproto.connmgr_bundles import expire_bundles
from netloom.ofproto.connmgr_fail import FailModes
from netloom.ofproto.connmgr_tables import table_desc
from netloom.ofproto.events import Events
from netloom.ofproto.groups import Groups
from netloom.ofproto.in_band import InBand
from netloom.ofproto.meters import Meters
from netloom.ofproto.packet_in import metadata_match, wire_reason
from netloom.ofproto.sessions import ROLE_NAMES, Peer, Session
from netloom.ofproto.settings import BridgeSettings, ControllerSettings
from netloom.ofproto.table import Table
from netloom.ofproto.tables import Change, Tables
from netloom.ofproto.tlv_table import TlvTable
from netloom.openflow import messages as m
from netloom.openflow.action_encode import Unencodable
from netloom.openflow.codec import encode_message
from netloom.openflow.codec_ports import encode_port
from netloom.openflow.connection import Event, Negotiated, Received, Refused
from netloom.openflow.continuations import Continuation, encode_continuation
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import read_headers
from netloom.openflow.messages_nx import CtFlush
from netloom.openflow.messages_tables import RequestForward, TableStatus

if TYPE_CHECKING:
    from netloom.ofproto.exporters import Exporters
    from netloom.ofproto.ports import OfPort

log: Final = get_logger("connmgr")

_IN_PORT: Final = SLOT["in_port"]


class SwitchSide(Protocol):
    """What the sessions need of their bridge."""

    name: str
    tables: Tables
    groups: Groups
    meters: Meters
    tlv_table: TlvTable
    exporters: Exporters | None

    @property
    def datapath_id(self) -> int: ...

    def local_mac(self) -> int | None:
        """The address of the bridge's own port, if there is one."""

    def next_hop_mac(self, address: int) -> int | None:
        """The Ethernet address of who packets for an IPv4 address are handed to, if known. Raises
        ConfigError if there is nobody."""

    def phy_ports(self) -> list[m.PhyPort]: ...

    def port_stats(self) -> list[m.PortStats]: ...

    def ports_in_order(self) -> list[OfPort]:
        """In the order of statistics."""

    def port_mod(self, mod: m.PortMod) -> None:
        """Raises OpenFlowError."""

    def packet_out(self, message: m.PacketOut, now_ms: int) -> None:
        """Raises OpenFlowError."""

    def resume(self, message: m.PacketIn, version: int, now_ms: int) -> None:
        """Have a paused packet go on; raises OpenFlowError."""

    def prepare_packet_out(self, message: m.PacketOut, now_ms: int) -> Callable[[], None]:
        """Decide on a packet-out by the tables as they are now; what is returned sends it. Raises
        OpenFlowError."""

    def flush_connections(self, request: CtFlush) -> None:
        """Forget the tracked connections that the request means."""

    def refresh_statistics(self) -> None:
        """Credit the rules with what the data path has counted."""

    def settle(self, now_ms: int) -> None:
        """Make the data path obey all that was asked so far."""


class ConnectionManager:
    """See the module."""

    def __init__(self, switch: SwitchSide, events: Events | None = None) -> None:
        self.switch = switch
        self.tables = switch.tables
        self.events = events or Events(Counters())
        self.settings = BridgeSettings(switch.name, 0)
        #: OFPC_FRAG_*: what the pipeline does with fragments. A change counts as one of the tables.
        self.frag_handling = m.OFPC_FRAG_NORMAL
        #: The newest generation id of a role request; None before the first.
        self.generation_id: int | None = None
        self.sessions: list[Session] = []
        self.fail_modes = FailModes(self)
        self.in_band = InBand()
        #: Whose request is being carried out.
        self.requester: Session | None = None
        #: The bytes of that request.
        self.request = b""
        self._is_monitored = False
        #: The metadata of the packet-in before, and what is told of it.
        self._last_metadata = (-1, 0)
        self._last_match = MATCH_ALL

    # Configuration and connections

    def configure(self, settings: BridgeSettings, now_ms: int) -> None:
        """Obey the settings: rate limits of sessions, the fail mode."""
        self.settings = settings
        by_target = {controller.target: controller for controller in settings.controllers}
        for session in self.sessions:
            if session.controller is None:
                continue
            controller = by_target.get(session.controller.target)
            if controller is not None and controller != session.controller:
                session.reconfigure(controller)
        self.fail_modes.configure(settings, now_ms)
        self.follow_local_port(now_ms)

    def accept(self, machine: Peer, controller: ControllerSettings | None, now_ms: int) -> None:
        """Serve a new connection."""
        self.sessions.append(Session(machine, controller, now_ms, self.events))

    def forget(self, machine: Peer, now_ms: int) -> None:
        """The connection is gone."""
        for session in self.sessions:
            if session.peer is machine:
                session.flow_mods.report(session.name, now_ms)
        self.sessions = [session for session in self.sessions if session.peer is not machine]
        self.monitors_changed()

    def role_of(self, machine: Peer) -> str:
        """The role of a controller, in the words of the Controller row."""
        for session in self.sessions:
            if session.peer is machine:
                return ROLE_NAMES[session.role]
        return "other"

    def packet_ins_of(self, machine: Peer) -> tuple[tuple[str, str], ...]:
        """What the rate limits did to the packet-ins of a controller, in the words of the row."""
        for session in self.sessions:
            if session.peer is machine:
                return session.packet_in_counts()
        return ()

    def flushed(self, now_ms: int) -> None:
        """All rules were removed; put back those that the fail mode demands."""
        self.fail_modes.flushed(now_ms)
        self.follow_local_port(now_ms)

    def follow_local_port(self, now_ms: int) -> None:
        """The bridge's own port may have come or have another address."""
        switch = self.switch
        self.in_band.follow(
            switch.tables, self.settings, switch.local_mac(), switch.next_hop_mac, now_ms
        )

    # Running

    def run(self, now_ms: int) -> None:
        """Carry out the requests that have come and send what is due."""
        for session in list(self.sessions):
            self.read(session, now_ms)
            session.send_due(now_ms)
            session.resume_updates()
            for request in session.requests.expire(now_ms):
                self.refuse(session, "OFPBRC_MULTIPART_REQUEST_TIMEOUT", request)
            session.flow_mods.run(session.name, now_ms)
            if session.bundles:
                expire_bundles(self, session, self.settings.bundle_idle_timeout_ms, now_ms)
        self.fail_modes.run(now_ms)
        look_ms = self.in_band.deadline()
        if look_ms is not None and now_ms >= look_ms:
            self.follow_local_port(now_ms)

    def deadline(self) -> int | None:
        """When `run` must be called at the latest."""
        due = [session.deadline() for session in self.sessions]
        due += [self.fail_modes.deadline(), self.in_band.deadline()]
        due += [
            bundle.used_ms + self.settings.bundle_idle_timeout_ms
            for session in self.sessions
            for bundle in session.bundles.values()
        ]
        return min((at_ms for at_ms in due if at_ms is not None), default=None)

    def read(self, session: Session, now_ms: int) -> bool:
        """Carry out the requests that have come; were they such that nothing is left to do?"""
        n_requests, is_done = self._read_all(session, now_ms)
        self.events.requests.add(n_requests)
        return is_done

    def _read_all(self, session: Session, now_ms: int) -> tuple[int, bool]:
        """`read`, and how many requests there were."""
        is_done, n_requests = True, 0
        next_event = session.peer.next_event
        while not session.failed:
            try:
                event = next_event()
            except ProtocolError:
                session.failed = True
                break
            if event is None:
                return n_requests, is_done
            if type(event) is Received:
                n_requests += 1
                kind = type(event.message)
                if kind is not m.FlowMod and kind not in connmgr_requests.DONE_AT_ONCE:
                    is_done = False
                self._request(session, event, now_ms)
            else:
                is_done = False
                if type(event) is Refused:
                    n_requests += 1
                self.handle(session, event, now_ms)
        return n_requests, False

    def session_of(self, machine: Peer) -> Session | None:
        for session in self.sessions:
            if session.peer is machine:
                return session
        return None

    def has_output(self, but: Session) -> bool:
        """Has anybody else something to be sent?"""
        return any(session is not but and session.peer.backlog() for session in self.sessions)

    def handle_event(self, machine: Peer, event: Event, now_ms: int) -> None:
        """Like `run`, for an event that somebody else has read from `machine`."""
        for session in self.sessions:
            if session.peer is machine:
                self.handle(session, event, now_ms)
                return

    def handle(self, session: Session, event: Event, now_ms: int) -> None:
        """Carry out what one event of `session` asks for."""
        if isinstance(event, Received):
            self._request(session, event, now_ms)
        elif isinstance(event, Refused):
            self.refuse(session, connmgr_requests.refusal(event), event.data)
        elif isinstance(event, Negotiated):
            session.negotiated(event.version)

    def _request(self, session: Session, event: Received, now_ms: int) -> None:
        if not session.admitted and type(event.message) not in connmgr_requests.NOT_ADMITTING:
            session.admitted = True
        self.requester = session
        self.request = event.data
        try:
            whole = session.requests.take(event, now_ms)
            if whole is None:
                return
            for reply in connmgr_requests.carry_out(self, session, whole, now_ms):
                session.peer.send(reply, event.xid)
        except OpenFlowError as error:
            self.refuse(session, error.name, error.data or event.data)
        finally:
            self.requester = None

    def refuse(self, session: Session, name: str, request: bytes) -> None:
        """Answer a request with an error."""
        kind = _kind(request)
        log.info_rl("%s: sending %s error reply to %s message", session.name, name, kind)
        session.peer.reply_error(name, request)

    # Asynchronous messages

    def wants_packet_in_on_miss(self) -> bool:
        """Is there a controller that expects packets that no rule matched? Such speak OpenFlow
        1.2 or earlier."""
        return any(
            session.wants_packet_in(m.OFPR_IMPLICIT_MISS, 0)
            for session in self.sessions
            if session.peer.version < m.OFP13_VERSION
        )

    def send_packet_in(
        self, packet: bytes, key: int, *, reason: int, table_id: int, cookie: int | None,
        max_len: int, controller_id: int, now_ms: int, userdata: bytes = b"",
        continuation: Continuation | None = None,
    ) -> None:  # fmt: skip
        """Send a packet to the sessions that want it. `reason` is an OFPR_*, also of the two
        kinds of misses; `key` the packet's, with its OpenFlow port. `max_len` has no effect, as
        in Open vSwitch since it keeps no packets for controllers."""
        wanting = [s for s in self.sessions if s.wants_packet_in(reason, controller_id)]
        if not wanting:
            return
        tlv_table = self.switch.tlv_table
        known = (key, tlv_table.generation)
        if known != self._last_metadata:
            # Packets of one port with the same metadata come in rows.
            self._last_metadata = known
            self._last_match = metadata_match(key, tlv_table.option_bits(key))
        match = self._last_match
        for session in wanting:
            version, form = session.peer.version, session.packet_in_format
            rest = b""
            if continuation is not None and form == m.PACKET_IN_NXT2:
                rest = encode_continuation(continuation, version)
            packet_in = m.PacketIn(
                packet, match, wire_reason(reason, version), len(packet),
                m.NO_BUFFER, table_id, cookie, form, userdata, rest,
            )  # fmt: skip
            session.push_packet_in(_IN_PORT.get(key), packet_in, now_ms)

    def flows_changed(self, changes: list[Change], now_ms: int) -> None:
        """Tell who wants to know of rules that are gone, with all that they have counted."""
        if self._is_monitored:
            self._report(changes)
        if self.tables.is_vacancy_watched:
            self._watch_vacancy(changes)
        told = [change for change in changes if _is_told(change)]
        if told and any(session.is_ready for session in self.sessions):
            self.switch.refresh_statistics()
            for change in told:
                self._send_flow_removed(change, now_ms)

    def monitors_changed(self) -> None:
        """Somebody made or cancelled a flow monitor."""
        self._is_monitored = any(session.monitors for session in self.sessions)

    def _report(self, changes: list[Change]) -> None:
        """Let flow monitors know."""
        xid = int.from_bytes(self.request[4:8], "big")
        for session in self.sessions:
            if session.monitors:
                own_xid = xid if session is self.requester else None
                for change in changes:
                    if not change.rule.is_hidden and _is_news(change):
                        session.monitors.report(change, own_xid)
                session.send_updates()

    def _watch_vacancy(self, changes: list[Change]) -> None:
        """Tell of tables that have become full or empty enough."""
        tables = self.tables
        for change in changes:
            if change.kind in ("added", "removed"):
                table = tables.table(change.rule.table_id)
                if table.vacancy_event:
                    self._send_table_status(table)

    def _send_table_status(self, table: Table) -> None:
        reason = table.vacancy_reached()
        if not reason:
            return
        desc = table_desc(table, table.id)
        for session in self.sessions:
            if session.wants_table_status(reason):
                session.peer.send(TableStatus(reason, desc), 0)

    def forward_request(self, message: m.Message, reason: int) -> None:
        """Let other controllers know of a group or meter mod, an OFPRFR_*, that was carried
        out."""
        xid = int.from_bytes(self.request[4:8], "big")
        for session in self.sessions:
            if session is self.requester or not session.wants_request_forward(reason):
                continue
            try:
                data = encode_message(message, xid, session.peer.protocol)
            except (OpenFlowError, Unencodable) as error:
                log.dbg("%s: cannot forward a request: %s", session.name, error)
                continue
            session.peer.send(RequestForward(data), 0)

    def _send_flow_removed(self, change: Change, now_ms: int) -> None:
        rule = change.rule
        sec, ms = divmod(max(now_ms - rule.created_ms, 0), 1_000)
        message = m.FlowRemoved(
            rule.match, rule.priority, rule.cookie, change.reason, rule.table_id, sec,
            ms * 1_000_000, rule.idle_timeout_s, rule.hard_timeout_s, rule.n_packets, rule.n_bytes,
        )  # fmt: skip
        for session in self.sessions:
            if session.wants_flow_removed(change.reason):
                session.peer.send(message, 0)

    def port_status(
        self, reason: int, port: m.PhyPort, before: m.PhyPort | None = None
    ) -> None:  # fmt: skip
        """Tell who wants to know of a port (`reason` is an OFPPR_*), if its version has words for
        what is new since `before`. Before OpenFlow 1.5, who changed the port is not told of its
        own change."""
        for session in self.sessions:
            version = session.peer.version
            own = session is self.requester and version < m.OFP15_VERSION
            if own or not session.wants_port_status(reason):
                continue
            if before is not None and encode_port(port, version) == encode_port(before, version):
                continue
            session.peer.send(m.PortStatus(reason, port), 0)


def _is_news(change: Change) -> bool:
    """A modification that changes nothing is none."""
    before, rule = change.before, change.rule
    if change.kind != "modified" or before is None:
        return True
    return before.cookie != rule.cookie or before.actions != rule.actions


def _is_told(change: Change) -> bool:
    rule = change.rule
    if not rule.flags & m.OFPFF_SEND_FLOW_REM:
        return False
    return change.kind == "removed" and not rule.is_hidden


def _kind(request: bytes) -> str:
    """The name of a message, for the log."""
    try:
        return read_headers(request).row.name
    except (OpenFlowError, ProtocolError):
        return "invalid"
