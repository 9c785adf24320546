"""Action sets: what `write_actions` gathered, in the order in which it is executed."""

from __future__ import annotations

from netloom.openflow import actions as a

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: Kinds of action of which an action set keeps the last that was written, in the order of their
#: execution (OpenFlow 1.3, 5.10). Those that set fields follow, all of them; the output is last.
_SINGLE: tuple[type[a.Action], ...] = (
    a.StripVlan, a.PopMpls, a.Decap, a.Encap, a.PushMpls, a.PushVlan, a.DecTtl, a.DecMplsTtl,
    a.DecNshTtl,
)  # fmt: skip
#: Where the packet goes: the first of these that is there, and only that.
_OUTPUTS: Final = (a.Group, a.Output, a.Resubmit, a.Conntrack)


def execution_order(actions: list[a.Action]) -> a.Actions:
    """An action set as a list of actions to execute; without an output it does nothing."""
    last = {type(action): action for action in actions}
    output_ = next((last[kind] for kind in _OUTPUTS if kind in last), None)
    if output_ is None:
        return ()
    single = [last[kind] for kind in _SINGLE if kind in last]
    setters = [action for action in actions if not isinstance(action, (*_SINGLE, *_OUTPUTS))]
    return (*single, *setters, output_)
