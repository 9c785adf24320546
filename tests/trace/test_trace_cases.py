"""Every case in this folder, traced by our switch in one process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from small_switch import SmallSwitch
from trace_cases import FILES, TraceCase, fdb_entries, with_port_names, without_flood_order


def set_up(case: TraceCase) -> SmallSwitch:
    switch = SmallSwitch()
    for kind, bridge, *words in case.setup:
        if kind == "bridge":
            switch.add_bridge(bridge)
        elif kind in ("port", "patch"):
            name, number, *options = words
            peer = options.pop(0) if kind == "patch" else ""
            pairs = dict(option.split("=") for option in options)
            switch.add_port(bridge, name, int(number), pairs, peer)
    for words in fdb_entries(case):
        switch.control("fdb/add", *words)
    for bridge, flows in case.flows.items():
        switch.replace_flows(bridge, flows)
    return switch


def cases() -> list[tuple[str, tuple[str, str]]]:
    return [(path.name, query) for path in FILES for query in TraceCase(path.read_text()).traces]


@pytest.mark.parametrize(("name", "query"), cases())
def test_trace_reads_as_recorded(name: str, query: tuple[str, str]) -> None:
    case = TraceCase((Path(__file__).parent / name).read_text())
    switch = set_up(case)
    trace = with_port_names(switch.control("ofproto/trace", *query), switch.dp_ports())
    assert without_flood_order(trace) == without_flood_order(case.traces[query])
