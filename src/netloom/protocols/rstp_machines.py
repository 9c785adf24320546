"""RSTP's state machines (IEEE 802.1D-2004, 17.23 to 17.31): eight for each port.

A machine is a table: a state's name -> what happens when it is entered, and a function that names
the state to go to, or None to stay. `step` does one move: it carries out what a state that was
entered asks for, then looks for the next. `Rstp` goes round all ports and machines until nothing
moves any more.

Where Open vSwitch departs from the standard, this follows Open vSwitch, so that trees converge
at the same second: it takes agreements and disputes as 802.1Q-2008 does (also from designated
ports; an inferior designated port that learns is disputed), and an alternate port compares its
timer with the hello time after having set it to the forward delay, so it never sends agreements
of its own accord.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.protocols import rstp_values as v
from netloom.protocols.rstp_roles import ROLES
from netloom.protocols.rstp_states import Enter, Leave, Machine, State, always

if TYPE_CHECKING:
    from netloom.protocols.rstp import Rstp, RstpPort

#: Where what a port knows of its LAN is from (17.19.10).
INFO_DISABLED, INFO_AGED, INFO_MINE, INFO_RECEIVED = "disabled", "aged", "mine", "received"


def step(tree: Rstp, port: RstpPort, place: int) -> None:
    """Move the machine at `place` of `MACHINES` by one."""
    before = name, is_new = port.places[place]
    state = MACHINES[place][name]
    if is_new and state.enter is not None:
        state.enter(tree, port)
    following = state.leave(tree, port)
    after = port.places[place] = (name, False) if following is None else (following, True)
    if after != before:
        tree.has_changed = True


# -- Port Receive (17.23) ----------------------------------------------------------------------


def _discard(tree: Rstp, port: RstpPort) -> None:
    port.pending = None
    port.received_rstp = port.received_stp = port.has_message = False
    port.edge_delay = v.MIGRATE_S


def _receive(tree: Rstp, port: RstpPort) -> None:
    assert port.pending is not None
    port.message, port.pending = port.pending, None
    port.received_rstp = port.message.kind == v.RST_KIND
    port.received_stp = not port.received_rstp
    port.oper_edge = False
    port.has_message = True
    port.edge_delay = v.MIGRATE_S


def _is_to_discard(port: RstpPort) -> bool:
    return not port.is_usable and (port.pending is not None or port.edge_delay != v.MIGRATE_S)


def _after_discard(tree: Rstp, port: RstpPort) -> str | None:
    if _is_to_discard(port):
        return "discard"
    return "receive" if port.pending is not None and port.is_usable else None


def _after_receive(tree: Rstp, port: RstpPort) -> str | None:
    if _is_to_discard(port):
        return "discard"
    takes = port.pending is not None and port.is_usable and not port.has_message
    return "receive" if takes else None


RECEIVE: Machine = {
    "discard": State(_discard, _after_discard),
    "receive": State(_receive, _after_receive),
}

# -- Bridge Detection (17.25) ------------------------------------------------------------------


def _set_edge(is_edge: bool) -> Enter:
    def enter(tree: Rstp, port: RstpPort) -> None:
        port.oper_edge = is_edge

    return enter


def _after_edge(tree: Rstp, port: RstpPort) -> str | None:
    lost = not port.is_usable and not port.settings.admin_edge
    return "not edge" if lost or not port.oper_edge else None


def _after_not_edge(tree: Rstp, port: RstpPort) -> str | None:
    is_set = not port.is_usable and port.settings.admin_edge
    is_silent = port.edge_delay == 0 and port.sends_rstp and port.proposing
    return "edge" if is_set or (port.settings.auto_edge and is_silent) else None


DETECTION: Machine = {
    "edge": State(_set_edge(True), _after_edge),
    "not edge": State(_set_edge(False), _after_not_edge),
}

# -- Port Information (17.27) ------------------------------------------------------------------


def _disable(tree: Rstp, port: RstpPort) -> None:
    port.has_message = False
    port.proposing = port.proposed = port.agree = port.agreed = False
    port.info_timer = 0
    port.info = INFO_DISABLED
    port.want_selection()


def _age(tree: Rstp, port: RstpPort) -> None:
    port.info = INFO_AGED
    port.want_selection()


def _update(tree: Rstp, port: RstpPort) -> None:
    port.proposing = port.proposed = False
    port.agreed = (
        port.agreed and port.info == INFO_MINE and not v.is_inferior(port.designated, port.vector)
    )
    port.synced = port.synced and port.agreed
    port.vector, port.times = port.designated, port.designated_times
    port.must_update = False
    port.info = INFO_MINE
    port.has_news = True


def _classify(tree: Rstp, port: RstpPort) -> None:
    """What the message says, compared with what is known (17.21.8)."""
    message = port.message
    if message.kind == v.TCN_KIND:
        port.got_tcn = True
        port.verdict = "other"
        return
    port.message_vector, port.message_times = message.vector, message.times
    is_same = v.is_same(message.vector, port.vector)
    is_better = v.is_superior(message.vector, port.vector)
    if message.role_code == v.DESIGNATED_CODE:
        if is_better or (is_same and message.times != port.times):
            port.verdict = "superior"
            if message.flags & v.LEARNING_FLAG:
                # 802.1Q-2008: whoever agreed on another port did so for an older tree.
                for other in tree.all_ports():
                    other.agreed = other.agreed and other is port
        else:
            port.verdict = "repeated" if is_same else "inferior"
    elif message.role_code in (v.ROOT_CODE, v.ALTERNATE_CODE) and not is_better:
        port.verdict = "not designated"
    else:
        port.verdict = "other"


def _record_superior(tree: Rstp, port: RstpPort) -> None:
    port.agreed = port.proposing = False
    _record_proposal(port)
    _record_change_flags(port)
    port.agree = (
        port.agree
        and port.info == INFO_RECEIVED
        and not v.is_inferior(port.message_vector, port.vector)
    )
    _record_agreement(tree, port)
    port.synced = port.synced and port.agreed
    times = port.message_times
    port.vector = port.message_vector
    port.times = times._replace(hello=times.hello or 1)
    _restart_info_timer(port)
    port.info = INFO_RECEIVED
    port.want_selection()
    port.has_message = False


def _record_repeated(tree: Rstp, port: RstpPort) -> None:
    _record_proposal(port)
    _record_change_flags(port)
    _record_agreement(tree, port)
    _restart_info_timer(port)
    port.has_message = False


def _record_inferior(tree: Rstp, port: RstpPort) -> None:
    if port.message.flags & v.LEARNING_FLAG:
        port.disputed = True
        port.agreed = False
    port.has_message = False


def _record_not_designated(tree: Rstp, port: RstpPort) -> None:
    _record_agreement(tree, port)
    _record_change_flags(port)
    port.has_message = False


def _record_nothing(tree: Rstp, port: RstpPort) -> None:
    port.has_message = False


def _record_proposal(port: RstpPort) -> None:
    message = port.message
    is_designated = message.flags >> 2 & 3 == v.DESIGNATED_CODE
    if is_designated and message.flags & v.PROPOSAL:
        port.proposed = True


def _record_agreement(tree: Rstp, port: RstpPort) -> None:
    port.agreed = bool(
        tree.speaks_rstp and port.settings.point_to_point and port.message.flags & v.AGREEMENT
    )
    if port.agreed:
        port.proposing = False


def _record_change_flags(port: RstpPort) -> None:
    if port.message.flags & v.TOPOLOGY_CHANGE:
        port.got_tc = True
    if port.message.flags & v.CHANGE_ACK:
        port.got_ack = True


def _restart_info_timer(port: RstpPort) -> None:
    is_fresh = port.times.message_age < port.times.max_age
    port.info_timer = 3 * port.times.hello if is_fresh else 0


def _unless_disabled(leave: Leave) -> Leave:
    """A port that cannot be used goes to "disabled" from wherever it is."""

    def checked(tree: Rstp, port: RstpPort) -> str | None:
        if not port.is_usable and port.info != INFO_DISABLED:
            return "disabled"
        return leave(tree, port)

    return checked


def _after_disabled(tree: Rstp, port: RstpPort) -> str | None:
    if port.is_usable:
        return "aged"
    return "disabled" if port.has_message else None


def _after_aged(tree: Rstp, port: RstpPort) -> str | None:
    return "update" if port.selected and port.must_update else None


def _after_current(tree: Rstp, port: RstpPort) -> str | None:
    if port.has_message and not port.must_update:
        return "receive"
    if port.selected and port.must_update:
        return "update"
    is_old = port.info == INFO_RECEIVED and port.info_timer == 0
    return "aged" if is_old and not port.must_update and not port.has_message else None


INFORMATION: Machine = {
    name: State(enter, _unless_disabled(leave))
    for name, enter, leave in (
        ("disabled", _disable, _after_disabled),
        ("aged", _age, _after_aged),
        ("update", _update, always("current")),
        ("current", None, _after_current),
        ("receive", _classify, lambda tree, port: port.verdict),
        ("superior", _record_superior, always("current")),
        ("repeated", _record_repeated, always("current")),
        ("inferior", _record_inferior, always("current")),
        ("not designated", _record_not_designated, always("current")),
        ("other", _record_nothing, always("current")),
    )
}

# -- Port State Transition (17.30) -------------------------------------------------------------


def _set_state(state: str, learning: bool, forwarding: bool) -> Enter:
    def enter(tree: Rstp, port: RstpPort) -> None:
        tree.set_state(port, state)
        port.learning, port.forwarding = learning, forwarding

    return enter


def _after_learning(tree: Rstp, port: RstpPort) -> str | None:
    if not port.learn:
        return "discarding"
    return "forwarding" if port.forward else None


STATES: Machine = {
    "discarding": State(
        _set_state(v.DISCARDING, False, False),
        lambda tree, port: "learning" if port.learn else None,
    ),
    "learning": State(_set_state(v.LEARNING, True, False), _after_learning),
    "forwarding": State(
        _set_state(v.FORWARDING, True, True),
        lambda tree, port: None if port.forward else "discarding",
    ),
}

# -- Topology Change (17.31) -------------------------------------------------------------------


def _start_change_timer(tree: Rstp, port: RstpPort) -> None:
    if port.change_timer == 0 and port.sends_rstp:
        port.change_timer = v.HELLO_S + 1
        port.has_news = True
    elif port.change_timer == 0:
        times = tree.own_times
        port.change_timer = times.max_age + times.forward_delay


def _propagate_to_others(tree: Rstp, port: RstpPort) -> None:
    for other in tree.all_ports():
        if other is not port:
            other.propagates = True


def _inactive(tree: Rstp, port: RstpPort) -> None:
    port.must_flush = True
    port.change_timer = 0
    port.sends_ack = False


def _forget_changes(tree: Rstp, port: RstpPort) -> None:
    port.got_tc = port.got_tcn = port.got_ack = port.propagates = False


def _detected(tree: Rstp, port: RstpPort) -> None:
    _start_change_timer(tree, port)
    _propagate_to_others(tree, port)
    port.has_news = True


def _acknowledged(tree: Rstp, port: RstpPort) -> None:
    port.change_timer = 0
    port.got_ack = False


def _propagating(tree: Rstp, port: RstpPort) -> None:
    _start_change_timer(tree, port)
    port.must_flush = True
    port.propagates = False


def _notified(tree: Rstp, port: RstpPort) -> None:
    port.got_tc = port.got_tcn = False
    port.sends_ack = port.sends_ack or port.role == v.DESIGNATED
    _propagate_to_others(tree, port)


def _after_change_learning(tree: Rstp, port: RstpPort) -> str | None:
    heard = port.got_tc or port.got_tcn or port.got_ack or port.propagates
    is_active = port.role in (v.ROOT, v.DESIGNATED)
    if not is_active and not port.learn and not port.learning and not heard:
        return "inactive"
    if heard:
        return "learning"
    return "detected" if is_active and port.forward and not port.oper_edge else None


def _after_active(tree: Rstp, port: RstpPort) -> str | None:
    if port.role not in (v.ROOT, v.DESIGNATED) or port.oper_edge:
        return "learning"
    if port.got_tcn:
        return "notified tcn"
    if port.got_tc:
        return "notified"
    if port.propagates:
        return "propagating"
    return "acknowledged" if port.got_ack else None


CHANGES: Machine = {
    "inactive": State(
        _inactive, lambda tree, port: "learning" if port.learn and not port.must_flush else None
    ),
    "learning": State(_forget_changes, _after_change_learning),
    "detected": State(_detected, lambda tree, port: _after_active(tree, port) or "active"),
    "active": State(None, _after_active),
    "acknowledged": State(_acknowledged, always("active")),
    "propagating": State(_propagating, always("active")),
    "notified tcn": State(_start_change_timer, always("notified")),
    "notified": State(_notified, always("active")),
}

# -- Port Transmit (17.26) ---------------------------------------------------------------------


def _start_sending(tree: Rstp, port: RstpPort) -> None:
    port.has_news = True
    port.n_recent = 0


def _periodic(tree: Rstp, port: RstpPort) -> None:
    is_changing_root = port.role == v.ROOT and port.change_timer != 0
    port.has_news = port.has_news or port.role == v.DESIGNATED or is_changing_root


def _idle(tree: Rstp, port: RstpPort) -> None:
    port.hello_timer = v.HELLO_S


def _sends(kind: int) -> Enter:
    def enter(tree: Rstp, port: RstpPort) -> None:
        port.has_news = False
        tree.send(port, kind)
        port.n_recent += 1
        if kind != v.TCN_KIND:
            port.sends_ack = False

    return enter


def _after_idle(tree: Rstp, port: RstpPort) -> str | None:
    if port.role == v.DISABLED_ROLE or not port.is_settled:
        return None
    if port.hello_timer == 0:
        return "periodic"
    if not port.has_news or port.n_recent >= tree.settings.hold_count:
        return None
    if port.sends_rstp:
        return "send rst"
    return {v.ROOT: "send tcn", v.DESIGNATED: "send config"}.get(port.role)


TRANSMIT: Machine = {
    "init": State(_start_sending, always("idle")),
    "periodic": State(_periodic, always("idle")),
    "idle": State(_idle, _after_idle),
    "send config": State(_sends(v.CONFIG_KIND), always("idle")),
    "send tcn": State(_sends(v.TCN_KIND), always("idle")),
    "send rst": State(_sends(v.RST_KIND), always("idle")),
}

# -- Port Protocol Migration (17.24) -----------------------------------------------------------


def _check_rstp(tree: Rstp, port: RstpPort) -> None:
    port.mcheck = False
    port.sends_rstp = tree.speaks_rstp
    port.migrate_timer = v.MIGRATE_S


def _select_stp(tree: Rstp, port: RstpPort) -> None:
    port.sends_rstp = False
    port.migrate_timer = v.MIGRATE_S


def _sense(tree: Rstp, port: RstpPort) -> None:
    port.received_rstp = port.received_stp = False


def _after_check(tree: Rstp, port: RstpPort) -> str | None:
    if port.migrate_timer == 0:
        return "sensing"
    restarts = port.migrate_timer != v.MIGRATE_S and not port.is_usable
    return "checking" if restarts else None


def _after_select(tree: Rstp, port: RstpPort) -> str | None:
    is_over = port.migrate_timer == 0 or not port.is_usable or port.mcheck
    return "sensing" if is_over else None


def _after_sense(tree: Rstp, port: RstpPort) -> str | None:
    heard = tree.speaks_rstp and not port.sends_rstp and port.received_rstp
    if not port.is_usable or port.mcheck or heard:
        return "checking"
    return "selecting stp" if port.sends_rstp and port.received_stp else None


MIGRATION: Machine = {
    "checking": State(_check_rstp, _after_check),
    "selecting stp": State(_select_stp, _after_select),
    "sensing": State(_sense, _after_sense),
}

#: In the order in which a port's machines move, and the state in which each starts.
MACHINES = (RECEIVE, DETECTION, INFORMATION, ROLES, STATES, CHANGES, TRANSMIT, MIGRATION)
FIRST_STATES = ("discard", "not edge", "disabled", "init", "discarding", "inactive", "init",
                "checking")  # fmt: skip
