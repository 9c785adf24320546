"""Spanning trees: bridges that are wired the same way find the same tree in Debian's switch and in
ours, tell the same of it, and forward the same packets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_pair import PeerPair, peer_pair, stop_time
from tests.support.peer_switch import CommandFailed, PeerSwitch

pytestmark = pytest.mark.interop

LINKS = ((0, 1), (1, 2), (0, 2), (2, 3))
N_BRIDGES = 4


def bridge_words(number: int, kind: str) -> list[str]:
    return ["--", "add-br", f"br{number}", "--", "set", "bridge", f"br{number}",
            "datapath_type=dummy", f"{kind}_enable=true",
            f"other-config:{kind}-priority={0x1000 * number}",
            f"other-config:hwaddr=aa:66:aa:66:00:0{number}"]  # fmt: skip


def port_words(bridge: int, peer: int, kind: str, config: str) -> list[str]:
    name = f"p{bridge}{peer}"
    return ["--", "add-port", f"br{bridge}", name, "--", "set", "interface", name, "type=patch",
            f"options:peer=p{peer}{bridge}", f"ofport_request={peer + 1}",
            "--", "set", "port", name, f"other_config:{kind}-port-num={peer + 1}",
            *config.split()]  # fmt: skip


def set_up(switch: PeerSwitch, kind: str) -> None:
    words = [word for n in range(N_BRIDGES) for word in bridge_words(n, kind)]
    for one, other in LINKS:
        words += port_words(one, other, kind, "")
        words += port_words(other, one, kind, "")
    switch.run("ovs-vsctl", *words[1:])
    switch.run("ovs-vsctl", "add-port", "br0", "d1", "--", "set", "interface", "d1", "type=dummy",
               "ofport_request=9", "--", "set", "port", "d1", f"other_config:{kind}-port-num=9",
               f"other_config:{kind}-path-cost=7",
               f"other_config:{kind}-port-priority=32")  # fmt: skip


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[PeerPair]:
    with peer_pair(tmp_path, stop_time) as pair:
        yield pair


def agree_on_tree(switches: PeerPair, kind: str) -> None:
    for number in range(N_BRIDGES):
        try:
            switches.agree(f"{kind}/show", f"br{number}")
        except CommandFailed:
            with pytest.raises(CommandFailed):
                switches[1].control(f"{kind}/show", f"br{number}")


def openflow_states(switch: PeerSwitch, bridge: str) -> list[str]:
    shown = switch.run("ovs-ofctl", "show", bridge).stdout
    return [line for line in shown.splitlines() if re.match(r" *(state|\d+\()", line)
            and "addr" not in line]  # fmt: skip


def rows(switch: PeerSwitch, table: str, columns: str) -> list[str]:
    done = switch.run(
        "ovs-vsctl", "-f", "csv", "--no-headings", f"--columns={columns}", "list", table
    )
    return sorted(done.stdout.splitlines())


def agree_on_rows(switches: PeerPair, table: str, columns: str) -> None:
    def look(switch: PeerSwitch) -> list[str]:
        shown = rows(switch, table, columns)
        return [re.sub(r'sec_in_state="*\d+"*', "sec", line) for line in shown]

    switches.agree_on(look, each_time=lambda: switches.warp(100))


def agree_on_everything(switches: PeerPair, kind: str) -> None:
    agree_on_tree(switches, kind)
    for number in range(N_BRIDGES):
        theirs, ours = (openflow_states(switch, f"br{number}") for switch in switches)
        assert theirs == ours
    for bridge, flow in (
        ("br2", "in_port=1"), ("br2", "in_port=2"), ("br0", "in_port=9"), ("br3", "in_port=3"),
        ("br2", "in_port=2,dl_dst=01:80:c2:00:00:00,dl_type=0x05ff"),
        ("br2", "in_port=LOCAL,dl_dst=01:80:c2:00:00:02"),
    ):  # fmt: skip
        theirs, ours = (
            re.sub(
                r"Datapath actions: .*", lambda found: str(sorted(found[0][18:].split(","))), text
            )
            for text in (switch.control("ofproto/trace", bridge, flow) for switch in switches)
        )
        assert sections(ours) == sections(theirs), f"{bridge} {flow}\n{theirs}\n{ours}"


def sections(trace: str) -> list[str]:
    """The lines in any order: the peer floods in the order of a hash table."""
    return sorted(line.strip() for line in trace.splitlines())


def test_the_tree_of_stp(switches: PeerPair) -> None:
    for switch in switches:
        set_up(switch, "stp")
    switches.control("time/warp", "4000", "500")
    agree_on_tree(switches, "stp")
    switches.control("time/warp", "15000", "500")
    agree_on_everything(switches, "stp")
    switches.control("time/warp", "20000", "500")
    agree_on_everything(switches, "stp")
    agree_on_rows(switches, "port", "name,status")
    agree_on_rows(switches, "bridge", "name,status")
    assert "alternate  blocking" in switches.agree("stp/show", "br2")


def test_the_tree_heals_and_follows_its_settings(switches: PeerPair) -> None:
    for switch in switches:
        set_up(switch, "stp")
    switches.control("time/warp", "40000", "500")
    switches.configure("del-port", "p02")
    switches.control("time/warp", "60000", "500")
    assert "alternate" not in switches.agree("stp/show", "br2")
    switches.configure("set", "bridge", "br3", "other_config:stp-priority=0",
              "other_config:stp-system-id=00:00:00:00:00:01",
              "other_config:stp-max-age=14", "other_config:stp-forward-delay=10")  # fmt: skip
    switches.control("time/warp", "60000", "500")
    agree_on_everything(switches, "stp")
    switches.configure("set", "port", "p20", "other_config:stp-path-cost=300")
    switches.control("time/warp", "60000", "500")
    agree_on_tree(switches, "stp")
    switches.control("stp/tcn", "br1")
    switches.configure("set", "bridge", "br3", "stp_enable=false")
    switches.control("time/warp", "60000", "500")
    agree_on_everything(switches, "stp")
    switches.configure("remove", "port", "p10", "other_config", "stp-port-num")
    agree_on_tree(switches, "stp")


def test_no_packet_goes_round(switches: PeerPair) -> None:
    for switch in switches:
        set_up(switch, "stp")
    switches.control("time/warp", "60000", "500")
    trace = switches[1].control("ofproto/trace", "br0", "in_port=9")
    assert sorted(trace.split("Datapath actions: ")[1].split("\n")[0].split(",")) == [
        "100", "101", "102", "103",
    ]  # fmt: skip


def told(switch: PeerSwitch) -> list[str]:
    """What the log says of states and links, in any order."""
    lines = (switch.directory / "1.err").read_text().splitlines()
    return sorted(line.split("|", 4)[-1] for line in lines
                  if "STP state changed" in line or " it." in line)  # fmt: skip


def test_a_port_without_a_link_takes_no_part(switches: PeerPair) -> None:
    for switch in switches:
        switch.control("vlog/set", "ofproto_dpif:console:dbg")
        set_up(switch, "stp")
    switches.control("time/warp", "40000", "500")
    for state in ("down", "up"):
        switches.control("netdev-dummy/set-admin-state", "d1", state)
        switches.control("time/warp", "1000", "500")
        agree_on_everything(switches, "stp")
    switches.control("time/warp", "31000", "500")
    agree_on_everything(switches, "stp")
    theirs, ours = (told(switch) for switch in switches)
    assert ours == theirs
    assert "bridge br0, port d1 is down, disabling it." in ours
    assert "port d1: STP state changed from learning to forwarding" in ours
