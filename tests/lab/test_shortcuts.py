"""Packets to machines behind veth pairs take a shortcut, and nobody notices."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.support.peers import wait_until
from tests.support.switches import needs_root

from netloom.datapath.ebpf.maps import SharedArray
from netloom.datapath.ebpf.pins import Mounts, PinDirectory
from netloom.datapath.ebpf.spec import MAPS, MAX_PORTS, OUTPUT
from netloom.lab.commands import CommandFailed
from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [
    pytest.mark.root,
    needs_root,
    pytest.mark.parametrize("datapath", ["kernel"], indirect=True),
]
_OUTPUTS = next(spec for spec in MAPS if spec.name == "outputs")


class Pair:
    """Two machines on a bridge with NORMAL, or flows that output."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        self.host = lab.host
        self.switch = lab.add_switch("switch", tools)
        self.vm1, self.vm2 = (lab.add_vm(f"vm{n}", f"vif{n}", f"10.0.0.{n}/24") for n in (1, 2))
        self.switch.start()
        self.switch.run("ovs-vsctl", "add-br", "br0")
        for n in (1, 2):
            self.switch.run("ovs-vsctl", "add-port", "br0", f"vif{n}")
        assert self.vm1.ping("10.0.0.2", count=3)
        pins = PinDirectory(str(self.switch.rundir), Mounts()).find_maps()
        self._outputs = SharedArray(pins["outputs"], _OUTPUTS)
        self.indexes = {
            name: int(self.host.run("cat", f"/sys/class/net/{name}/ifindex").stdout)
            for name in ("vif1", "vif2")
        }

    def entry(self, name: str) -> dict[str, int]:
        """What the programs know of the port's device."""
        members = [label for _, label, _ in OUTPUT.members]
        for number in range(MAX_PORTS):
            row = dict(
                zip(members, OUTPUT.unpack_from(self._outputs.view, number * OUTPUT.size))
            )  # fmt: skip
            if row["kind"] and row["ifindex"] == self.indexes[name]:
                return row
        raise AssertionError(name)

    def has_shortcut(self, name: str = "vif2") -> bool:
        return bool(self.entry(name)["peer_mac"])

    def taken(self) -> int:
        """Packets to the second machine that took the shortcut."""
        return self.entry("vif2")["packets"]


@pytest.fixture
def pair(lab: Lab, tools: Programs) -> Pair:
    made = Pair(lab, tools)
    assert wait_until(lambda: made.has_shortcut("vif1") and made.has_shortcut("vif2"))
    return made


def statistics(pair: Pair, port: int) -> tuple[int, int]:
    """Packets and bytes that the switch says it has sent there."""
    shown = pair.switch.run("ovs-ofctl", "dump-ports", "br0", str(port)).stdout
    found = re.search(r"tx pkts=(\d+), bytes=(\d+)", shown)
    assert found is not None, shown
    return int(found[1]), int(found[2])


def received(pair: Pair) -> tuple[int, int]:
    text = pair.vm2.run("cat", "/sys/class/net/eth0/statistics/rx_packets").stdout
    size = pair.vm2.run("cat", "/sys/class/net/eth0/statistics/rx_bytes").stdout
    return int(text), int(size)


def count_difference(pair: Pair) -> tuple[int, int]:
    (sent, sent_bytes), (got, got_bytes) = statistics(pair, 2), received(pair)
    return sent - got, sent_bytes - got_bytes


@pytest.mark.parametrize("flows", ["actions=NORMAL", "in_port=vif1,actions=vif2"])
def test_ports_count_what_machines_receive(pair: Pair, flows: str) -> None:
    if not flows.startswith("actions"):
        pair.switch.run("ovs-ofctl", "del-flows", "br0")
        pair.switch.run("ovs-ofctl", "add-flow", "br0", flows)
        pair.switch.run("ovs-ofctl", "add-flow", "br0", "in_port=vif2,actions=vif1")
    assert pair.vm1.ping("10.0.0.2", count=5)
    took = pair.taken()
    difference = count_difference(pair)
    assert pair.vm1.ping("10.0.0.2", count=10)
    assert pair.taken() - took >= 10
    # Machines say something unasked now and then, also between the two questions.
    assert wait_until(lambda: count_difference(pair) == difference)


def test_frames_for_others_are_not_taken_for_the_machines_own(pair: Pair) -> None:
    """A router would forward what it takes for its own."""
    pair.vm2.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    pair.switch.run("ovs-ofctl", "add-flow", "br0", "in_port=vif1,actions=vif2")
    pair.vm1.run(
        *("ip", "neigh", "replace", "10.0.0.9", "lladdr", "02:00:00:00:00:99", "dev", "eth0"),
    )
    forwarded = "cat /proc/net/snmp | awk '/^Ip:/ {print $7}' | tail -1"
    before = pair.vm2.run("sh", "-c", forwarded).stdout
    took, was = pair.taken(), received(pair)[0]
    pair.vm1.ping("10.0.0.9", count=3)
    assert received(pair)[0] - was >= 3
    assert pair.taken() == took
    assert pair.vm2.run("sh", "-c", forwarded).stdout == before


def test_machines_that_change_their_address_are_followed(pair: Pair) -> None:
    was = pair.entry("vif2")["peer_mac"]
    pair.vm2.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:77")
    assert wait_until(lambda: pair.entry("vif2")["peer_mac"] not in (0, was))
    pair.vm1.run("ip", "neigh", "flush", "all")
    took = pair.taken()
    assert pair.vm1.ping("10.0.0.2", count=5)
    assert pair.taken() > took


def test_what_is_longer_than_the_machine_takes_is_dropped(pair: Pair) -> None:
    pair.vm2.run("ip", "link", "set", "eth0", "mtu", "1000")
    assert wait_until(lambda: pair.entry("vif2")["longest"] == 1_018)
    ping = ("ping", "-c", "2", "-W", "1", "-i", "0.2", "-M", "do", "-s")
    assert "2 received" in pair.vm1.run(*ping, "900", "10.0.0.2").stdout
    with pytest.raises(CommandFailed, match="100% packet loss"):
        pair.vm1.run(*ping, "1200", "10.0.0.2")


def test_who_listens_at_the_near_end_sees_what_is_sent(pair: Pair, tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    with capture.open("wb") as stream:
        inside = ("ip", "netns", "exec", pair.host.name)
        tcpdump = subprocess.Popen(
            [*inside, "tcpdump", "-l", "-n", "-i", "vif2", "icmp"],
            stdout=stream,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert wait_until(lambda: not pair.has_shortcut("vif2"))
            assert pair.has_shortcut("vif1")
            assert pair.vm1.ping("10.0.0.2", count=3)
            assert wait_until(lambda: capture.read_text().count("echo request") == 3)
        finally:
            tcpdump.terminate()
            tcpdump.wait()
    assert wait_until(lambda: pair.has_shortcut("vif2"))


@pytest.mark.parametrize(
    ("change", "undo"),
    [
        ("tc qdisc add dev vif2 root tbf rate 1gbit burst 32k latency 1ms",
         "tc qdisc del dev vif2 root"),
        ("ethtool -K vif2 tso off", "ethtool -K vif2 tso on"),
        ("ethtool -K vif2 tx off", "ethtool -K vif2 tx on tso on"),
    ],
)  # fmt: skip
def test_there_is_no_shortcut_past_what_changes_packets(pair: Pair, change: str, undo: str) -> None:
    pair.host.run(*change.split())
    assert wait_until(lambda: not pair.has_shortcut("vif2"))
    took = pair.taken()
    assert pair.vm1.ping("10.0.0.2", count=3)
    assert pair.taken() == took
    pair.host.run(*undo.split())
    assert wait_until(lambda: pair.has_shortcut("vif2"))


def test_the_switch_can_do_without(pair: Pair) -> None:
    pair.switch.run("ovs-vsctl", "set", "Open_vSwitch", ".", "other_config:veth-shortcut=false")
    assert wait_until(lambda: not pair.has_shortcut("vif1") and not pair.has_shortcut("vif2"))
    assert pair.vm1.ping("10.0.0.2", count=3)
    pair.switch.run("ovs-vsctl", "remove", "Open_vSwitch", ".", "other_config", "veth-shortcut")
    assert wait_until(lambda: pair.has_shortcut("vif1"))


def test_a_machine_that_comes_to_the_switchs_namespace_has_none(pair: Pair) -> None:
    pair.vm2.run("ip", "link", "set", "eth0", "netns", pair.host.name)
    assert wait_until(lambda: not pair.has_shortcut("vif2"))


def test_counts_go_on_when_a_port_is_added_again(pair: Pair) -> None:
    assert pair.vm1.ping("10.0.0.2", count=5)
    packets = statistics(pair, 2)[0]
    pair.switch.run("ovs-vsctl", "del-port", "vif2")
    pair.switch.run("ovs-vsctl", "add-port", "br0", "vif2", "--", "set", "interface", "vif2",
                    "ofport_request=2")  # fmt: skip
    assert statistics(pair, 2)[0] >= packets
