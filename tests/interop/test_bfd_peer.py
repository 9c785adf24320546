"""BFD: two interfaces that are patched to one another, in Debian's switch and in ours."""

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
    text = re.sub(r"now [-+]\d+ms", "now N", text)
    return re.sub(r"Discriminator: 0x[1-9a-f]\w*", "Discriminator: D", text)


def agree_on_status(switches: PeerPair, interface: str) -> str:
    return switches.agree_on(
        lambda switch: switch.run("ovs-vsctl", "get", "interface", interface, "bfd_status").stdout,
        each_time=lambda: switches.warp(100),
    )


def test_sessions_come_up_and_go_down_when_the_wire_is_cut(switches: PeerPair) -> None:
    switches.configure("set", "interface", "p0", "bfd:enable=true", "--", "set", "interface",
              "p1", "bfd:enable=true", "bfd:mult=4")  # fmt: skip
    switches.warp(5_000)
    assert "Local Session State: up" in switches.agree("bfd/show", "p0", shown=shown)
    assert "Remote Detect Multiplier: 4" in switches.agree("bfd/show", "p0", shown=shown)
    assert "state=up" in agree_on_status(switches, "p0")
    switches.configure("set", "interface", "p1", "options:peer=nothing")
    switches.warp(6_000)
    text = switches.agree("bfd/show", "p0", shown=shown)
    assert "Local Diagnostic: Control Detection Time Expired" in text
    switches.configure("set", "interface", "p1", "options:peer=p0")
    switches.warp(5_000)
    assert "Local Session State: up" in switches.agree("bfd/show", "p1", shown=shown)
    switches.configure("set", "interface", "p0", "bfd:enable=false")
    switches.warp(6_000)
    assert agree_on_status(switches, "p0") == "{}\n"
    assert "Local Session State: down" in switches.agree("bfd/show", "p1", shown=shown)


def test_intervals_change_by_a_poll_and_paths_are_said_to_be_down(switches: PeerPair) -> None:
    switches.configure("set", "interface", "p0", "bfd:enable=true", "--", "set", "interface",
              "p1", "bfd:enable=true")  # fmt: skip
    switches.warp(5_000)
    switches.configure("set", "interface", "p0", "bfd:min_tx=500", "bfd:min_rx=300")
    switches.warp(5_000)
    switches.agree("bfd/show", "p0", shown=shown)
    switches.agree("bfd/show", "p1", shown=shown)
    switches.configure("set", "interface", "p0", "bfd:cpath_down=true")
    switches.warp(3_000)
    assert "Forwarding: false" in switches.agree("bfd/show", "p1", shown=shown)
    switches.control("bfd/set-forwarding", "p1", "true")
    assert "Forwarding: true" in switches.agree("bfd/show", "p1", shown=shown)
    switches.control("bfd/set-forwarding", "normal")
    assert 'forwarding="false"' in agree_on_status(switches, "p1")
