"""Real packets through the data path in Python: two hosts, two veth pairs, flows put by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.bulk import RECEIVER, SENDER

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes network namespaces"),
]

HERE = Path(__file__).parent
SRC = HERE.parents[1] / "src"
ARP = "in_port({}),eth(),eth_type(0x0806)"
IPV4 = "in_port({}),eth(),eth_type(0x0800),ipv4(frag=no)"
IPV6 = "in_port({}),eth(),eth_type(0x86dd),ipv6(frag=no)"
TRANSFER_BYTES = 50_000_000


def run(*argv: str, check: bool = True) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


class Hosts:
    """A namespace for the switch with devices vif1, vif2; one each for the hosts behind them."""

    def __init__(self, tag: str) -> None:
        self.switch, self.a, self.b = (f"nlt{os.getpid()}{tag}{part}" for part in "sab")
        self.forwarder: subprocess.Popen[str] | None = None

    def create(self) -> None:
        for name in (self.switch, self.a, self.b):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for number, name in ((1, self.a), (2, self.b)):
            vif = f"vif{number}"
            link = ("ip", "-n", self.switch, "link")
            run(*link, "add", vif, "type", "veth", "peer", "name", "eth0", "netns", name)
            run(*link, "set", vif, "up")
            mac = f"02:00:00:00:00:0{number}"
            run("ip", "-n", name, "link", "set", "eth0", "address", mac, "up")
            run("ip", "-n", name, "addr", "add", f"10.9.0.{number}/24", "dev", "eth0")
            run("ip", "-n", name, "addr", "add", f"fd09::{number}/64", "dev", "eth0", "nodad")

    def delete(self) -> None:
        if self.forwarder is not None:
            self.forwarder.kill()
            self.forwarder.wait()
        for name in (self.switch, self.a, self.b):
            run("ip", "netns", "del", name, check=False)

    def forward(self, *flows: tuple[str, str], ports: tuple[tuple[str, str], ...] = ()) -> None:
        setup = {"ports": ports or (("vif1", "system"), ("vif2", "system")), "flows": flows}
        self.forwarder = subprocess.Popen(
            [
                *self.inside(self.switch),
                str(HERE.parent / "support" / "forwarder.py"),
                json.dumps(setup),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SRC)},
        )
        assert self.forwarder.stdout is not None
        assert self.forwarder.stdout.readline() == "ready\n"

    def statistics(self) -> dict[str, object]:
        """Ends forwarding and returns what it counted."""
        assert self.forwarder is not None
        return json.loads(self.forwarder.communicate(timeout=60)[0])  # type: ignore[no-any-return]

    @staticmethod
    def inside(namespace: str) -> list[str]:
        return ["ip", "netns", "exec", namespace, sys.executable]

    def ping(self, address: str, *options: str, sender: str = "") -> bool:
        host = ("ip", "netns", "exec", sender or self.a)
        argv = (*host, "ping", "-c", "2", "-i", "0.05", "-W", "2", *options, address)
        return subprocess.run(argv, capture_output=True).returncode == 0

    def transfer(self, address: str, receiver_host: str = "") -> bool:
        """Sends bytes over TCP from the first host; True if they arrived as they were."""
        family = "10" if ":" in address else "2"
        receiver = subprocess.Popen(
            [*self.inside(receiver_host or self.b), "-c", RECEIVER, address, family],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert receiver.stdout is not None
            assert receiver.stdout.readline() == "listening\n"
            sent = run(*self.inside(self.a), "-c", SENDER, address, str(TRANSFER_BYTES))
            return receiver.communicate(timeout=60)[0] == sent
        finally:
            receiver.kill()


@pytest.fixture
def hosts(request: pytest.FixtureRequest) -> Iterator[Hosts]:
    made = Hosts(str(abs(hash(request.node.name)) % 1000))
    try:
        made.create()
        yield made
    finally:
        made.delete()


def both_ways(*patterns: str) -> list[tuple[str, str]]:
    return [(p.format(port), str(3 - port)) for p in patterns for port in (1, 2)]


def test_hosts_ping_each_other_and_every_packet_is_counted(hosts: Hosts) -> None:
    hosts.forward(*both_ways(ARP, IPV4))
    assert hosts.ping("10.9.0.2")
    statistics = hosts.statistics()
    assert [2, 196] in statistics["flows"]  # type: ignore[operator]


def test_without_a_flow_nothing_passes(hosts: Hosts) -> None:
    hosts.forward(*both_ways(ARP))
    assert not hosts.ping("10.9.0.2", "-W", "1")
    assert hosts.statistics()["misses"]


def test_tcp_arrives_whole_with_offloads_on(hosts: Hosts) -> None:
    hosts.forward(*both_ways(ARP, IPV4))
    assert hosts.transfer("10.9.0.2")
    sent = hosts.statistics()["ports"][1]["tx_packets"]  # type: ignore[index]
    # Packets of 64 KiB stayed one packet: segmented, they would be 34,000.
    assert sent < 20_000


def test_tcp_over_ipv6_arrives_whole(hosts: Hosts) -> None:
    hosts.forward(*both_ways(IPV6))
    assert hosts.transfer("fd09::2")


def test_tcp_survives_rewritten_addresses_and_ports(hosts: Hosts) -> None:
    hosts.forward(
        *both_ways(ARP),
        (IPV4.format(1), "set(eth(dst=02:00:00:00:00:02)),set(ipv4(dst=10.9.0.2,ttl=9)),2"),
        (IPV4.format(2), "set(ipv4(src=10.9.0.77)),1"),
    )
    run(
        *("ip", "-n", hosts.a, "neigh", "add", "10.9.0.77", "lladdr", "02:00:00:00:00:77"),
        *("dev", "eth0"),
    )
    receiver = subprocess.Popen(
        [*hosts.inside(hosts.b), "-c", RECEIVER, "10.9.0.2", "2"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "listening\n"
        sent = run(*hosts.inside(hosts.a), "-c", SENDER, "10.9.0.77", str(TRANSFER_BYTES))
        assert receiver.communicate(timeout=60)[0] == sent
    finally:
        receiver.kill()


TAGGED_ARP = "in_port({}),eth(),eth_type(0x{:04x}),vlan(vid=10),encap(eth_type(0x0806))"
TAGGED_IPV4 = (
    "in_port({}),eth(),eth_type(0x{:04x}),vlan(vid=10),encap(eth_type(0x0800),ipv4(frag=no))"
)


@pytest.mark.parametrize("tpid", [0x8100, 0x88A8])
def test_tags_are_pushed_and_popped_with_offloads_on(hosts: Hosts, tpid: int) -> None:
    """Tagged packets cross a veth pair between two ports of the same data path, a trunk: they leave
    by one packet socket and come in by the other."""
    link = ("ip", "-n", hosts.switch, "link")
    run(*link, "add", "t1", "type", "veth", "peer", "name", "t2")
    for end in ("t1", "t2"):
        # Above its MTU the kernel makes room for the tag of 802.1Q, but not for that of 802.1ad.
        run(*link, "set", end, "mtu", "1504")
    push = f"push_vlan(tpid=0x{tpid:04x},vid=10,pcp=3)"
    flows = []
    for port, trunk in ((1, 3), (2, 4)):
        flows += [(kind.format(port), f"{push},{trunk}") for kind in (ARP, IPV4)]
        flows += [
            (kind.format(trunk, tpid), f"pop_vlan,{port}") for kind in (TAGGED_ARP, TAGGED_IPV4)
        ]
    ports = (("vif1", "system"), ("vif2", "system"), ("t1", "system"), ("t2", "system"))
    hosts.forward(*flows, ports=ports)
    assert hosts.ping("10.9.0.2")
    assert hosts.transfer("10.9.0.2")
    statistics = hosts.statistics()
    # The trunk saw packets of 64 KiB, not segments.
    assert statistics["ports"][2]["tx_packets"] < 20_000  # type: ignore[index]


def test_labels_are_pushed_and_popped_on_the_way(hosts: Hosts) -> None:
    """Behind a label no device can segment: the data path does it."""
    link = ("ip", "-n", hosts.switch, "link")
    run(*link, "add", "t1", "type", "veth", "peer", "name", "t2")
    push = "push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847)"
    pop = "pop_mpls(eth_type=0x0800)"
    flows = both_ways(ARP)
    for port, trunk in ((1, 3), (2, 4)):
        flows.append((IPV4.format(port), f"{push},{trunk}"))
        flows.append((f"in_port({trunk}),eth(),eth_type(0x8847)", f"{pop},{port}"))
    ports = (("vif1", "system"), ("vif2", "system"), ("t1", "system"), ("t2", "system"))
    run(*link, "set", "t1", "mtu", "1600")
    run(*link, "set", "t2", "mtu", "1600")
    hosts.forward(*flows, ports=ports)
    assert hosts.ping("10.9.0.2")
    assert hosts.transfer("10.9.0.2")


def test_an_internal_port_is_an_end_for_the_host_itself(hosts: Hosts) -> None:
    hosts.forward(*both_ways(ARP, IPV4), ports=(("vif1", "system"), ("br0", "internal")))
    run("ip", "-n", hosts.switch, "addr", "add", "10.9.0.9/24", "dev", "br0")
    assert hosts.ping("10.9.0.9")
    assert hosts.transfer("10.9.0.9", receiver_host=hosts.switch)


def test_a_device_that_vanishes_does_not_stop_the_others(hosts: Hosts) -> None:
    link = ("ip", "-n", hosts.switch, "link")
    run(*link, "add", "gone", "type", "veth", "peer", "name", "gone2")
    hosts.forward(
        *both_ways(ARP, IPV4),
        ports=(("vif1", "system"), ("vif2", "system"), ("gone", "system")),
    )
    assert hosts.ping("10.9.0.2")
    run(*link, "del", "gone")
    assert hosts.ping("10.9.0.2")


def test_a_device_that_is_down_does_not_keep_the_processor_busy(hosts: Hosts) -> None:
    hosts.forward(*both_ways(ARP, IPV4))
    assert hosts.ping("10.9.0.2")
    run("ip", "-n", hosts.switch, "link", "set", "vif2", "down")
    assert hosts.forwarder is not None
    time.sleep(0.2)
    before = cpu_ticks(hosts.forwarder.pid)
    time.sleep(0.5)
    assert cpu_ticks(hosts.forwarder.pid) - before < 10
    run("ip", "-n", hosts.switch, "link", "set", "vif2", "up")
    assert hosts.ping("10.9.0.2")


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
