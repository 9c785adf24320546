"""LACP and the bonds that need it: what Debian's switch and ours show of the same negotiation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_pair import PeerPair, peer_pair, stop_time

pytestmark = pytest.mark.interop


def bridge_words(number: int, mac: str) -> list[str]:
    return ["--", "add-br", f"br{number}", "--", "set", "bridge", f"br{number}",
            "datapath_type=dummy", f"other-config:hwaddr={mac}"]  # fmt: skip


def bond_words(bridge: int, members: dict[str, str], ports: dict[str, int]) -> list[str]:
    words = ["--", "add-bond", f"br{bridge}", f"bond{bridge}", *members, "bond_mode=balance-tcp",
             "lacp=active", "other-config:lacp-time=fast",
             "other-config:bond-rebalance-interval=0"]  # fmt: skip
    for name, peer in members.items():
        words += ["--", "set", "interface", name, "type=patch", f"options:peer={peer}",
                  f"ofport_request={ports[name]}"]  # fmt: skip
    return words


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[PeerPair]:
    with peer_pair(tmp_path, stop_time) as pair:
        yield pair


def shown(text: str) -> str:
    """Without what is anybody's choice: the active member, who lends its key, times."""
    text = re.sub(r"key: [1-4]\n", "key: K\n", text)
    text = re.sub(r"TX PDUs: \d+", "TX PDUs: N", text).replace("d2, d1", "d1, d2")
    text = re.sub(r"active member mac: .*", "active member mac: M", text)
    text = re.sub(r"  active member\n", "", text)
    return re.sub(r"next rebalance: -?\d+", "next rebalance: N", text)


PATCHED = {"p0": 1, "p1": 2, "p2": 3, "p3": 4}


def negotiate(switches: PeerPair) -> None:
    words = bridge_words(0, "aa:55:aa:55:00:00") + bridge_words(1, "aa:66:aa:66:00:00")
    words += bond_words(0, {"p0": "p2", "p1": "p3"}, PATCHED)
    words += bond_words(1, {"p2": "p0", "p3": "p1"}, PATCHED)
    switches.configure(*words[1:])
    switches.warp(3_000)


def test_two_bonds_negotiate_and_lose_a_link(switches: PeerPair) -> None:
    negotiate(switches)
    text = switches.agree("lacp/show", shown=shown)
    assert text.count("current attached") == 4
    assert "lacp_status: negotiated" in switches.agree("bond/show", "bond0", shown=shown)
    assert "true" in switches[1].run("ovs-vsctl", "get", "interface", "p0", "lacp_current").stdout
    switches.configure("add-port", "br0", "null0", "--", "set", "int", "null0", "type=patch",
        "options:peer=p2", "--", "set", "int", "p2", "options:peer=null0",
        "--", "add-port", "br1", "null1", "--", "set", "int", "null1", "type=patch",
        "options:peer=p0", "--", "set", "int", "p0", "options:peer=null1",
    )  # fmt: skip
    switches.warp(4_100)
    assert "member: p0: expired attached" in switches.agree("lacp/show", "bond0", shown=shown)
    assert "member p0: disabled" in switches.agree("bond/show", "bond0", shown=shown)
    switches.warp(4_100)
    assert "member: p0: defaulted detached" in switches.agree("lacp/show", "bond0", shown=shown)
    switches.agree("bond/show", "bond1", shown=shown)


def alone(switches: PeerPair, *config: str) -> None:
    words = bridge_words(0, "aa:55:aa:55:00:00")
    words += ["--", "add-bond", "br0", "bond", "d1", "d2", "bond_mode=balance-tcp", "lacp=active",
              *config]  # fmt: skip
    for number, name in enumerate(("d1", "d2", "d3", "d4"), 1):
        if number > 2:
            words += ["--", "add-port", "br0", name]
        words += ["--", "set", "interface", name, "type=dummy", f"ofport_request={number}"]
    words += ["--", "set", "port", "d3", "lacp=passive"]
    switches.configure(*words[1:])


def test_without_a_partner_a_bond_is_off_or_falls_back(switches: PeerPair) -> None:
    alone(switches, "other_config:lacp-port-id=7")
    switches.warp(4_000)
    switches.agree("lacp/show", shown=shown)
    text = switches.agree("bond/show", "bond", shown=shown)
    assert "lacp_status: configured" in text
    assert "bond may use recirculation: yes" in text
    switches.configure("set", "port", "bond", "other_config:lacp-fallback-ab=true")
    switches.warp(1_000)
    assert "may_enable: true" in switches.agree("lacp/show", "bond", shown=shown)
    assert "member d1: enabled" in switches.agree("bond/show", "bond", shown=shown)
    switches.agree("bond/list", shown=shown)
    trace = switches[1].control(
        "ofproto/trace", "br0", "in_port=4,dl_src=00:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff"
    )
    assert "hash" not in trace.splitlines()[-1]


PARTNER = (
    "0180c2000002 0e0000000001 8809 0101"
    "0114 ffff 020000000001 0005 00ff {port:04x} {state:02x} 000000"
    "0214 fffe aa55aa550000 0001 ffff {port:04x} 3d 000000"
    "0310 0000" + "00" * 64
)


def test_connections_are_spread_by_the_data_path(switches: PeerPair) -> None:
    alone(switches)
    switches.warp(200)
    for number in (1, 2):
        frame = PARTNER.format(port=number, state=0x3D).replace(" ", "")
        for switch in switches:
            switch.control("netdev-dummy/receive", f"d{number}", frame)
    switches.warp(500)
    assert switches.agree("lacp/show", "bond", shown=shown).count("current attached") == 2
    assert "lacp_status: negotiated" in switches.agree("bond/show", "bond", shown=shown)
    flow = ("in_port=4,dl_src=00:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,ip,nw_src=10.0.0.1,"
            "nw_dst=10.0.0.2,nw_proto=6,tp_src=1,tp_dst=2")  # fmt: skip
    for switch in switches:
        last = switch.control("ofproto/trace", "br0", flow).splitlines()[-1]
        assert re.search(r"hash\(l4\(0\)\),recirc\(0x\d+\)", last), last
        dump = switch.control("bridge/dump-flows", "br0")
        assert dump.count("dp_hash=") == 256
    stats = switches.agree("lacp/show-stats", "bond", shown=shown)
    assert "RX PDUs: 1" in stats
    switches.agree("lacp/show-stats", "d3", shown=shown)


def test_who_asks_for_what_is_not_there_is_told(switches: PeerPair) -> None:
    switches.configure("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy")
    for switch in switches:
        with pytest.raises(Exception, match="no such lacp object"):
            switch.control("lacp/show", "nothing")
