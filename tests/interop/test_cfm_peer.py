"""CFM: two interfaces that are patched to one another, in Debian's switch and in ours."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_switch import PeerSwitch
from tests.support.peers import wait_until
from tests.support.switches import own_tools

pytestmark = pytest.mark.interop

Pair = tuple[PeerSwitch, PeerSwitch]
WORDS = [
    "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
    "--", "add-br", "br1", "--", "set", "bridge", "br1", "datapath_type=dummy",
    "--", "add-port", "br0", "p0", "--", "set", "interface", "p0", "type=patch",
    "options:peer=p1", "ofport_request=1",
    "--", "add-port", "br1", "p1", "--", "set", "interface", "p1", "type=patch",
    "options:peer=p0", "ofport_request=1",
]  # fmt: skip


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[Pair]:
    own_tools(tmp_path / "bin")
    theirs = PeerSwitch(tmp_path / "a")
    ours = PeerSwitch(tmp_path / "b", (str(tmp_path / "bin/ovs-vswitchd"),))
    try:
        for switch in (theirs, ours):
            switch.control("time/stop")
            switch.run("ovs-vsctl", *WORDS)
        yield theirs, ours
    finally:
        for switch in (theirs, ours):
            switch.close()


def configure(switches: Pair, *words: str) -> None:
    for switch in switches:
        switch.run("ovs-vsctl", *words)


def both(switches: Pair, *words: str) -> None:
    for switch in switches:
        switch.control(*words)


def warp(switches: Pair, ms: int) -> None:
    both(switches, "time/warp", str(ms), "100")


def shown(text: str) -> str:
    """Without times that depend on chance, and numbers of sessions."""
    text = re.sub(r"(tx|check): -?\d+ms", r"\1: N", text)
    return re.sub(r"check: (true|false)", "check: B", text)


def agree(switches: Pair, *words: str) -> str:
    answers: list[str] = []

    def same() -> bool:
        answers[:] = [shown(switch.control(*words)) for switch in switches]
        return answers[0] == answers[1]

    if not wait_until(same, 3):
        lines = [text.splitlines() for text in answers]
        pytest.fail("\n".join(difflib.unified_diff(*lines, lineterm="")))
    return answers[1]


def agree_on_columns(switches: Pair, interface: str) -> str:
    answers: list[str] = []
    names = [f"cfm_{name}" for name in (
        "fault", "fault_status", "flap_count", "health", "remote_mpids", "remote_opstate",
    )]  # fmt: skip

    def same() -> bool:
        warp(switches, 100)
        answers[:] = [
            switch.run("ovs-vsctl", "get", "interface", interface, *names).stdout
            for switch in switches
        ]
        return answers[0] == answers[1]

    assert wait_until(same, 5), answers
    return answers[1]


def test_points_hear_each_other_and_say_when_they_do_not(switches: Pair) -> None:
    configure(switches, "set", "interface", "p0", "cfm_mpid=1", "--", "set", "interface",
              "p1", "cfm_mpid=2")  # fmt: skip
    warp(switches, 10_000)
    assert "Remote MPID 2" in agree(switches, "cfm/show", "p0")
    assert agree_on_columns(switches, "p0").startswith("false")
    warp(switches, 15_000)
    agree_on_columns(switches, "p1")
    configure(switches, "set", "interface", "p1", "options:peer=nothing")
    warp(switches, 9_000)
    assert "fault: recv" in agree(switches, "cfm/show", "p0")
    both(switches, "cfm/set-fault", "p1", "false")
    assert "fault_override" in agree(switches, "cfm/show", "p1")
    both(switches, "cfm/set-fault", "normal")
    agree(switches, "cfm/show", "p1")


def test_extended_points_tell_that_they_are_down(switches: Pair) -> None:
    for name, mpid in (("p0", "100000"), ("p1", "100001")):
        configure(switches, "set", "interface", name, f"cfm_mpid={mpid}",
                  "other_config:cfm_extended=true", "other_config:cfm_interval=300",
                  "other_config:cfm_opstate=down")  # fmt: skip
    warp(switches, 5_000)
    text = agree(switches, "cfm/show", "p0")
    assert "extended" in text and "remote_opstate: down" in text
    agree_on_columns(switches, "p0")
