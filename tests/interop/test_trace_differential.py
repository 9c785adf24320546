"""Random tables and packets: our `ofproto/trace` and Debian's tell the same megaflow and actions.

Debian's daemon and our switch, in one process, get the same ports (every VLAN mode, a patch pair to
a second bridge), the same MAC entries and the same random flows; then each traces the same random
packets. `NETLOOM_TRACE_ROUNDS` and `NETLOOM_TRACE_SEED` make a longer run or repeat one.

Some seeds make tables on which Debian's daemon ends (107) or does not answer in time (131, 155,
207, 218), or where two conjunctions of one priority hold and it is open which is taken (203).

Known difference, left out of the generator: Open vSwitch prints the mask of an IPv6 flow label
that an action has set, as if it were less than exact.
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "trace"))
from random_flows import GROUPS, SETUP, Generator
from small_switch import SmallSwitch, small_switch_of
from trace_cases import TraceCase, fdb_entries, vsctl_lines
from trace_peers import TracePeer, deliveries, passes, verdicts

pytestmark = pytest.mark.interop
ROUNDS = int(os.environ.get("NETLOOM_TRACE_ROUNDS", "12"))
SEED = int(os.environ.get("NETLOOM_TRACE_SEED", "20261121"))
PACKETS = 40

PREFIX_FIELDS = ("ip_dst", "ip_src", "ipv6_dst")


@pytest.fixture(scope="module")
def switches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TracePeer, SmallSwitch]]:
    theirs = TracePeer(tmp_path_factory.mktemp("trace") / "theirs")
    try:
        case = TraceCase(f"=== setup\n{SETUP}")
        for line in vsctl_lines(case):
            theirs.vsctl(line)
        theirs.use_prefixes("br0", PREFIX_FIELDS)
        for words in fdb_entries(case):
            theirs.control("fdb/add", *words)
        theirs.replace_flows("br1", "priority=0 actions=NORMAL")
        ours = small_switch_of(case)
        theirs.replace_groups("br0", GROUPS)
        ours.replace_groups("br0", GROUPS)
        ours.replace_flows("br1", "priority=0 actions=NORMAL")
        ours.use_prefixes("br0", PREFIX_FIELDS)
        yield theirs, ours
    finally:
        theirs.close()


def usable(switch: TracePeer, flows: list[str]) -> list[str]:
    """Flows that the peer takes (random ones may lack a prerequisite, or be refused because a
    later fragment is said to have ports)."""
    accepted = []
    for flow in flows:
        try:
            switch.ofctl("add-flow", "br0", flow)
        except AssertionError:
            continue
        if "ip_frag=later" in flow:
            continue
        accepted.append(flow)
    return accepted


@pytest.mark.parametrize("number", range(ROUNDS))
def test_random_tables_decide_as_the_peer_does(
    switches: tuple[TracePeer, SmallSwitch], number: int
) -> None:
    theirs, ours = switches
    generator = Generator(random.Random(SEED + number))
    flows = usable(theirs, generator.flows())
    theirs.replace_flows("br0", "\n".join(flows))
    ours.replace_flows("br0", "\n".join(flows))
    port_names = theirs.dp_ports(), ours.dp_ports()
    for _ in range(PACKETS):
        packet = generator.packet()
        texts = [switch.control("ofproto/trace", "br0", packet) for switch in switches]
        told = "\n".join([packet, "\n".join(flows), "--- theirs", texts[0], "--- ours", texts[1]])
        theirs_made, ours_made = (
            Counter(
                (megaflow, frozenset(deliveries(flow, actions, names).items()))
                for flow, (megaflow, actions) in zip(passes(text), verdicts(text), strict=True)
            )
            for text, names in zip(texts, port_names, strict=True)
        )
        assert ours_made == theirs_made, told
