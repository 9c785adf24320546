"""QoS of ports and ingress policing on real devices, on both data paths."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.support.peers import wait_until
from tests.support.switches import TwoMachines, needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]

#: Prints the TOS that the first packet to port 9 came with.
LISTENER = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("10.0.0.2", 9))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
sock.settimeout(40)
print("ready", flush=True)
_, extra, _, _ = sock.recvmsg(100, 100)
print(extra[0][2][0], flush=True)
"""
#: Sends packets to port 9 until it is ended.
TALKER = """
import socket, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    sock.sendto(b"x" * 100, ("10.0.0.2", 9))
    time.sleep(0.05)
"""
HTB = (
    "--", "--id=@q", "create", "qos", "type=linux-htb", "other-config:max-rate=50000000",
    "queues:0=@a", "queues:5=@b", "--", "--id=@a", "create", "queue",
    "other-config:min-rate=2000000", "--", "--id=@b", "create", "queue", "dscp=46",
    "other-config:min-rate=1000000", "other-config:priority=2",
)  # fmt: skip


class Stand(TwoMachines):
    """Bridge br0 with vif1 and vif2, behind which are 10.0.0.1 and 10.0.0.2."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        super().__init__(lab, tools)
        self.switch.vsctl("add-br", "br0", "--", "add-port", "br0", "vif1")
        self.switch.vsctl("add-port", "br0", "vif2")

    def classes(self) -> dict[str, int]:
        """tc's classes of vif2 -> the packets that each has sent."""
        told = self.lab.host.run("tc", "-s", "class", "show", "dev", "vif2").stdout
        rows = [row.split() for row in told.split("class htb ")[1:]]
        return {row[0]: int(row[row.index("bytes") + 1]) for row in rows}

    def kinds(self) -> list[str]:
        """The disciplines of vif2 that somebody asked for."""
        told = self.lab.host.run("tc", "qdisc", "show", "dev", "vif2").stdout
        rows = [row.split() for row in told.splitlines()]
        return [row[1] for row in rows if row[2] == "1:"]

    def queue_packets(self, queue: int) -> int:
        told = self.switch.ofctl("queue-stats", "br0", "vif2", str(queue))
        return int(told.partition("pkts=")[2].partition(",")[0])


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> Stand:
    return Stand(lab, tools)


def test_packets_go_to_the_queue_that_flows_choose_and_are_counted_there(stand: Stand) -> None:
    stand.switch.vsctl("set", "port", "vif2", "qos=@q", *HTB)
    assert set(stand.classes()) == {"1:1", "1:6", "1:fffe"}
    assert stand.vm1.ping("10.0.0.2", count=5)
    assert stand.queue_packets(5) == 0
    before = stand.queue_packets(0)
    assert before > 0
    stand.switch.ofctl("add-flow", "br0", "icmp,in_port=vif1,actions=set_queue:5,NORMAL")
    assert stand.vm1.ping("10.0.0.2", count=5)
    assert stand.queue_packets(5) == stand.classes()["1:6"] >= 5


def test_a_queue_of_one_output_is_not_that_of_the_next(stand: Stand) -> None:
    stand.switch.vsctl("set", "port", "vif2", "qos=@q", *HTB)
    stand.switch.ofctl(
        "add-flow", "br0", "icmp,in_port=vif1,actions=set_queue:5,output:LOCAL,pop_queue,vif2"
    )
    assert stand.vm1.ping("10.0.0.2", count=5)
    assert stand.queue_packets(5) == 0
    stand.switch.ofctl("del-flows", "br0", "icmp")
    stand.switch.ofctl(
        "-O", "OpenFlow10", "add-flow", "br0", "icmp,in_port=vif1,actions=enqueue:vif2:5"
    )
    assert stand.vm1.ping("10.0.0.2", count=5)
    assert stand.queue_packets(5) >= 5


def test_packets_of_a_queue_carry_its_dscp(stand: Stand) -> None:
    stand.switch.vsctl("set", "port", "vif2", "qos=@q", *HTB)
    stand.switch.ofctl("add-flow", "br0", "udp,in_port=vif1,actions=set_queue:5,NORMAL")
    inside = ["nsenter", f"--net=/run/netns/{stand.vm2.name}", sys.executable, "-c", LISTENER]
    outside = ["nsenter", f"--net=/run/netns/{stand.vm1.name}", sys.executable, "-c", TALKER]
    with subprocess.Popen(inside, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "ready\n"
        with subprocess.Popen(outside) as talker:
            answer = listener.stdout.readline()
            talker.kill()
    assert answer == f"{46 << 2}\n"


def test_changes_and_removal_reach_the_device(stand: Stand) -> None:
    stand.switch.vsctl("set", "port", "vif2", "qos=@q", *HTB)
    shown = stand.switch.appctl("qos/show", "vif2")
    assert shown.startswith("QoS: vif2 linux-htb\nmax-rate: 50000000\n\nDefault:\n")
    assert "\nQueue 5:\n" in shown
    stand.switch.vsctl("remove", "qos", stand.switch.get("port", "vif2", "qos"), "queues", "5")
    assert set(stand.classes()) == {"1:1", "1:fffe"}
    stand.switch.vsctl("clear", "port", "vif2", "qos")
    assert stand.kinds() == []
    shown = stand.switch.run("ovs-appctl", "qos/show", "vif2", check=False)
    assert "QoS not configured on vif2\n" in shown.stdout + shown.stderr
    assert stand.vm1.ping("10.0.0.2", count=3)


def test_queues_outlive_the_daemon_and_the_next_one_takes_them_over(stand: Stand) -> None:
    stand.switch.vsctl("set", "port", "vif2", "qos=@q", *HTB)
    assert stand.vm1.ping("10.0.0.2", count=5)
    before = stand.classes()["1:1"]
    stand.switch.daemons.kill("ovs-vswitchd")
    assert stand.kinds() == ["htb"]
    stand.switch.daemons.start_vswitchd()
    assert stand.classes()["1:1"] >= before > 0
    assert stand.queue_packets(0) >= before
    stand.switch.daemons.kill("ovs-vswitchd")
    stand.switch.run("ovs-vsctl", "--no-wait", "clear", "port", "vif2", "qos")
    stand.switch.daemons.start_vswitchd()
    assert stand.kinds() == []


def test_a_port_that_goes_loses_its_queues(stand: Stand) -> None:
    stand.switch.vsctl("set", "port", "vif2", "qos=@q", *HTB)
    stand.switch.vsctl("del-port", "vif2")
    assert stand.kinds() == []


def test_a_device_that_comes_back_has_its_queues_again(stand: Stand) -> None:
    stand.switch.vsctl("set", "port", "vif2", "qos=@q", *HTB)
    host = stand.lab.host
    host.ip("link", "del", "vif2")
    assert wait_until(lambda: stand.switch.get("interface", "vif2", "ofport") == "-1")
    host.ip("link", "add", "vif2", "type", "veth", "peer", "name", "other2")
    host.ip("link", "set", "vif2", "up")
    assert wait_until(lambda: stand.switch.get("interface", "vif2", "ofport") != "-1")
    assert wait_until(lambda: stand.kinds() == ["htb"])


def test_noop_leaves_the_device_to_its_administrator(stand: Stand) -> None:
    stand.switch.vsctl(
        "set", "port", "vif2", "qos=@q", "--", "--id=@q", "create", "qos", "type=linux-noop"
    )
    host = stand.lab.host
    host.run("tc", "qdisc", "add", "dev", "vif2", "root", "handle", "1:", "tbf", "rate", "1gbit",
             "burst", "1mb", "latency", "10ms")  # fmt: skip
    stand.switch.vsctl("set", "port", "vif1", "other-config:x=y")
    assert stand.kinds() == ["tbf"]
    stand.switch.vsctl("clear", "port", "vif2", "qos")
    assert stand.kinds() == ["tbf"]
    stand.switch.vsctl("set", "port", "vif2", "qos=@q", *HTB)
    assert stand.kinds() == ["htb"]


def test_a_type_that_cannot_be_had_is_named_in_the_log(stand: Stand) -> None:
    for type_ in ("egress-policer", "nonsense"):
        stand.switch.vsctl(
            "set", "port", "vif2", "qos=@q", "--", "--id=@q", "create", "qos", f"type={type_}"
        )
    log = stand.switch.log()
    assert "vif2: QoS type egress-policer is only for devices that DPDK drives" in log
    assert "vif2: unknown QoS type nonsense" in log
    assert stand.vm1.ping("10.0.0.2", count=3)


def test_what_comes_in_too_fast_is_dropped_and_counted(stand: Stand) -> None:
    assert stand.vm1.ping("10.0.0.2", count=3)
    # A bucket of 1000 bytes, in which a packet of 1442 never finds room.
    stand.switch.vsctl(
        "set", "interface", "vif1", "ingress_policing_rate=8000", "ingress_policing_burst=8"
    )
    ping = ("ping", "-c", "1", "-W", "1")
    assert not stand.vm1.run(*ping, "-s", "1400", "10.0.0.2", check=False).ok
    assert stand.vm1.ping("10.0.0.2", count=5)
    counted = stand.switch.ofctl("-O", "OpenFlow14", "dump-ports", "br0", "vif1")
    assert "ovs_rx_qos_drops=1" in counted
    # The other direction is not limited.
    assert stand.vm2.run(*ping, "-s", "1400", "-I", "10.0.0.2", "10.0.0.1", check=False).ok is False
    stand.switch.vsctl(
        "set", "interface", "vif1", "ingress_policing_rate=0", "ingress_policing_burst=0"
    )
    assert stand.vm1.run(*ping, "-s", "1400", "10.0.0.2", check=False).ok


def test_policing_outlives_the_daemon_and_goes_with_the_port(stand: Stand) -> None:
    stand.switch.vsctl(
        "set", "interface", "vif1", "ingress_policing_rate=8000", "ingress_policing_burst=8"
    )
    ping = ("ping", "-c", "1", "-W", "1", "-s", "1400", "10.0.0.2")
    stand.switch.daemons.kill("ovs-vswitchd")
    stand.switch.daemons.start_vswitchd()
    assert stand.vm1.ping("10.0.0.2", count=5)
    assert not stand.vm1.run(*ping, check=False).ok
    stand.switch.vsctl("del-port", "vif1", "--", "add-port", "br0", "vif1")
    assert stand.vm1.run(*ping, check=False).ok


def test_a_daemon_that_cleans_up_leaves_no_queues(stand: Stand) -> None:
    stand.switch.vsctl("set", "port", "vif2", "qos=@q", *HTB)
    stand.switch.appctl("exit", "--cleanup")
    assert wait_until(lambda: stand.kinds() == [])


def test_cleanup_takes_off_the_queues_that_a_killed_daemon_left(stand: Stand) -> None:
    host = ("nsenter", f"--net=/run/netns/{stand.lab.host.name}")
    stand.switch.vsctl("set", "port", "vif2", "qos=@q", *HTB)
    stand.lab.host.run("tc", "qdisc", "add", "dev", "vif1", "root", "handle", "1:", "pfifo")
    assert wait_until(lambda: stand.kinds() == ["htb"])
    stand.switch.daemons.kill("ovs-vswitchd")
    assert stand.kinds() == ["htb"]
    stand.switch.run(*host, "ovs-vswitchd", "--cleanup")
    assert stand.kinds() == []
    assert "pfifo 1:" in stand.lab.host.run("tc", "qdisc", "show", "dev", "vif1").stdout


def test_a_discipline_of_somebody_else_makes_room(stand: Stand) -> None:
    stand.lab.host.run("tc", "qdisc", "add", "dev", "vif2", "root", "handle", "7:", "pfifo")
    stand.switch.vsctl("set", "port", "vif2", "qos=@q", *HTB)
    wait_until(lambda: stand.kinds() == ["htb"])
