"""TCP through the tracker, translation and every kind of tunnel: whatever the devices leave undone,
the data arrives intact (hash compared)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from tests.support.bulk import RECEIVER, SENDER, talk
from tests.support.kernel_programs import require_programs
from tests.support.switches import needs_root
from tests.support.tunnel_sites import ADDRESSES, ADDRESSES6, WIRE, Site, lay_wire, reach

from netloom.lab.lab import Lab
from netloom.lab.namespace import Namespace
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, pytest.mark.long, needs_root]

BYTES = "1500000"
#: What the first machine opens gets another address and port on its way into the tunnel.
TRANSLATE = """\
table=0,priority=20,in_port=vif0,ip,actions=ct(commit,zone=1,nat(src=10.0.0.77:2000-60000),table=1)
table=0,priority=20,in_port=vif0,ipv6,actions=ct(commit,zone=1,nat(src=[fd00::77]:2000-60000),table=1)
table=0,priority=10,in_port=tun0,ip,actions=ct(zone=1,nat,table=1)
table=0,priority=10,in_port=tun0,ipv6,actions=ct(zone=1,nat,table=1)
table=0,priority=0,actions=NORMAL
table=1,in_port=vif0,actions=tun0
table=1,in_port=tun0,actions=vif0
"""
#: The other side has a firewall.
TRACK = """\
table=0,priority=10,ip,actions=ct(zone=2,table=1)
table=0,priority=10,ipv6,actions=ct(zone=2,table=1)
table=0,priority=20,icmp6,actions=NORMAL
table=0,priority=0,actions=NORMAL
table=1,priority=10,ip,ct_state=+new,in_port=tun0,actions=ct(commit,zone=2),NORMAL
table=1,priority=10,ipv6,ct_state=+new,in_port=tun0,actions=ct(commit,zone=2),NORMAL
table=1,priority=10,ct_state=+est,actions=NORMAL
table=1,priority=20,ct_state=+inv,actions=drop
"""


class Tunnel(NamedTuple):
    type: str
    ends: tuple[str, str]
    options: tuple[str, ...] = ()


TUNNELS = (
    Tunnel("vxlan", ADDRESSES, ("key=7",)),
    Tunnel("vxlan", ADDRESSES, ("key=7", "csum=true")),
    Tunnel("geneve", ADDRESSES, ("key=7",)),
    Tunnel("geneve", ADDRESSES, ("key=7", "csum=true")),
    Tunnel("gre", ADDRESSES),
    Tunnel("gre", ADDRESSES, ("key=7", "csum=true")),
    Tunnel("vxlan", ADDRESSES6),
    Tunnel("geneve", ADDRESSES6),
    Tunnel("gre", ADDRESSES6, ("key=7",)),
)
#: Features of the machines' devices and of the wire's that are off.
OFF: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    ((), ()),
    (("tso", "gso"), ()),
    (("tx", "tso"), ()),
    (("gro", "rxvlan"), ("gro",)),
    ((), ("tso", "gso")),
    ((), ("tx",)),
    (("tx", "tso", "gro", "rxvlan", "txvlan"), ("tx", "tso", "gro")),
)
FEATURES = ("tx", "tso", "gso", "gro", "rxvlan", "txvlan")


def set_features(host: Namespace, device: str, off: tuple[str, ...]) -> None:
    words = [word for name in FEATURES for word in (name, "off" if name in off else "on")]
    host.run("ethtool", "-K", device, *words)


@pytest.fixture
def pair(request: pytest.FixtureRequest, tools: Programs) -> Iterator[list[Site]]:
    require_programs()
    with Lab(f"v{abs(hash(request.node.name)) % 10_000}") as lab:
        hosts = lay_wire(lab)
        sites = [Site(lab, host, n, tools, tools, "system") for n, host in enumerate(hosts)]
        for site in sites:
            address = f"fd00::{site.number + 1}/64"
            site.vm.ip("addr", "add", address, "dev", "eth0", "nodad")
        yield sites


@pytest.mark.parametrize("tunnel", TUNNELS, ids=lambda t: "-".join((t.type, t.ends[0], *t.options)))
def test_translated_connections_through_a_tunnel_deliver_intact_data(
    pair: list[Site], tunnel: Tunnel
) -> None:
    for site in pair:
        site.add_tunnel(tunnel.type, tunnel.ends[1 - site.number], *tunnel.options)
    near, far = pair
    assert reach(near.vm, far.vm)
    for address in ("10.0.0.77", "fd00::77"):
        far.vm.ip("neigh", "replace", address, "lladdr", "02:00:00:00:00:01", "dev", "eth0")
    near.vm.run("ping", "-c", "1", "fd00::2")
    near.run("ovs-ofctl", "add-flows", "br-int", "-", stdin=TRANSLATE)
    far.run("ovs-ofctl", "add-flows", "br-int", "-", stdin=TRACK)
    for of_machines, of_wire in OFF:
        for site in pair:
            set_features(site.vm, "eth0", of_machines)
            set_features(site.host, site.vm.vif, of_machines)
            set_features(site.host, WIRE, of_wire)
        for address in ("10.0.0.2", "fd00::2"):
            received, sent = talk(far.vm, near.vm, RECEIVER, SENDER, address, BYTES)
            assert received == sent, (of_machines, of_wire, address)
    assert "10.0.0.77" in near.appctl("dpctl/dump-conntrack")
    for site in pair:
        assert "Traceback" not in (site.switch.rundir / "ovs-vswitchd.log").read_text()


@pytest.mark.parametrize("tunnel", (TUNNELS[0], TUNNELS[3], TUNNELS[8]), ids=lambda t: t.type)
def test_tags_in_a_tunnel_deliver_intact_data(pair: list[Site], tunnel: Tunnel) -> None:
    """The machines are in a VLAN, the tunnel is a trunk."""
    for site in pair:
        site.add_tunnel(tunnel.type, tunnel.ends[1 - site.number], *tunnel.options)
        site.vsctl("set", "port", site.vm.vif, "tag=10")
    near, far = pair
    assert reach(near.vm, far.vm)
    for of_machines, of_wire in OFF[:1] + OFF[2:5]:
        for site in pair:
            set_features(site.vm, "eth0", of_machines)
            set_features(site.host, site.vm.vif, of_machines)
            set_features(site.host, WIRE, of_wire)
        for address in ("10.0.0.2", "fd00::2"):
            received, sent = talk(far.vm, near.vm, RECEIVER, SENDER, address, BYTES)
            assert received == sent, (of_machines, of_wire, address)
    far.vsctl("set", "port", far.vm.vif, "tag=11")
    assert not near.vm.ping("10.0.0.2", count=2)
