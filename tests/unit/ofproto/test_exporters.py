"""Exporters of a bridge: whom they tell, when they begin and end, what packets are for them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from tests.support.export_decoders import IpfixReader, decode_netflow, decode_sflow

from netloom.base.record import replace
from netloom.datapath import actions as dp
from netloom.datapath.action_text import format_actions
from netloom.flow.compose import compose_packet
from netloom.flow.fields import SLOT
from netloom.flow.key import make_key
from netloom.flow.mapped import map_ipv4
from netloom.flow.text import parse_flow
from netloom.ofproto.export_host import Collector, ExportHost
from netloom.ofproto.export_sflow import Leaving
from netloom.ofproto.settings import ExportSettings
from netloom.telemetry.ipfix import IpfixSettings
from netloom.telemetry.netflow import NetflowSettings
from netloom.telemetry.sflow import SflowSettings

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

TARGET = "192.0.2.1:9"
SFLOW = SflowSettings((TARGET,), sampling=1, agent="10.0.0.1")
PACKET = (
    "udp,dl_src=00:00:00:00:00:0a,dl_dst=00:00:00:00:00:0b,nw_src=10.0.0.1,nw_dst=10.0.0.2,"
    "nw_ttl=9,udp_src=5,udp_dst=6"
)


class Box(Collector):
    """A collector that keeps what it gets."""

    def __init__(self) -> None:
        self.datagrams: list[bytes] = []
        self.is_closed = False

    def send(self, data: bytes) -> bool:
        self.datagrams.append(data)
        return True

    def close(self) -> None:
        self.is_closed = True


class Host(ExportHost):
    """Opens boxes, by target; `unreachable` ones not."""

    def __init__(self) -> None:
        self.boxes: dict[str, Box] = {}
        self.unreachable: set[str] = set()
        self.ports: set[int] = set()

    def open_collectors(self, targets: Iterable[str], default_port: int) -> Sequence[Collector]:
        self.ports.add(default_port)
        found = [target for target in targets if target not in self.unreachable]
        self.boxes |= {target: Box() for target in found}
        return [self.boxes[target] for target in found]


class Site:
    """A bridge of three ports, the first of which has number 7 on its host."""

    def __init__(self) -> None:
        self.switch = SmallSwitch()
        self.host = self.switch.backer.export_host = Host()
        self.bridge = self.switch.add_bridge("br0")
        for number in (1, 2, 3):
            self.switch.add_port("br0", f"p{number}", number, {})
        device = self.switch.devices.find("p1")
        assert device is not None
        device.set_options({"ifindex": "7"})
        self.switch.replace_flows("br0", "priority=0 actions=output:2")

    def export(self, **settings: object) -> None:
        exports = ExportSettings(**settings)  # type: ignore[arg-type]
        self.bridge.configure(replace(self.bridge.settings, exports=exports))

    def send(self, port: str = "p1", packet: str = PACKET) -> None:
        device = self.switch.devices.find(port)
        assert device is not None
        device.inject(compose_packet(parse_flow(packet)))
        for _ in range(3):
            self.switch.backer.run()

    def wait(self, ms: int, step_ms: int = 500) -> None:
        for _ in range(ms // step_ms):
            self.switch.clock.advance(step_ms)
            self.switch.backer.run()

    def flows(self) -> list[str]:
        return [format_actions(flow.actions) for flow in self.switch.dpif.flow_dump()]

    @property
    def datagrams(self) -> list[bytes]:
        return self.host.boxes[TARGET].datagrams


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_bridge_that_exports_nothing_has_no_exporters(site: Site) -> None:
    site.send()
    assert site.bridge.exporters is None
    assert site.flows() == ["2"]


def test_flows_change_when_exporters_come_and_go(site: Site) -> None:
    site.send()
    site.export(sflow=SFLOW)
    site.switch.backer.run()
    assert site.flows() == ["userspace(pid=0,sFlow(vid=0,pcp=0,output=2147483649),actions),2"]
    site.export()
    site.switch.backer.run()
    assert site.flows() == ["2"]
    assert site.bridge.exporters is None
    assert site.host.boxes[TARGET].is_closed


def test_packets_reach_the_agent(site: Site) -> None:
    site.export(sflow=SFLOW)
    site.send()
    site.send()
    site.wait(2_000)
    samples = [s for data in site.datagrams for s in decode_sflow(data)["samples"]]
    packets = [sample for sample in samples if sample["form"] == 1]
    assert [(packet["input"], packet["sequence"]) for packet in packets] == [(7, 1), (7, 2)]
    assert decode_sflow(site.datagrams[0])["agent"] == "10.0.0.1"
    assert site.host.ports == {6343}


def test_shortcuts_do_not_pass_exporters_by(site: Site) -> None:
    site.switch.replace_flows("br0", "priority=0 actions=NORMAL")
    site.export(netflow=NetflowSettings((TARGET,), active_timeout_s=1))
    for number in range(20):
        site.send(packet=PACKET.replace("udp_src=5", f"udp_src={number}"))
    site.wait(14_000)
    records = [r for data in site.datagrams for r in decode_netflow(data)["records"]]
    assert {record["sport"] for record in records} == set(range(20))
    assert sum(record["packets"] for record in records) == 20


def test_a_flow_that_is_gone_is_told(site: Site) -> None:
    site.export(netflow=NetflowSettings((TARGET,), active_timeout_s=-1))
    for _ in range(3):
        site.send()
    site.wait(5_000)
    assert site.datagrams == []
    site.wait(8_000)
    (datagram,) = site.datagrams
    (record,) = decode_netflow(datagram)["records"]
    assert (record["packets"], record["input"], record["output"]) == (3, 1, 2)
    assert site.switch.backer.n_netflows == 1
    site.export()
    assert site.switch.backer.n_netflows == 0


def test_collectors_that_could_not_be_reached_are_tried_when_routes_change(site: Site) -> None:
    site.host.unreachable.add(TARGET)
    site.export(ipfix=IpfixSettings((TARGET,), sampling=1))
    site.send()
    assert site.flows() == ["2"]
    site.host.unreachable.clear()
    site.switch.backer.underlay.give("br0", map_ipv4(0x0A000001), 120)
    site.wait(1_000)
    assert site.flows() == [
        "userspace(pid=0,ipfix(output_port=4294967295)),userspace(pid=0,ipfix(output_port=2)),2"
    ]
    site.send()
    records = _records(site)
    assert [number for number, _ in records] == [284, 285]


def test_what_goes_nowhere_is_told_as_dropped(site: Site) -> None:
    site.switch.replace_flows("br0", "priority=0 actions=drop")
    site.export(ipfix=IpfixSettings((TARGET,), sampling=1))
    site.send()
    ((_, record),) = _records(site)
    assert record[133] == 1


def test_flows_that_only_sample_may_say_that_they_drop(site: Site) -> None:
    sampled = "userspace(pid=0,ipfix(output_port=4294967295))"
    site.export(ipfix=IpfixSettings((TARGET,), sampling=1))
    site.switch.replace_flows("br0", "priority=0 actions=drop")
    site.send()
    assert site.flows() == [sampled]
    site.switch.backer.set_explicit_sampled_drops(True)
    site.switch.backer.run()
    assert site.flows() == [f"{sampled},drop"]
    site.export()
    site.switch.backer.run()
    assert site.flows() == ["drop"]


def test_collector_sets_have_exporters_of_their_own(site: Site) -> None:
    site.switch.replace_flows(
        "br0",
        "priority=0 actions=sample(probability=65535,collector_set_id=2,obs_point_id=9),"
        "sample(probability=65535,collector_set_id=3),2",
    )
    site.export(collector_sets=(IpfixSettings((TARGET,), set_id=2),))
    site.send()
    ((number, record),) = _records(site)
    assert (number, record[138]) == (284, 9)
    exporters = site.bridge.exporters
    assert exporters is not None and exporters.ipfix is not None
    (stats,) = exporters.ipfix.statistics(of_flows=True)
    assert (stats.collector_set_id, stats.packets) == (2, 1)
    assert exporters.ipfix.statistics(of_flows=False) == []


def test_an_agent_without_address_waits_for_one(site: Site) -> None:
    site.export(sflow=replace(SFLOW, agent="", targets=("10.0.0.9:1",)))
    site.send()
    assert site.flows() == ["2"]
    site.switch.backer.underlay.give("br0", map_ipv4(0x0A000001), 120)
    site.wait(1_000)
    site.send()
    site.wait(1_000)
    box = site.host.boxes["10.0.0.9:1"]
    assert {decode_sflow(data)["agent"] for data in box.datagrams} == {"10.0.0.1"}


def test_the_data_path_does_not_run_a_bridge_that_exports(site: Site) -> None:
    from netloom.ofproto.switching import why_not

    site.switch.replace_flows("br0", "priority=0 actions=NORMAL")
    before = why_not(site.bridge)
    site.export(sflow=SFLOW)
    assert (before, why_not(site.bridge)) == ("", "exporters of flows")


def _records(site: Site) -> list[tuple[int, dict[int, int]]]:
    reader = IpfixReader()
    return [
        (number, {field: int(digits or "0", 16) for _, field, digits in record})
        for data in site.datagrams
        for number, record in reader.read(data)["records"]
        if number != 462
    ]


def test_headers_that_actions_put_on_are_found() -> None:
    gre = bytes.fromhex(
        "f8bc124434b6aa55aa5500000800" "4500000000004000402f0000" "0a000001" "0a000002"
        "20006558" "0000007b"
    )  # fmt: skip
    push = dp.TunnelPush(5, 1, 3, gre)
    found = Leaving.of([dp.Clone((push, dp.Output(1)))], None)
    assert (found.protocol, SLOT["tun_id"].get(found.tunnel)) == (47, 0x7B)
    assert SLOT["tun_dst"].get(found.tunnel) == 0x0A000002
    # Which of two it is cannot be said.
    assert Leaving.of([push, push], None) == Leaving()
    labels = [dp.PushMpls(0x8847, 0x5100), dp.PushMpls(0x8847, 0x6000)]
    assert Leaving.of(labels, None).labels == (0x6000, 0x5100)
    assert Leaving.of([*labels, dp.PopMpls(0x8847)], None).labels == (0x5100,)


def test_labels_that_a_packet_came_with_are_below_those_it_gets() -> None:
    own = make_key(dl_type=0x8847, mpls_lse0=0x1040, mpls_lse1=0x2140)
    push, pop = dp.PushMpls(0x8847, 0x7020), dp.PopMpls(0x8847)
    assert Leaving.of([push], None).stack(own) == (0x7020, 0x1040, 0x2140)
    assert Leaving.of([push, pop, pop], None).stack(own) == (0x2140,)
    change = dp.Set("mpls", make_key(mpls_lse0=0x9040), make_key(mpls_lse0=0xFFFFFFFF))
    assert Leaving.of([change], None).stack(own) == (0x9040, 0x2140)
    assert Leaving.of([push], None).stack(make_key(dl_type=0x0800)) == (0x7020,)
