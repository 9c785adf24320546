"""A backup and a relay show what the original shows, whatever happens to it and to the wire."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.database_pair import SCHEMA, Client, Wire, contents, make_server

from netloom.base.clock import ManualClock
from netloom.ovsdb.database import Database
from netloom.ovsdb.relay import Relay, empty_schema
from netloom.ovsdb.replication import Replication
from netloom.ovsdb.schema import DatabaseSchema

NAMES = st.sampled_from(["a", "b", "c", "d"])
MAPS = st.dictionaries(st.sampled_from("kl"), st.sampled_from("vw"), max_size=2)
SETS = st.lists(st.integers(0, 3), unique=True, max_size=3)


def _where(name: str) -> list[Any]:
    return [["name", "==", name]]


def _map(pairs: dict[str, str]) -> list[Any]:
    return ["map", [[key, value] for key, value in pairs.items()]]


INSERTS = st.builds(
    lambda name, n, m, x: [
        {"op": "insert", "table": "Kid", "uuid-name": "k", "row": {"x": x}},
        {
            "op": "insert",
            "table": "Root",
            "row": {"name": name, "n": ["set", n], "m": _map(m), "kids": ["named-uuid", "k"]},
        },
    ],
    NAMES, SETS, MAPS, st.integers(0, 2),
)  # fmt: skip
UPDATES = st.builds(
    lambda name, row: [{"op": "update", "table": "Root", "where": _where(name), "row": row}],
    NAMES,
    st.one_of(
        st.builds(lambda n: {"n": ["set", n]}, SETS),
        st.builds(lambda m: {"m": _map(m)}, MAPS),
        st.just({"kids": ["set", []]}),
    ),
)
DELETES = st.builds(lambda name: [{"op": "delete", "table": "Root", "where": _where(name)}], NAMES)
#: A transaction, or what happens to the connection.
STEPS = st.one_of(INSERTS, UPDATES, DELETES, st.sampled_from(["carry", "lose"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=15), st.booleans())
def test_copies_end_as_the_original_is(steps: list[Any], clustered: bool) -> None:
    clock = ManualClock(1000, 2000)
    original = make_server(clock, SCHEMA)
    schema = DatabaseSchema.from_json(SCHEMA)
    original.replace_database("D", Database(schema, keeps_history=clustered))
    backup, relaying = make_server(clock, SCHEMA), make_server(clock)
    replication = Replication(backup, "D", "tcp:a", frozenset())
    relay = Relay(relaying, "D")
    relaying.add_database(Database(empty_schema("D")), None, relay)
    wires = [Wire(original, replication), Wire(original, relay)]
    for step in steps:
        if step == "carry":
            for wire in wires:
                wire.run()
        elif step == "lose":
            for wire in wires:
                wire.session.closed()
            replication.disconnected()
            relay.disconnected()
            wires = [Wire(original, replication), Wire(original, relay)]
        else:
            Client(original).call("transact", "D", *step)
    for wire in wires:
        wire.run()
    assert replication.error is None
    assert relay.unfit is None
    assert contents(backup) == contents(original)
    assert contents(relaying) == contents(original)
