"""Dummies whose devices run flows: who has which port, what is told and counted."""

from __future__ import annotations

import pytest

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.base.log import CONSOLE, DBG, INFO, vlog
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.dpctl import Dpctl
from netloom.datapath.dpif import DpPortNo
from netloom.datapath.offload import OffloadPolicy, OffloadSettings
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.datapath.userspace.thread_text import describe_stats
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.dummy import DummyFactory
from netloom.packet import build

A, B = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
IP_A, IP_B = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
FLOW = "in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)"
VXLAN = (
    "tnl_push(tnl_port(9),header(size=50,type=4,eth(dst=aa:55:00:00:00:01,src=aa:55:00:00:00:02,"
    "dl_type=0x0800),ipv4(src=1.1.1.1,dst=1.1.1.2,proto=17,tos=0,ttl=64,frag=0x4000),"
    "udp(src=0,dst=4789,csum=0x0),vxlan(flags=0x8000000,vni=0x7b)),out_port(100)),{}"
)


def udp() -> bytes:
    datagram = build.udp(IP_A, IP_B, 1000, 53, b"data")
    return build.ethernet(B, A, 0x0800, build.ipv4(IP_A, IP_B, 17, datagram))


class Bench:
    """A data path with the dummies p1 and p2, polled ones q3 and q4, and dpctl."""

    def __init__(self, **settings: object) -> None:
        self.policy = OffloadPolicy()
        self.policy.configure(OffloadSettings(**settings))  # type: ignore[arg-type]
        self.clock = ManualClock(1_000)
        self.factory = DummyFactory(None)
        self.dpif = UserspaceDpif("dummy", "ovs-dummy", self.clock, Counters(), self.policy)
        for name, type_ in (("p1", "dummy"), ("p2", "dummy"), ("q3", "dummy-pmd"),
                            ("q4", "dummy-pmd")):  # fmt: skip
            self.dpif.port_add(self.factory.open(name, type_, {}))
        dpctl = Dpctl(lambda: [self.dpif], self.clock.now_ms, lambda name: "")
        self.commands = {command.name: command.handler for command in dpctl.commands()}

    def put(self, flow: str, actions: str) -> None:
        self.dpif.flow_put(*parse_odp_flow(flow), parse_actions(actions))

    def delete(self, flow: str) -> None:
        self.dpif.flow_del(*parse_odp_flow(flow))

    def send(self, name: str = "p1") -> None:
        self.factory.devices[name].inject(udp())
        while self.dpif.run(2_000):
            pass

    def sent(self, name: str) -> list[bytes]:
        return [packet.data for packet in self.factory.devices[name].sent]

    def counts(self, number: int = 1) -> tuple[int, int, int, int]:
        """Recognised, carried, missed, aborted."""
        assert self.dpif.hardware is not None
        port = self.dpif.hardware.providers[0].by_number[number]
        return port.recognised, port.carried, port.missed, port.aborted

    def dump(self, *words: str) -> str:
        return self.commands["dpctl/dump-flows"](["-m", "--no-names", *words])

    def ports(self) -> dict[str, list[str]]:
        assert self.dpif.hardware is not None
        providers = self.dpif.hardware.providers
        return {one.type: [port.name for port in one.ports()] for one in providers}


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.split("|", 2)[2] for line in capsys.readouterr().err.splitlines()]


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    for module in ("dpif_offload", "dpif_offload_dummy"):
        vlog.set_level(DBG, module, CONSOLE)
    return capsys


def test_ports_go_to_the_first_provider_in_order() -> None:
    assert Bench().ports() == {"dummy": ["p1", "p2", "q3", "q4"], "dummy_x": []}
    bench = Bench(order="dummy_x,none")
    assert list(bench.ports()) == ["dummy_x", "dummy"]
    assert bench.ports()["dummy_x"] == ["p1", "p2", "q3", "q4"]


def test_interfaces_have_orders_of_their_own() -> None:
    orders = (("p1", "dummy_x,dummy"), ("p2", "none,dummy"), ("q3", "tc,dummy_x"))
    bench = Bench(port_orders=orders)
    assert bench.ports() == {"dummy": ["q4"], "dummy_x": ["p1", "q3"]}
    bench.dpif.port_del(DpPortNo(1))
    assert bench.ports()["dummy_x"] == ["q3"]


def test_other_data_paths_have_no_such_hardware() -> None:
    clock, counters = ManualClock(1_000), Counters()
    assert UserspaceDpif("netdev", "ovs-netdev", clock, counters, OffloadPolicy()).hardware is None
    assert UserspaceDpif("dummy", "ovs-dummy", clock, counters).hardware is None


def test_the_order_is_read_once_and_offloading_never_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    vlog.set_level(INFO, "dpif_offload", CONSOLE)
    policy = OffloadPolicy()
    policy.configure(OffloadSettings(order="none,dummy_x"))
    policy.configure(OffloadSettings(enabled=True, order="dummy"))
    policy.configure(OffloadSettings(order="dummy_x"))
    assert policy.enabled
    assert policy.in_order(["dummy", "dummy_x"]) == ["dummy_x", "dummy"]
    assert [line.partition("|")[2] for line in lines(capsys)] == [
        "WARN|hw-offload-priority configuration has an unknown type; none",
        "INFO|hw-offload-priority configuration changed; restart required",
        "INFO|Flow HW offload is enabled",
    ]


def test_nothing_is_offloaded_unless_asked_for() -> None:
    bench = Bench()
    bench.put(FLOW, "2")
    bench.send()
    assert bench.counts() == (0, 0, 0, 0)
    assert "dp:ovs" in bench.dump() and "offloaded" not in bench.dump()
    assert bench.commands["dpctl/offload-stats-show"]([]) == "HW Offload stats:\n"


def test_a_flow_is_recognised_and_its_actions_are_run(
    shown: pytest.CaptureFixture[str],
) -> None:
    bench = Bench(enabled=True)
    shown.readouterr()
    bench.put(FLOW, "2")
    bench.send()
    assert len(bench.sent("p2")) == 1
    assert bench.counts() == (1, 0, 0, 0)
    bench.put(FLOW, "1")
    bench.delete(FLOW)
    bench.send()
    assert bench.counts() == (1, 0, 1, 0)
    told = [line.split("|", 1)[1] for line in lines(shown)]
    assert {level for level, _, _ in (line.partition("|") for line in told)} == {"DBG"}
    told = [line.removeprefix("DBG|") for line in told]
    ufid = told[0].split()[3]
    match = "recirc_id=0,eth,ip,{}nw_frag=no"
    put = f"p1: flow put[{{}}]: {ufid} flow match: {match.format('in_port=1,')}, mark: 1"
    assert told[:2] == [put.format("create"), f"succeed to add netdev flow {ufid[5:]}"]
    assert told[2].startswith("p1: packet: udp,vlan_tci=0x0000,dl_src=02:00:00:00:00:0a,")
    assert told[2].endswith(f" matches with flow: {ufid} {match.format('')} with mark: 1")
    assert told[3:] == [
        put.format("modify"), f"succeed to modify netdev flow {ufid[5:]}",
        f"p1: flow del: {ufid} mark: 1", f"succeed to delete netdev flow {ufid[5:]}",
    ]  # fmt: skip


def test_recognised_packets_are_told_apart_from_those_looked_up() -> None:
    bench = Bench(enabled=True)
    bench.send()
    bench.put(FLOW, "2")
    bench.send()
    stats = bench.dpif.thread_stats()
    assert (stats.received, stats.recognised, stats.exact_hits, stats.megaflow_hits) == (2, 1, 0, 0)
    assert "  phwol hits: 1\n" in describe_stats("main thread:\n", stats)


def test_hardware_runs_outputs_to_polled_ports_alone() -> None:
    bench = Bench(enabled=True)
    bench.put(FLOW, "3,4")
    bench.send()
    assert (len(bench.sent("q3")), len(bench.sent("q4"))) == (1, 1)
    assert bench.counts() == (0, 1, 0, 0)
    assert (bench.dpif.stats().hits, bench.dpif.thread_stats().received) == (0, 0)
    assert "packets:1, bytes:46, used:-1.000s, offloaded:yes, dp:dummy, actions:3,4" in bench.dump()


@pytest.mark.parametrize("actions", ["2", "3,2", "1", "push_vlan(vid=1,pcp=0),3", "9"])
def test_other_actions_are_left_to_software(actions: str) -> None:
    bench = Bench(enabled=True)
    bench.put(FLOW, actions)
    assert f"offloaded:partial, dp:ovs, actions:{actions}" in bench.dump()


def test_what_hardware_cannot_finish_goes_to_software() -> None:
    bench = Bench(enabled=True)
    bench.put(FLOW, "3")
    bench.dpif.port_del(DpPortNo(3))
    bench.send()
    assert bench.counts() == (0, 1, 0, 1)
    assert bench.dpif.stats().hits == 1
    assert "packets:1," in bench.dump()


def test_flows_are_listed_by_who_runs_them() -> None:
    bench = Bench(enabled=True)
    bench.put(FLOW, "2")
    bench.put(FLOW.replace("(1)", "(2)"), "3")
    bench.policy.enabled = False
    bench.put(FLOW.replace("(1)", "(4)"), "2")
    ports = {
        type_: [at for at in (1, 2, 4) if f"in_port({at})" in bench.dump(f"type={type_}")]
        for type_ in ("offloaded", "partially-offloaded", "non-offloaded", "ovs", "tc", "all",
                      "offloaded,non-offloaded")
    }  # fmt: skip
    assert ports == {
        "offloaded": [2], "partially-offloaded": [1], "non-offloaded": [4], "ovs": [1, 4], "tc": [],
        "all": [1, 2, 4], "offloaded,non-offloaded": [2, 4],
    }  # fmt: skip


def test_flows_go_with_the_port_of_their_device_and_marks_are_used_again(
    shown: pytest.CaptureFixture[str],
) -> None:
    bench = Bench(enabled=True)
    bench.put(FLOW, "2")
    bench.put(FLOW.replace("(1)", "(2)"), "1")
    bench.dpif.port_del(DpPortNo(1))
    assert bench.dump("type=non-offloaded").count("in_port(1)") == 1
    bench.put(FLOW.replace("(1)", "(3)"), "2")
    bench.dpif.flow_flush()
    told = [line.rpartition(" ")[2] for line in lines(shown) if "mark: " in line]
    assert told == ["1", "2", "1", "2", "1"]


def test_ports_of_providers_are_counted() -> None:
    bench = Bench(enabled=True, port_orders=(("p1", "dummy_x"),))
    assert bench.commands["dpctl/offload-stats-show"]([]) == (
        "HW Offload stats:\n"
        "  dummy[dummy@ovs-dummy]:\n    Offloaded port count:      3\n"
        "  dummy_x[dummy@ovs-dummy]:\n    Offloaded port count:      1\n"
    )


def test_the_second_provider_looks_at_no_packets() -> None:
    bench = Bench(enabled=True, port_orders=(("p1", "dummy_x"),))
    bench.put(FLOW, "2")
    bench.send()
    assert "offloaded:partial" in bench.dump()
    assert bench.dpif.thread_stats().recognised == 0


def test_source_ports_of_tunnels_are_the_same_in_hardware_and_software() -> None:
    found = []
    for enabled, port in ((False, 3), (True, 3), (True, 2)):
        bench = Bench(enabled=enabled)
        bench.put(FLOW, VXLAN.format(port))
        bench.send()
        (packet,) = bench.sent("q3" if port == 3 else "p2")
        assert bench.counts() == (int(enabled and port == 2), int(enabled and port == 3), 0, 0)
        found.append(int.from_bytes(packet[34:36], "big"))
    assert found[0] != found[1] == found[2]
    # FNV-1a of the inner packet, by the definition at isthe.com/chongo/tech/comp/fnv.
    value = 2_166_136_261
    for byte in udp():
        value = (value ^ byte) * 16_777_619 % 2**32
    assert found[1] == value % 2**16


def test_packets_that_come_up_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    vlog.set_level(DBG, "dpif_netdev", CONSOLE)
    bench = Bench()
    bench.send()
    first, key, packet, _ = capsys.readouterr().err.splitlines()
    assert first.endswith("|dpif_netdev|DBG|ovs-dummy: miss upcall:")
    assert key.startswith("recirc_id(0),dp_hash(0),skb_priority(0),in_port(1),skb_mark(0),")
    assert key.endswith("ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=no),"
                        "udp(src=1000,dst=53)")  # fmt: skip
    assert packet.startswith("udp,vlan_tci=0x0000,dl_src=02:00:00:00:00:0a,")
    assert " udp_csum:" in packet
