"""A bridge of NORMAL in a running switch: no packet comes up, and nobody can tell."""

from __future__ import annotations

import re

import pytest
from tests.support.switches import needs_root

from netloom.lab.lab import Lab
from netloom.lab.namespace import VirtualMachine
from netloom.lab.switch import Programs, Switch

pytestmark = [
    pytest.mark.root,
    needs_root,
    pytest.mark.parametrize("datapath", ["kernel"], indirect=True),
]


class Lan:
    """Machines 1 to 3 in VLAN 10 and machine 4 in VLAN 20 of one bridge."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        self.lab = lab
        self.switch: Switch = lab.add_switch("switch", tools)
        self.machines: list[VirtualMachine] = []
        self.switch.start()
        self.switch.run("ovs-vsctl", "add-br", "br0")
        for n in (1, 2, 3, 4):
            self.machines.append(lab.add_vm(f"vm{n}", f"vif{n}", f"10.0.0.{n}/24"))
            tag = 20 if n == 4 else 10
            self.switch.run("ovs-vsctl", "add-port", "br0", f"vif{n}", f"tag={tag}")

    def appctl(self, *argv: str) -> str:
        return self.switch.run("ovs-appctl", *argv).stdout

    def rx_misses(self) -> int:
        found = re.search(r"lookups: hit:\d+ missed:(\d+)", self.appctl("dpctl/show"))
        assert found is not None
        return int(found[1])

    def learned(self) -> set[tuple[str, str]]:
        """VLAN and address of what `fdb/show` shows."""
        rows = [line.split() for line in self.appctl("fdb/show", "br0").splitlines()[1:]]
        return {(row[1], row[2]) for row in rows}


@pytest.fixture
def lan(lab: Lab, tools: Programs) -> Lan:
    return Lan(lab, tools)


def test_machines_talk_without_a_miss(lan: Lan) -> None:
    first, second, third, fourth = lan.machines
    lan.appctl("fdb/flush", "br0")
    before = lan.rx_misses()
    assert first.ping(second.ip_address, count=3)
    assert third.ping(second.ip_address, count=3)
    assert not first.ping(fourth.ip_address, count=1)
    assert lan.rx_misses() == before
    assert {vlan for vlan, _ in lan.learned()} <= {"10", "20"}
    assert len(lan.learned()) >= 4
    stats = lan.appctl("fdb/stats-show", "br0")
    assert f"entries in the table: {len(lan.learned())}/8192" in stats, stats
    flows = lan.appctl("dpctl/dump-flows")
    assert flows.count("actions:normal") >= 4, flows
    text = lan.switch.run("ovs-ofctl", "dump-flows", "br0").stdout
    found = re.search(r"n_packets=(\d+)", text)
    assert found is not None and int(found[1]) >= 18, text
    ports = lan.switch.run("ovs-ofctl", "dump-ports", "br0", "vif1").stdout
    counted = re.search(r"rx pkts=(\d+)", ports)
    assert counted is not None and int(counted[1]) >= 4
    lan.appctl("fdb/flush", "br0")
    assert first.ping(second.ip_address, count=1, wait_s=10)


def test_addresses_outlive_the_daemon(lan: Lan) -> None:
    first, second, *_ = lan.machines
    assert first.ping(second.ip_address, count=2)
    known = lan.learned()
    assert len(known) >= 2
    lan.switch.kill("ovs-vswitchd")
    assert first.ping(second.ip_address, count=20)
    lan.switch.start_vswitchd()
    assert first.ping(second.ip_address, count=2)
    assert known <= lan.learned()


def test_a_rule_more_and_packets_come_up(lan: Lan) -> None:
    first, second, *_ = lan.machines
    assert first.ping(second.ip_address, count=1, wait_s=10)
    lan.switch.run("ovs-ofctl", "add-flow", "br0", "priority=9,icmp,actions=drop")
    assert not first.ping(second.ip_address, count=1)
    assert "actions:normal" not in lan.appctl("dpctl/dump-flows")
    lan.switch.run("ovs-ofctl", "del-flows", "br0", "icmp")
    assert first.ping(second.ip_address, count=1, wait_s=10)
    assert "actions:normal" in lan.appctl("dpctl/dump-flows")
