"""What the database is told of the machine: Debian's switch and ours tell the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_switch import PeerSwitch
from tests.support.peers import wait_until
from tests.support.switches import own_tools

pytestmark = pytest.mark.interop


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[tuple[PeerSwitch, PeerSwitch]]:
    own_tools(tmp_path / "bin")
    theirs = PeerSwitch(tmp_path / "a")
    ours = PeerSwitch(tmp_path / "b", (str(tmp_path / "bin/ovs-vswitchd"),))
    try:
        yield theirs, ours
    finally:
        for switch in (theirs, ours):
            switch.close()


def read(switch: PeerSwitch, key: str) -> str:
    words = ("ovs-vsctl", "--no-wait", "--if-exists", "get", "open", ".", f"statistics:{key}")
    return switch.run(*words).stdout.strip().strip('"')


def lasting(switch: PeerSwitch) -> list[object]:
    """What does not change from moment to moment: processors, sizes of memory, file systems."""
    memory = read(switch, "memory").split(",")
    places = [row.split(",")[:2] for row in read(switch, "file_systems").split()]
    return [read(switch, "cpu"), memory[0], memory[3], places]


def enable(switch: PeerSwitch, value: str) -> None:
    switch.run("ovs-vsctl", "--no-wait", "set", "open", ".",
               f"other-config:enable-statistics={value}")  # fmt: skip


def test_both_tell_the_same_of_a_machine_until_told_to_stop(
    switches: tuple[PeerSwitch, PeerSwitch],
) -> None:
    for switch in switches:
        assert read(switch, "cpu") == ""
        enable(switch, "true")
    for switch in switches:
        assert wait_until(lambda asked=switch: read(asked, "cpu") != "")  # type: ignore[misc]
    # Each looks again every five seconds: the machine may have changed between their looks.
    assert wait_until(lambda: lasting(switches[0]) == lasting(switches[1])), [
        lasting(switch) for switch in switches
    ]
    for switch in switches:
        enable(switch, "false")
        assert wait_until(lambda asked=switch: read(asked, "cpu") == "")  # type: ignore[misc]
