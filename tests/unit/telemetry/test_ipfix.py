"""An IPFIX exporter: templates before records, flows that are kept, what is counted."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.export_decoders import IpfixReader

from netloom.flow.extract import extract_key
from netloom.telemetry import ipfix as exporter_module
from netloom.telemetry import ipfix_templates as t
from netloom.telemetry.ipfix import Exporter, IpfixSettings
from netloom.telemetry.ipfix_record import EGRESS, INGRESS, Interface, Observation, Tunnel

WALL_MS = 1_700_000_000_250
UDP = bytes.fromhex(
    "505400000007505400000005080045000020000000004011f9cec0a80001c0a8000200010002000c000061626364"
)
TCP = (
    UDP[:16] + b"\x00\x28" + UDP[18:23] + b"\x06" + UDP[24:34]
    + bytes.fromhex("0001000200000000000000005012000000000000")
)  # fmt: skip


class Site:
    """An exporter, its clock and its collector."""

    def __init__(self, **settings: Any) -> None:
        self.wall_ms = WALL_MS
        self.datagrams: list[bytes] = []
        self.n_failed = 0
        self.settings = IpfixSettings(("127.0.0.1",), **settings)
        self.exporter = Exporter(self.settings, 3, self._send)
        self._reader = IpfixReader()

    def _send(self, data: bytes) -> tuple[int, int]:
        self.datagrams.append(data)
        return 1 - self.n_failed, self.n_failed

    def see(self, frame: bytes = UDP, direction: int = INGRESS, **more: Any) -> None:
        egress = Interface(12, "p2") if direction == EGRESS else None
        values = {
            "domain_id": 1, "point_id": 2, "direction": direction, "key": extract_key(frame, 1),
            "length": len(frame), "n_packets": 1, "is_dropped": False,
            "ingress": Interface(11, "p1"), "egress": egress,
        }  # fmt: skip
        self.exporter.see(Observation(**values | more), self.wall_ms)

    def records(self) -> list[tuple[int, dict[int, int]]]:
        """Template and values of each record since the last call; exporters' own left out."""
        found = []
        for data in self.datagrams:
            for number, record in self._reader.read(data)["records"]:
                if number != t.EXPORTER_TEMPLATE:
                    values = {field: int(digits or "0", 16) for _, field, digits in record}
                    found.append((number, values))
        self.datagrams.clear()
        return found


def test_every_kind_has_a_template_of_its_own() -> None:
    numbers = [kind.number for kind in t.all_kinds()]
    assert len(set(numbers)) == len(numbers) == 88
    assert (min(numbers), max(numbers)) == (256, 375)


def test_templates_go_before_the_first_record_and_again_in_time() -> None:
    site = Site(template_interval_s=60, stats_interval_s=30)
    reader = IpfixReader()

    def told() -> tuple[int, int]:
        messages = [reader.read(data) for data in site.datagrams]
        site.datagrams.clear()
        templates = sum(len(message["templates"]) for message in messages)
        own = [r for m in messages for number, r in m["records"] if number == t.EXPORTER_TEMPLATE]
        return templates, len(own)

    site.see()
    assert told() == (88 + 1, 1)
    site.see(domain_id=9)
    assert told() == (88, 0)
    site.wall_ms += 31_000
    site.see()
    assert told() == (0, 1)
    site.wall_ms += 30_000
    site.see()
    assert told() == (88 + 1, 1)


def test_messages_are_numbered_by_records() -> None:
    site = Site()
    for _ in range(3):
        site.see()
    reader = IpfixReader()
    messages = [reader.read(data) for data in site.datagrams]
    numbers = [message["sequence"] for message in messages if message["records"]]
    assert numbers == [1, 2, 3, 4]
    assert all(message["sequence"] == 1 for message in messages if message["templates"])


def test_times_of_flows_lie_before_the_export_time() -> None:
    site = Site()
    site.see()
    ((_, record),) = site.records()
    # A quarter of a second past the full one, to the next.
    assert record[158] == record[159] == 750_000


def test_without_a_cache_each_packet_is_told_with_totals() -> None:
    site = Site()
    site.see(n_packets=5)
    site.see(direction=EGRESS, n_packets=5, is_dropped=True)
    (first, incoming), (second, leaving) = site.records()
    assert (first, second) == (284, 285)
    assert (incoming[2], incoming[86], incoming[354], incoming[357]) == (5, 5, 5, 0)
    assert (leaving[2], leaving[86], leaving[354], leaving[357]) == (5, 10, 5, 5)
    assert (leaving[133], leaving[135], leaving[132]) == (5, 5, 5 * (len(UDP) - 14))
    assert (leaving[14], incoming[10]) == (12, 11)
    assert incoming[198] == 5 * (len(UDP) - 14) ** 2
    assert incoming[136] == exporter_module.ACTIVE_TIMEOUT


def test_flags_of_tcp_are_counted() -> None:
    site = Site()
    site.see(TCP)
    site.see(TCP)
    records = site.records()
    assert [number for number, _ in records] == [280, 280]
    assert (records[1][1][218], records[1][1][222], records[1][1][219]) == (2, 2, 0)


def test_flows_are_kept_until_the_timeout() -> None:
    site = Site(active_timeout_s=10, max_flows=100)
    site.see()
    site.wall_ms += 4_000
    site.see()
    site.exporter.run(site.wall_ms)
    assert site.records() == []
    assert site.exporter.due_in_ms(site.wall_ms) == 6_000
    site.wall_ms += 6_000
    site.exporter.run(site.wall_ms)
    ((_, record),) = site.records()
    assert record[2] == 2
    assert record[158] - record[159] == 4_000_000
    assert site.exporter.due_in_ms(site.wall_ms) is None


def test_too_many_flows_push_out_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(active_timeout_s=100, max_flows=2)
    for point in (1, 2, 3):
        site.see(point_id=point)
    ((_, record),) = site.records()
    assert (record[138], record[136]) == (1, exporter_module.LACK_OF_RESOURCES)
    assert site.exporter.n_flows == 2
    monkeypatch.setattr(exporter_module, "MAX_FLOWS", 1)
    site.exporter.run(site.wall_ms)
    assert site.exporter.n_flows == 1


def test_the_end_of_an_exporter_is_the_end_of_its_flows() -> None:
    site = Site(active_timeout_s=100, max_flows=100)
    site.see()
    site.see(point_id=5)
    site.exporter.flush(site.wall_ms)
    assert [record[136] for _, record in site.records()] == [exporter_module.FORCED_END] * 2


def test_a_virtual_observation_id_goes_with_each_record() -> None:
    site = Site(virtual_obs_id="vm")
    site.see()
    ((_, record),) = site.records()
    assert record[898] == int.from_bytes(b"vm", "big")


def test_tunnels_have_templates_of_their_own() -> None:
    site = Site()
    outside = Tunnel(0x01010101, 0x02020202, 17, 1000, 4789, 1, bytes.fromhex("00004d"))
    site.see(tunnel=outside)
    ((number, record),) = site.records()
    assert number == 286
    assert (record[891], record[892], record[893], record[897]) == (1, 77, 0x01010101, 4789)


def test_statistics_tell_good_packets_from_bad() -> None:
    site = Site()
    unknown = UDP[:23] + b"\x63" + UDP[24:]
    for frame in (UDP, unknown, bytes(12) + b"\x12\x34" + bytes(20)):
        site.see(frame)
    told = site.exporter.statistics
    assert (told.packets, told.ipv4_packets, told.error_packets, told.ipv4_error_packets) == (
        3, 1, 1, 1,
    )  # fmt: skip
    assert told.total_flows == 3


def test_what_does_not_leave_is_counted() -> None:
    site = Site()
    site.n_failed = 1
    site.see()
    told = site.exporter.statistics
    assert told.tx_errors == len(site.datagrams)
    assert told.tx_packets == 0


def test_domains_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_module, "MAX_DOMAINS", 2)
    site = Site()
    for domain in (1, 2, 3, 1):
        site.see(domain_id=domain)
    assert len(site.records()) == 4
