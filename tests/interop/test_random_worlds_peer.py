"""Random worlds: Debian's switch and ours trace, forward, install and count the same in each.

tools/random_worlds.py looks at others, and makes a world that differs small. Not all agree: where
packets of a flood come back and are learned from, the order of its ports counts, which is no
promise.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from tests.support.random_frames import world_of
from tests.support.world_sides import Pair, peer_sides

pytestmark = pytest.mark.interop
OURS = (sys.executable, "-m", "netloom.programs.vswitchd")
#: Worlds in which the order of a flood does not matter.
SEEDS = (1, 2, 3, 4, 6, 11, 12, 13, 14, 15, 16, 17, 18, 19, 22, 26, 27, 29, 30, 32)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = peer_sides(tmp_path_factory.mktemp("worlds"), OURS)
    yield made
    for side in made:
        side.close()


def differences(pair: Pair, seed: int, n_steps: int) -> str:
    found = pair.differences(world_of(seed, n_steps, n_steps))
    return "\n\n".join(map(str, found))


@pytest.mark.parametrize("seed", SEEDS)
def test_random_worlds_are_the_same(pair: Pair, seed: int) -> None:
    assert not differences(pair, seed, 8)
