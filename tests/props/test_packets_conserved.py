"""No packet is lost without a count: what comes in goes out or is dropped for a counted reason, and
rules count what they did."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from netloom.flow.compose import compose_packet
from netloom.flow.text import parse_flow

sys.path.insert(0, str(Path(__file__).parents[1] / "trace"))
from small_switch import SmallSwitch

PORTS = ("p1", "p2", "p3", "p4")
PACKETS = 300


def random_flow(rng: random.Random) -> str:
    """A rule that sends to one port, to another table, or drops."""
    table = rng.randrange(3)
    match = rng.choice((
        "tcp", "udp", f"in_port={rng.randint(1, 4)}", f"udp,nw_src=10.0.0.{rng.randrange(8)}/30",
        f"tcp,tcp_dst={rng.randrange(4)}", f"dl_dst=00:00:00:00:00:{rng.randrange(4):02x}",
    ))  # fmt: skip
    actions = [f"output:{rng.randint(1, 4)}", "drop"]
    if table < 2:
        actions += [f"resubmit(,{table + 1})"] * 3
    priority = rng.randrange(100)
    return f"table={table},priority={priority},{match} actions={rng.choice(actions)}"


def random_packet(rng: random.Random) -> bytes:
    protocol = rng.choice(("tcp", "udp"))
    return compose_packet(
        parse_flow(
            f"{protocol},dl_dst=00:00:00:00:00:{rng.randrange(4):02x},nw_ttl=9,"
            f"nw_src=10.0.0.{rng.randrange(8)},{protocol}_dst={rng.randrange(4)}"
        )
    )


def drops(switch: SmallSwitch) -> int:
    return sum(counter.total for counter in switch.counters.all() if "drop" in counter.name)


@pytest.mark.parametrize("seed", range(10))
def test_packets_in_are_packets_out_and_counted_drops(seed: int) -> None:
    rng = random.Random(seed)
    switch = SmallSwitch()
    bridge = switch.add_bridge("br0")
    for number, name in enumerate(PORTS, 1):
        switch.add_port("br0", name, number, {})
    for _ in range(30):
        switch.add_flow("br0", random_flow(rng))
    # All that no other rule of the first table takes: so each packet is one rule's there.
    switch.add_flow("br0", "table=0,priority=0 actions=resubmit(,1)")
    for n in range(PACKETS):
        switch.devices.find(rng.choice(PORTS)).inject(random_packet(rng))
        if n % 3 == 0:
            switch.backer.run()
        if n % 50 == 49:
            switch.add_flow("br0", random_flow(rng))
            switch.clock.advance(500)
    for _ in range(5):
        switch.backer.run()
    sent = sum(len(switch.devices.find(name).sent) for name in PORTS)
    assert sent + drops(switch) == PACKETS
    bridge.refresh_statistics()
    first = [rule for rule in bridge.tables.rules() if rule.table_id == 0]
    assert sum(rule.n_packets for rule in first) == PACKETS
