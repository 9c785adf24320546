"""Auto-Attach's VLANs in Port rows: given with a mapping, taken away with it."""

from __future__ import annotations

from typing import cast

from tests.support.fake_switch import FakeReplica

from netloom.ovsdb.idl import Idl
from netloom.ovsdb.row import Row
from netloom.vswitchd.auto_attach import AttachedVlans

MAPPINGS = ((100, 1), (300, 3))


def make(**port: object) -> tuple[AttachedVlans, Row, FakeReplica]:
    replica = FakeReplica()
    row = replica.add("AutoAttach", mappings={})
    speaks = replica.add_port("p1", {"lldp": {"enable": "true"}}, **port)  # type: ignore[arg-type]
    silent = replica.add_port("p2")
    replica.add_bridge("br0", speaks, silent, auto_attach=(row.uuid,))
    return AttachedVlans(cast(Idl, replica)), speaks, replica


def test_the_first_vlan_makes_a_trunk_and_the_last_takes_it_back() -> None:
    attached, port, _ = make()
    assert attached.differences(MAPPINGS) == {port: {"trunks": (1, 3), "vlan_mode": ("trunk",)}}
    port.data = {**port.data, "trunks": (1, 3)}
    assert attached.differences(MAPPINGS) == {}
    assert attached.differences(((100, 1),)) == {port: {"trunks": (1,)}}
    port.data = {**port.data, "trunks": (1,)}
    assert attached.differences(()) == {port: {"trunks": (), "vlan_mode": ("access",)}}


def test_vlans_that_a_port_has_by_itself_stay() -> None:
    attached, port, _ = make(trunks=(7,))
    assert attached.differences(MAPPINGS) == {port: {"trunks": (1, 3, 7)}}
    port.data = {**port.data, "trunks": (1, 3, 7)}
    assert attached.differences(()) == {port: {"trunks": (7,)}}


def test_what_could_not_be_written_is_written_again() -> None:
    attached, port, _ = make()
    first = attached.differences(MAPPINGS)
    attached.undo()
    assert attached.differences(MAPPINGS) == first
    assert port in first


def test_a_bridge_without_the_row_is_left_alone() -> None:
    attached, port, replica = make()
    attached.differences(MAPPINGS)
    (bridge,) = replica.rows("Bridge")
    bridge.data = {**bridge.data, "auto_attach": ()}
    port.data = {**port.data, "trunks": (1, 3)}
    assert attached.differences(()) == {}
