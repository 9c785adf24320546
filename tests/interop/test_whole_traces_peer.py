"""The cases of tests/trace/whole, traced by Debian's switch and by ours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "trace"))
from tests.support.peer_switch import ALL_DUMMIES, REAL_TUNNELS, THEIRS
from trace_peers import TracePeer
from whole_cases import WHOLE_FILES, WholeCase, comparable

pytestmark = pytest.mark.interop
OURS = (sys.executable, "-m", "netloom.programs.vswitchd")
RECORD = os.environ.get("NETLOOM_RECORD_TRACES") == "1"


def traced(case: WholeCase, directory: Path, vswitchd: tuple[str, ...]) -> list[str]:
    """What this daemon says to each trace of the case."""
    options = REAL_TUNNELS if case.has_real_tunnels else ALL_DUMMIES
    switch = TracePeer(directory, vswitchd, options)
    try:
        return case.run(switch)
    finally:
        switch.close()


@pytest.mark.parametrize("path", WHOLE_FILES, ids=lambda path: path.stem)
def test_recorded_traces_are_the_peers(path: Path, tmp_path: Path) -> None:
    case = WholeCase(path.read_text())
    said = traced(case, tmp_path / "peer", THEIRS)
    if RECORD:
        path.write_text(case.recorded(said))
        return
    for (head, recorded, _), text in zip(case.expected(), said, strict=True):
        assert comparable(text) == comparable(recorded), head


@pytest.mark.parametrize("path", WHOLE_FILES, ids=lambda path: path.stem)
def test_our_traces_are_as_recorded(path: Path, tmp_path: Path) -> None:
    case = WholeCase(path.read_text())
    said = traced(case, tmp_path / "own", OURS)
    differences = [
        f"{head}\n--- expected\n{expected}\n--- ours\n{text}"
        for (head, _, expected), text in zip(case.expected(), said, strict=True)
        if comparable(text) != comparable(expected)
    ]
    assert not differences, "\n\n".join(differences)
