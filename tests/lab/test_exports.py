"""What real packets become in the datagrams of NetFlow, sFlow and IPFIX."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pyroute2 import netns
from tests.support.export_decoders import (
    CollectorSocket,
    IpfixReader,
    decode_netflow,
    decode_sflow,
)
from tests.support.peers import wait_until
from tests.support.switches import RunningSwitch, TwoMachines, needs_root
from tests.support.tunnel_sites import ADDRESSES, Site, lay_wire, reach

from netloom.lab.lab import Lab
from netloom.lab.namespace import Namespace
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]

ECHO = 8


class Bridged:
    """Two machines on a bridge, and a collector beside the switch."""

    def __init__(self, lab: Lab, tools: Programs, collector: CollectorSocket) -> None:
        machines = TwoMachines(lab, tools)
        self.switch: RunningSwitch = machines.switch
        self.vm1, self.vm2 = machines.vm1, machines.vm2
        self.collector = collector
        self.switch.vsctl("add-br", "br0", "--", "add-port", "br0", "vif1", "--", "add-port",
                          "br0", "vif2")  # fmt: skip

    def export(self, table: str, *columns: str) -> None:
        self.switch.vsctl(
            "--", "--id=@x", "create", table, f'targets="{self.collector.target}"', *columns,
            "--", "set", "Bridge", "br0", f"{table.lower()}=@x",
        )  # fmt: skip

    def sampled(self) -> str:
        return self.switch.appctl("dpctl/dump-flows")

    def ifindex(self, name: str) -> int:
        return int(self.switch.get("Interface", name, "ifindex"))


@contextmanager
def collector_at(host: Namespace) -> Iterator[CollectorSocket]:
    """A collector at a host's own address 127.0.0.1."""
    netns.pushns(host.name)
    try:
        collector = CollectorSocket()
    finally:
        netns.popns()
    with collector:
        yield collector


@pytest.fixture
def site(lab: Lab, tools: Programs) -> Iterator[Bridged]:
    with collector_at(lab.host) as collector:
        yield Bridged(lab, tools, collector)


def _pings(header: str, source: str) -> bool:
    """Is this an echo request from there?"""
    data = bytes.fromhex(header)
    return (
        data[12:14] == b"\x08\x00"
        and data[23] == 1
        and data[34] == ECHO
        and (".".join(map(str, data[26:30])) == source)
    )


def test_sflow_samples_packets_and_tells_counters(site: Bridged) -> None:
    site.export("sFlow", "sampling=1", "polling=1", "header=80", "agent=lo")
    assert site.vm1.ping(site.vm2.ip_address, count=5)
    first, second = site.ifindex("vif1"), site.ifindex("vif2")

    def seen() -> tuple[list[Any], list[Any]]:
        samples = [s for d in site.collector.receive(0.1) for s in decode_sflow(d)["samples"]]
        flows = [s for s in samples if s["form"] == 1]
        return flows, [s for s in samples if s["form"] == 2]

    def is_enough() -> bool:
        flows, counters = seen()
        pings = [f for f in flows if _pings(f["elements"][1]["header"], "10.0.0.1")]
        told = [c for c in counters if c["source"] == first]
        return len(pings) >= 5 and bool(told) and told[-1]["elements"][1]["in_unicast"] >= 5

    assert wait_until(is_enough)
    flows, counters = seen()
    pings = [f for f in flows if _pings(f["elements"][1]["header"], "10.0.0.1")]
    assert len(pings) == 5
    assert {(p["input"], p["output"]) for p in pings} == {(first, second)}
    assert {p["elements"][1]["length"] for p in pings} == {98 + 4}
    assert {len(p["elements"][1]["header"]) for p in pings} == {160}
    named = {c["elements"][1005]["name"] for c in counters if 1005 in c["elements"]}
    assert {"vif1", "vif2"} <= named
    assert decode_sflow(site.collector.datagrams[0])["agent"] == "127.0.0.1"


def test_netflow_tells_what_a_flow_has_carried(site: Bridged) -> None:
    site.export("NetFlow", "engine_id=7", "engine_type=9", "active_timeout=1")
    assert site.vm1.ping(site.vm2.ip_address, count=5)

    def records() -> list[Any]:
        told = [decode_netflow(d) for d in site.collector.receive(0.1)]
        assert all((d["engine_type"], d["engine_id"]) == (9, 7) for d in told)
        return [r for d in told for r in d["records"] if r["src"] == "10.0.0.1"]

    assert wait_until(lambda: sum(r["packets"] for r in records()) >= 5)
    found = records()
    assert sum(r["packets"] for r in found) == 5
    assert sum(r["bytes"] for r in found) == 5 * 98
    assert {(r["input"], r["output"], r["proto"], r["dport"]) for r in found} == {(1, 2, 1, 0x800)}


def test_ipfix_tells_of_packets_that_come_and_leave(site: Bridged) -> None:
    site.export("IPFIX", "sampling=1", "obs_domain_id=5", "obs_point_id=6")
    assert site.vm1.ping(site.vm2.ip_address, count=5)
    records = _wait_for_records(site.collector, 10)
    assert {number for number, _ in records} == {292, 293}
    first, second = site.ifindex("vif1"), site.ifindex("vif2")
    came = [r for n, r in records if n == 292]
    left = [r for n, r in records if n == 293]
    assert len(came) == len(left) == 5
    for record in left:
        assert _value(record, 10) == first and _value(record, 14) == second
        assert _value(record, 352) == 98 and _value(record, 1) == 84
        assert _value(record, 133) == 0
    text = site.switch.ofctl("dump-ipfix-bridge", "br0")
    assert re.search(r"flows=\d+, current flows=0, sampled pkts=\d+", text)


def test_a_flow_sends_samples_to_its_collectors(site: Bridged) -> None:
    switch = site.switch
    switch.vsctl(
        "--", "--id=@b", "get", "Bridge", "br0", "--", "--id=@i", "create", "IPFIX",
        f'targets="{site.collector.target}"', "--", "create", "Flow_Sample_Collector_Set", "id=3",
        "bridge=@b", "ipfix=@i",
    )  # fmt: skip
    switch.ofctl(
        "add-flow", "br0", "icmp,in_port=vif1,actions=sample(probability=65535,collector_set_id=3,"
        "obs_domain_id=7,obs_point_id=8,sampling_port=vif2),normal",
    )  # fmt: skip
    assert site.vm1.ping(site.vm2.ip_address, count=5)
    records = _wait_for_records(site.collector, 5)
    assert {(_value(r, 138), _value(r, 61)) for _, r in records} == {(8, 1)}
    assert len(records) == 5
    assert "flow_sample(probability=65535,collector_set_id=3" in site.sampled()
    assert " id   3: flows=5," in switch.ofctl("dump-ipfix-flow", "br0")
    # Without its rows nobody is told any more.
    switch.vsctl("clear", "Flow_Sample_Collector_Set", "3", "ipfix")
    assert wait_until(lambda: "flow_sample" not in site.sampled())


def test_outer_headers_of_tunnels_are_told(lab: Lab, datapath: str, tools: Programs) -> None:
    hosts = lay_wire(lab)
    sites = [Site(lab, host, n, tools, tools, "system") for n, host in enumerate(hosts)]
    for each in sites:
        each.add_tunnel("vxlan", ADDRESSES[1 - each.number], "key=42")
    first, second = sites
    with collector_at(hosts[0]) as flows, collector_at(hosts[0]) as samples:
        first.vsctl(
            "--", "--id=@i", "create", "IPFIX", f'targets="{flows.target}"', "sampling=1",
            "--", "--id=@s", "create", "sFlow", f'targets="{samples.target}"', "sampling=1",
            "agent=127.0.0.1", "--", "set", "Bridge", "br-int", "ipfix=@i", "sflow=@s",
        )  # fmt: skip
        assert reach(first.vm, second.vm)
        assert first.vm.ping(second.vm.ip_address, count=3)
        assert second.vm.ping(first.vm.ip_address, count=3)

        def outside() -> dict[str, set[tuple[str, str, int]]]:
            found: dict[str, set[tuple[str, str, int]]] = {"in": set(), "out": set()}
            for data in samples.receive(0.1):
                for sample in decode_sflow(data)["samples"]:
                    elements = sample["elements"]
                    for way, header, key in (("in", 1024, 1030), ("out", 1023, 1029)):
                        if header in elements:
                            told = elements[header]
                            found[way].add((told["src"], told["dst"], elements[key]["vni"]))
            return found

        near, far = ADDRESSES
        assert wait_until(lambda: all(outside().values()))
        assert outside() == {"in": {(far, near, 42)}, "out": {(near, far, 42)}}
        told = [r for _, r in _wait_for_records(flows, 3, "0a000001") if (6876, 891, "01") in r]
        if datapath == "kernel":
            assert told
        for record in told:
            # VXLAN from here to there, with key 42.
            assert (6876, 892, "00002a") in record
            assert (6876, 893, "ac1f0101") in record and (6876, 894, "ac1f0102") in record
        came = [r for _, r in _wait_for_records(flows, 3, "0a000002") if (0, 61, "00") in r]
        assert came and all((6876, 893, "ac1f0102") in record for record in came)


def _wait_for_records(collector: CollectorSocket, n: int, source: str = "0a000001") -> list[Any]:
    """The records of echo requests from a machine, once there are so many."""

    def read() -> list[Any]:
        reader = IpfixReader()
        messages = [reader.read(data) for data in collector.receive(0.1)]
        records = [record for message in messages for record in message["records"]]
        return [
            (number, record)
            for number, record in records
            if (0, 8, source) in record and (0, 176, "08") in record
        ]

    assert wait_until(lambda: len(read()) >= n)
    return read()


def _value(record: list[tuple[int, int, str]], field: int) -> int:
    return next(int(digits, 16) for _, number, digits in record if number == field)
