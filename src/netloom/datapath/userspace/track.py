"""The `ct` action of an execution: between a packet on its way and the connection tracker.

A packet that is whole goes on with what the tracker says. A fragment is held until its packet is
whole (`conntrack.fragments`); then all its fragments go on, one by one, each through what is left
of the actions. Fragments whose packet never became whole go on behind another packet of their
family, as invalid.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from netloom.datapath import actions as dp
from netloom.datapath.userspace.conntrack.expected import adjust_packet
from netloom.datapath.userspace.conntrack.fragments import HELD, Piece, Whole, cut
from netloom.datapath.userspace.conntrack.key import tracked_of, write_tracked
from netloom.datapath.userspace.conntrack.nat import translate_packet
from netloom.datapath.userspace.conntrack.plan import CtPlan, is_plain_action
from netloom.datapath.userspace.conntrack.tracker import (
    INV,
    TRK,
    Tracked,
    Verdict,
)
from netloom.flow.key import RECIRC_ID_SHIFT
from netloom.netdev.device import Packet
from netloom.packet.headers import ETH_TYPE_IP
from netloom.packet.offload import NEEDS_CSUM, finish_offload, known_sums
from netloom.packet.parse import parse

if TYPE_CHECKING:
    from netloom.datapath.userspace.execute import Execution

#: Of fragments that were given up: nobody tracked them.
_GIVEN_UP: Final = Tracked(INV)


def track(execution: Execution, action: dp.Ct) -> bool | list[Execution] | None:
    """Do `ct`; returns True if the packet is held, and several executions if they go on in place
    of this one."""
    fragments = execution.outlet.conntrack.fragments
    going_on = None
    if execution.parsed().frag:
        going_on = _track_fragment(execution, action)
    else:
        _track_whole(execution, action)
    if not fragments.n_held:
        return going_on
    late = fragments.expired(execution.parsed().dl_type, execution.outlet.now_ms())
    if not late:
        return going_on
    here = going_on if isinstance(going_on, list) else [] if going_on else [execution]
    return [*here, *(_continue(execution, p, p.data, _GIVEN_UP) for p in late)]


def compile_track(
    action: dp.Ct, wants_key: bool
) -> Callable[[Execution], bool | list[Execution] | None]:
    """The step that does `ct`: a packet that nothing is special about takes a short road.
    `wants_key`: what follows looks at what tracking says."""
    if not is_plain_action(action):
        return partial(track, action=action)

    plan = CtPlan(action)

    def track_plain(execution: Execution) -> bool | list[Execution] | None:
        outlet = execution.outlet
        tracker = outlet.conntrack
        if not tracker.fragments.n_held:
            data, offload = execution.frozen().data, execution.offload
            known = 0 if offload is None else known_sums(offload)
            key = tracker.track_key(data, execution.key, plan, outlet.now_ms(), known, wants_key)
            if key >= 0:
                if wants_key:
                    execution.key = key
                return None
        return track(execution, action)

    return track_plain


def _track_whole(execution: Execution, action: dp.Ct) -> None:
    outlet, headers, offload = execution.outlet, execution.parsed(), execution.offload
    verdict = outlet.conntrack.track(
        execution.frozen().data,
        headers,
        tracked_of(execution.key),
        action,
        outlet.now_ms(),
        known_sums(offload),
    )
    if (how := verdict.translation) is not None:
        partial = offload if offload is not None and offload.flags & NEEDS_CSUM else None
        before = execution.frozen().data
        translate_packet(execution.data(), headers, how.wanted, how.action, how.inner, partial)
        execution.put_off(before)
    if verdict.adjustment is not None:
        if offload is not None:
            # Numbers and lengths of what was not segmented yet cannot be told.
            execution.replace(Packet(finish_offload(execution.frozen().data, offload)[0]))
        adjust_packet(execution.data(), execution.parsed(), verdict.adjustment)
    execution.key = write_tracked(execution.key, verdict.tracked)


def _track_fragment(execution: Execution, action: dp.Ct) -> bool | list[Execution] | None:
    outlet, key = execution.outlet, execution.key
    recirc_id = key >> RECIRC_ID_SHIFT & 0xFFFFFFFF
    data, known = execution.frozen().data, known_sums(execution.offload)
    taken = outlet.conntrack.fragments.take(
        data, execution.parsed(), key, action.zone, recirc_id, outlet.now_ms(), known
    )
    if isinstance(taken, Whole):
        return _track_joined(execution, action, taken)
    if taken == HELD:
        return True
    execution.key = write_tracked(key, Tracked(INV | TRK, action.zone))
    return None


def _track_joined(execution: Execution, action: dp.Ct, whole: Whole) -> list[Execution]:
    outlet = execution.outlet
    headers = parse(whole.data, max_vlans=execution.parsed().n_vlans)
    verdict: Verdict = outlet.conntrack.track(
        whole.data, headers, tracked_of(execution.key), action, outlet.now_ms()
    )
    pieces = whole.pieces
    parts = [piece.data for piece in pieces]
    if (how := verdict.translation) is not None:
        changed = bytearray(whole.data)
        translate_packet(changed, headers, how.wanted, how.action, how.inner, None)
        parts = cut(whole, changed, headers.dl_type == ETH_TYPE_IP)
    return [
        _continue(execution, piece, data, verdict.tracked)
        for piece, data in zip(pieces, parts, strict=True)
    ]


def _continue(execution: Execution, piece: Piece, data: bytes, tracked: Tracked) -> Execution:
    """A fragment's way on, behind the `ct` that held it."""
    key = write_tracked(piece.key, tracked)
    going_on = type(execution)(execution.outlet, Packet(data), key, execution.depth)
    going_on.is_changed = True
    return going_on
