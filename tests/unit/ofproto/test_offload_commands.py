"""`dpif/offload/show`, `dpif/offload/classes`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.datapath.offload import OffloadPolicy, OffloadSettings
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.ofproto.backer import Backer
from netloom.ofproto.offload_commands import OffloadCommands

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

_NONE = {
    "rx_offload_partial": 0, "rx_offload_full": 0, "rx_offload_miss": 0, "rx_offload_pipe_abort": 0
}  # fmt: skip


@pytest.fixture
def policy() -> OffloadPolicy:
    return OffloadPolicy()


@pytest.fixture
def commands(policy: OffloadPolicy) -> OffloadCommands:
    """Those of a dummy's data path with a bridge of one port, and one without hardware."""
    switch = SmallSwitch(policy)
    switch.add_bridge("br0")
    switch.add_port("br0", "p1", 1, {})
    clock, counters = ManualClock(0), Counters()
    other = UserspaceDpif("netdev", "ovs-netdev", clock, counters, policy)
    return OffloadCommands(
        lambda: [Backer("netdev", other, clock, counters), switch.backer], policy
    )


def run(commands: OffloadCommands, name: str) -> str:
    (handler,) = (row[4] for row in commands.commands() if row[0] == name)
    return handler([])


def test_ports_are_shown_below_their_providers(
    commands: OffloadCommands, policy: OffloadPolicy
) -> None:
    counts = "".join(
        f"    rx_offload_{what}: 0\n" for what in ("partial   ", "full      ", "miss      ",
                                                    "pipe_abort")
    )  # fmt: skip
    shown = (
        f"Datapaths:\ndummy@ovs-dummy:\n  dummy\n  - p1: port_no: 1\n{counts}"
        f"  - br0: port_no: 100\n{counts}  dummy_x\nnetdev@ovs-netdev:\n"
    )
    assert run(commands, "dpif/offload/show") == f"Globally enabled: false\n{shown}"
    policy.configure(OffloadSettings(enabled=True))
    assert run(commands, "dpif/offload/show") == f"Globally enabled: true\n{shown}"


def test_the_same_is_told_in_json(commands: OffloadCommands) -> None:
    ports = {"br0": {"port_no": 100, **_NONE}, "p1": {"port_no": 1, **_NONE}}
    assert commands.answers()["dpif/offload/show"]([]) == {
        "enabled": False,
        "dummy@ovs-dummy": {
            "priority": ["dummy", "dummy_x"],
            "providers": {
                "dummy": {"ports": ports},
                "dummy_x": {},
            },
        },
        "netdev@ovs-netdev": {"priority": [], "providers": {}},
    }  # fmt: skip


def test_kinds_of_providers_are_listed_with_their_data_paths(commands: OffloadCommands) -> None:
    assert run(commands, "dpif/offload/classes") == (
        "Offload Class     Supported dpif class(es)\n"
        "----------------  ------------------------\n"
        "dummy             dummy\n"
        "dummy_x           dummy\n"
    )
