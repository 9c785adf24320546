from __future__ import annotations

import pytest
from tests.support.openflow_bench import Bench, Client

from netloom.base.record import replace
from netloom.ofproto.multipart import PATIENCE_MS
from netloom.ofproto.settings import TableSettings
from netloom.openflow import messages as m
from netloom.openflow.codec_features import encode_table_features_reply

VERSIONS = (4, 5, 6)


def told(client: Client) -> list[m.TableFeatures]:
    """The features of all tables."""
    return [
        table
        for reply in client.ask(m.TableFeaturesRequest())
        if isinstance(reply, m.TableFeaturesReply)
        for table in reply.tables
    ]


def parts(
    version: int, tables: list[m.TableFeatures], last: bool = True, xid: int = 77
) -> list[bytes]:
    """A request to set features, in messages of some forty tables."""
    reply = m.TableFeaturesReply(tuple(tables))
    entries = encode_table_features_reply(reply, version, 0)[1]
    out = []
    for start in range(0, len(entries), 5):
        body = b"".join(entries[start : start + 5])
        more = start + 5 < len(entries) or not last
        head = bytes((version, 18)) + (16 + len(body)).to_bytes(2) + xid.to_bytes(4)
        out.append(head + b"\0\x0c" + bytes((0, more, 0, 0, 0, 0)) + body)
    return out


def name_of(client: Client, table_id: int = 0) -> str:
    return told(client)[table_id].name


@pytest.mark.parametrize("version", VERSIONS)
def test_a_table_gets_the_name_that_all_features_say(version: int) -> None:
    client = Bench().join(version)
    tables = told(client)
    replies = client.ask(*parts(version, [replace(tables[0], name="first"), *tables[1:]]))
    assert isinstance(replies[0], m.TableFeaturesReply)
    assert replies[0].tables[0].name == name_of(client) == "first"


@pytest.mark.parametrize("version", VERSIONS)
def test_no_table_can_be_taken_away(version: int) -> None:
    client = Bench().join(version)
    tables = told(client)
    assert client.error(*parts(version, [replace(tables[0], name="x"), *tables[1:-1]])) == (
        "OFPTFFC_EPERM"
    )
    assert name_of(client) == ""


def test_one_table_is_changed_alone_in_openflow_15() -> None:
    client = Bench().join(6)
    first = told(client)[0]
    bare = replace(first, name="x", command=m.OFPTFC_MODIFY, described=False)
    client.ask(*parts(6, [bare]))
    assert name_of(client) == "x"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"command": m.OFPTFC_ENABLE}, "OFPTFFC_EPERM"),
        ({"command": m.OFPTFC_DISABLE}, "OFPTFFC_EPERM"),
        ({"command": 9}, "OFPTFFC_BAD_COMMAND"),
        ({"max_entries": 5}, "OFPTFFC_EPERM"),
        ({"config": 4}, "OFPTFFC_EPERM"),
        ({"table_id": 254}, "OFPTFFC_EPERM"),
        ({"table_id": 255}, "OFPTFFC_BAD_TABLE"),
    ],
)
def test_nothing_but_the_name_can_be_changed(change: dict[str, int], error: str) -> None:
    client = Bench().join(6)
    wanted = {"name": "x", "command": m.OFPTFC_MODIFY} | change
    assert client.error(*parts(6, [replace(told(client)[0], **wanted)])) == error
    assert name_of(client) == ""


def test_a_table_can_be_named_only_once_in_a_request() -> None:
    client = Bench().join(6)
    first = replace(told(client)[0], command=m.OFPTFC_MODIFY)
    assert client.error(*parts(6, [first, first])) == "NXTFFC_DUP_TABLE"


def test_the_name_of_the_row_prevails_and_leaves_nothing_when_it_goes() -> None:
    bench = Bench()
    client = bench.join(6)
    tables = bench.switch.tables
    tables.configure([TableSettings(0, name="row")])
    wanted = replace(told(client)[0], name="mine", command=m.OFPTFC_MODIFY)
    assert client.error(*parts(6, [wanted])) == "OFPTFFC_EPERM"
    assert name_of(client) == "row"
    tables.configure([])
    assert name_of(client) == ""
    client.ask(*parts(6, [wanted]))
    tables.configure([])
    assert name_of(client) == "mine"


# Requests in several messages


def test_a_request_of_which_no_more_comes_is_given_up() -> None:
    bench = Bench()
    client = bench.join(4)
    assert client.ask(*parts(4, told(client), last=False)) == []
    deadline = bench.manager.deadline()
    assert deadline is not None
    bench.run(deadline - bench.now_ms)
    (error,) = client.received()
    assert isinstance(error, m.Error)
    assert error.name == "OFPBRC_MULTIPART_REQUEST_TIMEOUT"
    assert deadline == 1_000 + PATIENCE_MS


def test_requests_with_different_transactions_do_not_mix() -> None:
    client = Bench().join(4)
    tables = told(client)
    assert client.ask(*parts(4, tables[:5], last=False, xid=5)) == []
    assert client.error(*parts(4, tables[5:], xid=6)) == "OFPTFFC_EPERM"


def test_one_transaction_asks_for_one_thing() -> None:
    client = Bench().join(4)
    first = parts(4, told(client)[:5], last=False)[0]
    desc = b"\x04\x12\0\x10" + first[4:8] + bytes(8)
    assert client.error(first, desc) == "OFPBRC_BAD_STAT"


def test_an_empty_message_may_follow() -> None:
    client = Bench().join(4)
    head = b"\x04\x12\0\x10\0\0\0\x09\0\0"
    (reply,) = client.ask(head + b"\0\x01" + bytes(4), head + bytes(6))
    assert isinstance(reply, m.DescReply)
