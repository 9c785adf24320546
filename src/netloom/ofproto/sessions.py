"""One OpenFlow session of a bridge: who the peer is, and what it wants to be told.

A session is of a controller, *primary* or *service*, or of somebody on the management socket (a
service session too). The role that a primary controller takes (equal, primary, secondary) decides
what it may change and which asynchronous messages it gets; `AsyncConfig` says so bit by bit and
may be set by the controller.

A service session gets no asynchronous messages until it sets a miss send length other than 0.
`enable_async_messages` of the Controller row, when false, has all of them off until the peer
chooses.

Reasons in the masks are those of OpenFlow 1.4, whatever the version, with two more for table
misses: those of a rule made for it, and those of no rule at all, which only controllers of
OpenFlow 1.2 and earlier get.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from netloom.base.counters import Counters
from netloom.base.log import get_logger
from netloom.base.record import replace
from netloom.ofproto.events import Events
from netloom.ofproto.flow_mod_log import FlowModLog
from netloom.ofproto.flow_monitors import PAUSE_BYTES, FlowMonitors
from netloom.ofproto.multipart import Assembler
from netloom.ofproto.packet_in import PacketInQueue, Unread
from netloom.ofproto.settings import ControllerSettings
from netloom.openflow import messages as m
from netloom.openflow.connection import Event
from netloom.openflow.instruction_memo import InstructionMemo
from netloom.openflow.messages_tables import OFPRFR_METER_MOD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ofproto.connmgr_bundles import OpenBundle

log: Final = get_logger("connmgr")

#: Packet-ins that may wait for who is no controller.
_QUEUE_SIZE: Final = 100

ROLE_NAMES: Final = {
    m.OFPCR_ROLE_EQUAL: "other",
    m.OFPCR_ROLE_PRIMARY: "master",
    m.OFPCR_ROLE_SECONDARY: "slave",
}

_ALL_PORT_STATUS: Final = 0x7
_MISSES: Final = (m.OFPR_NO_MATCH, m.OFPR_EXPLICIT_MISS, m.OFPR_IMPLICIT_MISS)
#: After so long a controller that is connected counts as accepted, whatever it says.
_ADMISSION_MS: Final = 30_000


class Peer(Protocol):
    """What a session needs of its connection (`openflow.connection.Connection`)."""

    version: int
    protocol: int
    memo: InstructionMemo

    def next_event(self) -> Event | None: ...

    def send(self, message: m.Message, xid: int | None = None) -> int: ...

    def reply_error(self, name: str, request: bytes) -> None: ...

    unsent: Callable[[], int]
    """Bytes that the stream holds because the peer does not read."""

    def backlog(self) -> int:
        """Bytes that the peer has not been sent yet."""


class Session:
    """The state of one connection. `role` is an OFPCR_ROLE_*."""

    def __init__(
        self,
        peer: Peer,
        controller: ControllerSettings | None,
        now_ms: int,
        events: Events | None = None,
    ) -> None:
        self._events = events or Events(Counters())
        self.peer = peer
        self.controller = controller
        self.role = m.OFPCR_ROLE_EQUAL
        self.miss_send_len = m.OFP_DEFAULT_MISS_SEND_LEN if self.is_primary else 0
        self.controller_id = 0
        self.packet_in_format = m.PACKET_IN_STANDARD
        self.async_config = m.AsyncConfig()
        #: The peer has chosen its asynchronous messages itself.
        self._has_chosen = False
        #: Bundles that wait to be committed, by number.
        self.bundles: dict[int, OpenBundle] = {}
        self.monitors = FlowMonitors()
        self.flow_mods = FlowModLog()
        self.requests = Assembler()
        #: The peer broke the protocol; its owner will forget it.
        self.failed = False
        self.connected_ms = now_ms
        #: The controller does its work, so that fail-open may end.
        self.admitted = False
        limits = (
            (controller.rate_limit_pps, controller.burst_limit_packets) if controller else (0, 0)
        )
        #: Table misses and packets of `controller` actions are limited apart from each other.
        self._queues = tuple(PacketInQueue(*limits, now_ms) for _ in range(2))
        self._unread = Unread()
        self._queue_size = controller.queue_size if controller else _QUEUE_SIZE

    @property
    def is_primary(self) -> bool:
        return self.controller is not None and self.controller.type == "primary"

    @property
    def is_secondary(self) -> bool:
        return self.role == m.OFPCR_ROLE_SECONDARY

    @property
    def is_ready(self) -> bool:
        """The version is settled and the peer still there."""
        return self.peer.version != 0 and not self.failed

    @property
    def name(self) -> str:
        return getattr(self.peer, "name", "unknown")

    def negotiated(self, version: int) -> None:
        """The version is known, and so are the defaults."""
        wanted = self.controller is None or self.controller.enable_async_messages
        if not self._has_chosen:
            self.async_config = default_async_config(version) if wanted else m.AsyncConfig()

    def reconfigure(self, controller: ControllerSettings) -> None:
        """Take over the changed settings of the controller."""
        self.controller = controller
        if self.is_ready:
            self.negotiated(self.peer.version)
        self._queue_size = controller.queue_size
        for queue in self._queues:
            queue.set_limits(controller.rate_limit_pps, controller.burst_limit_packets)

    def set_async_config(self, config: m.AsyncConfig) -> None:
        """Take over the masks that `config` has; others stay."""
        self._has_chosen = True
        version = self.peer.version
        old = self.async_config
        wanted = tuple(_widen(mask, version) if mask >= 0 else mask for mask in config.packet_in)
        self.async_config = m.AsyncConfig(
            _over(old.packet_in, wanted),
            _over(old.port_status, config.port_status),
            _over(old.flow_removed, config.flow_removed),
            _over(old.role_status, config.role_status),
            _over(old.table_status, config.table_status),
            _over(old.requestforward, config.requestforward),
        )

    def shown_async_config(self) -> m.AsyncConfig:
        """The configuration in the reasons that the peer's version has."""
        modern = self.peer.version >= m.OFP14_VERSION
        packet_in, flow_removed = (0x3F, 0x3F) if modern else (0x7, 0xF)
        config = self.async_config
        return replace(
            config,
            packet_in=(config.packet_in[0] & packet_in, config.packet_in[1] & packet_in),
            flow_removed=(
                config.flow_removed[0] & flow_removed, config.flow_removed[1] & flow_removed,
            ),
        )  # fmt: skip

    def set_invalid_ttl(self, enable: bool) -> None:
        primary, secondary = self.async_config.packet_in
        bit = 1 << m.OFPR_INVALID_TTL
        if enable == bool(primary & bit):
            return
        self._has_chosen = True
        primary = primary | bit if enable else primary & ~bit
        self.async_config = replace(self.async_config, packet_in=(primary, secondary))

    def sends_invalid_ttl(self) -> bool:
        return bool(self.async_config.packet_in[0] >> m.OFPR_INVALID_TTL & 1)

    # What it wants

    def _wants(self, masks: tuple[int, int], reason: int) -> bool:
        if not self.is_ready or (not self.is_primary and not self.miss_send_len):
            return False
        return bool(masks[self.is_secondary] >> reason & 1)

    def wants_packet_in(self, reason: int, controller_id: int) -> bool:
        if self.controller_id != controller_id:
            return False
        return self._wants(self.async_config.packet_in, reason)

    def wants_port_status(self, reason: int) -> bool:
        return self._wants(self.async_config.port_status, reason)

    def wants_table_status(self, reason: int) -> bool:
        return self._wants(self.async_config.table_status, reason)

    def wants_request_forward(self, reason: int) -> bool:
        if reason == OFPRFR_METER_MOD and self.peer.version < m.OFP13_VERSION:
            return False
        return self._wants(self.async_config.requestforward, reason)

    def wants_flow_removed(self, reason: int) -> bool:
        return self._wants(self.async_config.flow_removed, reason)

    # Flow monitors

    def send_updates(self) -> None:
        """Send what the monitors have noted; pause if the peer does not read it."""
        updates = self.monitors.flush()
        if updates is None:
            return
        self.peer.send(updates, 0)
        if not self.monitors.is_paused and self.peer.backlog() > PAUSE_BYTES:
            self._events.monitors_paused.add()
            self.peer.send(self.monitors.pause(self.peer.version), 0)

    def resume_updates(self) -> None:
        """Go on if the peer has read all."""
        if self.monitors.is_paused and not self.peer.backlog():
            self._events.monitors_resumed.add()
            for message in self.monitors.resume(self.peer.version):
                self.peer.send(message, 0)

    # Packet-ins

    def push_packet_in(self, port: int, packet_in: m.PacketIn, now_ms: int) -> None:
        """Send `packet_in`, now or when the rate limit allows."""
        queue = self._queues[packet_in.reason in _MISSES]
        if queue.push(port, packet_in, now_ms):
            self._send_packet_in(packet_in)

    def send_due(self, now_ms: int) -> None:
        """Send the packet-ins that have waited long enough."""
        for queue in self._queues:
            for packet_in in queue.pop_due(now_ms):
                self._send_packet_in(packet_in)

    def _send_packet_in(self, packet_in: m.PacketIn) -> None:
        peer = self.peer
        n_waiting = peer.backlog() if peer.unsent() else 0
        if self._unread.admit(len(packet_in.packet), n_waiting, self._queue_size):
            peer.send(packet_in, 0)
        else:
            self._events.packet_ins_lost.add()
            log.info_rl("%s: dropping packet-in due to queue overflow", self.name)

    def packet_in_counts(self) -> tuple[tuple[str, str], ...]:
        """What the rate limits did, for `status` of the Controller row."""
        actions, misses = self._queues
        return misses.counts("miss") + actions.counts("action")

    def deadline(self) -> int | None:
        due = [queue.deadline() for queue in self._queues]
        due += [self.flow_mods.deadline(), self.requests.deadline()]
        return min((at_ms for at_ms in due if at_ms is not None), default=None)

    @property
    def admitted_at_ms(self) -> int:
        """When the controller counts as accepted at the latest."""
        return self.connected_ms + (0 if self.admitted else _ADMISSION_MS)

    def is_admitted(self, now_ms: int) -> bool:
        return self.is_ready and now_ms >= self.admitted_at_ms


def _over(old: tuple[int, int], new: tuple[int, ...]) -> tuple[int, int]:
    """The masks of `new`, those of `old` where it leaves them."""
    primary, secondary = new
    return (
        old[0] if primary == m.ASYNC_UNSET else primary,
        old[1] if secondary == m.ASYNC_UNSET else secondary,
    )


def _widen(mask: int, version: int) -> int:
    """Add the reasons that the version has no bit for: it tells them as others. Who wants table
    misses wants those of rules, and before OpenFlow 1.3 those of none."""
    if version < m.OFP14_VERSION and mask >> m.OFPR_ACTION & 1:
        mask |= 1 << m.OFPR_ACTION_SET | 1 << m.OFPR_GROUP | 1 << m.OFPR_PACKET_OUT
    if mask >> m.OFPR_NO_MATCH & 1:
        mask |= 1 << m.OFPR_EXPLICIT_MISS
        if version < m.OFP13_VERSION:
            mask |= 1 << m.OFPR_IMPLICIT_MISS
    return mask


def default_async_config(version: int) -> m.AsyncConfig:
    """What a controller gets that has not asked for anything: all but expired TTLs; a secondary
    one only changes of ports."""
    packet_in = 0x3F & ~(1 << m.OFPR_INVALID_TTL)
    return m.AsyncConfig(
        (_widen(packet_in, version), 0),
        (_ALL_PORT_STATUS, _ALL_PORT_STATUS),
        (_flow_removed(version), 0),
    )


def _flow_removed(version: int) -> int:
    """The reasons that the version has."""
    if version >= m.OFP14_VERSION:
        return 0x3F
    return 0xF if version >= m.OFP13_VERSION else 0x7
