"""In-band control of a bridge of real devices: its own port gets the address that the controller's
row names, and the ARP of the next router gets through."""

from __future__ import annotations

import pytest
from tests.support.peers import wait_until
from tests.support.switches import RunningSwitch, needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]
CONTROLLER = "10.9.0.1"
ROUTER = "10.0.0.1"


class Stand:
    """Bridge br0 with the machine that is the router."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        self.host = lab.host
        self.switch = RunningSwitch(lab, tools, tools, ("--enable-dummy",))
        router = lab.add_vm("router", "vif1", f"{ROUTER}/24")
        self.switch.start()
        self.switch.vsctl("add-br", "br0", "--", "add-port", "br0", "vif1")
        self.router_mac = router.run("cat", "/sys/class/net/eth0/address").stdout.strip()

    def ask_for_address(self) -> None:
        self.switch.vsctl(
            "set-controller", "br0", f"tcp:{CONTROLLER}", "--", "set", "controller", "br0",
            "local_ip=10.0.0.5", "local_netmask=255.255.255.0", f"local_gateway={ROUTER}",
        )  # fmt: skip

    def hidden(self) -> list[str]:
        """Priorities of the rules about the router."""
        lines = self.switch.appctl("bridge/dump-flows", "br0").splitlines()
        found = [line.split("priority=")[1] for line in lines if self.router_mac in line]
        return sorted(line.removesuffix(",actions=NORMAL") for line in found)


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> Stand:
    return Stand(lab, tools)


def test_local_port_gets_the_address_and_the_router_of_the_controllers_row(stand: Stand) -> None:
    stand.ask_for_address()
    addresses = stand.host.run("ip", "-4", "-o", "address", "show", "br0").stdout
    assert "inet 10.0.0.5/24" in addresses
    assert f"default via {ROUTER} dev br0" in stand.host.run("ip", "route").stdout
    log = stand.switch.log()
    assert "bridge br0: configured IP address 10.0.0.5, netmask 255.255.255.0" in log
    assert f"bridge br0: configured gateway {ROUTER}" in log
    # The connection that is tried makes the host ask for the router.
    assert wait_until(lambda: len(stand.hidden()) == 2)
    assert stand.hidden() == [
        f"180003,arp,dl_dst={stand.router_mac},arp_op=2",
        f"180004,arp,dl_src={stand.router_mac},arp_op=1",
    ]


def test_router_that_the_host_has_already_is_not_set_again(stand: Stand) -> None:
    stand.host.run("ip", "address", "add", "10.0.0.5/24", "dev", "br0")
    stand.host.run("ip", "link", "set", "br0", "up")
    stand.host.run("ip", "route", "add", "default", "via", ROUTER)
    stand.ask_for_address()
    assert "configured IP address" in stand.switch.log()
    assert "configured gateway" not in stand.switch.log()
