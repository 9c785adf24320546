"""Mirror rows -> what the bridge is told."""

from __future__ import annotations

import pytest
from tests.support.fake_switch import FakeReplica

from netloom.flow.text import parse_match
from netloom.ofproto.settings import MirrorSettings
from netloom.ovsdb.row import Row
from netloom.vswitchd.desired import read_wish


def mirrors(replica: FakeReplica, *rows: Row) -> tuple[tuple[MirrorSettings, ...], list[str]]:
    ports = [row for row in replica.rows("Port") if row.text("name") in ("p1", "p2")]
    replica.add_bridge("br0", *ports, mirrors=tuple(row.uuid for row in rows))
    wish = read_wish(replica)
    return wish.bridges[0].settings.mirrors, [text for _, _, text in wish.problems]


def replica_with_ports() -> tuple[FakeReplica, Row, Row]:
    replica = FakeReplica()
    return replica, replica.add_port("p1"), replica.add_port("p2")


def test_selection_of_all_means_every_port_of_the_bridge() -> None:
    replica, _, p2 = replica_with_ports()
    row = replica.add("Mirror", name="m", select_all=True, output_port=(p2.uuid,), snaplen=(64,))
    (mirror,), complaints = mirrors(replica, row)
    assert complaints == []
    assert mirror.sources == mirror.targets == frozenset({"br0", "p1", "p2"})
    assert (mirror.output_port, mirror.output_vlan, mirror.snaplen) == ("p2", 0, 64)


def test_selected_ports_vlans_and_filter_are_read() -> None:
    replica, p1, p2 = replica_with_ports()
    row = replica.add(
        "Mirror", name="m", select_src_port=(p1.uuid,), select_dst_port=(p2.uuid,),
        select_vlan=(5, 7), output_vlan=(9,), filter=("tcp,tcp_dst=80",),
    )  # fmt: skip
    (mirror,), complaints = mirrors(replica, row)
    assert complaints == []
    assert (mirror.sources, mirror.targets) == (frozenset({"p1"}), frozenset({"p2"}))
    assert (mirror.vlans, mirror.output_vlan) == (frozenset({5, 7}), 9)
    assert mirror.filter == parse_match("tcp,tcp_dst=80")


def test_mirror_without_output_is_left_out_and_said_so() -> None:
    replica, _, _ = replica_with_ports()
    found, complaints = mirrors(replica, replica.add("Mirror", name="m", select_all=True))
    assert found == ()
    assert complaints == ["bridge br0: mirror m does not specify output; ignoring"]


def test_output_and_selection_must_be_ports_of_the_bridge() -> None:
    replica, p1, _ = replica_with_ports()
    foreign = replica.add_port("q1")
    lost = replica.add("Mirror", name="lost", select_all=True, output_port=(foreign.uuid,))
    deaf = replica.add(
        "Mirror", name="deaf", select_src_port=(foreign.uuid,), output_port=(p1.uuid,)
    )
    found, complaints = mirrors(replica, lost, deaf)
    assert [(mirror.name, mirror.sources) for mirror in found] == [("deaf", frozenset())]
    assert sorted(complaints) == [
        "bridge br0: mirror deaf cannot match on nonexistent port q1",
        "bridge br0: mirror lost outputs to port not on bridge",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nonsense", "filter is invalid: nonsense: unknown field nonsense"),
        ("in_port=p1", "filter is invalid due to in_port field."),
    ],
)
def test_bad_filter_leaves_the_mirror_out(text: str, problem: str) -> None:
    replica, p1, _ = replica_with_ports()
    row = replica.add("Mirror", name="m", output_port=(p1.uuid,), filter=(text,))
    found, complaints = mirrors(replica, row)
    assert found == ()
    assert complaints == [problem, f"bridge br0: mirror m configuration is invalid: {problem}"]
