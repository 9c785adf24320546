"""Spanning trees over real wires, on both data paths: no packet goes round, and a wire that is cut
is replaced; with RSTP among our bridges, and beside the Linux bridge, which speaks STP."""

from __future__ import annotations

import time

import pytest
from tests.support.peers import wait_until
from tests.support.switches import TwoMachines, needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]


class Stand(TwoMachines):
    """Bridge br0 with vm1, and wires to whatever is at their other ends."""

    def wire(self, one: str, other: str) -> None:
        self.lab.host.ip("link", "add", one, "type", "veth", "peer", "name", other)
        for name in (one, other):
            self.lab.host.ip("link", "set", name, "up")

    def bridge(self, name: str, protocol: str, *ports: str) -> None:
        words = ["add-br", name, "--", "set", "bridge", name, f"{protocol}_enable=true"]
        for port in ports:
            words += ["--", "add-port", name, port]
        self.switch.vsctl(*words)

    def states(self, protocol: str, bridge: str) -> dict[str, str]:
        """Port -> state."""
        lines = self.switch.appctl(f"{protocol}/show", bridge).splitlines()
        table = [line.split() for line in lines[lines.index("") + 1 :] if line.startswith("  ")]
        return {row[0]: row[2].lower() for row in table if row[-1].count(".") == 1}

    def received(self) -> int:
        """Packets that vm2 has received."""
        path = "/sys/class/net/eth0/statistics/rx_packets"
        return int(self.vm2.run("cat", path).stdout)


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> Stand:
    return Stand(lab, tools)


def test_bridges_with_two_wires_use_one_and_then_the_other(stand: Stand) -> None:
    for wire in ("w1", "w2"):
        stand.wire(f"{wire}a", f"{wire}b")
    stand.bridge("br0", "rstp", "vif1", "w1a", "w2a")
    stand.bridge("br1", "rstp", "vif2", "w1b", "w2b")
    assert wait_until(lambda: stand.vm1.ping("10.0.0.2", wait_s=0.5))

    def blocked() -> list[str]:
        states = stand.states("rstp", "br0") | stand.states("rstp", "br1")
        return [name for name, state in states.items() if state == "discarding"]

    assert wait_until(lambda: len(blocked()) == 1), blocked()
    before = stand.received()
    stand.vm1.ping("10.0.0.99", count=3, wait_s=0.3)
    assert stand.received() - before < 40, "a broadcast goes round"
    used = "w2a" if blocked()[0].startswith("w1") else "w1a"
    stand.lab.host.ip("link", "set", used, "down")
    cut = time.monotonic()
    assert wait_until(lambda: stand.vm1.ping("10.0.0.2", wait_s=0.2))
    assert time.monotonic() - cut < 6
    assert wait_until(
        lambda: blocked() in ([used], [used[:-1] + "b"], sorted([used, used[:-1] + "b"]))
    )


@pytest.mark.parametrize("protocol", ["stp", "rstp"])
def test_the_linux_bridge_is_part_of_the_tree(stand: Stand, protocol: str) -> None:
    host = stand.lab.host
    for wire in ("w1", "w2"):
        stand.wire(f"{wire}a", f"{wire}b")
    # In hundredths of a second: the least that it takes.
    host.ip("link", "add", "lb0", "type", "bridge", "stp_state", "1", "forward_delay", "400",
            "hello_time", "100", "max_age", "600", "priority", "4096")  # fmt: skip
    for name in ("vif2", "w1b", "w2b"):
        host.ip("link", "set", name, "master", "lb0")
    host.ip("link", "set", "lb0", "up")
    stand.bridge("br0", protocol, "vif1", "w1a", "w2a")
    assert wait_until(lambda: stand.vm1.ping("10.0.0.2", wait_s=0.5), 40)
    assert "This bridge is the root" not in stand.switch.appctl(f"{protocol}/show", "br0")
    states = stand.states(protocol, "br0")
    assert sorted((states["w1a"], states["w2a"])) in (
        ["blocking", "forwarding"],
        ["discarding", "forwarding"],
    )
    before = stand.received()
    stand.vm1.ping("10.0.0.99", count=3, wait_s=0.3)
    assert stand.received() - before < 40, "a broadcast goes round"
