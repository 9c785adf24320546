"""Sets of flows, to be compared: what a file says and what a switch has.

Two flows are the same flow if table, priority and match are equal; what else there is to them is a
`FlowVersion`. Classes and loops of their own, compiled, for there are very many.
"""

from __future__ import annotations

from netloom.flow.match import Match
from netloom.openflow import messages as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from netloom.openflow.actions import Action

#: Table, priority, match: what makes two flows the same.
Key = tuple[int, int, Match]


class FlowVersion:
    """What two flows with the same key may differ in; `flags` do not count."""

    __slots__ = ("actions", "cookie", "flags", "hard_timeout", "idle_timeout", "importance")

    def __init__(
        self, actions: tuple[Action, ...], cookie: int, idle_timeout: int, hard_timeout: int,
        importance: int, flags: int,
    ) -> None:  # fmt: skip
        self.actions = actions
        self.cookie = cookie
        self.idle_timeout = idle_timeout
        self.hard_timeout = hard_timeout
        self.importance = importance
        self.flags = flags


Flows = dict[Key, FlowVersion]


def same_version(a: FlowVersion | None, b: FlowVersion | None) -> bool:
    """Is there nothing to be changed from one to the other? None: there is no such flow."""
    if a is None or b is None:
        return a is b
    return (
        a.cookie == b.cookie
        and a.idle_timeout == b.idle_timeout
        and a.hard_timeout == b.hard_timeout
        and a.importance == b.importance
        and (a.actions is b.actions or a.actions == b.actions)
    )


def flows_of_mods(mods: list[m.FlowMod]) -> Flows:
    """The flows that flow mods add, the last one with a key counting."""
    flows: Flows = {}
    for mod in mods:
        table_id = 0 if mod.table_id == m.OFPTT_ALL else mod.table_id
        flows[table_id, mod.priority, mod.match] = FlowVersion(
            mod.actions, mod.new_cookie or 0, mod.idle_timeout, mod.hard_timeout, mod.importance,
            mod.flags,
        )  # fmt: skip
    return flows


def add_told(flows: Flows, told: Iterable[m.FlowStats]) -> None:
    """Put what a switch tells of flows into `flows`."""
    for flow in told:
        flows[flow.table_id, flow.priority, flow.match] = FlowVersion(
            flow.actions, flow.cookie, flow.idle_timeout, flow.hard_timeout, flow.importance, 0
        )


def _order(key: Key) -> tuple[int, int]:
    return key[0], -key[1]


def differences(first: Flows, second: Flows) -> list[Key]:
    """The keys of which there is not the same in both, by table and falling priority."""
    found = [key for key, version in first.items() if not same_version(version, second.get(key))]
    found += [key for key in second if key not in first]
    return sorted(found, key=_order)
