"""Queues of dummies that threads poll."""

from __future__ import annotations

import pytest

from netloom.base.errors import CommandError
from netloom.netdev.device import Packet
from netloom.netdev.dummy import DummyDevice, DummyFactory
from netloom.netdev.dummy_queues import MAX_QUEUES

FRAME = bytes(range(16))


def build(text: str, length: int) -> bytes:
    raise CommandError(f"syntax error at {text}")


def make(factory: DummyFactory, name: str, type_: str, **options: str) -> DummyDevice:
    device = factory.open(name, type_, options)
    assert isinstance(device, DummyDevice)
    return device


def test_options_make_queues_of_a_polled_dummy_only() -> None:
    factory = DummyFactory(None)
    device = make(factory, "p1", "dummy-pmd", n_rxq="3", n_txq="2", numa_id="1")
    assert device.options == {"n_rxq": "3", "n_txq": "2", "numa_id": "1"}
    device.set_options({})
    assert device.options == {"n_rxq": "1", "n_txq": "1", "numa_id": "0"}
    assert make(factory, "p2", "dummy", n_rxq="3").options == {}


@pytest.mark.parametrize(("text", "n"), [("0", 1), ("-3", 1), ("x", 1), ("5000", MAX_QUEUES)])
def test_counts_out_of_range_are_brought_into_it(text: str, n: int) -> None:
    device = make(DummyFactory(None), "p1", "dummy-pmd", n_rxq=text)
    assert len(device.queues.waiting) == n


def test_packets_wait_in_their_queue_and_are_counted_there() -> None:
    factory = DummyFactory(None)
    device = make(factory, "p1", "dummy-pmd", n_rxq="2")
    factory.command_receive(["p1", "--qid", "1", FRAME.hex(), FRAME.hex()], build)
    assert device.receive_from(0, 9) == []
    assert [packet.data for packet in device.receive_from(1, 9)] == [FRAME, FRAME]
    counts = dict(device.stats().custom)
    assert (counts["rx_q0_packets"], counts["rx_q1_packets"], counts["rx_q1_bytes"]) == (0, 2, 32)
    assert device.stats().rx_packets == 2
    with pytest.raises(CommandError, match=r"bad rx queue id\."):
        factory.command_receive(["p1", "--qid", "2", FRAME.hex()], build)


def test_who_chooses_the_queue_to_send_from_is_asked_for_each_packet() -> None:
    device = make(DummyFactory(None), "p1", "dummy-pmd", n_txq="2")
    device.choose_queue = lambda data: data[0]
    device.send([Packet(bytes([number]) + FRAME) for number in (0, 1, 1)])
    counts = dict(device.stats().custom)
    assert (counts["tx_q0_packets"], counts["tx_q1_packets"]) == (1, 2)
