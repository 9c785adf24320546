"""Queues of ports: marks of packets that leave by them, and what controllers are told."""

from __future__ import annotations

from typing import Any, cast

import pytest

from netloom.flow.fields import SLOT
from netloom.netdev.device import DeviceState
from netloom.netdev.qos import QueueFacts
from netloom.ofproto.ports import OfPort
from netloom.ofproto.queues import chosen, describe_config, describe_stats, mark, restore
from netloom.ofproto.settings import PortSettings
from netloom.openflow import messages as m
from netloom.openflow.errors import OpenFlowError

TOS, PRIORITY, DL_TYPE = SLOT["nw_tos"], SLOT["skb_priority"], SLOT["dl_type"]
IPV4 = DL_TYPE.put(0, 0x0800)


class FakeShaped:
    """A device with queues 0 and 5."""

    name, type = "p1", "system"

    def __init__(self) -> None:
        self.current = DeviceState(True, True, True, 1500, "", 3, speed_bps=1_000_000)

    @property
    def shaper(self) -> FakeShaped:
        return self

    def state(self) -> DeviceState:
        return self.current

    def queues(self) -> list[QueueFacts]:
        return [
            QueueFacts(0, (("min-rate", "12000"),), 3, 300, 1, created_ms=1_000),
            QueueFacts(5, (("min-rate", "250000"), ("max-rate", "900000"))),
        ]


def port(number: int, device: object) -> OfPort:
    made = OfPort(cast(Any, None), PortSettings(f"p{number}", "system"), number, 0)
    made.device = cast(Any, device)
    return made


def test_packets_for_a_queue_get_its_dscp_and_keep_their_ecn() -> None:
    key = TOS.put(PRIORITY.put(IPV4, 6), 0x03)
    marked, mask = mark({6: 46 << 2}, key, 0)
    assert TOS.get(marked) == 46 << 2 | 3
    assert mask == PRIORITY.mask | 0xFC << TOS.shift
    assert restore(marked, key) == key


def test_packets_of_other_queues_and_kinds_stay_as_they_are() -> None:
    key = PRIORITY.put(IPV4, 7)
    assert mark({6: 184}, key, 0) == (key, PRIORITY.mask)
    arp = PRIORITY.put(DL_TYPE.put(0, 0x0806), 6)
    assert mark({6: 184}, arp, 0) == (arp, PRIORITY.mask)


def test_requests_mean_ports_and_queues_that_there_are() -> None:
    ports = [port(1, FakeShaped()), port(2, FakeShaped()), port(3, None)]
    found = [(p.number, q.number) for p, q in chosen(ports, m.OFPP_ANY, m.OFPQ_ALL)]
    assert found == [(1, 0), (1, 5), (2, 0), (2, 5)]
    assert [(p.number, q.number) for p, q in chosen(ports, 2, 5)] == [(2, 5)]
    assert list(chosen(ports, 3, m.OFPQ_ALL)) == []


@pytest.mark.parametrize(
    ("port_no", "queue", "error"), [(9, 0, "OFPQOFC_BAD_PORT"), (1, 9, "OFPQOFC_BAD_QUEUE")]
)
def test_requests_for_what_there_is_not_are_refused(port_no: int, queue: int, error: str) -> None:
    with pytest.raises(OpenFlowError, match=error):
        chosen([port(1, FakeShaped())], port_no, queue)


def test_counts_of_a_queue_come_with_its_age() -> None:
    first, last = FakeShaped().queues()
    told = describe_stats(port(1, FakeShaped()), first, 3_250)
    assert told == m.QueueStats(1, 0, 300, 3, 1, 2, 250_000_000)
    assert describe_stats(port(1, FakeShaped()), last, 3_250) == m.QueueStats(1, 5)


def test_of_rates_controllers_are_told_nothing() -> None:
    device = FakeShaped()
    told = describe_config(port(1, device), device.queues()[1])
    assert (told.port, told.queue, told.min_rate, told.max_rate) == (1, 5, 0xFFFF, 0xFFFF)


def test_a_queue_that_cannot_be_described_fails_otherwise_than_its_counts() -> None:
    with pytest.raises(OpenFlowError, match="NXQOFC_QUEUE_ERROR"):
        chosen([port(1, FakeShaped())], 1, 9, asks_config=True)
    with pytest.raises(OpenFlowError, match="OFPQOFC_BAD_QUEUE"):
        chosen([port(1, None)], 1, 9, asks_config=True)
