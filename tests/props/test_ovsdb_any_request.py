"""Whatever a client sends is answered once, and the server stays whole."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from netloom.base.clock import ManualClock
from netloom.ovsdb import schemas_directory
from netloom.ovsdb.database import Database
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.server import Server
from netloom.ovsdb.session import Session
from netloom.rpc.json_codec import LightJson

WORDS = [
    "D", "T", "insert", "update", "mutate", "delete", "select", "wait", "op", "table", "row",
    "rows", "where", "columns", "mutations", "until", "timeout", "uuid-name", "uuid", "set", "map",
    "named-uuid", "a", "m", "r", "==", "!=", "+=", "includes", "comment", "durable", "lock",
    "sort", "select", "initial", "00000000-0000-0000-0000-000000000000", "_uuid", "_version", "é",
]  # fmt: skip
METHODS = [
    "transact", "monitor", "monitor_cond", "monitor_cond_since", "monitor_cond_change",
    "monitor_cancel", "get_schema", "list_dbs", "lock", "unlock", "steal", "echo", "convert",
    "set_db_change_aware", "nonsense",
]  # fmt: skip
SCHEMA = {
    "name": "D",
    "tables": {
        "T": {
            "columns": {
                "a": {"type": {"key": "integer", "min": 0, "max": 3}},
                "m": {"type": {"key": "string", "value": "real", "min": 0, "max": "unlimited"}},
                "r": {"type": {"key": {"type": "uuid", "refTable": "T"}, "min": 0, "max": 1}},
            },
            "indexes": [["a"]],
            "isRoot": True,
        }
    },
}
words = st.sampled_from(WORDS)
leaves = st.one_of(
    words, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(words, inner, max_size=4),
        st.tuples(st.sampled_from(["set", "map", "uuid", "named-uuid"]), inner).map(list),
    ),
    max_leaves=12,
)
operations = st.fixed_dictionaries(
    {"op": words, "table": st.just("T")},
    optional={
        "row": st.dictionaries(st.sampled_from(["a", "m", "r"]), values),
        "where": st.lists(st.one_of(values, st.tuples(words, words, values).map(list))),
        "mutations": st.lists(st.tuples(words, words, values).map(list)),
        "columns": st.lists(words),
        "rows": st.lists(values),
        "until": st.sampled_from(["==", "!="]),
        "timeout": st.just(0),
        "uuid-name": words,
    },
)
params = st.one_of(
    st.lists(values, max_size=4),
    st.lists(operations, max_size=4).map(lambda items: ["D", *items]),
    st.tuples(st.just("D"), values, st.dictionaries(st.just("T"), values), values).map(list),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(METHODS), params), max_size=6))
def test_every_request_gets_one_reply(requests: list[tuple[str, list[Any]]]) -> None:
    codec = LightJson()
    clock = ManualClock()
    with open(f"{schemas_directory()}/_server.ovsschema", "rb") as file:
        server = Server(DatabaseSchema.from_json(codec.decode(file.read())), clock, codec.encode)
    server.add_database(Database(DatabaseSchema.from_json(SCHEMA)), None)
    replies: list[Any] = []
    session = Session(server, lambda data: replies.append(json.loads(data)), lambda reason: None)
    for number, (method, request) in enumerate(requests):
        session.request(method, json.loads(json.dumps(request)), number)
    clock.advance(1 << 40)
    server.advance(clock.now_ms())
    answered = [message["id"] for message in replies if message.get("id") is not None]
    assert len(answered) == len(set(answered))
    assert set(answered) | waiting(server) == set(range(len(requests)))
    session.closed()
    assert server.served["D"].triggers == []
    assert server.served["D"].monitors == {}
    check_indexes(server.served["D"].database)


def waiting(server: Server) -> set[int]:
    """Ids of requests that wait for ever, as they may."""
    (session,) = server.sessions
    return {int(text) for text in session._triggers}


def check_indexes(database: Database) -> None:
    """What the tables keep for speed says what the rows say."""
    for table in database.tables.values():
        for number, index in enumerate(table.indexes):
            assert index == {table.index_key(number, row): uuid for uuid, row in table.rows.items()}
        counts: dict[Any, int] = {}
        for source in database.tables.values():
            for reference in source.strong:
                if reference.target is table:
                    for row in source.rows.values():
                        for target in reference.uuids(row[reference.index]):
                            counts[target] = counts.get(target, 0) + 1
        assert counts == table.ref_counts
