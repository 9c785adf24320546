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


def test_filtered_show_keeps_matching_records_and_what_they_belong_to() -> None:
    out, _ = two_bridges().run("-- --filter=interface(vxlan)|controller show".replace("|", "\\|")
                               .replace("(", "\\(").replace(")", "\\)"))  # fmt: skip
    lines = [line.strip() for line in out.splitlines()]
    assert "Interface vx" in lines
    assert 'Controller "tcp:1.1.1.1"' in lines
    assert "Interface p1" not in lines
    assert "Port p1" not in lines


def test_filter_without_matches_prints_nothing() -> None:
    assert two_bridges().run("-- '--filter=interface(nothing)' show")[0] == ""


def test_filter_of_a_table_that_is_not_shown_is_refused() -> None:
    with pytest.raises(CommandError, match="QoS: table is not part of the output"):
        two_bridges().run("-- --filter=qos show")


def test_zone_limits_are_set_listed_and_deleted() -> None:
    switch = two_bridges()
    out, operations = switch.run(
        "set-zone-limit netdev 5 7 -- set-zone-limit netdev default 3 "
        "-- set-zone-limit netdev 5 8 -- list-zone-limits netdev"
    )
    assert out == "Default limit: 3\nZone: 5, Limit: 8\n"
    kinds = sorted((op["op"], op["table"]) for op in operations if op["op"] != "wait")
    assert kinds == [("insert", "CT_Zone"), ("mutate", "Datapath"), ("update", "Datapath")]
    assert switch.run("-- --if-exists del-zone-limit netdev 9") == ("", [])
    with pytest.raises(CommandError, match="zone id 9 does not have a limit"):
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
