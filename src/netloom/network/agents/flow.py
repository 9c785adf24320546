"""OpenFlow flows as an agent wishes them: text, compared by table, priority and match.

Two sets of flows are compared by key: what is only in the old one is deleted, what is new or has
other actions is added (an addition replaces). Both become one bundle, so that no packet meets a
table that is half changed. Flows carry `COOKIE`; what flows learn carries `LEARNED_COOKIE`, and so
outlives the restart of an agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

COOKIE = 0x6E65746C6F6F6D01
LEARNED_COOKIE = 0x6E65746C6F6F6D02

Key = tuple[int, int, str]


class Flow(NamedTuple):
    """A flow; `match` is in the syntax of ovs-ofctl, empty for any packet."""

    table: int
    priority: int
    match: str
    actions: str

    @property
    def key(self) -> Key:
        """What two flows of a table cannot share."""
        return self.table, self.priority, self.match

    def add_text(self) -> str:
        """The flow as `ovs-ofctl add-flow` takes it."""
        return f"{_head(self.key)},cookie={COOKIE:#x} actions={self.actions}"


def delete_text(key: Key) -> str:
    """The key as `ovs-ofctl --strict del-flows` takes it."""
    return _head(key)


def _head(key: Key) -> str:
    table, priority, match = key
    return f"table={table},priority={priority}" + (f",{match}" if match else "")


Flows = Mapping[Key, Flow]


def by_key(flows: Iterable[Flow]) -> dict[Key, Flow]:
    """Flows by key. Two different ones with one key would be a mistake of the planner."""
    found: dict[Key, Flow] = {}
    for flow in flows:
        other = found.setdefault(flow.key, flow)
        assert other == flow, (other, flow)
    return found


def changes(old: Flows, new: Flows) -> tuple[list[Key], list[Flow]]:
    """Keys to delete and flows to add."""
    gone = sorted(old.keys() - new.keys())
    return gone, [flow for key, flow in new.items() if old.get(key) != flow]
