"""The Spanning Tree Protocol (IEEE 802.1D-1998, clause 8): one bridge, as a machine.

Bridges elect a root, and each finds its cheapest way there: the *root* port. Every LAN has one
*designated* bridge, whose port there forwards too; all other ports are *alternate* and block. A
port that is to forward waits in two states, listening and learning, for `forward_delay_ms` each, so
that no loop exists for a moment while bridges disagree.

Nothing here sends or looks at a clock: `receive` takes the payload of a frame (behind LLC), `run`
lets timers expire, `packets` are BPDUs to be sent, in order, and `changed_ports`, `flush` tell what
the owner has to do. All times are ms. Message ages are in 1/256 s on the wire.
"""

from __future__ import annotations

from struct import Struct

from netloom.base.log import get_logger

log = get_logger("stp")

DISABLED, LISTENING, LEARNING, FORWARDING, BLOCKING = (
    "disabled", "listening", "learning", "forwarding", "blocking",
)  # fmt: skip
#: States in which packets pass, and in which their sources are learned.
FORWARDS = frozenset({DISABLED, FORWARDING})
LEARNS = frozenset({DISABLED, LEARNING, FORWARDING})

MAX_PORTS = 255
DEFAULT_PRIORITY = 32_768
DEFAULT_PORT_PRIORITY = 128
HOLD_MS = 1_000
#: What a bridge adds to the age of what it passes on.
AGE_INCREMENT_MS = 1_000
_CONFIG = Struct("!HBBBQIQHHHHH")
_CONFIG_KIND, _TCN_KIND = 0x00, 0x80
_CHANGE, _ACK = 0x01, 0x80
_TCN = b"\0\0\0\x80"
#: Mbps from which on, and what a way of that speed costs (IEEE 802.1t is for others).
_COSTS = ((10_000, 2), (1_000, 4), (100, 19), (16, 62), (10, 100), (4, 250))


def path_cost(mbps: int) -> int:
    """What a link of that speed costs by default."""
    return next((cost for least, cost in _COSTS if mbps >= least), 19)


def format_bridge_id(number: int) -> str:
    """Priority and address, as the database has them."""
    return f"{number >> 48:04x}.{number & 0xFFFFFFFFFFFF:012x}"


class StpPort:
    """A port: its priority vector is what it heard, or what it says as designated port."""

    def __init__(self, number: int, priority: int, cost: int) -> None:
        self.number = number
        self.priority = priority
        self.cost = cost
        self.state = DISABLED
        self.since_ms = 0
        self.designated_root = 0
        self.designated_cost = 0
        self.designated_bridge = 0
        self.designated_port = 0
        self.acks_change = False
        self.config_pending = False
        #: Deadlines of timers that run.
        self.age_due_ms: int | None = None
        self.forward_due_ms: int | None = None
        self.hold_due_ms: int | None = None
        self.heard_ms = 0
        self.n_sent = self.n_received = self.n_errors = 0

    @property
    def id(self) -> int:
        return self.priority << 8 | self.number

    @property
    def vector(self) -> tuple[int, int, int, int]:
        return (
            self.designated_root, self.designated_cost, self.designated_bridge,
            self.designated_port,
        )  # fmt: skip


class _Config:
    """A configuration BPDU that was received."""

    def __init__(self, data: bytes) -> None:
        (_, _, _, self.flags, self.root, self.cost, self.bridge, self.port, age, max_age, hello,
         delay) = _CONFIG.unpack_from(data)  # fmt: skip
        self.age_ms, self.max_age_ms, self.hello_ms, self.delay_ms = (
            ticks * 1_000 // 256 for ticks in (age, max_age, hello, delay)
        )

    @property
    def vector(self) -> tuple[int, int, int, int]:
        return self.root, self.cost, self.bridge, self.port


class Stp:
    """The protocol's state for the bridge called `name`."""

    def __init__(self, name: str, bridge_id: int, now_ms: int) -> None:
        self.name = name
        self.bridge_id = bridge_id
        self.ports: dict[int, StpPort] = {}
        self.designated_root = bridge_id
        self.root_cost = 0
        self.root_port: StpPort | None = None
        self.own_times_ms = (20_000, 2_000, 15_000)
        #: Those of the root: age, hello, forward delay.
        self.max_age_ms, self.hello_ms, self.forward_delay_ms = self.own_times_ms
        self.topology_change = False
        self._change_detected = False
        self._hello_due_ms: int | None = now_ms
        self._tcn_due_ms: int | None = None
        self._change_due_ms: int | None = None
        self._now_ms = now_ms
        #: BPDUs to be sent: port number and payload.
        self.packets: list[tuple[int, bytes]] = []
        #: Ports whose state changed since somebody emptied this.
        self.changed_ports: set[int] = set()
        #: Addresses that were learned may be wrong.
        self.flush = False

    # -- configuration -------------------------------------------------------------------

    def configure(self, bridge_id: int, times_ms: tuple[int, int, int], now_ms: int) -> None:
        """Set bridge id and maximal age, hello time, forward delay."""
        self._now_ms = now_ms
        max_age, hello, delay = times_ms
        hello = min(max(hello, 1_000), 10_000)
        # An age within which the whole tree agrees (802.1D-1998, 8.10.2).
        max_age = min(max(max_age, 6_000, 2 * (hello + 1_000)), 40_000)
        delay = min(max(delay, 4_000, max_age // 2 + 1_000), 30_000)
        self.own_times_ms = max_age, hello, delay
        if self.is_root:
            self._set_times(*self.own_times_ms)
        if bridge_id != self.bridge_id:
            self._set_bridge_id(bridge_id)

    def _set_times(self, max_age_ms: int, hello_ms: int, delay_ms: int) -> None:
        """The tree's times from now on, also of ports that are waiting."""
        for port in self.ports.values():
            if port.forward_due_ms is not None:
                port.forward_due_ms += delay_ms - self.forward_delay_ms
        self.max_age_ms, self.hello_ms, self.forward_delay_ms = max_age_ms, hello_ms, delay_ms

    def _set_bridge_id(self, bridge_id: int) -> None:
        was_root = self.is_root
        for port in self.ports.values():
            if self.is_designated(port):
                port.designated_bridge = bridge_id
        self.bridge_id = bridge_id
        self._update()
        self._became_root_if_not(was_root)

    def add_port(self, number: int, priority: int, cost: int, now_ms: int) -> StpPort:
        """Have a port take part."""
        self._now_ms = now_ms
        port = self.ports[number] = StpPort(number, priority, cost)
        self._become_designated(port)
        self._set_state(port, BLOCKING)
        self._select_states()
        return port

    def change_port(self, number: int, priority: int, cost: int, now_ms: int) -> None:
        self._now_ms = now_ms
        port = self.ports[number]
        if (port.priority, port.cost) == (priority, cost):
            return
        if self.is_designated(port):
            port.designated_port = priority << 8 | number
        port.priority, port.cost = priority, cost
        self._update()

    def remove_port(self, number: int, now_ms: int) -> None:
        """A port takes part no more: whoever owns it forwards again."""
        self._now_ms = now_ms
        was_root = self.is_root
        port = self.ports.pop(number)
        if self.root_port is port:
            self.root_port = None
        self._update()
        self._became_root_if_not(was_root)

    # -- what is -------------------------------------------------------------------------

    @property
    def is_root(self) -> bool:
        return self.bridge_id == self.designated_root

    def is_designated(self, port: StpPort) -> bool:
        return port.designated_bridge == self.bridge_id and port.designated_port == port.id

    def role(self, port: StpPort) -> str:
        """ "root", "designated", "alternate" or "disabled"."""
        if port is self.root_port:
            return "root"
        if self.is_designated(port):
            return "designated"
        return "disabled" if port.state == DISABLED else "alternate"

    # -- packets -------------------------------------------------------------------------

    def receive(self, number: int, data: bytes, now_ms: int) -> None:
        """A BPDU came in."""
        self._now_ms = now_ms
        port = self.ports.get(number)
        if port is None or port.state == DISABLED:
            return
        kind = data[3] if len(data) >= 4 and data[:2] == b"\0\0" else -1
        if kind == _CONFIG_KIND and len(data) >= _CONFIG.size:
            port.n_received += 1
            self._received_config(port, _Config(data))
        elif kind == _TCN_KIND:
            port.n_received += 1
            self._received_tcn(port)
        else:
            port.n_errors += 1

    def _received_config(self, port: StpPort, config: _Config) -> None:
        was_root = self.is_root
        if self._supersedes(port, config):
            self._record(port, config)
            self._update()
            if was_root and not self.is_root:
                self._hello_due_ms = None
                if self._change_detected:
                    self._change_due_ms = None
                    self._send_tcn()
            if port is self.root_port:
                self._follow_root(config)
        elif self.is_designated(port):
            self._send_config(port)

    def _supersedes(self, port: StpPort, config: _Config) -> bool:
        if config.vector[:3] != port.vector[:3]:
            return config.vector[:3] < port.vector[:3]
        is_other = bool(config.bridge != self.bridge_id)
        return is_other or bool(config.port <= port.designated_port)

    def _record(self, port: StpPort, config: _Config) -> None:
        (port.designated_root, port.designated_cost, port.designated_bridge,
         port.designated_port) = config.vector  # fmt: skip
        port.heard_ms = self._now_ms - config.age_ms
        port.age_due_ms = port.heard_ms + config.max_age_ms

    def _follow_root(self, config: _Config) -> None:
        self._set_times(config.max_age_ms, config.hello_ms, config.delay_ms)
        self.topology_change = bool(config.flags & _CHANGE)
        self.flush |= self.topology_change
        self._send_configs()
        if config.flags & _ACK:
            self._change_detected = False
            self._tcn_due_ms = None

    def _received_tcn(self, port: StpPort) -> None:
        if self.is_designated(port):
            self._detect_change()
            port.acks_change = True
            self._send_config(port)

    def _send_configs(self) -> None:
        for port in self.ports.values():
            if port.state != DISABLED and self.is_designated(port):
                self._send_config(port)

    def _send_config(self, port: StpPort) -> None:
        if port.hold_due_ms is not None:
            port.config_pending = True
            return
        age_ms = 0
        if self.root_port is not None and not self.is_root:
            age_ms = self._now_ms - self.root_port.heard_ms + AGE_INCREMENT_MS
        if age_ms >= self.max_age_ms:
            return
        flags = (_CHANGE if self.topology_change else 0) | (_ACK if port.acks_change else 0)
        port.acks_change = port.config_pending = False
        times = (age_ms, self.max_age_ms, self.hello_ms, self.forward_delay_ms)
        ticks = (ms * 256 // 1_000 for ms in times)
        self._send(port, _CONFIG.pack(
            0, 0, _CONFIG_KIND, flags, self.designated_root, self.root_cost, self.bridge_id,
            port.id, *ticks))  # fmt: skip
        port.hold_due_ms = self._now_ms + HOLD_MS

    def _send_tcn(self) -> None:
        """Tell the root, by the next bridge on the way, that the topology changed."""
        self._tcn_due_ms = self._now_ms + self.own_times_ms[1]
        if self.root_port is not None:
            self._send(self.root_port, _TCN)

    def _send(self, port: StpPort, payload: bytes) -> None:
        port.n_sent += 1
        self.packets.append((port.number, payload))

    # -- the tree ------------------------------------------------------------------------

    def _update(self) -> None:
        """Choose the root and the way there, the LANs to be designated for, and states."""
        best: tuple[int, int, int, int, int] | None = None
        root_port = None
        for port in self.ports.values():
            if port.state == DISABLED or self.is_designated(port):
                continue
            if port.designated_root >= self.bridge_id:
                continue
            way = (port.designated_root, port.designated_cost + port.cost, port.designated_bridge,
                   port.designated_port, port.id)  # fmt: skip
            if best is None or way < best:
                best, root_port = way, port
        self.root_port = root_port
        self.designated_root, self.root_cost = (self.bridge_id, 0) if best is None else best[:2]
        for port in self.ports.values():
            own = (self.designated_root, self.root_cost, self.bridge_id, port.id)
            if (
                self.is_designated(port)
                or port.designated_root != self.designated_root
                or own <= port.vector
            ):
                self._become_designated(port)
        self._select_states()

    def _become_designated(self, port: StpPort) -> None:
        port.designated_root = self.designated_root
        port.designated_cost = self.root_cost
        port.designated_bridge = self.bridge_id
        port.designated_port = port.id

    def _select_states(self) -> None:
        for port in self.ports.values():
            if port is self.root_port:
                port.config_pending = port.acks_change = False
                self._make_forwarding(port)
            elif self.is_designated(port):
                port.age_due_ms = None
                self._make_forwarding(port)
            else:
                port.config_pending = port.acks_change = False
                self._make_blocking(port)

    def _make_forwarding(self, port: StpPort) -> None:
        if port.state == BLOCKING:
            self._set_state(port, LISTENING)
            port.forward_due_ms = self._now_ms + self.forward_delay_ms

    def _make_blocking(self, port: StpPort) -> None:
        if port.state in (DISABLED, BLOCKING):
            return
        forwarded = port.state in (LEARNING, FORWARDING)
        self._set_state(port, BLOCKING)
        port.forward_due_ms = None
        if forwarded:
            self._detect_change()

    def _set_state(self, port: StpPort, state: str) -> None:
        if state != port.state:
            port.state, port.since_ms = state, self._now_ms
            self.changed_ports.add(port.number)

    def _detect_change(self) -> None:
        if self.is_root:
            self.topology_change = True
            self._change_due_ms = self._now_ms + self.max_age_ms + self.forward_delay_ms
        elif not self._change_detected:
            self._send_tcn()
        self._change_detected = True
        self.flush = True
        log.info_rl("%s: detected topology change.", self.name)

    def announce_change(self, now_ms: int) -> None:
        """Have the tree told of a change (`stp/tcn`)."""
        self._now_ms = now_ms
        self._detect_change()

    def _became_root_if_not(self, was_root: bool) -> None:
        """What follows if this bridge has just become the root."""
        if was_root or not self.is_root:
            return
        self._set_times(*self.own_times_ms)
        self._detect_change()
        self._tcn_due_ms = None
        self._send_configs()
        self._hello_due_ms = self._now_ms + self.own_times_ms[1]

    # -- time ----------------------------------------------------------------------------

    def run(self, now_ms: int) -> None:
        """Let timers expire, in the order in which they do."""
        while (due := self.deadline()) is not None and due <= now_ms:
            self._now_ms = max(due, self._now_ms)
            self._expire(due)
        self._now_ms = now_ms

    def deadline(self) -> int | None:
        due = [self._hello_due_ms, self._tcn_due_ms, self._change_due_ms]
        for port in self.ports.values():
            due += [port.age_due_ms, port.forward_due_ms, port.hold_due_ms]
        return min((at for at in due if at is not None), default=None)

    def _expire(self, due_ms: int) -> None:
        if self._hello_due_ms is not None and self._hello_due_ms <= due_ms:
            self._hello_due_ms = due_ms + self.own_times_ms[1]
            self._send_configs()
        if self._tcn_due_ms is not None and self._tcn_due_ms <= due_ms:
            self._tcn_due_ms = None
            self._send_tcn()
        if self._change_due_ms is not None and self._change_due_ms <= due_ms:
            self._change_due_ms = None
            self._change_detected = self.topology_change = False
        for port in self.ports.values():
            if port.age_due_ms is not None and port.age_due_ms <= due_ms:
                port.age_due_ms = None
                self._forget(port)
            if port.forward_due_ms is not None and port.forward_due_ms <= due_ms:
                self._advance(port)
            if port.hold_due_ms is not None and port.hold_due_ms <= due_ms:
                port.hold_due_ms = None
                if port.config_pending:
                    self._send_config(port)

    def _forget(self, port: StpPort) -> None:
        """Nobody said anything better on that LAN for long."""
        was_root = self.is_root
        self._become_designated(port)
        self._update()
        self._became_root_if_not(was_root)

    def _advance(self, port: StpPort) -> None:
        port.forward_due_ms = None
        if port.state == LISTENING:
            self._set_state(port, LEARNING)
            port.forward_due_ms = self._now_ms + self.forward_delay_ms
        elif port.state == LEARNING:
            self._set_state(port, FORWARDING)
            if any(self.is_designated(other) for other in self.ports.values()):
                self._detect_change()
