"""Dialogues with a switch: Debian's tools with its switch, and ours with ours, say the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.dialogues import BRIDGE, Side, read_dialogue

pytestmark = pytest.mark.interop
DIALOGUES = sorted((Path(__file__).parent / "dialogues").glob("*.txt"))


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    base = tmp_path_factory.mktemp("dialogues")
    with Side(base, ours=False) as theirs, Side(base, ours=True) as ours:
        yield theirs, ours


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_both_sides_say_the_same(sides: tuple[Side, Side], path: Path) -> None:
    for side in sides:
        assert side.say(BRIDGE) == "status 0"
    different = []
    for command in read_dialogue(path):
        theirs, ours = (side.say(command) for side in sides)
        if theirs != ours:
            different.append(f"{command}\n--- theirs\n{theirs}\n--- ours\n{ours}\n")
    assert not different, "\n".join(different)
