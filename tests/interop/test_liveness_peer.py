"""Links that BFD, CFM or LACP hold to be down: groups and controllers see them so, in Debian's
switch and in ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_switch import PeerSwitch
from tests.support.peers import wait_until
from tests.support.switches import own_tools

pytestmark = pytest.mark.interop

Pair = tuple[PeerSwitch, PeerSwitch]
N_PORTS = 4
GROUPS = (
    "group_id=1,type=ff,bucket=watch_port:1,output:1,bucket=watch_port:2,output:2,"
    "bucket=watch_port:3,output:3,bucket=watch_port:4,output:4",
    "group_id=2,type=ff,bucket=watch_group:3,output:1,bucket=watch_port:4,output:4",
    "group_id=3,type=select,bucket=watch_port:1,output:1",
    "group_id=4,type=select,bucket=watch_port:2,output:2,bucket=watch_port:4,output:4",
)


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[Pair]:
    own_tools(tmp_path / "bin")
    theirs = PeerSwitch(tmp_path / "a")
    ours = PeerSwitch(tmp_path / "b", (str(tmp_path / "bin/ovs-vswitchd"),))
    words = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
             "protocols=OpenFlow10,OpenFlow13,OpenFlow15", "fail_mode=secure",
             "other-config:hwaddr=aa:66:aa:66:00:00"]  # fmt: skip
    for number in range(1, N_PORTS + 1):
        words += ["--", "add-port", "br0", f"p{number}", "--", "set", "interface", f"p{number}",
                  "type=dummy", f"ofport_request={number}"]  # fmt: skip
    try:
        for switch in (theirs, ours):
            switch.run("ovs-vsctl", *words)
            switch.control("time/stop")
            for group in GROUPS:
                switch.run("ovs-ofctl", "-O", "OpenFlow15", "add-group", "br0", group)
            for number in range(1, 5):
                switch.run(
                    "ovs-ofctl",
                    "-O",
                    "OpenFlow15",
                    "add-flow",
                    "br0",
                    f"in_port=LOCAL,udp,udp_dst={number},actions=group:{number}",
                )
        yield theirs, ours
    finally:
        for switch in (theirs, ours):
            switch.close()


def configure(switches: Pair, *words: str) -> None:
    for switch in switches:
        switch.run("ovs-vsctl", *words)


def control(switches: Pair, *words: str) -> None:
    for switch in switches:
        switch.control(*words)


def look(switch: PeerSwitch) -> list[str]:
    """The states of ports, and where groups send."""
    shown = switch.run("ovs-ofctl", "-O", "OpenFlow15", "dump-ports-desc", "br0").stdout
    seen = [line.strip() for line in shown.splitlines() if re.match(r" *(state:|\d+\()", line)]
    seen = [re.sub("addr:.*", "", line) for line in seen]
    for number in range(1, 5):
        trace = switch.control("ofproto/trace", "br0", f"in_port=LOCAL,udp,udp_dst={number}")
        seen += [
            line.strip() for line in trace.splitlines() if "actions:" in line or "live" in line
        ]
    return seen


def agree(switches: Pair) -> list[str]:
    answers: list[list[str]] = []

    def same() -> bool:
        control(switches, "time/warp", "100")
        answers[:] = [look(switch) for switch in switches]
        return answers[0] == answers[1]

    assert wait_until(same, 5), "\n".join(f"{a}   |   {b}" for a, b in zip(*answers, strict=False))
    return answers[1]


def test_all_links_are_up(switches: Pair) -> None:
    assert "Datapath actions: 1" in agree(switches)


def test_a_session_that_is_down_takes_its_port_out(switches: Pair) -> None:
    configure(switches, "set", "interface", "p1", "bfd:enable=true")
    control(switches, "time/warp", "5000", "500")
    seen = agree(switches)
    assert seen[0:2] == ["1(p1): ", "state:      0"]
    assert "Datapath actions: 2" in seen
    control(switches, "bfd/set-forwarding", "p1", "true")
    control(switches, "time/warp", "2000", "500")
    assert "Datapath actions: 1" in agree(switches)
    control(switches, "bfd/set-forwarding", "p1", "normal")
    control(switches, "time/warp", "2000", "500")
    agree(switches)
    configure(switches, "remove", "interface", "p1", "bfd", "enable")
    assert "Datapath actions: 1" in agree(switches)


def test_a_faulty_maintenance_point_takes_its_port_out(switches: Pair) -> None:
    configure(switches, "set", "interface", "p1", "cfm_mpid=1", "--", "set", "interface", "p2",
              "cfm_mpid=2", "other_config:cfm_extended=true")  # fmt: skip
    control(switches, "time/warp", "10000", "500")
    agree(switches)
    control(switches, "cfm/set-fault", "p1", "true")
    control(switches, "cfm/set-fault", "p2", "false")
    control(switches, "time/warp", "2000", "500")
    assert "Datapath actions: 2" in agree(switches)


def test_one_of_two_watchers_is_enough(switches: Pair) -> None:
    configure(switches, "set", "interface", "p1", "cfm_mpid=1", "bfd:enable=true")
    control(switches, "time/warp", "10000", "500")
    agree(switches)
    control(switches, "bfd/set-forwarding", "p1", "true")
    control(switches, "cfm/set-fault", "p1", "true")
    control(switches, "time/warp", "2000", "500")
    assert "Datapath actions: 1" in agree(switches)


def test_lacp_without_a_partner(switches: Pair) -> None:
    configure(switches, "set", "port", "p1", "lacp=active", "other_config:lacp-time=fast")
    control(switches, "time/warp", "10000", "500")
    agree(switches)


def test_a_device_that_is_down(switches: Pair) -> None:
    control(switches, "netdev-dummy/set-admin-state", "p1", "down")
    control(switches, "time/warp", "1000", "500")
    assert "Datapath actions: 2" in agree(switches)
    control(switches, "netdev-dummy/set-admin-state", "p1", "up")
    control(switches, "time/warp", "1000", "500")
    assert "Datapath actions: 1" in agree(switches)
