"""The parser in the kernel gives the keys that the parser in Python gives."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from tests.support.kernel_programs import require_programs
from tests.support.odd_packets import odd_packet
from tests.support.packet_cases import CASES

from netloom.datapath.ebpf.layout import KERNEL_KEY_BYTES, decode_key
from netloom.datapath.ebpf.loader import Loaded, load
from netloom.datapath.ebpf.maps import PerCpuArray, SharedArray
from netloom.datapath.ebpf.spec import CONFIG, MAPS
from netloom.datapath.ebpf.syscall import test_run as run_program
from netloom.flow.extract import extract_key
from netloom.flow.key import IN_PORT_MASK, explain_key

pytestmark = pytest.mark.root
PARSED, UNPARSED, INVALID = range(3)
SPECS = {spec.name: spec for spec in MAPS}


class Parser:
    """`nl_parse_only` and the map where it leaves the key."""

    def __init__(self, loaded: Loaded, cpu: int) -> None:
        self._cpu = cpu
        self._program = loaded.programs["nl_parse_only"]
        self._scratch = PerCpuArray(loaded.maps["scratch"], SPECS["scratch"])
        self._config = SharedArray(loaded.maps["config"], SPECS["config"])

    def limit_vlans(self, limit: int) -> None:
        at = CONFIG.offsets["vlan_limit"]
        self._config.view[at : at + 4] = limit.to_bytes(4, "little")

    def parse(self, packet: bytes) -> tuple[int, int]:
        """What the program said, and the key."""
        verdict, _, _ = run_program(self._program, packet)
        data = self._scratch.get(0)[self._cpu]
        return verdict, decode_key(data[:KERNEL_KEY_BYTES]) & ~IN_PORT_MASK


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    require_programs()
    allowed = os.sched_getaffinity(0)
    cpu = min(allowed)
    os.sched_setaffinity(0, {cpu})
    loaded = load()
    yield Parser(loaded, cpu)
    loaded.close()
    os.sched_setaffinity(0, allowed)


def can_be_run(packet: bytes) -> bool:
    """Newer kernels refuse to test-run an untagged packet that ends within its IP header."""
    least = {b"\x08\x00": 34, b"\x86\xdd": 54}.get(packet[12:14], 14)
    return len(packet) >= least


def assert_same(parser: Parser, packet: bytes, vlan_limit: int) -> int:
    verdict, key = parser.parse(packet)
    if verdict == PARSED:
        expected = extract_key(packet, 0, 0, vlan_limit)
        assert explain_key(key) == explain_key(expected), packet.hex()
    return verdict


@pytest.mark.parametrize("vlan_limit", [1, 2])
def test_packets_of_the_table_have_the_same_key(parser: Parser, vlan_limit: int) -> None:
    parser.limit_vlans(vlan_limit)
    for case in CASES:
        for _, packet in (*case.sent, *case.expected):
            if can_be_run(bytes(packet)):
                assert assert_same(parser, bytes(packet), vlan_limit) == PARSED


@pytest.mark.parametrize("vlan_limit", [1, 2])
def test_any_packet_has_the_same_key(parser: Parser, vlan_limit: int) -> None:
    parser.limit_vlans(vlan_limit)
    rng = random.Random(vlan_limit)
    packets = [packet for _ in range(6_000) if can_be_run(packet := odd_packet(rng))]
    assert len(packets) > 5_500
    verdicts = [assert_same(parser, packet, vlan_limit) for packet in packets]
    # What the programs leave to Python is rare.
    assert verdicts.count(UNPARSED) < 30 and not verdicts.count(INVALID)
