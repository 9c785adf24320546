"""What may stand inside of which action.

`ct(exec(...))` changes the connection's own fields, and nothing else does; `nat` stands in `ct`
only; an action set (write_actions) takes actions that make sense once and in a set order.
"""

from __future__ import annotations

from netloom.flow.fields import Field
from netloom.openflow import actions as a
from netloom.openflow import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: Actions that hold others.
HOLDERS = (a.Clone, a.Conntrack, a.WriteActions)
#: Fields of a connection.
_CT_FIELDS = frozenset({"ct_mark", "ct_label"})

#: What write_actions may not hold.
_NOT_IN_SETS: frozenset[type[a.Action]] = frozenset({
    a.Bundle, a.Clone, a.Conjunction, a.Exit, a.FinTimeout, a.Learn, a.Multipath, a.Note,
    a.Sample, a.Push, a.Pop, a.PopQueue, a.CheckPktLarger, a.DeleteField, a.DebugRecirc,
    a.DebugSlow, a.UnrollXlate, a.Meter, a.ClearActions, a.WriteActions,
    a.WriteMetadata, a.GotoTable, a.Nat, a.OutputTrunc,
        a.Controller, a.OutputReg,
})  # fmt: skip


def in_action_set(action: a.Action) -> bool:
    """Whether an action set may hold `action`."""
    return type(action) not in _NOT_IN_SETS


def _written(action: a.Action) -> Field | None:
    if isinstance(action, a.SetField):
        return action.field
    if isinstance(action, a.Move):
        return action.destination.field
    return None


def nesting_fault(actions: tuple[a.Action, ...], outer: str) -> tuple[str, str] | None:
    """What is wrong with `actions` inside of `outer` ("": a flow), and the error for it."""
    for action in actions:
        field = _written(action)
        if field is not None and field.name in _CT_FIELDS:
            if outer != "ct":
                return "cannot set CT fields outside of ct action", "OFPBAC_BAD_SET_ARGUMENT"
        elif isinstance(action, a.Nat):
            if outer != "ct":
                return 'Cannot have NAT action outside of "ct" action', "OFPBAC_BAD_SET_ARGUMENT"
        elif outer == "ct" or (outer in ("clone", "write_actions") and type(action) is a.Meter):
            if field is None:
                name = names.ACTION_NAMES[type(action).__name__]
                return (f"{outer} action doesn't support nested action {name}",
                        "OFPBAC_BAD_ARGUMENT")  # fmt: skip
            return (f"ct action doesn't support nested modification of {field.name}",
                    "OFPBAC_BAD_ARGUMENT")  # fmt: skip
        elif outer == "clone" and type(action) is a.WriteMetadata:
            return "write_metadata instruction not allowed here", "OFPBIC_UNSUP_INST"
    return None


def flattened(actions: tuple[a.Action, ...]) -> Iterator[a.Action]:
    """All actions of a list, those nested in others right after these."""
    for action in actions:
        yield action
        if isinstance(action, HOLDERS):
            yield from flattened(action.actions)
