"""BFD: two interfaces that are patched to one another, in Debian's switch and in ours."""

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
    text = re.sub(r"now [-+]\d+ms", "now N", text)
    return re.sub(r"Discriminator: 0x[1-9a-f]\w*", "Discriminator: D", text)


def agree(switches: Pair, *words: str) -> str:
    answers: list[str] = []

    def same() -> bool:
        answers[:] = [shown(switch.control(*words)) for switch in switches]
        return answers[0] == answers[1]

    if not wait_until(same, 3):
        lines = [text.splitlines() for text in answers]
        pytest.fail("\n".join(difflib.unified_diff(*lines, lineterm="")))
    return answers[1]


def agree_on_status(switches: Pair, interface: str) -> str:
    answers: list[str] = []

    def same() -> bool:
        warp(switches, 100)
        answers[:] = [
            switch.run("ovs-vsctl", "get", "interface", interface, "bfd_status").stdout
            for switch in switches
        ]
        return answers[0] == answers[1]

    assert wait_until(same, 5), answers
    return answers[1]


def test_sessions_come_up_and_go_down_when_the_wire_is_cut(switches: Pair) -> None:
    configure(switches, "set", "interface", "p0", "bfd:enable=true", "--", "set", "interface",
              "p1", "bfd:enable=true", "bfd:mult=4")  # fmt: skip
    warp(switches, 5_000)
    assert "Local Session State: up" in agree(switches, "bfd/show", "p0")
    assert "Remote Detect Multiplier: 4" in agree(switches, "bfd/show", "p0")
    assert "state=up" in agree_on_status(switches, "p0")
    configure(switches, "set", "interface", "p1", "options:peer=nothing")
    warp(switches, 6_000)
    text = agree(switches, "bfd/show", "p0")
    assert "Local Diagnostic: Control Detection Time Expired" in text
    configure(switches, "set", "interface", "p1", "options:peer=p0")
    warp(switches, 5_000)
    assert "Local Session State: up" in agree(switches, "bfd/show", "p1")
    configure(switches, "set", "interface", "p0", "bfd:enable=false")
    warp(switches, 6_000)
    assert agree_on_status(switches, "p0") == "{}\n"
    assert "Local Session State: down" in agree(switches, "bfd/show", "p1")


def test_intervals_change_by_a_poll_and_paths_are_said_to_be_down(switches: Pair) -> None:
    configure(switches, "set", "interface", "p0", "bfd:enable=true", "--", "set", "interface",
              "p1", "bfd:enable=true")  # fmt: skip
    warp(switches, 5_000)
    configure(switches, "set", "interface", "p0", "bfd:min_tx=500", "bfd:min_rx=300")
    warp(switches, 5_000)
    agree(switches, "bfd/show", "p0")
    agree(switches, "bfd/show", "p1")
    configure(switches, "set", "interface", "p0", "bfd:cpath_down=true")
    warp(switches, 3_000)
    assert "Forwarding: false" in agree(switches, "bfd/show", "p1")
    both(switches, "bfd/set-forwarding", "p1", "true")
    assert "Forwarding: true" in agree(switches, "bfd/show", "p1")
    both(switches, "bfd/set-forwarding", "normal")
    assert 'forwarding="false"' in agree_on_status(switches, "p1")
