"""Commands that Debian's ovs-vsctl 3.1 does not have, and what is sent to the database."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netloom.base.errors import CommandError

sys.path.insert(0, str(Path(__file__).parent))
from vsctl_fixture import Switch, two_bridges, uuid


def test_show_prints_the_tree_of_references() -> None:
    out, operations = two_bridges().run("show")
    assert operations == []
    assert out.splitlines() == [
        uuid(1),
        "    Bridge br0",
        '        Controller "tcp:1.1.1.1"',
        "        Port br0",
        "            Interface br0",
        "                type: internal",
        "        Port p1",
        "            tag: 10",
        "            Interface p1",
        "    Bridge br1",
        "        Port vx",
        "            Interface vx",
        "                type: vxlan",
        '                options: {remote_ip="1.2.3.4"}',
        '    ovs_version: "3.7.0"',
    ]


@pytest.mark.parametrize(
    ("rules", "shown", "hidden"),
    [
        ("interface(VXLAN)", {"Interface vx", "Port vx", "Port p1"}, {"Interface p1"}),
        ("interface(p1|vx)", {"Interface vx", "Interface p1"}, {"Interface br0"}),
        ("interface(p1),interface(vx)", {"Interface vx", "Interface p1"}, {"Interface br0"}),
        ("port(vxlan),bridge(tcp:)", {"Bridge br0"}, {"Bridge br1", "Port p1"}),
        ("interface(p1),br1", {"Bridge br1", "Interface p1"}, {"Interface vx"}),
        ("qos(x)", {"Interface vx", "Port p1"}, set()),
    ],
)
def test_a_filter_keeps_records_whose_part_contains_a_text(
    rules: str, shown: set[str], hidden: set[str]
) -> None:
    out, _ = two_bridges().run(f"-- '--filter={rules}' show")
    lines = {line.strip() for line in out.splitlines()}
    assert lines & (shown | hidden) == shown


def test_a_filter_that_the_outermost_record_does_not_meet_leaves_nothing() -> None:
    assert two_bridges().run("-- '--filter=nothing' show")[0] == ""


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [("port(x", r"Malformed filter: missing closing '\)'"), ("foo(x)", 'unknown table "foo"')],
)
def test_a_filter_that_makes_no_sense_is_refused(rules: str, complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        two_bridges().run(f"-- '--filter={rules}' show")


def with_external_id() -> Switch:
    switch = two_bridges()
    switch.rows["Bridge"][2] |= {"external_ids": ["map", [["a", "1"]]], "datapath_id": "1"}
    return switch


def test_what_is_there_stays_when_more_is_added() -> None:
    assert with_external_id().run("add bridge br0 external_ids a=2")[1] == []
    operations = with_external_id().run("add bridge br0 external_ids a=2 b=3 b=4")[1]
    inserted = [m[2][1] for op in operations for m in op.get("mutations", ()) if m[1] == "insert"]
    assert inserted == [[["b", "3"]]]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (
            "add bridge br0 datapath_id 2",
            '"add" operation would put 2 values in column datapath_id of table Bridge but the '
            "maximum number is 1",
        ),
        ("set bridge br0 name=x", "cannot modify read-only column name in table Bridge"),
        ("clear bridge br0 name", "cannot modify read-only column name in table Bridge"),
    ],
)
def test_what_a_column_does_not_take_is_refused(line: str, complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        with_external_id().run(line)


def test_read_only_columns_of_a_new_row_may_be_set() -> None:
    created = "-- --id=@b create bridge name=x -- set bridge x name=y -- add open . bridges @b"
    operations = two_bridges().run(created)[1]
    assert [op["row"]["name"] for op in operations if op["op"] == "insert"] == ["y"]


def test_zone_limits_are_set_listed_and_deleted() -> None:
    switch = two_bridges()
    out, operations = switch.run(
        "set-zone-limit netdev 5 7 -- set-zone-limit netdev default 3 "
        "-- set-zone-limit netdev 5 8 -- list-zone-limits netdev"
    )
    assert out == "Default, Limit: 3\nZone: 5, Limit: 8\n"
    kinds = sorted((op["op"], op["table"]) for op in operations if op["op"] != "wait")
    assert kinds == [("insert", "CT_Zone"), ("mutate", "Datapath"), ("update", "Datapath")]
    assert switch.run("-- --if-exists del-zone-limit netdev 9") == ("", [])
    with pytest.raises(CommandError, match="zone_id 9 does not have a limit"):
        switch.run("del-zone-limit netdev 9")
    with pytest.raises(CommandError, match="datapath system does not exist"):
        switch.run("set-zone-limit system 1 1")


def test_new_port_is_one_transaction_guarded_by_what_was_read() -> None:
    _, operations = two_bridges().run("add-port br0 p2 tag=3")
    assert [op["table"] for op in operations if op["op"] == "insert"] == ["Interface", "Port"]
    (mutation,) = [op for op in operations if op["op"] == "mutate"]
    assert mutation["table"] == "Bridge"
    guarded = {op["table"] for op in operations if op["op"] == "wait"}
    assert guarded == {"Open_vSwitch", "Bridge", "Port"}


def test_rows_made_and_deleted_in_one_run_leave_no_trace() -> None:
    _, operations = two_bridges().run("add-port br0 p2 -- del-port p2")
    assert not [op for op in operations if op["op"] == "insert"]


def test_empty_database_gets_its_row_with_any_command() -> None:
    _, operations = Switch({}).run("init")
    assert [op["table"] for op in operations if op["op"] == "insert"] == ["Open_vSwitch"]


def test_commands_see_what_those_before_them_changed() -> None:
    out, _ = two_bridges().run(
        "add-br br2 -- add-br fake br2 7 -- add-port fake q -- list-ports fake -- port-to-br q "
        "-- br-to-vlan fake -- set port q tag=8 -- port-to-br q -- list-br"
    )
    assert out.split() == ["q", "fake", "7", "br2", "br0", "br1", "br2", "fake"]
