"""What changed while no daemon ran holds as soon as there is one: devices that were made anew,
ports that were removed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest
from tests.support.switches import TwoMachines, needs_root

from netloom.lab.lab import Lab
from netloom.lab.namespace import VirtualMachine
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]

#: Ports and flows of before are waited for longer, if nothing says that they will not come.
SOON_S = 6


class Stand(TwoMachines):
    """Both machines and a third on br0, which have talked; then the daemon was killed."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        super().__init__(lab, tools)
        self.vm3 = lab.add_vm("vm3", "vif3", "10.0.0.3/24")
        vsctl = self.switch.vsctl
        vsctl("add-br", "br0")
        for number in (1, 2, 3):
            vsctl("add-port", "br0", f"vif{number}")
        assert self.vm1.ping("10.0.0.2", count=2) and self.vm1.ping("10.0.0.3", count=2)
        self.switch.daemons.kill("ovs-vswitchd")

    def make_anew(self, machine: VirtualMachine) -> None:
        """Another device with the name and the addresses of what was there."""
        mac = machine.run("cat", "/sys/class/net/eth0/address").stdout.strip()
        host = self.lab.host
        host.ip("link", "del", machine.vif)
        peer = ("peer", "name", "eth0", "address", mac, "netns", machine.name)
        host.ip("link", "add", machine.vif, "type", "veth", *peer)
        host.ip("link", "set", machine.vif, "up")
        machine.ip("addr", "add", f"{machine.ip_address}/24", "dev", "eth0")
        machine.ip("link", "set", "eth0", "up")

    def is_soon(self, holds: Callable[[], bool]) -> bool:
        """From the daemon's start on."""
        self.switch.daemons.start_vswitchd()
        until = time.monotonic() + SOON_S
        while time.monotonic() < until:
            if holds():
                return True
        return False


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> Stand:
    return Stand(lab, tools)


@pytest.mark.parametrize("snoops", [False, True], ids=["plain", "snooping"])
def test_a_device_that_was_made_anew_is_served(stand: Stand, snoops: bool) -> None:
    stand.make_anew(stand.vm2)
    if snoops:
        wish = ("set", "bridge", "br0", "mcast_snooping_enable=true")
        stand.switch.run("ovs-vsctl", "--no-wait", *wish)
    assert stand.is_soon(lambda: stand.vm1.ping("10.0.0.2"))
    assert stand.vm2.ping("10.0.0.3")
    assert "00:00:00:00:00:00" not in stand.switch.appctl("fdb/show", "br0")


def test_a_port_that_was_removed_gets_nothing_more(stand: Stand) -> None:
    stand.switch.run("ovs-vsctl", "--no-wait", "del-port", "vif2")
    assert stand.is_soon(lambda: not stand.vm1.ping("10.0.0.2"))
    assert stand.vm1.ping("10.0.0.3")
    shown = subprocess.run(
        ["ip", "-n", stand.lab.host.name, "-d", "link", "show", "vif2"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "promiscuity 0" in shown
