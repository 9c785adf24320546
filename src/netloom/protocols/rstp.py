"""The Rapid Spanning Tree Protocol (IEEE 802.1D-2004, clause 17): one bridge, as a machine.

As in STP, bridges elect a root and keep one way to it. What is rapid is that neighbours ask each
other instead of waiting: a designated port *proposes*, the bridge behind it makes all its other
ports discard, *agrees*, and both ends of the link forward at once; the wave goes on downwards. An
alternate port takes over from a root port that fails, and an edge port, where no bridge answers a
proposal for three seconds, forwards without being asked. Towards bridges that speak only STP a
port speaks STP.

`rstp_machines` has the state machines. This holds their variables, chooses roles (17.21.25), and
moves the machines until nothing changes. All timers count seconds, and nothing here looks at a
clock: the owner calls `tick` once a second, `receive` with the payload of a frame (behind LLC),
and takes `packets`, `changed_ports`, `flushes` and `root_move` when it has called.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.flow.hashes import hash_pair
from netloom.flow.turns import Turns
from netloom.protocols import rstp_machines as machines
from netloom.protocols import rstp_values as v

log = get_logger("rstp")
_sm_log = get_logger("rstp_sm")

#: Machines that have not come to rest after so many rounds never will.
_MAX_ROUNDS = 1_000
_TIMERS = ("hello_timer", "change_timer", "forward_timer", "info_timer", "recent_root_timer",
           "recent_backup_timer", "migrate_timer", "edge_delay", "n_recent")  # fmt: skip


class RstpPort:
    """A port's variables (17.19), under names that say what they are."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.settings = v.RstpPortSettings()
        self.number = 0
        self.priority = self.settings.priority
        self.cost = 0
        self.restart()

    def restart(self) -> None:
        """Begin anew; name, number and settings stay."""
        self.places = [(name, True) for name in machines.FIRST_STATES]
        self.has_link = False
        self.role = self.selected_role = v.DISABLED_ROLE
        self.state = v.DISCARDING
        #: A BPDU that waits, and the one that is looked at.
        self.pending: v.Bpdu | None = None
        self.message = v.Bpdu(v.TCN_KIND)
        self.verdict = "other"
        self.has_message = self.received_rstp = self.received_stp = False
        #: What is known of the LAN, what a message says, what this bridge would say.
        self.info = machines.INFO_DISABLED
        self.vector = self.message_vector = self.designated = v.Vector()
        self.times = self.message_times = self.designated_times = v.Times()
        self.reselect, self.selected, self.must_update = True, False, False
        self.learn: bool = False
        self.forward: bool = False
        self.learning = self.forwarding = False
        self.proposing = self.proposed = self.agree = self.agreed = self.disputed = False
        self.sync = self.synced = self.re_root = False
        self.oper_edge = self.sends_rstp = self.mcheck = self.has_news = False
        self.got_tc = self.got_tcn = self.got_ack = self.propagates = self.sends_ack = False
        self.must_flush: bool = False
        for timer in _TIMERS:
            setattr(self, timer, 0)
        self.uptime_s = self.n_received = self.n_errors = 0

    # What `restart` sets by name.
    hello_timer: int
    change_timer: int
    forward_timer: int
    info_timer: int
    recent_root_timer: int
    recent_backup_timer: int
    migrate_timer: int
    edge_delay: int
    #: BPDUs sent of late: one fewer each second.
    n_recent: int

    @property
    def id(self) -> int:
        return self.priority << 8 | self.number

    @property
    def is_usable(self) -> bool:
        """portEnabled (17.19.18)."""
        return self.has_link and self.settings.is_enabled

    @property
    def is_settled(self) -> bool:
        """Its role was chosen, and what it says brought up to date."""
        return self.selected and not self.must_update

    def want_selection(self) -> None:
        """Have roles chosen anew."""
        self.reselect, self.selected = True, False


class Rstp:
    """The protocol's state for the bridge called `name`."""

    def __init__(self, name: str, settings: v.RstpSettings) -> None:
        self.name = name
        self.settings = settings
        self.bridge_id = settings.bridge_id
        self._turns: Turns[RstpPort] = Turns()
        #: In the order of their turns.
        self._ports: list[RstpPort] = []
        self.own_times = v.Times(settings.forward_delay_s, v.HELLO_S, settings.max_age_s)
        self.root_times = self.own_times
        self.root = v.Vector(self.bridge_id, 0, self.bridge_id)
        self.has_changed = False
        self._is_selecting = False
        #: BPDUs to be sent: port and payload.
        self.packets: list[tuple[RstpPort, bytes]] = []
        #: Ports whose state changed since somebody emptied this.
        self.changed_ports: set[RstpPort] = set()
        #: An alternate port took over: what was learned on the first moved to the second.
        self.root_move: tuple[RstpPort, RstpPort] | None = None

    @property
    def speaks_rstp(self) -> bool:
        return self.settings.force_version >= 2

    @property
    def is_root(self) -> bool:
        return self.root.bridge == self.bridge_id

    @property
    def root_port(self) -> RstpPort | None:
        return next((port for port in self._ports if port.id == self.root.receiver), None)

    def all_ports(self) -> list[RstpPort]:
        """All ports, in the order in which they have their turns."""
        return self._ports

    # -- configuration -------------------------------------------------------------------

    def configure(self, settings: v.RstpSettings) -> None:
        """Set what is valid of the bridge's settings; times that contradict stay as they were."""
        old, times = self.settings, self.own_times
        if times_fit(settings.forward_delay_s, times.max_age):
            times = times._replace(forward_delay=settings.forward_delay_s)
        if times_fit(times.forward_delay, settings.max_age_s):
            times = times._replace(max_age=settings.max_age_s)
        if times_fit(settings.forward_delay_s, times.max_age):
            times = times._replace(forward_delay=settings.forward_delay_s)
        self.settings = settings
        if settings.force_version != old.force_version:
            for port in self._ports:
                port.restart()
        if settings.hold_count != old.hold_count:
            for port in self._ports:
                port.n_recent = 0
        if settings.bridge_id != self.bridge_id:
            self.bridge_id = settings.bridge_id
            log.dbg("%s: new bridge identifier: %s", self.name, v.format_bridge_id(self.bridge_id))
            for port in self._ports:
                port.want_selection()
            self.has_changed = True
            self._choose_roles()
        if times != self.own_times:
            self.own_times = times
            self.has_changed = True
            self._choose_roles()

    def add_port(self, name: str) -> RstpPort:
        """Have a port take part; it has no link and any settings yet."""
        port = RstpPort(name)
        self._number(port, 0)
        self.changed_ports.add(port)
        self.move_all()
        return port

    def change_port(self, port: RstpPort, settings: v.RstpPortSettings, cost: int) -> None:
        """Set a port's settings; `cost` is the one in force."""
        old, port.settings = port.settings, settings
        priority = settings.priority - settings.priority % v.PORT_PRIORITY_STEP
        if priority != port.priority and settings.priority <= v.MAX_PORT_PRIORITY:
            port.priority = priority
            port.want_selection()
        if settings.number != port.number or not settings.number:
            self._number(port, settings.number)
        if cost != port.cost and 1 <= cost <= v.MAX_PATH_COST:
            port.cost = cost
            port.want_selection()
        port.mcheck |= settings.mcheck and not old.mcheck and self.speaks_rstp
        if settings.is_enabled != old.is_enabled:
            self.move_all()

    def _number(self, port: RstpPort, wanted: int) -> None:
        """Give it that number, or the first that is free."""
        taken = {other.number for other in self._ports if other is not port}
        if not 1 <= wanted <= v.MAX_PORTS or wanted in taken:
            wanted = next((n for n in range(1, v.MAX_PORTS + 1) if n not in taken), 0)
        if wanted == port.number:
            return
        if port.number:
            self._turns.remove(hash_pair(port.number, 0), port)
        port.number = wanted
        port.want_selection()
        self._turns.add(hash_pair(wanted, 0), port)
        self._ports = list(self._turns)

    def set_link(self, port: RstpPort, has_link: bool) -> None:
        """Its link came or went (MAC_Operational, 6.4.2)."""
        if port.has_link != has_link:
            port.has_link = has_link
            self.move_all()

    def remove_port(self, port: RstpPort) -> None:
        """A port takes part no more: whoever owns it forwards again."""
        self._turns.remove(hash_pair(port.number, 0), port)
        self._ports = list(self._turns)
        self.changed_ports.discard(port)
        for other in self._ports:
            other.want_selection()
        if not self._ports:
            self._choose_roles()
        self.move_all()

    # -- events --------------------------------------------------------------------------

    def tick(self) -> None:
        """A second has passed."""
        for port in self._ports:
            for timer in _TIMERS:
                setattr(port, timer, max(getattr(port, timer) - 1, 0))
            port.uptime_s += 1
        self.move_all()

    def receive(self, port: RstpPort, data: bytes) -> None:
        """A BPDU came in."""
        if not port.is_usable or port.pending is not None:
            return
        bpdu = v.decode_bpdu(data)
        if bpdu is None or self._is_echo(port, bpdu):
            port.n_errors += 1
            _sm_log.dbg("%s, port %u: Bad STP or RSTP BPDU received", self.name, port.number)
            return
        port.n_received += 1
        port.pending = bpdu
        self.move_all()

    def _is_echo(self, port: RstpPort, bpdu: v.Bpdu) -> bool:
        """Is it a configuration BPDU that this very port has sent (9.3.4)?"""
        sender = bpdu.vector.bridge, bpdu.vector.port
        return bpdu.kind == v.CONFIG_KIND and sender == (self.bridge_id, port.id)

    def move_all(self) -> None:
        """Move all machines until nothing changes any more."""
        self.has_changed = True
        rounds = 0
        while self.has_changed and rounds < _MAX_ROUNDS:
            rounds += 1
            self.has_changed = False
            self._move_selection()
            for port in list(self._ports):
                for place in range(len(machines.MACHINES)):
                    machines.step(self, port, place)
        if self.has_changed:
            _sm_log.err("%s: state machines do not come to rest", self.name)

    def take_flushes(self) -> list[RstpPort]:
        """The ports whose learned addresses may be wrong; they are as good as flushed now."""
        ports = [port for port in self._ports if port.must_flush]
        for port in ports:
            port.must_flush = False
        return ports

    # -- what machines ask for -----------------------------------------------------------

    def set_state(self, port: RstpPort, state: str) -> None:
        """Have the owner let packets through, or not."""
        if state != port.state:
            port.state = state
            self.changed_ports.add(port)

    def send(self, port: RstpPort, kind: int) -> None:
        """Send a BPDU that says what this bridge thinks of the LAN."""
        flags = 0
        if kind == v.RST_KIND:
            flags = (
                v.role_flags(port.role)
                | (v.AGREEMENT if port.agree else 0)
                | (v.PROPOSAL if port.proposing else 0)
                | (v.LEARNING_FLAG if port.learning else 0)
                | (v.FORWARDING_FLAG if port.forwarding else 0)
            )
        elif kind == v.CONFIG_KIND and port.sends_ack:
            flags = v.CHANGE_ACK
        if kind != v.TCN_KIND and port.change_timer:
            flags |= v.TOPOLOGY_CHANGE
        bpdu = v.Bpdu(kind, flags, port.designated, port.designated_times)
        self.packets.append((port, bpdu.encode()))

    # -- roles (17.28) -------------------------------------------------------------------

    def _move_selection(self) -> None:
        if self._is_selecting:
            self._is_selecting = False
            for port in self._ports:
                port.reselect = False
            self._choose_roles()
            for port in self._ports:
                port.selected = True
            self.has_changed = True
        elif any(port.reselect for port in self._ports):
            self._is_selecting = self.has_changed = True

    def _choose_roles(self) -> None:
        """Choose the root and the way there, and a role for each port (17.21.25)."""
        best, times = v.Vector(self.bridge_id, 0, self.bridge_id), self.own_times
        root_port, old_root_port = None, self.root_port
        for port in self._ports:
            if port.info != machines.INFO_RECEIVED or v.is_own(port.vector, self.bridge_id):
                continue
            heard = port.vector
            way = heard._replace(cost=heard.cost + port.cost, receiver=port.id)
            if v.is_superior(way, best):
                best, root_port = way, port
                times = port.times._replace(message_age=port.times.message_age + 1)
        self.root, self.root_times = best, times
        log.dbg("%s: new Root is %s", self.name, v.format_bridge_id(best.root))
        if (
            root_port is not None
            and old_root_port not in (None, root_port)
            and root_port.role == v.ALTERNATE
        ):
            assert old_root_port is not None
            self.root_move = (old_root_port, root_port)
        for port in self._ports:
            port.designated = v.Vector(best.root, best.cost, self.bridge_id, port.id)
            port.designated_times = times._replace(hello=v.HELLO_S)
            self._choose_role(port, port is root_port)

    def _choose_role(self, port: RstpPort, is_root_port: bool) -> None:
        if port.info == machines.INFO_DISABLED:
            port.selected_role = v.DISABLED_ROLE
        elif port.info == machines.INFO_AGED:
            port.selected_role, port.must_update = v.DESIGNATED, True
        elif port.info == machines.INFO_MINE:
            port.selected_role = v.DESIGNATED
            is_news = not v.is_same(port.vector, port.designated)
            port.must_update |= is_news or port.designated_times != self.root_times
        elif is_root_port:
            port.selected_role, port.must_update = v.ROOT, False
        elif v.is_inferior(port.designated, port.vector):
            is_own = port.vector.bridge == self.bridge_id
            port.selected_role = v.BACKUP if is_own else v.ALTERNATE
            port.must_update = False
        else:
            port.selected_role, port.must_update = v.DESIGNATED, True


def times_fit(forward_delay_s: int, max_age_s: int) -> bool:
    """Are both in range, and is the age within what the delay leaves time for (17.14)?"""
    return (
        v.FORWARD_DELAYS[0] <= forward_delay_s <= v.FORWARD_DELAYS[1]
        and v.MAX_AGES[0] <= max_age_s <= v.MAX_AGES[1]
        and 2 * (forward_delay_s - 1) >= max_age_s
    )
