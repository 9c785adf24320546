"""CFM: two interfaces that are patched to one another, in Debian's switch and in ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_pair import PeerPair, patch_bridges, peer_pair

pytestmark = pytest.mark.interop


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[PeerPair]:
    with peer_pair(tmp_path, patch_bridges) as pair:
        yield pair


def shown(text: str) -> str:
    """Without times that depend on chance, and numbers of sessions."""
    text = re.sub(r"(tx|check): -?\d+ms", r"\1: N", text)
    return re.sub(r"check: (true|false)", "check: B", text)


def agree_on_columns(switches: PeerPair, interface: str) -> str:
    names = [f"cfm_{name}" for name in (
        "fault", "fault_status", "flap_count", "health", "remote_mpids", "remote_opstate",
    )]  # fmt: skip
    return switches.agree_on(
        lambda switch: switch.run("ovs-vsctl", "get", "interface", interface, *names).stdout,
        each_time=lambda: switches.warp(100),
    )


def test_points_hear_each_other_and_say_when_they_do_not(switches: PeerPair) -> None:
    switches.configure("set", "interface", "p0", "cfm_mpid=1", "--", "set", "interface",
              "p1", "cfm_mpid=2")  # fmt: skip
    switches.warp(10_000)
    assert "Remote MPID 2" in switches.agree("cfm/show", "p0", shown=shown)
    assert agree_on_columns(switches, "p0").startswith("false")
    switches.warp(15_000)
    agree_on_columns(switches, "p1")
    switches.configure("set", "interface", "p1", "options:peer=nothing")
    switches.warp(9_000)
    assert "fault: recv" in switches.agree("cfm/show", "p0", shown=shown)
    switches.control("cfm/set-fault", "p1", "false")
    assert "fault_override" in switches.agree("cfm/show", "p1", shown=shown)
    switches.control("cfm/set-fault", "normal")
    switches.agree("cfm/show", "p1", shown=shown)


def test_extended_points_tell_that_they_are_down(switches: PeerPair) -> None:
    for name, mpid in (("p0", "100000"), ("p1", "100001")):
        switches.configure("set", "interface", name, f"cfm_mpid={mpid}",
                  "other_config:cfm_extended=true", "other_config:cfm_interval=300",
                  "other_config:cfm_opstate=down")  # fmt: skip
    switches.warp(5_000)
    text = switches.agree("cfm/show", "p0", shown=shown)
    assert "extended" in text and "remote_opstate: down" in text
    agree_on_columns(switches, "p0")
