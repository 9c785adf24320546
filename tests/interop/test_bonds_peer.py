"""Bonds: members fail and come back, packets take the same members, in Debian's switch and ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_pair import PeerPair, peer_pair
from tests.support.peer_switch import CommandFailed, PeerSwitch
from tests.support.peers import wait_until

pytestmark = pytest.mark.interop

MEMBERS = ("p1", "p2", "q1", "q2", "q3")


def prepare(switch: PeerSwitch) -> None:
    words = [
        "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
        "--", "add-bond", "br0", "bond0", "p1", "p2", "bond_mode=active-backup",
        "bond_updelay=1000", "bond_downdelay=500",
        "--", "add-bond", "br0", "bond1", "q1", "q2", "q3", "bond_mode=balance-slb",
        "--", "add-port", "br0", "x",
    ]  # fmt: skip
    for number, name in enumerate((*MEMBERS, "x"), 1):
        words += ["--", "set", "interface", name, "type=dummy", f"ofport_request={number}"]
    switch.control("time/stop")
    switch.run("ovs-vsctl", *words)
    switch.control("time/warp", "500", "100")
    # Which member is the first to be active is anybody's choice.
    switch.control("bond/set-active-member", "bond0", "p1")
    switch.control("bond/set-active-member", "bond1", "q2")


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[PeerPair]:
    with peer_pair(tmp_path, prepare) as pair:
        yield pair


def shown(switch: PeerSwitch, bond: str) -> str:
    text = switch.control("bond/show", bond)
    text = re.sub(r"mac: [0-9a-f:]{17}", "mac: M", text)
    return re.sub(r"(rebalance|expires in): ?\d+", r"\1", text)


def agree_on_bonds(switches: PeerPair, *bonds: str) -> str:
    wanted = bonds or ("bond0", "bond1")
    return switches.agree_on(lambda switch: "".join(shown(switch, bond) for bond in wanted))


def answer(switch: PeerSwitch, words: list[str]) -> tuple[bool, str]:
    try:
        return True, switch.control(*words)
    except CommandFailed as failed:
        return False, str(failed)


def agree_on_packets(switches: PeerPair) -> None:
    """Packets from everywhere to everywhere; those whose bucket is bound go by the same member."""
    for switch in switches:
        for port in range(1, 7):
            bucket = switch.control("bond/hash", f"00:00:00:00:00:0{port}").strip()
            switch.control("bond/migrate", "bond1", bucket, "q1" if port % 2 else "q2")
    for port in range(1, 7):
        for target in ("ff:ff:ff:ff:ff:ff", "00:00:00:00:00:99", "00:00:00:00:00:06"):
            flow = f"in_port={port},dl_src=00:00:00:00:00:0{port},dl_dst={target}"
            theirs, ours = (
                re.sub(r"Datapath actions: .*", lambda m: str(sorted(m[0][18:].split(","))), text)
                for text in (
                    switch.control("ofproto/trace", "br0", flow, "--names") for switch in switches
                )
            )
            assert ours == theirs


def test_members_fail_and_come_back(switches: PeerPair) -> None:
    agree_on_bonds(switches)
    switches.control("netdev-dummy/set-admin-state", "p1", "down")
    switches.control("time/warp", "300", "100")
    assert "downdelay expires" in agree_on_bonds(switches)
    switches.control("time/warp", "1000", "100")
    assert "member p1: disabled" in agree_on_bonds(switches)
    switches.control("netdev-dummy/set-admin-state", "p2", "down")
    switches.control("time/warp", "1000", "100")
    assert "(none)" in agree_on_bonds(switches)
    switches.control("netdev-dummy/set-admin-state", "p2", "up")
    switches.control("time/warp", "200", "100")
    agree_on_bonds(switches)
    switches.control("netdev-dummy/set-admin-state", "p1", "up")
    switches.control("time/warp", "200", "100")
    assert "updelay expires" in agree_on_bonds(switches)
    switches.control("netdev-dummy/set-admin-state", "p1", "down")
    switches.control("time/warp", "2000", "100")
    agree_on_bonds(switches)
    switches.control("netdev-dummy/set-admin-state", "p1", "up")
    switches.control("netdev-dummy/set-admin-state", "q2", "down")
    switches.control("time/warp", "2000", "100")
    assert "member q2: disabled" in agree_on_bonds(switches, "bond0") + shown(switches[1], "bond1")


def test_packets_take_the_same_members(switches: PeerPair) -> None:
    agree_on_packets(switches)
    for number in (6, 3):
        packet = f"ffffffffffff00000000000{number}0800".ljust(120, "0")
        switches.control("netdev-dummy/receive", "x", packet)
    switches.control("time/warp", "500", "100")

    def learned() -> bool:
        return all(switch.control("fdb/show", "br0").count(" 6 ") == 2 for switch in switches)

    assert wait_until(learned)
    agree_on_packets(switches)
    switches.configure("set", "port", "bond1", "other_config:all-members-active=true")
    switches.control("time/warp", "500", "100")
    agree_on_packets(switches)


COMMANDS = """\
bond/set-active-member bond0 p1
bond/set-active-member bond0 p2
bond/set-active-member bond0 zz
bond/set-active-member zz p2
bond/disable-member bond0 p2
bond/set-active-member bond0 p2
bond/enable-member bond0 p2
bond/disable-member bond0 zz
bond/migrate bond0 3 p1
bond/migrate bond1 3 q2
bond/migrate bond1 300 q2
bond/migrate bond1 3 zz
bond/migrate bond1 x q2
bond/show zz
"""


def test_commands_answer_as_the_peers(switches: PeerPair) -> None:
    for line in COMMANDS.splitlines():
        theirs, ours = (answer(switch, line.split()) for switch in switches)
        assert ours == theirs, line
    switches.configure("set", "port", "bond0", "other_config:bond-primary=p2", "bond_updelay=7",
              "other_config:bond-hash-basis=3",
              "--", "set", "port", "bond1", "other_config:bond-primary=zz")  # fmt: skip
    switches.control("time/warp", "2000", "100")
    assert "primary: p2" in agree_on_bonds(switches, "bond0")
    switches.configure("set", "port", "bond0", "other_config:bond-primary=zz")
    switches.control("time/warp", "2000", "100")
    assert "no such member" in agree_on_bonds(switches, "bond0")


def test_the_database_is_told_the_active_member(switches: PeerPair) -> None:
    ours = switches[1]
    ours.control("bond/set-active-member", "bond0", "p2")

    def told() -> bool:
        ours.control("time/warp", "100")
        active = ours.run("ovs-vsctl", "get", "port", "bond0", "bond_active_slave").stdout
        mac = ours.run("ovs-vsctl", "get", "interface", "p2", "mac_in_use").stdout
        return active == mac

    assert wait_until(told)
