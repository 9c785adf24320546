"""Dialogues with a switch: Debian's tools with its switch, and ours with ours, say the same."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.dialogues import BRIDGE, Side, read_dialogue

pytestmark = pytest.mark.interop
DIALOGUES = sorted((Path(__file__).parent / "dialogues").glob("*.txt"))
#: Hundreds of commands each: `make test-long`.
LONG = sorted((Path(__file__).parent / "dialogues/long").glob("*.txt"))
#: These may stop the clock, which nothing starts again: each has switches of its own.
STANDSTILL = sorted((Path(__file__).parent / "dialogues/standstill").glob("*.txt"))


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    base = tmp_path_factory.mktemp("dialogues")
    with Side(base, ours=False) as theirs, Side(base, ours=True) as ours:
        yield theirs, ours


@pytest.fixture(scope="module")
def both() -> Iterator[ThreadPoolExecutor]:
    """Has both sides talk at the same time."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


def differences(sides: tuple[Side, Side], both: ThreadPoolExecutor, path: Path) -> str:
    for side in sides:
        assert side.say(BRIDGE) == "status 0"
    different = []
    for command in read_dialogue(path):
        theirs, ours = both.map(Side.say, sides, (command, command))
        if theirs != ours:
            different.append(f"{command}\n--- theirs\n{theirs}\n--- ours\n{ours}\n")
    return "\n".join(different)


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_both_sides_say_the_same(
    sides: tuple[Side, Side], both: ThreadPoolExecutor, path: Path
) -> None:
    different = differences(sides, both, path)
    assert not different, different


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", LONG, ids=lambda path: path.stem)
def test_both_sides_say_the_same_at_length(
    sides: tuple[Side, Side], both: ThreadPoolExecutor, path: Path
) -> None:
    different = differences(sides, both, path)
    assert not different, different


@pytest.mark.parametrize("path", STANDSTILL, ids=lambda path: path.stem)
def test_both_sides_say_the_same_while_time_stands_still(
    tmp_path: Path, both: ThreadPoolExecutor, path: Path
) -> None:
    with Side(tmp_path, ours=False) as theirs, Side(tmp_path, ours=True) as ours:
        different = differences((theirs, ours), both, path)
    assert not different, different
