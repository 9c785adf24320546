"""Dummies that are plugged into each other: bridges of one switch, and of Debian's and ours, speak
LACP, BFD, CFM and RSTP over them and come to the same agreements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_pair import PeerPair, peer_pair
from tests.support.peer_switch import PeerSwitch
from tests.support.peers import wait_until

pytestmark = pytest.mark.interop

VERSIONS = ("OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15")


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[PeerPair]:
    with peer_pair(tmp_path) as pair:
        yield pair


def bridge_words(name: str, number: int) -> list[str]:
    return ["add-br", name, "--", "set", "bridge", name, "datapath_type=dummy",
            f"other-config:hwaddr=aa:66:aa:66:00:0{number}"]  # fmt: skip


#: A port on each of two bridges.
TWO_PORTS = ("--", "add-port", "br0", "p0", "--", "add-port", "br1", "p1")


def set_words(interface: str, *settings: str) -> list[str]:
    return ["--", "set", "interface", interface, *settings]


def add_bridges(switch: PeerSwitch, *words: str) -> None:
    """Bridges br0 and br1, and what `words` say."""
    setup = []
    for number in (0, 1):
        setup += ["--", *bridge_words(f"br{number}", number)]
    switch.run("ovs-vsctl", *setup[1:], *words)


def plugged(switch: PeerSwitch, one: str, other: str) -> list[str]:
    """Words that plug interface `one`, which listens, and `other` into each other."""
    path = switch.directory / f"{one}.sock"
    return [
        *set_words(one, "type=dummy", f"options:pstream=punix:{path}"),
        *set_words(other, "type=dummy", f"options:stream=unix:{path}"),
    ]


def await_wires(switch: PeerSwitch, *names: str) -> None:
    wanted = {f"{name}: connected" for name in names}
    assert wait_until(lambda: wanted <= set(switch.control("netdev-dummy/conn-state").split("\n")))


def settle(switch: PeerSwitch, ms: int) -> None:
    """Let time pass in small steps, each with turns for packets on their way."""
    for _ in range(ms // 500):
        switch.control("time/warp", "500", "100")
        switch.run("ovs-ofctl", "dump-aggregate", "br0")


def same(switches: PeerPair, *words: str) -> str:
    return switches.agree_on(
        lambda switch: normal(switch.control(*words)),
        each_time=lambda: switches.control("time/warp", "100"),
    )


def normal(text: str) -> str:
    """Without what depends on the order of interfaces by their UUIDs, and on the moment."""
    text = re.sub(r"aa:55:aa:55:00:\w\w(\(\w+\))?|\n  active member(?=\n)", "", text)
    text = re.sub(r"next (CCM tx|fault check): -?\d+ms|recv since check: \w+", "TIME", text)
    text = re.sub(r"(in|now \S?|next rebalance:) ?-?\d+ ?ms", "TIME", text)
    text = re.sub(r"aggregation key: \d+|(actor|partner) key: \d+", "KEY", text)
    text = re.sub(r"Discriminator: 0x[0-9a-f]+", "Discriminator", text)
    return re.sub(r"(TX PDUs|RX PDUs): \d+", "PDUs", text)


def test_packets_cross(switches: PeerPair) -> None:
    for switch in switches:
        path = switch.directory / "p2.pcap"
        seen = ["--", "add-port", "br1", "p2"]
        seen += set_words("p2", "type=dummy", f"options:tx_pcap={path}")
        add_bridges(switch, *TWO_PORTS, *seen, *plugged(switch, "p0", "p1"))
        await_wires(switch, "p1")
        assert switch.control("netdev-dummy/conn-state", "p0") == "p0: unknown\n"
        assert switch.control("netdev-dummy/conn-state", "p9") == "p9: unknown\n"
        packet = "50540000000150540000000a1234" + "00" * 50
        switch.control("netdev-dummy/receive", "br0", packet)
        assert wait_until(lambda path=path, packet=packet: packet in path.read_bytes().hex())


def counters(switch: PeerSwitch, version: str) -> str:
    shown = switch.run("ovs-ofctl", "-O", version, "dump-ports", "br0", "p1").stdout
    return re.sub(r"duration=\S+", "", shown)


def test_dummies_count_what_theirs_count(switches: PeerPair) -> None:
    shown: list[list[str]] = []
    for switch in switches:
        switch.control("time/stop")
        switch.run(
            *("ovs-vsctl", *bridge_words("br0", 0), f"protocols={','.join(VERSIONS)}"),
            *("--", "add-port", "br0", "p1", *set_words("p1", "type=dummy", "ofport_request=1")),
        )
        switch.control("netdev-dummy/receive", "p1", "50540000000150540000000a1234" + "00" * 50)
        assert wait_until(lambda switch=switch: "pkts=1" in counters(switch, "OpenFlow10"))
        shown.append([counters(switch, version) for version in VERSIONS])
    assert shown[0] == shown[1]
    assert "rx_custom_packets_1=1" in shown[1][2]


def test_a_bond_negotiates_lacp(switches: PeerPair) -> None:
    for switch in switches:
        words: list[str] = []
        for bridge in (0, 1):
            members = [f"m{bridge}{n}" for n in (1, 2)]
            words += ["--", "add-bond", f"br{bridge}", f"bond{bridge}", *members, "lacp=active",
                      "bond_mode=balance-tcp", "other_config:lacp-time=fast"]  # fmt: skip
            for n, member in enumerate(members, 1):
                words += set_words(
                    member,
                    f"ofport_request={n}",
                    f"other_config:lacp-port-id={10 * bridge + n}",
                    "other_config:lacp-aggregation-key=77",
                )
        for n in (1, 2):
            words += plugged(switch, f"m0{n}", f"m1{n}")
        switch.control("time/stop")
        add_bridges(switch, *words)
        for _ in range(10):
            settle(switch, 1_000)
        await_wires(switch, "m11", "m12")
        settle(switch, 6_000)
    for bridge in (0, 1):
        shown = same(switches, "lacp/show", f"bond{bridge}")
        assert shown.count("current attached") == 2
        assert "lacp_status: negotiated" in same(switches, "bond/show", f"bond{bridge}")
    for switch in switches:
        switch.control("netdev-dummy/set-admin-state", "m01", "down")
        settle(switch, 2_000)
    # A dummy that is down carries packets all the same, but nobody may choose it.
    assert "member: m01: current attached" in same(switches, "lacp/show", "bond0")
    assert "member m01: disabled" in same(switches, "bond/show", "bond0")
    for switch in switches:
        switch.control("netdev-dummy/set-admin-state", "m01", "up")
        switch.run("ovs-vsctl", "remove", "interface", "m11", "options", "stream")
        settle(switch, 8_000)
    assert "member: m01: defaulted detached" in same(switches, "lacp/show", "bond0")
    assert "member m01: disabled" in same(switches, "bond/show", "bond0")
    assert "member m02: enabled" in same(switches, "bond/show", "bond0")


def test_bfd_and_cfm_come_up(switches: PeerPair) -> None:
    for switch in switches:
        switch.control("time/stop")
        words = [
            *TWO_PORTS,
            *set_words("p0", "bfd:enable=true", "cfm_mpid=1"),
            *set_words("p1", "bfd:enable=true", "cfm_mpid=2"),
        ]
        add_bridges(switch, *words, *plugged(switch, "p0", "p1"))
        settle(switch, 2_000)
        await_wires(switch, "p1")
        settle(switch, 15_000)
    for name in ("p0", "p1"):
        shown = same(switches, "bfd/show", name)
        assert "Local Session State: up" in shown
        assert "Remote Session State: up" in shown
        assert "fault: " not in same(switches, "cfm/show", name)


def test_bridges_of_both_makers_find_one_tree(switches: PeerPair) -> None:
    """RSTP between Debian's bridge and ours."""
    theirs, ours = switches
    path = theirs.directory / "p0.sock"
    for switch, number in ((theirs, 0), (ours, 1)):
        target = f"pstream=punix:{path}" if switch is theirs else f"stream=unix:{path}"
        switch.control("time/stop")
        switch.run(
            *("ovs-vsctl", *bridge_words("br0", number), "rstp_enable=true"),
            *("--", "add-port", "br0", "p", *set_words("p", "type=dummy", f"options:{target}")),
        )
    settle(ours, 2_000)
    await_wires(ours, "p")

    def roles() -> list[str]:
        for switch in switches:
            settle(switch, 500)
        shown = (switch.control("rstp/show").splitlines() for switch in switches)
        return [line.split()[1:3] for lines in shown for line in lines if line.startswith("  p ")]

    agreed = [["Designated", "Forwarding"], ["Root", "Forwarding"]]
    assert wait_until(lambda: roles() == agreed), roles()


def test_wires_are_shown_with_their_ports(switches: PeerPair) -> None:
    shown = []
    for switch in switches:
        add_bridges(switch, *TWO_PORTS, *plugged(switch, "p0", "p1"))
        await_wires(switch, "p1")
        lines = switch.control("dpif/show").splitlines() + switch.control("dpctl/show").splitlines()
        shown.append(
            sorted(
                re.sub(r"\d+/\d+|port \d+|/\S+/", "", line)
                for line in lines
                if "p0" in line or "p1" in line
            )
        )
    assert shown[0] == shown[1]
