"""Packets of all types (Ethernet, IP, NSH, MPLS) are treated alike by Debian's switch and ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_switch import REAL_TUNNELS, THEIRS, PeerSwitch

sys.path.insert(0, str(Path(__file__).parent))
from packet_type_peers import Scenario, clear, differences, read_scenarios

pytestmark = pytest.mark.interop
SCENARIOS = [
    scenario
    for path in sorted((Path(__file__).parent / "scenarios").glob("*.txt"))
    for scenario in read_scenarios(path)
]


@pytest.fixture(scope="module")
def switches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PeerSwitch, PeerSwitch]]:
    base = tmp_path_factory.mktemp("types")
    own = (sys.executable, "-m", "netloom.programs.vswitchd")
    theirs = PeerSwitch(base / "t", THEIRS, REAL_TUNNELS)
    ours = PeerSwitch(base / "o", own, REAL_TUNNELS)
    try:
        yield theirs, ours
    finally:
        ours.close()
        theirs.close()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_both_switches_tell_and_send_the_same(
    switches: tuple[PeerSwitch, PeerSwitch], scenario: Scenario
) -> None:
    theirs, ours = switches
    try:
        assert not (found := differences(scenario, theirs, ours)), "\n".join(found)
    finally:
        clear(theirs)
        clear(ours)
