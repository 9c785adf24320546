"""NetFlow version 5: what is told of flows, and when."""

from __future__ import annotations

import pytest
from tests.support.export_decoders import decode_netflow

from netloom.telemetry import netflow as nf

NAME = nf.FlowName(1, 0xC0A80001, 0xC0A80002, 7, 6, 1000, 80)
START_MS = 5_000_000
WALL_MS = 1_700_000_000_123


class Site:
    """An exporter and its clock."""

    def __init__(self, **settings: int) -> None:
        self.now_ms = START_MS
        wanted = nf.NetflowSettings(("127.0.0.1:2055",), 12, 34, **settings)  # type: ignore[arg-type]
        self.netflow = nf.Netflow(wanted, START_MS)

    @property
    def now(self) -> tuple[int, int]:
        return self.now_ms, WALL_MS + self.now_ms - START_MS

    def count(
        self,
        n_packets: int,
        n_bytes: int,
        name: nf.FlowName = NAME,
        output: int = 2,
        flags: int = 0,
    ) -> None:
        counts = (n_packets, n_bytes, flags)
        self.netflow.update(name, output, counts, self.now_ms, self.now)

    def told(self) -> list[dict[str, object]]:
        self.netflow.run(self.now)
        return [decode_netflow(data) for data in self.netflow.take()]


def test_a_flow_that_has_ended_is_told_with_all_that_it_counted() -> None:
    site = Site()
    site.now_ms += 10
    site.count(1, 60, flags=0x02)
    site.now_ms += 990
    site.count(2, 200, flags=0x10)
    assert site.told() == []
    site.netflow.end(NAME, site.now)
    (datagram,) = site.told()
    (record,) = datagram.pop("records")  # type: ignore[misc]
    assert datagram == {
        "version": 5, "count": 1, "uptime": 1_000, "secs": 1_700_000_001, "nsecs": 123_000_000,
        "sequence": 0, "engine_type": 12, "engine_id": 34, "sampling": 0,
    }  # fmt: skip
    assert record == {
        "src": "192.168.0.1", "dst": "192.168.0.2", "nexthop": 0, "input": 1, "output": 2,
        "packets": 3, "bytes": 260, "first": 10, "last": 1_000, "sport": 1000, "dport": 80,
        "pad1": 0, "flags": 0x12, "proto": 6, "tos": 7, "src_as": 0, "dst_as": 0, "src_mask": 0,
        "dst_mask": 0, "pad2": 0,
    }  # fmt: skip
    assert site.netflow.n_flows == 0


def test_types_and_codes_of_icmp_stand_where_the_destination_port_is() -> None:
    site = Site()
    site.count(1, 60, NAME._replace(nw_proto=1, tp_src=8, tp_dst=3))
    site.netflow.end(NAME._replace(nw_proto=1, tp_src=8, tp_dst=3), site.now)
    (record,) = site.told()[0]["records"]  # type: ignore[misc]
    assert (record["sport"], record["dport"]) == (0, 0x0803)


def test_a_flow_that_goes_on_is_told_after_the_active_timeout() -> None:
    site = Site(active_timeout_s=5)
    site.count(1, 100)
    site.now_ms += 5_000
    assert site.told() == []
    site.now_ms += 1_001
    assert len(site.told()) == 1
    # It has counted nothing since, and is forgotten.
    site.now_ms += 6_002
    assert site.told() == []
    assert site.netflow.n_flows == 0


def test_active_timeouts_can_be_disabled() -> None:
    site = Site(active_timeout_s=-1)
    site.count(1, 100)
    site.now_ms += 10_000_000
    assert site.told() == []
    assert site.netflow.deadline() is None


def test_a_flow_that_goes_another_way_is_told_before() -> None:
    site = Site()
    site.count(1, 100, output=2)
    site.count(4, 400, output=3)
    site.netflow.end(NAME, site.now)
    (datagram,) = site.told()
    told = [(r["output"], r["packets"]) for r in datagram["records"]]  # type: ignore[attr-defined]
    assert told == [(2, 1), (3, 4)]


def test_a_datagram_has_thirty_records_at_most() -> None:
    site = Site()
    names = [NAME._replace(tp_src=port) for port in range(70)]
    for name in names:
        site.count(1, 100, name)
    for name in names:
        site.netflow.end(name, site.now)
    datagrams = site.told()
    assert [datagram["count"] for datagram in datagrams] == [30, 30, 10]


def test_more_bytes_than_a_counter_holds_are_told_in_several_records() -> None:
    site = Site()
    site.count(3_000_000, (1 << 32) + 10)
    site.netflow.end(NAME, site.now)
    (datagram,) = site.told()
    records = datagram["records"]
    assert sum(record["bytes"] for record in records) == (1 << 32) + 10  # type: ignore[attr-defined]
    assert sum(record["packets"] for record in records) == 3_000_000  # type: ignore[attr-defined]
    assert len(records) == 2  # type: ignore[arg-type]


def test_the_engine_can_stand_in_the_interfaces() -> None:
    site = Site(add_id_to_interface=True)
    site.count(1, 100, NAME._replace(in_port=0x7FF), output=nf.FLOOD)
    site.netflow.end(NAME._replace(in_port=0x7FF), site.now)
    (record,) = site.told()[0]["records"]  # type: ignore[misc]
    assert (record["input"], record["output"]) == (34 << 9 | 0x1FF, 34 << 9 | 0x1FF)


def test_the_oldest_flow_makes_room_for_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nf, "MAX_FLOWS", 2)
    site = Site()
    for port in (1, 2, 3):
        site.count(port, 100, NAME._replace(tp_src=port))
    (datagram,) = site.told()
    assert [record["sport"] for record in datagram["records"]] == [1]  # type: ignore[attr-defined]
    assert site.netflow.n_flows == 2
