"""Freezing a translation, and thawing it.

Some actions need what only the data path can find out: the hash of a packet, or the headers under
a label that was popped. They *trigger* a freeze: all lists of actions that are running end
(`context.done`), innermost first, and each hands in the actions that it had still to run
(`freeze_rest`). At the end of the bridge (or bucket, or clone) `finish_freezing` makes a
`FrozenState` of these actions and of what the translation knew, and emits `recirc(ID)`. When the
packet comes up again with that number, `thaw` restores it all, and the actions go on.

Actions that name their rule or table (packet-ins carry both, `resubmit` may mean "this table")
are preceded by an `unroll_xlate` that says which these were.

`fork` (of `ct`) freezes a copy of the packet, which goes on in a table; this translation goes on
beside it.
"""

from __future__ import annotations

from netloom.datapath import actions as dp
from netloom.flow.fields import FIELD, KEY_MASK, SLOT, TUN_OPTIONS_MASK
from netloom.flow.key import CT_MASK, TUNNEL_MASK
from netloom.flow.ports import UNSET
from netloom.ofproto.recirculations import FrozenState
from netloom.ofproto.translate.commit import commit
from netloom.ofproto.translate.context import Context, Freeze
from netloom.ofproto.translate.output import emit_to_controller
from netloom.openflow import actions as a
from netloom.openflow.action_format import format_actions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ACTSET_OUTPUT: Final = SLOT["actset_output"]
_RECIRC_ID: Final = SLOT["recirc_id"]
_METADATA: Final = FIELD["metadata"]
#: What of a key is frozen: the data path does not know it, or knows it otherwise.
FROZEN_MASK: Final = (
    SLOT["in_port"].mask
    | SLOT["metadata"].mask
    | sum(SLOT[f"reg{n}"].mask for n in range(32))
    | TUNNEL_MASK
    | TUN_OPTIONS_MASK
)
_NOT_FROZEN: Final = KEY_MASK & ~FROZEN_MASK
_SAME_TABLE: Final = 255
#: Actions whose packet-ins carry table and cookie of their rule.
_NAMES_RULE: Final = (
    a.OutputReg, a.OutputTrunc, a.Group, a.Output, a.Controller, a.DecMplsTtl, a.DecNshTtl,
    a.DecTtl,
)  # fmt: skip


def trigger_freeze(
    context: Context,
    *,
    resumes_behind: bool = False,
    hash_wanted: tuple[str, int] | None = None,
    pause: a.Controller | None = None,
) -> None:
    """Stop here; go on with the action that runs or, with `resumes_behind`, the next."""
    context.freeze = Freeze(resumes_behind, hash_wanted, pause)
    context.done = True


def freeze_rest(context: Context, actions: a.Actions) -> None:
    """Keep what one list of actions had still to run."""
    freeze = context.freeze
    assert freeze is not None
    for action in actions:
        if isinstance(action, a.Nat):
            continue
        names_table = isinstance(action, a.Resubmit) and action.table_id == _SAME_TABLE
        place = (context.table_id, context.cookie)
        if (names_table or isinstance(action, _NAMES_RULE)) and place != freeze.place:
            freeze.actions.append(a.UnrollXlate(*place))
            freeze.place = place
        freeze.actions.append(_as_action(action))


def _as_action(action: a.Action) -> a.Action:
    """What an instruction comes to, which has no place between actions."""
    if isinstance(action, a.GotoTable):
        return a.Resubmit(table_id=action.table_id)
    if isinstance(action, a.WriteMetadata):
        return a.SetField(_METADATA, action.value, action.mask)
    return action


def finish_freezing(context: Context, table_id: int = 0) -> int:
    """Emit what makes the packet come back; returns the number that it will have (0: it goes to a
    controller and comes back from there)."""
    commit(context)
    freeze = context.freeze or Freeze()
    context.freeze = None
    pause = freeze.pause
    state = FrozenState(
        context.bridge.name,
        table_id,
        context.key & FROZEN_MASK,
        context.conntracked,
        tuple(context.stack),
        context.mirrored,
        tuple(freeze.actions),
        tuple(context.action_set),
        pause.userdata if pause is not None else b"",
    )
    number = context.bridge.backer.recirculations.acquire(state)
    context.recirc_ids.append(number)
    if pause is not None and context.recorder is not None and not context.side_effects:
        return 0
    if pause is not None:
        emit_to_controller(context, number, pause.reason, pause.controller_id, pause.max_len,
                           pause.userdata, pause.meter_id, is_pause=True)  # fmt: skip
        number = 0
    else:
        if freeze.hash_wanted is not None:
            context.emit(dp.Hash(*freeze.hash_wanted))
        context.emit(dp.Recirc(number))
    return number


def fork(context: Context, table_id: int, zone: int) -> None:
    """Have a copy of the packet come back to `table_id`."""
    number = finish_freezing(context, table_id)
    recorder = context.recorder
    if recorder is not None:
        recorder.add_fork(_RECIRC_ID.put(context.key, number), zone, context.nat)
        context.detail("A clone of the packet is forked to recirculate. "
                       f"The forked pipeline will be resumed at table {table_id}.")  # fmt: skip


def thaw(context: Context, state: FrozenState) -> bool:
    """Restore what was frozen; False if the bridge is gone."""
    recorder = context.recorder
    if recorder is not None:
        recorder.enter("thaw", "thaw")
    bridge = context.bridge.backer.bridges.get(state.bridge)
    if bridge is None:
        context.report_error("Frozen bridge no longer exists.")
        context.error = "Bridge not found"
        context.end()
        return False
    context.bridge = bridge
    context.table_id = state.table_id
    context.tell(f"Resuming from table {state.table_id}")
    context.conntracked = state.conntracked
    if not state.conntracked:
        context.key &= ~CT_MASK
    context.key = context.key & _NOT_FROZEN | state.metadata
    if state.stack:
        context.stack = list(state.stack)
    context.mirrored = state.mirrored
    if state.action_set:
        _restore_action_set(context, state.action_set)
    if state.actions and recorder is not None:
        context.tell(f"Restoring actions: {format_actions(state.actions)}")
    context.end()
    return True


def _restore_action_set(context: Context, actions: a.Actions) -> None:
    if context.recorder is not None:
        context.tell(f"Restoring action set: {format_actions(actions)}")
    context.action_set = list(actions)
    ports = [action.port for action in actions if isinstance(action, a.Output)]
    context.key = _ACTSET_OUTPUT.put(context.key, ports[-1] if ports else UNSET)


def debug_recirc(context: Context, action: a.DebugRecirc) -> None:
    trigger_freeze(context, resumes_behind=True)


def unroll_xlate(context: Context, action: a.UnrollXlate) -> None:
    """The actions that follow are those of another rule."""
    context.table_id = action.table_id
    context.cookie = action.cookie
    context.tell(
        f"restored state: table={action.table_id}, cookie={action.cookie:#x}"
        if action.cookie
        else f"restored state: table={action.table_id}, cookie=0"
    )
