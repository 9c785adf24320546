"""Every case in this folder, traced by our switch in one process."""

from __future__ import annotations

import sys
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from small_switch import SmallSwitch, small_switch_of
from trace_cases import FILES, TraceCase, with_port_names, without_flood_order


def cases() -> list[tuple[str, tuple[str, ...]]]:
    return [(path.name, query) for path in FILES for query in TraceCase(path.read_text()).traces]


@lru_cache(maxsize=1)
def case_and_switch(name: str) -> tuple[TraceCase, SmallSwitch]:
    """A file and a switch that is set up for it."""
    case = TraceCase((Path(__file__).parent / name).read_text())
    return case, small_switch_of(case)


@pytest.mark.parametrize(("name", "query"), cases())
def test_trace_reads_as_recorded(name: str, query: tuple[str, ...]) -> None:
    case, switch = case_and_switch(name)
    if any("-generate" in other for other in case.traces):
        # They may have taught the switch something: the earlier ones of this file should have.
        switch = small_switch_of(case)
        for earlier in takewhile(lambda other: other != query, case.traces):
            if "-generate" in earlier:
                switch.control(*earlier)
    trace = with_port_names(switch.control(*query), switch.dp_ports())
    assert without_flood_order(trace) == without_flood_order(case.expected(query))
