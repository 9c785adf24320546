"""Connections as the kernel's table has them."""

from __future__ import annotations

import random

import pytest

from netloom.datapath.ebpf.entries import Opening, encode_connection
from netloom.datapath.userspace.conntrack.connection import TIMEOUTS_S, Connection
from netloom.datapath.userspace.conntrack.tcp import Segment
from netloom.datapath.userspace.conntrack.tuples import Tuple


@pytest.mark.parametrize("seed", range(20))
def test_an_opening_is_encoded_as_the_new_connection_that_it_makes(seed: int) -> None:
    rng = random.Random(seed)
    proto = rng.choice((6, 17))
    ends = [rng.getrandbits(bits) for bits in (32, 32, 16, 16)]
    found = (rng.getrandbits(16), 0x0800, proto, *ends)
    segment = None
    if proto == 6:
        flags = rng.choice((0x02, 0x10, 0x12, 0x11))
        scale = rng.choice((None, 0, 7))
        segment = Segment(flags, rng.getrandbits(32), 5, rng.getrandbits(16), 3, scale)
    timeouts = TIMEOUTS_S | {"udp_first": 7, "tcp_first_packet": 9}
    connection = Connection(Tuple(*found), segment, timeouts, 1_000)
    connection.mark, connection.label = rng.getrandbits(32), rng.getrandbits(128)
    kind = "UDP" if segment is None else "TCP"
    opening = Opening(kind, timeouts, connection.mark, connection.label)
    encoded = opening.entry(found, segment, 5_000_000_000)
    assert encoded == encode_connection(connection, 1_000, 5_000_000_000)
