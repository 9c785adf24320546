"""Something is killed while packets pass: what carries none costs none, and all heals without help.

The trials are those of the benchmark (`bench/resilience.py`), which runs every one; here are a few,
drawn by NETLOOM_SEED.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from bench.resilience import CUT_S, INTERVAL_S, Trial, World
from tests.support.kernel_programs import require_programs
from tests.support.peers import require_services
from tests.support.switches import needs_root, own_tools

from netloom.lab.cloud import Cloud

pytestmark = [needs_root, pytest.mark.root]
CHOICE = "NETLOOM_SYSTEM_DATAPATH"
HARMLESS = 3
#: How long it may be silent around a switch that starts again, and how much longer than the cut
#: around a cut, in seconds: a busy machine takes its time to start a program.
SILENCE_S = {"kernel": 2.0, "userspace": 30.0}
HEALING_S = 10.0


@pytest.fixture(params=["kernel", "userspace"])
def datapath(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "kernel":
        require_programs()
    require_services()
    chosen: str = request.param
    monkeypatch.setenv(CHOICE, chosen)
    return chosen


@pytest.fixture
def world(datapath: str, tmp_path: Path) -> Iterator[World]:
    tools = own_tools(tmp_path / "t")
    with Cloud(f"k{datapath[0]}", programs=tools, tunnels=("vxlan",)) as cloud:
        yield World(cloud)


def drawn(trials: list[Trial], seed: int) -> list[Trial]:
    """A few harmless ones, a switch and the cut, in random order."""
    chance = random.Random(seed)
    chosen = chance.sample([trial for trial in trials if trial.harmless], HARMLESS)
    chosen.append(chance.choice([trial for trial in trials if trial.in_kernel]))
    chosen += [trial for trial in trials if not trial.harmless and not trial.in_kernel]
    chance.shuffle(chosen)
    return chosen


def test_all_heals_and_what_carries_nothing_costs_nothing(world: World, datapath: str) -> None:
    seed = int(os.environ.get("NETLOOM_SEED") or 1)
    complain = partial("NETLOOM_SEED={}: {}: {}".format, seed)
    for trial in drawn(world.trials(), seed):
        for one in world.run(trial):
            assert one.asked > 50
            if trial.harmless:
                assert one.lost == 0, complain(trial.name, one)
            elif trial.in_kernel:
                if datapath == "kernel":
                    assert one.lost == 0, complain(trial.name, one)
                assert one.silence_s < SILENCE_S[datapath], complain(trial.name, one)
            else:
                most = (CUT_S + HEALING_S) / INTERVAL_S
                assert one.lost < most, complain(trial.name, one)
                assert one.silence_s < CUT_S + HEALING_S, complain(trial.name, one)
