"""The recorded traces in tests/trace are what Debian's switch says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "trace"))
from trace_cases import (
    FILES,
    TraceCase,
    fdb_entries,
    mirror_lines,
    sampler_lines,
    vsctl_lines,
    with_port_names,
    without_flood_order,
)
from trace_peers import TracePeer

pytestmark = pytest.mark.interop
RECORD = os.environ.get("NETLOOM_RECORD_TRACES") == "1"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_traces_are_the_peers(path: Path, tmp_path: Path) -> None:
    case = TraceCase(path.read_text())
    switch = TracePeer(tmp_path / "peer")
    try:
        for line in vsctl_lines(case):
            switch.vsctl(line)
        for words in sampler_lines(case):
            switch.vsctl("-- " + " ".join(words))
        for words in mirror_lines(case):
            switch.vsctl(" ".join(words))
        for bridge in case.flows:
            switch.use_prefixes(bridge, ("ip_dst", "ip_src", "ipv6_dst"))
        for words in fdb_entries(case):
            switch.control("fdb/add", *words)
        for bridge, groups in case.groups.items():
            switch.replace_groups(bridge, groups)
        for bridge, flows in case.flows.items():
            switch.replace_flows(bridge, flows)
        names = switch.dp_ports()
        outputs = {query: with_port_names(switch.control(*query), names) for query in case.traces}
    finally:
        switch.close()
    if RECORD:
        path.write_text(case.recorded(outputs))
    for query, output in outputs.items():
        assert RECORD or without_flood_order(output) == without_flood_order(case.traces[query])
