"""A connection tracker that is full, or whose zones are: both daemons let the same packets through,
keep the same connections and count the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_pair import PeerPair, peer_pair
from tests.support.peer_switch import PeerSwitch
from tests.support.peers import wait_until

pytestmark = pytest.mark.interop

FLOWS = (
    "table=0,priority=10,in_port=1,ip,actions=ct(table=1,zone=3)",
    "table=0,priority=10,in_port=2,ip,actions=ct(table=1,zone=4)",
    "table=1,priority=20,ct_state=+trk+inv,ip,actions=output:4",
    "table=1,priority=10,ct_state=+trk+new,ip,ct_zone=3,actions=ct(commit,zone=3,table=2)",
    "table=1,priority=10,ct_state=+trk+new,ip,ct_zone=4,actions=ct(commit,zone=4,table=2)",
    "table=1,priority=10,ct_state=+trk+est,ip,actions=output:3",
    "table=2,ct_state=+new,actions=output:3",
    "table=2,priority=0,actions=output:4",
)


def prepare(switch: PeerSwitch) -> None:
    words = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
             "fail_mode=secure"]  # fmt: skip
    for number in range(1, 5):
        words += ["--", "add-port", "br0", f"p{number}", "--", "set", "interface", f"p{number}",
                  "type=dummy", f"ofport_request={number}"]  # fmt: skip
    switch.run("ovs-vsctl", *words)
    for flow in FLOWS:
        switch.run("ovs-ofctl", "add-flow", "br0", flow)
    switch.control("time/stop")


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[PeerPair]:
    with peer_pair(tmp_path, prepare) as pair:
        yield pair


def control(switches: PeerPair, *words: str) -> list[str]:
    return [switch.control(*words) for switch in switches]


def send(switches: PeerPair, port: int, client: int, sport: int, flags: str = "") -> None:
    protocol = f"tcp(src={sport},dst=80),tcp_flags({flags})" if flags else (
        f"udp(src={sport},dst=53)")  # fmt: skip
    number = 6 if flags else 17
    control(switches, "netdev-dummy/receive", f"p{port}",
            f"in_port({port}),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),"
            f"ipv4(src=10.0.0.{client},dst=10.0.0.200,proto={number},tos=0,ttl=64,frag=no),"
            f"{protocol}")  # fmt: skip


def look(switch: PeerSwitch) -> list[str]:
    shown = switch.run("ovs-ofctl", "dump-ports", "br0").stdout
    counts = re.findall(r"tx pkts=(\d+)", shown)
    table = sorted(switch.control("dpctl/dump-conntrack").splitlines())
    return [
        str(sorted(counts)),
        *table,
        switch.control("dpctl/ct-get-nconns"),
        switch.control("dpctl/ct-get-limits"),
        *sorted(switch.control("dpctl/ct-stats-show").splitlines()),
    ]


def agree(switches: PeerPair) -> list[str]:
    seen: list[list[str]] = []

    def same() -> bool:
        seen[:] = [look(switch) for switch in switches]
        return seen[0] == seen[1]

    assert wait_until(same), "\n".join(f"{a}   |   {b}" for a, b in zip(*seen, strict=False))
    return seen[1]


def test_a_full_table_takes_no_more_connections(switches: PeerPair) -> None:
    control(switches, "dpctl/ct-set-maxconns", "3")
    for client in range(1, 7):
        send(switches, 1, client, 1000)
    assert "3\n" in agree(switches)
    # Those that are known go on; one that ends makes room.
    send(switches, 1, 1, 1000)
    agree(switches)
    control(switches, "time/warp", "70000", "1000")
    send(switches, 1, 9, 1000)
    agree(switches)


def test_a_zone_has_its_own_limit(switches: PeerPair) -> None:
    # No default here: in 3.7 it counts for each zone by itself, in 3.1 for all others together.
    control(switches, "dpctl/ct-set-limits", "zone=3,limit=2", "zone=4,limit=3")
    for client in range(1, 5):
        send(switches, 1, client, 1000)
        send(switches, 2, client, 1000)
    agree(switches)
    control(switches, "dpctl/ct-del-limits", "zone=3")
    for client in range(1, 12):
        send(switches, 1, client, 2000)
    agree(switches)
    control(switches, "dpctl/flush-conntrack", "zone=3")
    send(switches, 1, 1, 3000)
    agree(switches)


def test_a_limit_counts_the_connections_since_it_was_set(switches: PeerPair) -> None:
    for client in range(1, 4):
        send(switches, 1, client, 1000)
    control(switches, "dpctl/ct-set-limits", "zone=3,limit=2")
    assert "zone=3,limit=2,count=0" in "".join(agree(switches))
    for client in range(4, 8):
        send(switches, 1, client, 1000)
    assert "5\n" in agree(switches)
    # Those of before do not make room when they go.
    control(switches, "dpctl/flush-conntrack", "zone=3")
    agree(switches)
    send(switches, 1, 9, 1000)
    agree(switches)


#: Without limits that are no numbers of 32 bits, which 3.1 cuts and later ones refuse.
LIMITS = """\
get-limits zone=3,4
set-limits zone=9
set-limits limit=9
set-limits zone=70000,limit=1
set-limits zone=-1,limit=1
set-limits zone=1,limit=x
set-limits zone=2,limit=5x
set-limits zone=2,limit=+5
set-limits zone=+8,limit=0x5
set-limits zone=12x,limit=7
set-limits zone=1,limit=1,foo=2
set-limits zone=,limit=3
set-limits zone=4,limit=
set-limits foo
set-limits default=x
set-limits default=
set-limits zone=6,limit=3 default=5
get-limits
get-limits foo
get-limits zone=x
get-limits zone=3x
get-limits zone=6 zone=7
get-limits dummy@ovs-dummy
get-limits dummy@ovs-dummy zone=8
get-limits nodp
del-limits foo
del-limits zone=x,1
del-limits zone=1x,77
set-limits dummy@ovs-dummy zone=5,limit=3
set-limits nodp zone=5,limit=3
del-limits nodp zone=5
get-limits
"""


def test_limits_are_read_alike(switches: PeerPair) -> None:
    different = []
    for line in LIMITS.splitlines():
        verb, *args = line.split()
        theirs, ours = (switch.appctl(f"dpctl/ct-{verb}", *args) for switch in switches)
        if theirs != ours:
            different.append(f"{line}\n theirs: {theirs}\n ours: {ours}")
    assert not different, "\n".join(different)


def test_connections_of_both_protocols_are_flushed_one_by_one(switches: PeerPair) -> None:
    for client in (1, 2):
        send(switches, 1, client, 1000, "syn")
        send(switches, 1, client, 1000)
    agree(switches)
    control(
        switches,
        "dpctl/flush-conntrack",
        "zone=3",
        "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.200,ct_nw_proto=17,ct_tp_src=1000,ct_tp_dst=53",
    )
    assert sum(line.startswith("udp,") for line in agree(switches)) == 1
    control(switches, "time/warp", "40000", "1000")
    agree(switches)
