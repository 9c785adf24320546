"""Packets of random connections through Debian's switch and ours: controllers are told the same of
them, and the same connections are left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.dialogues import BRIDGE, Side

sys.path.insert(0, str(Path(__file__).parent))
from random_connections import Connections

pytestmark = pytest.mark.interop

N_PACKETS = 90
FLOWS = (
    "table=1,actions=controller",
    "table=2,ct_state=+new+trk,ip,actions=ct(commit,zone=3,table=1)",
    "table=2,priority=1,actions=controller",
)
#: Those that come back a second time are told of sooner or later.
LISTEN = "ovs-ofctl monitor br0 65534 --detach --no-chdir --pidfile >/dev/null 2>heard.txt"
WAIT = (
    f"for i in $(seq 300); do [ $(grep -c PACKET_IN heard.txt) -ge {N_PACKETS} ] && break; "
    "sleep .1; done"
)
SHOW = (
    "ovs-appctl -t ovs-ofctl exit; grep -c PACKET_IN heard.txt; sort heard.txt; "
    "ovs-appctl dpctl/dump-conntrack | sort; ovs-appctl dpctl/flush-conntrack"
)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    base = tmp_path_factory.mktemp("connections")
    with Side(base, ours=False) as theirs, Side(base, ours=True) as ours:
        for side in (theirs, ours):
            side.say(BRIDGE)
            for flow in FLOWS:
                assert side.say(f"ovs-ofctl add-flow br0 '{flow}'") == "status 0"
        yield theirs, ours


@pytest.mark.parametrize("seed", [1, 3, 5, 14, 15, 17])
def test_connections_are_seen_alike(sides: tuple[Side, Side], seed: int) -> None:
    made = Connections(seed)
    text = "".join(made.packet_out() for _ in range(N_PACKETS))

    def run(side: Side) -> str:
        (side.directory / "packets.txt").write_text(text)
        return side.say(f"{LISTEN}; ovs-ofctl -O OpenFlow14 bundle br0 packets.txt; {WAIT}; {SHOW}")

    with ThreadPoolExecutor(2) as pool:
        theirs, ours = pool.map(run, sides)
    assert theirs.startswith(f"{N_PACKETS}\n")
    assert ours == theirs
