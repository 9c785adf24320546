"""Packets that are too long: dropped and counted where a port's device is too small; told to their
sender where a tunnel's headers make them so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.bulk import RECEIVER, SENDER, talk
from tests.support.kernel_programs import require_programs
from tests.support.peers import wait_until
from tests.support.switches import TwoMachines, needs_root
from tests.support.tunnel_sites import ADDRESSES, ADDRESSES6, Site, lay_wire, reach

from netloom.lab.lab import Lab
from netloom.lab.namespace import Namespace
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]

#: Bytes of headers before the inner packet's IP header, less Ethernet's of the outer.
HEADERS = {"vxlan": 50, "geneve": 50, "gre": 38}
#: All IP through the tracker, so that the answer is judged.
TRACK = """\
table=0,priority=10,ip,actions=ct(zone=2,table=1)
table=0,priority=0,actions=NORMAL
table=1,priority=10,ip,ct_state=+new,actions=ct(commit,zone=2),NORMAL
table=1,priority=10,ip,ct_state=+est,actions=NORMAL
table=1,priority=10,ip,ct_state=+rel,actions=NORMAL
table=1,priority=20,ip,ct_state=+inv,actions=drop
"""


def says(machine: Namespace, address: str, size: int, *options: str) -> str:
    """What ping(8) prints about packets of `size` bytes that may not be cut."""
    argv = ("ping", "-n", "-M", "do", "-c", "1", "-W", "1", "-s", str(size), *options, address)
    found = machine.run(*argv, check=False)
    return found.stdout + found.stderr


def arrives(machine: Namespace, address: str, size: int) -> bool:
    return "1 received" in says(machine, address, size)


@pytest.mark.parametrize(
    "flows", ["", "priority=5,ip,actions=vif1,vif2", "priority=5,ip,actions=vif2"]
)
def test_a_packet_longer_than_its_ports_mtu_is_dropped_and_counted(
    lab: Lab, tools: Programs, flows: str
) -> None:
    stand = TwoMachines(lab, tools)
    stand.switch.vsctl(
        "add-br", "br0", "--", "add-port", "br0", "vif1", "--", "add-port", "br0", "vif2"
    )
    assert stand.vm1.ping("10.0.0.2", count=3)
    # The machine would take it, the port's device does not.
    lab.host.ip("link", "set", "vif2", "mtu", "1000")
    if flows:
        stand.switch.run("ovs-ofctl", "add-flow", "br0", f"in_port=vif1,{flows}")
        stand.switch.run("ovs-ofctl", "add-flow", "br0", "priority=5,ip,in_port=vif2,actions=vif1")

    def count() -> int:
        shown = stand.switch.vsctl("get", "interface", "vif2", "statistics")
        counts = dict(pair.split("=") for pair in shown.strip()[1:-1].split(", "))
        return int(counts["tx_errors"]) + int(counts["tx_dropped"])

    assert wait_until(lambda: not arrives(stand.vm1, "10.0.0.2", 973))
    assert arrives(stand.vm1, "10.0.0.2", 972)
    stand.switch.vsctl("set", "Open_vSwitch", ".", "other_config:stats-update-interval=1000")
    assert wait_until(lambda: count() >= 1)
    lab.host.ip("link", "set", "vif2", "mtu", "1500")
    assert wait_until(lambda: arrives(stand.vm1, "10.0.0.2", 1472))


@pytest.fixture
def pair(request: pytest.FixtureRequest, tools: Programs) -> Iterator[list[Site]]:
    """Sites whose wire is as short as their machines' devices."""
    require_programs()
    with Lab(f"w{abs(hash(request.node.name)) % 10_000}") as lab:
        hosts = lay_wire(lab, mtu=1_500)
        sites = [Site(lab, host, n, tools, tools, "system") for n, host in enumerate(hosts)]
        for site in sites:
            address = f"fd00::{site.number + 1}/64"
            site.vm.ip("addr", "add", address, "dev", "eth0", "nodad")
        yield sites


@pytest.mark.parametrize(
    ("kind", "ends", "is_tracked"),
    [
        ("vxlan", ADDRESSES, False), ("vxlan", ADDRESSES6, True), ("geneve", ADDRESSES, True),
        ("geneve", ADDRESSES6, False), ("gre", ADDRESSES, True), ("gre", ADDRESSES6, False),
    ],
)  # fmt: skip
def test_the_sender_of_what_a_tunnel_makes_too_long_is_told(
    pair: list[Site], kind: str, ends: tuple[str, str], is_tracked: bool
) -> None:
    for site in pair:
        site.add_tunnel(kind, ends[1 - site.number])
    near, far = pair
    assert reach(near.vm, far.vm)
    near.vm.run("ping", "-c", "2", "fd00::2", check=False)
    if is_tracked:
        near.run("ovs-ofctl", "add-flows", "br-int", "-", stdin=TRACK)
    mtu = 1_500 - HEADERS[kind] - (20 if ":" in ends[0] else 0)
    assert f"mtu = {mtu}" in says(near.vm, "10.0.0.2", 1_472)
    assert f"mtu {mtu}" in near.vm.run("ip", "route", "get", "10.0.0.2").stdout
    assert arrives(near.vm, "10.0.0.2", mtu - 28)
    assert f"mtu={mtu}" in says(near.vm, "fd00::2", 1_452)
    assert arrives(near.vm, "fd00::2", mtu - 48)
    # The far machine knows nothing yet, and now the near one neither; what they hear makes them
    # send shorter ones.
    for family in ("-4", "-6"):
        near.vm.ip(family, "route", "flush", "cache")
    for address in ("10.0.0.1", "fd00::1"):
        received, sent = talk(near.vm, far.vm, RECEIVER, SENDER, address, "1000000")
        assert received == sent
    assert f"mtu {mtu}" in far.vm.run("ip", "route", "get", "10.0.0.1").stdout
    for site in pair:
        assert "Traceback" not in (site.switch.rundir / "ovs-vswitchd.log").read_text()


@pytest.mark.parametrize("datapath", ["kernel"], indirect=True)
@pytest.mark.parametrize("flows", ["", "priority=5,ip,actions=vif2"])
def test_longer_packets_pass_as_soon_as_the_device_takes_them(
    lab: Lab, tools: Programs, flows: str
) -> None:
    stand = TwoMachines(lab, tools)
    stand.switch.vsctl(
        "add-br", "br0", "--", "add-port", "br0", "vif1", "--", "add-port", "br0", "vif2"
    )
    if flows:
        stand.switch.run("ovs-ofctl", "add-flow", "br0", f"in_port=vif1,{flows}")
        stand.switch.run("ovs-ofctl", "add-flow", "br0", "priority=5,ip,in_port=vif2,actions=vif1")
    for machine in (stand.vm1, stand.vm2):
        machine.ip("link", "set", "eth0", "mtu", "9000")
    assert stand.vm1.ping("10.0.0.2", count=3)
    # Nobody but the kernel can know it.
    stand.switch.daemons.kill("ovs-vswitchd")
    assert not arrives(stand.vm1, "10.0.0.2", 8_000)
    for device in ("vif1", "vif2"):
        lab.host.ip("link", "set", device, "mtu", "9000")
    assert arrives(stand.vm1, "10.0.0.2", 8_000)
    assert not arrives(stand.vm1, "10.0.0.2", 8_973)
    stand.switch.daemons.start_vswitchd()
