"""Flows with actions that the translation cannot carry out never get into a table."""

from __future__ import annotations

import pytest

from netloom.flow.fields import FIELD
from netloom.ofproto.translate import handlers
from netloom.openflow import actions as a

PART = a.Subfield(FIELD["reg0"], 0, 1)
#: A value for each attribute, by the class that has no default for it.
ARGUMENTS: dict[str, object] = {
    "source": PART, "destination": PART, "field": FIELD["reg0"], "actions": (), "data": b"",
}  # fmt: skip


def every_action() -> list[a.Action]:
    """One action of each class there is."""
    made = []
    for kind in a.Action.__subclasses__():
        names = [name for name in kind._fields if name not in kind._defaults]
        values = {name: ARGUMENTS.get(name, ()) if name in ARGUMENTS else 1 for name in names}
        if kind is a.Bundle:
            values["members"] = ()
        made.append(kind(**values))
    return made


@pytest.mark.parametrize("action", every_action(), ids=lambda action: type(action).__name__)
def test_an_action_has_a_handler_or_is_refused_wherever_it_stands(action: a.Action) -> None:
    handled = type(action) in handlers._HANDLERS
    for wrapped in (action, a.Clone((action,)), a.WriteActions((a.Note(b""), action))):
        found = handlers.unsupported(wrapped)
        assert found == (None if handled else action)
