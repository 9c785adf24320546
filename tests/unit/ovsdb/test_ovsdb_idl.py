"""The replica and its transactions, against the server's core."""

from __future__ import annotations

import json
from typing import Any

import pytest

from netloom.base.clock import ManualClock
from netloom.base.errors import ProtocolError
from netloom.ovsdb import idl_txn, schemas_directory
from netloom.ovsdb.database import Database
from netloom.ovsdb.idl import Idl
from netloom.ovsdb.idl_txn import Transaction
from netloom.ovsdb.row import Row
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.server import Server
from netloom.ovsdb.session import Session
from netloom.rpc.json_codec import LightJson


class Wire:
    """A server and replicas connected to it; `pump` carries messages until nothing moves."""

    def __init__(self, *, keeps_history: bool = False) -> None:
        codec = LightJson()

        def schema(name: str) -> DatabaseSchema:
            with open(f"{schemas_directory()}/{name}.ovsschema", "rb") as file:
                return DatabaseSchema.from_json(codec.decode(file.read()))

        self.server = Server(schema("_server"), ManualClock(), codec.encode)
        self.server.add_database(Database(schema("vswitch"), keeps_history=keeps_history), None)
        self.ends: list[tuple[Idl, Session, list[bytes]]] = []

    def connect(self, idl: Idl) -> Session:
        inbox: list[bytes] = []
        session = Session(self.server, inbox.append, lambda reason: None)
        self.ends.append((idl, session, inbox))
        idl.connected()
        self.pump()
        return session

    def disconnect(self, idl: Idl) -> None:
        for end in [end for end in self.ends if end[0] is idl]:
            self.ends.remove(end)
            end[1].closed()
        idl.disconnected()

    def pump(self) -> None:
        moved = True
        while moved:
            moved = False
            for idl, session, inbox in self.ends:
                for message in idl.take_messages():
                    moved = True
                    message = json.loads(json.dumps(message))
                    session.request(message["method"], message["params"], message["id"])
                while inbox:
                    moved = True
                    idl.receive(json.loads(inbox.pop(0)))


@pytest.fixture
def wire() -> Wire:
    return Wire()


def make(wire: Wire, **kwargs: Any) -> Idl:
    idl = Idl("Open_vSwitch", **kwargs)
    wire.connect(idl)
    return idl


def commit(wire: Wire, txn: Transaction) -> str:
    txn.commit()
    wire.pump()
    return txn.status


def add_bridge(wire: Wire, idl: Idl, name: str) -> Row:
    txn = Transaction(idl)
    roots = txn.rows("Open_vSwitch")
    root = roots[0] if roots else txn.insert("Open_vSwitch")
    bridge = txn.insert("Bridge")
    txn.set(bridge, "name", name)
    txn.add_elements(root, "bridges", (bridge.uuid,))
    assert commit(wire, txn) == idl_txn.SUCCESS
    found = idl.row("Bridge", txn.real_uuid(bridge.uuid))
    assert found is not None
    return found


def test_replica_shows_what_others_commit(wire: Wire) -> None:
    writer, reader = make(wire), make(wire, wanted={"Bridge": ("name",), "NoSuchTable": None})
    add_bridge(wire, writer, "br0")
    (row,) = reader.rows("Bridge")
    assert row.data == {"name": "br0"}
    assert reader.rows("Open_vSwitch") == []


def test_every_change_is_told_once(wire: Wire) -> None:
    idl = make(wire)
    bridge = add_bridge(wire, idl, "br0")
    kinds = {table: [c.kind for c in rows.values()] for table, rows in idl.take_changes().items()}
    assert kinds == {"Open_vSwitch": ["insert"], "Bridge": ["insert"]}
    assert idl.take_changes() == {}
    txn = Transaction(idl)
    txn.put_pairs(bridge, "external_ids", {"a": "1"})
    commit(wire, txn)
    (change,) = idl.take_changes()["Bridge"].values()
    assert (change.kind, change.columns()) == ("modify", {"external_ids"})
    assert change.old is not None
    assert change.old["external_ids"] == {}


def test_transaction_shows_its_own_changes_before_the_commit(wire: Wire) -> None:
    idl = make(wire)
    bridge = add_bridge(wire, idl, "br0")
    txn = Transaction(idl)
    port = txn.insert("Port")
    txn.set(port, "name", "p")
    txn.add_elements(bridge, "ports", (port.uuid,))
    view = txn.row("Bridge", bridge.uuid)
    assert view is not None
    assert [p.text("name") for p in txn.refs(view, "ports")] == ["p"]
    assert bridge.uuids("ports") == ()
    txn.delete(bridge)
    assert txn.rows("Bridge") == []


def test_writing_what_is_there_sends_nothing(wire: Wire) -> None:
    idl = make(wire)
    bridge = add_bridge(wire, idl, "br0")
    txn = Transaction(idl)
    txn.set(bridge, "name", "br0")
    txn.verify(bridge, "name")
    assert txn.commit() == idl_txn.UNCHANGED
    assert idl.take_messages() == []


def test_verified_column_that_changed_asks_for_another_try(wire: Wire) -> None:
    idl, other = make(wire), make(wire)
    bridge = add_bridge(wire, idl, "br0")
    txn = Transaction(idl)
    txn.verify(bridge, "stp_enable")
    txn.set(bridge, "rstp_enable", True)
    theirs = Transaction(other)
    theirs.set(other.rows("Bridge")[0], "stp_enable", True)
    theirs.commit()
    for message in other.take_messages():
        wire.ends[1][1].request(message["method"], message["params"], message["id"])
    assert commit(wire, txn) == idl_txn.TRY_AGAIN
    assert bridge.flag("stp_enable")
    assert not bridge.flag("rstp_enable")


def test_servers_refusal_is_reported_in_its_words(wire: Wire) -> None:
    idl = make(wire)
    add_bridge(wire, idl, "br0")
    txn = Transaction(idl)
    bridge = txn.insert("Bridge")
    txn.set(bridge, "name", "br0")
    txn.add_elements(txn.rows("Open_vSwitch")[0], "bridges", (bridge.uuid,))
    assert commit(wire, txn) == idl_txn.ERROR
    assert txn.error is not None
    assert "Transaction causes multiple rows" in json.loads(txn.error)["details"]


def test_increment_tells_the_new_value(wire: Wire) -> None:
    idl = make(wire)
    bridge = add_bridge(wire, idl, "br0")
    root = idl.rows("Open_vSwitch")[0]
    txn = Transaction(idl)
    txn.increment(root, "next_cfg")
    assert txn.commit() == idl_txn.UNCHANGED
    txn = Transaction(idl)
    txn.set(bridge, "stp_enable", True)
    txn.increment(root, "next_cfg")
    assert commit(wire, txn) == idl_txn.SUCCESS
    assert txn.increment_value == 1
    assert root.integer("next_cfg") == 1


def test_map_keys_are_put_and_removed_without_touching_others(wire: Wire) -> None:
    idl, other = make(wire), make(wire)
    bridge = add_bridge(wire, idl, "br0")
    for client, key in ((idl, "a"), (other, "b")):
        txn = Transaction(client)
        txn.put_pairs(client.rows("Bridge")[0], "other_config", {key: "1"})
        assert commit(wire, txn) == idl_txn.SUCCESS
    txn = Transaction(idl)
    txn.put_pairs(bridge, "other_config", {"a": "2"})
    txn.remove_elements(bridge, "other_config", ("b", "absent"))
    assert commit(wire, txn) == idl_txn.SUCCESS
    assert bridge.mapping("other_config") == {"a": "2"}


def test_dry_run_changes_nothing_and_succeeds(wire: Wire) -> None:
    idl = make(wire)
    bridge = add_bridge(wire, idl, "br0")
    txn = Transaction(idl)
    txn.set(bridge, "stp_enable", True)
    txn.commit(dry_run=True)
    wire.pump()
    assert txn.status == idl_txn.SUCCESS
    assert not bridge.flag("stp_enable")


def test_only_the_owner_of_the_lock_may_commit(wire: Wire) -> None:
    first, second = make(wire), make(wire)
    add_bridge(wire, first, "br0")
    for idl in (first, second):
        idl.set_lock("ovs_vswitchd")
        wire.pump()
    assert (first.has_lock, second.has_lock, second.is_lock_contended) == (True, False, True)
    txn = Transaction(second)
    txn.set(second.rows("Bridge")[0], "stp_enable", True)
    assert txn.commit() == idl_txn.NOT_LOCKED
    wire.disconnect(first)
    wire.pump()
    assert second.has_lock


@pytest.mark.parametrize("remembered", [True, False])
def test_reconnect_tells_exactly_what_was_missed(remembered: bool) -> None:
    wire = Wire(keeps_history=remembered)
    idl, other = make(wire), make(wire)
    bridge = add_bridge(wire, idl, "br0")
    add_bridge(wire, idl, "br1")
    idl.take_changes()
    wire.disconnect(idl)
    assert not idl.synced
    assert len(idl.rows("Bridge")) == 2
    txn = Transaction(other)
    gone = next(row for row in txn.rows("Bridge") if row.text("name") == "br1")
    txn.remove_elements(txn.rows("Open_vSwitch")[0], "bridges", (gone.uuid,))
    commit(wire, txn)
    wire.connect(idl)
    assert idl.synced
    changes = idl.take_changes()
    assert [c.kind for c in changes["Bridge"].values()] == ["delete"]
    assert [c.columns() for c in changes["Open_vSwitch"].values()] == [{"bridges"}]
    assert idl.row("Bridge", bridge.uuid) is bridge


def test_lost_connection_ends_a_transaction_with_another_try(wire: Wire) -> None:
    idl = make(wire)
    bridge = add_bridge(wire, idl, "br0")
    txn = Transaction(idl)
    txn.set(bridge, "stp_enable", True)
    assert txn.commit() == idl_txn.INCOMPLETE
    wire.disconnect(idl)
    assert txn.status == idl_txn.TRY_AGAIN


def test_older_servers_are_asked_in_older_ways(wire: Wire) -> None:
    wire.server.has_monitor_cond = False
    idl = make(wire)
    bridge = add_bridge(wire, idl, "br0")
    txn = Transaction(idl)
    txn.set(bridge, "stp_enable", True)
    assert commit(wire, txn) == idl_txn.SUCCESS
    assert bridge.flag("stp_enable")
    assert bridge.text("name") == "br0"


def test_update_that_makes_no_sense_is_a_protocol_error(wire: Wire) -> None:
    idl = make(wire)
    with pytest.raises(ProtocolError):
        idl.receive(
            {
                "id": None,
                "method": "update3",
                "params": [
                    ["monid", "Open_vSwitch"],
                    "0" * 8,
                    {"Bridge": {"x": {"modify": {"name": "y"}}}},
                ],
            }
        )
