"""RSTP's Port Role Transitions machine (IEEE 802.1D-2004, 17.29): how a port gets from its role to
a state, and agrees with its neighbour on the way.

What `rstp_machines` says of departures from the standard is true here, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.protocols import rstp_values as v
from netloom.protocols.rstp_states import Enter, Leave, Machine, State, always

if TYPE_CHECKING:
    from netloom.protocols.rstp import Rstp, RstpPort

_ROLE_STATES = {
    v.ROOT: "root", v.DESIGNATED: "designated", v.ALTERNATE: "block", v.BACKUP: "block",
    v.DISABLED_ROLE: "disable",
}  # fmt: skip


def _forward_delay(port: RstpPort) -> int:
    """How long each of the two steps to forwarding takes without an agreement."""
    times = port.designated_times
    return times.hello if port.sends_rstp else times.forward_delay


def _init_port(tree: Rstp, port: RstpPort) -> None:
    port.role = v.DISABLED_ROLE
    port.learn = port.forward = port.synced = False
    port.sync = port.re_root = True
    port.recent_root_timer = port.designated_times.forward_delay
    port.forward_timer = port.designated_times.max_age
    port.recent_backup_timer = 0


def _block(tree: Rstp, port: RstpPort) -> None:
    port.role = port.selected_role
    port.learn = port.forward = False


def _settle(port: RstpPort, forward_timer: int) -> None:
    port.forward_timer = forward_timer
    port.synced = True
    port.recent_root_timer = 0
    port.sync = port.re_root = False


def _enter_root(tree: Rstp, port: RstpPort) -> None:
    port.role = v.ROOT
    port.recent_root_timer = port.designated_times.forward_delay


def _enter_designated(tree: Rstp, port: RstpPort) -> None:
    port.role = v.DESIGNATED


def _re_root(tree: Rstp, port: RstpPort) -> None:
    for other in tree.all_ports():
        other.re_root = True


def _sync_all(tree: Rstp, port: RstpPort) -> None:
    for other in tree.all_ports():
        other.sync = True
    port.proposed = False


def _root_agrees(tree: Rstp, port: RstpPort) -> None:
    port.proposed = port.sync = False
    port.agree = port.has_news = True


def _alternate_agrees(tree: Rstp, port: RstpPort) -> None:
    port.proposed = False
    port.agree = port.has_news = True


def _start_learning(tree: Rstp, port: RstpPort) -> None:
    port.forward_timer = _forward_delay(port)
    port.learn = True


def _root_forwards(tree: Rstp, port: RstpPort) -> None:
    port.forward_timer = 0
    port.forward = True


def _designated_forwards(tree: Rstp, port: RstpPort) -> None:
    port.forward_timer = 0
    port.forward = True
    port.agreed = port.sends_rstp


def _clear_re_root(tree: Rstp, port: RstpPort) -> None:
    port.re_root = False


def _designated_synced(tree: Rstp, port: RstpPort) -> None:
    port.recent_root_timer = 0
    port.synced = True
    port.sync = False


def _propose(tree: Rstp, port: RstpPort) -> None:
    port.proposing = port.has_news = True
    p2p = port.settings.point_to_point
    port.edge_delay = v.MIGRATE_S if p2p else port.designated_times.max_age


def _designated_discards(tree: Rstp, port: RstpPort) -> None:
    port.learn = port.forward = port.disputed = False
    port.forward_timer = _forward_delay(port)


def _settle_disabled(tree: Rstp, port: RstpPort) -> None:
    _settle(port, port.designated_times.max_age)


def _settle_alternate(tree: Rstp, port: RstpPort) -> None:
    _settle(port, port.designated_times.forward_delay)


def _note_backup(tree: Rstp, port: RstpPort) -> None:
    port.recent_backup_timer = 2 * port.designated_times.hello


def _unless_role_changes(role: str, leave: Leave) -> Leave:
    """Another role that was chosen comes first; with none, nothing moves until one is."""

    def checked(tree: Rstp, port: RstpPort) -> str | None:
        if port.is_settled and port.selected_role not in (port.role, role):
            return _ROLE_STATES[port.selected_role]
        return leave(tree, port)

    return checked


def _if_settled(role: str, leave: Leave) -> Leave:
    return _unless_role_changes(
        role, lambda tree, port: leave(tree, port) if port.is_settled else None
    )


def _after_disable(tree: Rstp, port: RstpPort) -> str | None:
    return None if port.learning or port.forwarding else "disabled"


def _after_disabled_port(tree: Rstp, port: RstpPort) -> str | None:
    is_off = port.forward_timer != port.designated_times.max_age
    return "disabled" if is_off or port.sync or port.re_root or not port.synced else None


def _after_root(tree: Rstp, port: RstpPort) -> str | None:
    if port.recent_root_timer != port.designated_times.forward_delay:
        return "root"
    if port.re_root and port.forward:
        return "rerooted"
    others_left = all(p is port or p.recent_root_timer == 0 for p in tree.all_ports())
    is_safe = others_left and port.recent_backup_timer == 0 and tree.speaks_rstp
    if (port.forward_timer == 0 or is_safe) and not port.forward:
        return "root forward" if port.learn else "root learn"
    if port.proposed and not port.agree:
        return "root proposed"
    if port.proposed or (not port.agree and _all_synced(tree)):
        return "root agreed"
    return "reroot" if not port.forward and not port.re_root else None


def _all_synced(tree: Rstp) -> bool:
    return all(
        port.selected and port.role == port.selected_role and (port.role == v.ROOT or port.synced)
        for port in tree.all_ports()
    )


def _after_designated(tree: Rstp, port: RstpPort) -> str | None:
    is_out_of_step = (
        (port.sync and not port.synced)
        or (port.re_root and port.recent_root_timer != 0)
        or port.disputed
    )
    if is_out_of_step and not port.oper_edge and (port.learn or port.forward):
        return "designated discard"
    may_go_on = port.forward_timer == 0 or port.agreed or port.oper_edge
    is_free = (port.recent_root_timer == 0 or not port.re_root) and not port.sync
    if may_go_on and is_free and not port.forward:
        return "designated forward" if port.learn else "designated learn"
    if not (port.forward or port.agreed or port.proposing or port.oper_edge):
        return "designated propose"
    is_quiet = not port.learning and not port.forwarding
    if port.sync if port.synced else is_quiet or port.agreed or port.oper_edge:
        return "designated synced"
    return "designated retired" if port.recent_root_timer == 0 and port.re_root else None


def _after_block(tree: Rstp, port: RstpPort) -> str | None:
    return None if port.learning or port.forwarding else "alternate"


def _after_alternate(tree: Rstp, port: RstpPort) -> str | None:
    if port.role == v.BACKUP and port.recent_backup_timer != 2 * port.designated_times.hello:
        return "backup"
    is_off = port.forward_timer != _forward_delay(port)
    if is_off or port.sync or port.re_root or not port.synced:
        return "alternate"
    if port.proposed and not port.agree:
        return "alternate proposed"
    is_to_agree = port.proposed or (not port.agree and _all_synced(tree))
    return "alternate agreed" if is_to_agree else None


def _passing(role: str, enter: Enter, following: str) -> State:
    return State(enter, _unless_role_changes(role, always(following)))


ROLES: Machine = {
    "init": State(_init_port, always("disable")),
    "disable": State(_block, _if_settled(v.DISABLED_ROLE, _after_disable)),
    "disabled": State(_settle_disabled, _if_settled(v.DISABLED_ROLE, _after_disabled_port)),
    "root": State(_enter_root, _if_settled(v.ROOT, _after_root)),
    "reroot": _passing(v.ROOT, _re_root, "root"),
    "rerooted": _passing(v.ROOT, _clear_re_root, "root"),
    "root agreed": _passing(v.ROOT, _root_agrees, "root"),
    "root proposed": _passing(v.ROOT, _sync_all, "root"),
    "root forward": _passing(v.ROOT, _root_forwards, "root"),
    "root learn": _passing(v.ROOT, _start_learning, "root"),
    "designated": State(_enter_designated, _if_settled(v.DESIGNATED, _after_designated)),
    "designated retired": _passing(v.DESIGNATED, _clear_re_root, "designated"),
    "designated synced": _passing(v.DESIGNATED, _designated_synced, "designated"),
    "designated propose": _passing(v.DESIGNATED, _propose, "designated"),
    "designated forward": _passing(v.DESIGNATED, _designated_forwards, "designated"),
    "designated learn": _passing(v.DESIGNATED, _start_learning, "designated"),
    "designated discard": _passing(v.DESIGNATED, _designated_discards, "designated"),
    "block": State(_block, _if_settled(v.ALTERNATE, _after_block)),
    "alternate": State(_settle_alternate, _if_settled(v.ALTERNATE, _after_alternate)),
    "alternate agreed": _passing(v.ALTERNATE, _alternate_agrees, "alternate"),
    "alternate proposed": _passing(v.ALTERNATE, _sync_all, "alternate"),
    "backup": _passing(v.ALTERNATE, _note_backup, "alternate"),
}
