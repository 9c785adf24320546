"""Every way to a flow leads to the same one: first bytes, caches, generic and special lookup.

The oracle is the key that Python reads from the packet, under the flows' masks.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator

import pytest
from tests.support.kernel_programs import require_programs
from tests.support.odd_packets import odd_packet

from netloom.datapath.ebpf.flowtable import FlowTable
from netloom.datapath.ebpf.layout import KERNEL_MASK
from netloom.datapath.ebpf.loader import Loaded, load
from netloom.datapath.ebpf.maps import SharedArray
from netloom.datapath.ebpf.spec import (
    ACTION,
    DEVICE,
    DEVICE_SLOTS,
    MAPS,
    OP,
    OUTPUT,
    PORT_KIND,
    SIZE_CLASSES,
)
from netloom.datapath.ebpf.syscall import test_run as run_program
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT, SLOTS

pytestmark = pytest.mark.root
IN_PORT, OUT_PORT = 1, 2
SPECS = {spec.name: spec for spec in MAPS}
OUT = ACTION.pack(OP["OUTPUT"], 0, 0, OUT_PORT, 0)
#: What test runs come in at.
LOOPBACK = socket.if_nametoindex("lo")
COMMON = ("dl_dst", "dl_src", "nw_src", "nw_dst", "nw_tos", "nw_ttl", "tp_src", "tp_dst",
          "tcp_flags", "vlan_tci", "ipv6_src", "arp_sha", "mpls_lse0")  # fmt: skip
ALWAYS = SLOT["recirc_id"].mask | SLOT["in_port"].mask | SLOT["dl_type"].mask


class Programs:
    """The programs with two ports, without actions that change packets."""

    def __init__(self) -> None:
        self.loaded: Loaded = load()
        self.table = FlowTable(self.loaded)
        devices = SharedArray(self.loaded.maps["devices"], SPECS["devices"])
        at = LOOPBACK % DEVICE_SLOTS * DEVICE.size
        devices.view[at : at + DEVICE.size] = DEVICE.pack(LOOPBACK, IN_PORT)
        outputs = SharedArray(self.loaded.maps["outputs"], SPECS["outputs"])
        entry = OUTPUT.pack(LOOPBACK, PORT_KIND["DEVICE"], *[0] * 8)
        at = OUT_PORT * OUTPUT.size
        outputs.view[at : at + OUTPUT.size] = entry

    def specialise(self) -> None:
        for now_ms in (1, 1_000):
            self.table.specialise(now_ms)

    def send(self, packet: bytes) -> None:
        run_program(self.loaded.programs["nl_ingress"], packet)

    def counts(self) -> dict[tuple[int, int], int]:
        found = {}
        for key, mask in self.table.names():
            counters = self.table.counters(key, mask)
            assert counters is not None
            found[key, mask] = counters.packets
        return found


@pytest.fixture
def programs() -> Iterator[Programs]:
    require_programs()
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    made = Programs()
    yield made
    made.table.close()
    made.loaded.close()
    os.sched_setaffinity(0, allowed)


def can_be_run(packet: bytes) -> bool:
    """Newer kernels refuse to test-run an untagged packet that ends within its IP header."""
    least = {b"\x08\x00": 34, b"\x86\xdd": 54}.get(packet[12:14], 14)
    return len(packet) >= least


def key_of(packet: bytes) -> int:
    return extract_key(packet, IN_PORT) & KERNEL_MASK


def plain_packet(rng: random.Random) -> bytes:
    """TCP or UDP over IPv4, of few values, so that many are alike."""
    proto, header = rng.choice([(6, 20), (17, 8)])
    transport = rng.choice([1000, 1001]).to_bytes(2) + rng.choice([80, 443]).to_bytes(2)
    transport += bytes(8) + bytes([0x50, rng.choice([2, 16])]) + bytes(12)
    total = 20 + len(transport)
    ip = bytes([0x45, rng.choice([0, 4])]) + total.to_bytes(2) + bytes(4)
    ip += bytes([rng.choice([63, 64]), proto, 0, 0, 10, 0, 0, rng.choice([1, 2]), 10, 0, 0, 3])
    macs = bytes([2, 0, 0, 0, 0, rng.choice([1, 2]), 2, 0, 0, 0, 0, 3])
    assert header <= len(transport)
    return macs + b"\x08\x00" + ip + transport


def spoil(rng: random.Random, packet: bytes) -> bytes:
    """Change one byte of the headers, or the length, so that perhaps another key comes of it."""
    data = bytearray(packet)
    at = rng.choice([12, 14, 16, 17, 20, 21, 23, 46, *range(len(data))]) % len(data)
    data[at] = rng.randrange(256)
    if rng.random() < 0.3:
        del data[max(34, rng.randrange(len(data))) :]
    return bytes(data)


def random_mask(rng: random.Random) -> int:
    names = rng.sample(COMMON, rng.randrange(1, 6))
    return ALWAYS | sum(SLOT[name].mask for name in names)


@pytest.mark.parametrize("seed", range(6))
def test_packets_count_for_the_flow_of_their_key(programs: Programs, seed: int) -> None:
    rng = random.Random(seed)
    pool = [plain_packet(rng) for _ in range(40)]
    pool += [packet for _ in range(20) if can_be_run(packet := odd_packet(rng))]
    # Flows of one mask never overlap.
    mask = random_mask(rng)
    for packet in pool[::2]:
        programs.table.put(key_of(packet), mask, [OUT], 0)
    for number in range(1_500):
        if number == 750:
            programs.specialise()
        packet = rng.choice(pool)
        if rng.random() < 0.4:
            packet = spoil(rng, packet)
        if not can_be_run(packet):
            continue
        before = programs.counts()
        programs.send(packet)
        after = programs.counts()
        counted = [name for name in after if after[name] != before[name]]
        name = key_of(packet) & mask, mask
        # What the parser in the kernel leaves to Python counts for nobody.
        assert counted in ([name] if name in after else [], []), packet.hex()
        if packet in pool:
            assert len(counted) == (name in after), packet.hex()


@pytest.mark.parametrize("is_special", [False, True])
def test_masks_of_every_size_find_their_flows(programs: Programs, is_special: bool) -> None:
    rng = random.Random(7)
    packet = plain_packet(rng)
    key = key_of(packet)
    kept = [slot for slot in SLOTS if slot.mask & KERNEL_MASK]
    names = []
    for room in (1, *(size - 8 for size in SIZE_CLASSES[1:])):
        mask = ALWAYS
        for slot in kept:
            if bin(mask).count("1") < 32 * room:
                mask |= slot.mask
        names.append((key & mask, mask))
    for name in names:
        programs.table.clear(0)
        # A flow that another mask would have, but for one bit, comes first.
        programs.table.put(key ^ SLOT["dl_type"].mask, ALWAYS | SLOT["nw_tos"].mask, [OUT], 0)
        programs.table.put(*name, [OUT], 0)
        if is_special:
            programs.specialise()
            assert programs.table.has_special_lookup
        for _ in range(3):
            programs.send(packet)
            programs.table.forget()
        assert programs.counts()[name] == 3


def test_a_mask_that_comes_is_looked_up_at_once(programs: Programs) -> None:
    packet = plain_packet(random.Random(1))
    key = key_of(packet)
    programs.table.put(key ^ SLOT["nw_src"].mask, ALWAYS | SLOT["nw_src"].mask, [OUT], 0)
    programs.specialise()
    assert programs.table.has_special_lookup
    mask = ALWAYS | SLOT["nw_dst"].mask
    programs.table.put(key, mask, [OUT], 0)
    assert not programs.table.has_special_lookup
    programs.send(packet)
    assert programs.counts()[key & mask, mask] == 1


def test_hits_are_those_of_flows_that_are_and_were(programs: Programs) -> None:
    packet = plain_packet(random.Random(1))
    key = key_of(packet)
    before = programs.table.hits()
    for now_ms in range(0, 10_000, 1_000):
        programs.table.put(key, ALWAYS, [OUT], now_ms)
        programs.send(packet)
        programs.table.delete(key, ALWAYS, now_ms)
        programs.table.reclaim(now_ms)
    programs.send(packet)
    assert programs.table.hits() - before == 10
