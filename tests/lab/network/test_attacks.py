"""The attack list: what a machine tries on its neighbours, on other tenants and on its host.

One machine sends every frame of the list, honest ones among them; each frame carries its name. The
victims record what arrives. Every attack is a test of its own, and so is every honest frame, as a
switch that forwards nothing would pass otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.kernel_programs import require_programs
from tests.support.switches import needs_root, own_tools

from netloom.lab.cloud import UNDERLAY, Cloud
from netloom.lab.namespace import VirtualMachine
from netloom.lab.story import CLIENT, SERVER

pytestmark = [needs_root, pytest.mark.root]
CHOICE = "NETLOOM_SYSTEM_DATAPATH"

#: The attacker's program; frames by name. me, my4, my6, mylocal: its own addresses; to, to4, to6:
#: the victim's; other, other4: those of a machine of another tenant.
FRAMES = """
import sys
from scapy.all import *
from scapy.layers.vxlan import VXLAN
me, my4, my6, mylocal, to, to4, to6, other, other4 = sys.argv[1:]
EVIL, GATEWAY, GATEWAY6 = "02:66:66:66:66:66", "10.0.0.1", "2001:db8::1"
ALL = "ff:ff:ff:ff:ff:ff"
own = Ether(src=me, dst=to)
udp = UDP(sport=1111, dport=2222)
ra = ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptPrefixInfo(prefix="2001:db8:666::")
offer = UDP(sport=67, dport=68) / BOOTP(op=2, yiaddr="10.0.0.66")
nodes = Ether(src=me, dst="33:33:00:00:00:01")
frames = {
    "honest-udp": own / IP(src=my4, dst=to4) / udp,
    "honest-udp6": own / IPv6(src=my6, dst=to6) / udp,
    "honest-arp": own / ARP(op=1, hwsrc=me, psrc=my4, pdst=to4),
    "honest-discovery": own / IPv6(src=my6, dst=to6) / ICMPv6ND_NS(tgt=to6),
    "mac": Ether(src=EVIL, dst=to) / IP(src=my4, dst=to4) / udp,
    "mac-of-the-victim": Ether(src=to, dst=ALL) / IP(src=my4, dst=to4) / udp,
    "ip": own / IP(src="10.0.0.99", dst=to4) / udp,
    "ip-of-the-gateway": own / IP(src=GATEWAY, dst=to4) / udp,
    "ip-none": own / IP(src="0.0.0.0", dst=to4) / udp,
    "ip6": own / IPv6(src="2001:db8::99", dst=to6) / udp,
    "arp-for-the-gateway": own / ARP(op=2, hwsrc=me, psrc=GATEWAY, pdst=to4),
    "arp-with-another-mac": own / ARP(op=2, hwsrc=EVIL, psrc=my4, pdst=to4),
    "arp-from-another-mac": Ether(src=EVIL, dst=to) / ARP(op=2, hwsrc=me, psrc=my4, pdst=to4),
    "neighbour-for-the-gateway": own / IPv6(src=mylocal, dst=to6)
        / ICMPv6ND_NA(tgt=GATEWAY6, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=me),
    "ra": nodes / IPv6(src=mylocal, dst="ff02::1") / ra,
    "ra-to-the-victim": own / IPv6(src=mylocal, dst=to6) / ra,
    "ra-behind-options": nodes / IPv6(src=mylocal, dst="ff02::1") / IPv6ExtHdrHopByHop() / ra,
    "ra-in-a-fragment": nodes / IPv6(src=mylocal, dst="ff02::1") / IPv6ExtHdrFragment(id=7) / ra,
    "redirect": own / IPv6(src="fe80::1", dst=to6) / ICMPv6ND_Redirect(tgt=my6, dst=GATEWAY6),
    "dhcp-offer": own / IP(src=my4, dst=to4) / offer,
    "dhcp-offer-to-all": Ether(src=me, dst=ALL) / IP(src=my4, dst="255.255.255.255") / offer,
    "dhcp-offer-of-the-server": own / IP(src="10.0.0.2", dst=to4) / offer,
    "dhcpv6-reply": own / IPv6(src=mylocal, dst=to6) / UDP(sport=547, dport=546)
        / DHCP6_Reply(trid=1),
    "spanning-tree": Dot3(src=me, dst="01:80:c2:00:00:00") / LLC() / STP(),
    "other-type": Ether(src=me, dst=to, type=0x88B5),
    "tenant-by-mac": Ether(src=me, dst=other) / IP(src=my4, dst=other4) / udp,
    "tenant-by-arp": Ether(src=me, dst=ALL) / ARP(op=1, hwsrc=me, psrc=my4, pdst=other4),
}
for vlan in (*range(0, 5), *range(100, 105)):
    tagged = Ether(src=me, dst=other) / Dot1Q(vlan=vlan)
    frames[f"tenant-by-vlan-{vlan}"] = tagged / IP(src=my4, dst=other4) / udp
    frames[f"tenant-by-two-tags-{vlan}"] = (
        Ether(src=me, dst=other, type=0x88A8) / Dot1Q(vlan=vlan) / Dot1Q(vlan=vlan)
        / IP(src=my4, dst=other4) / udp
    )
for number in range(1, 6):
    # What another host would send to this one for the other tenant's network.
    inner = Ether(src=me, dst=other) / IP(src=my4, dst=other4) / udp
    for host in ("192.168.100.1", "192.168.100.2"):
        for way, outer in (("neighbour", own), ("all", Ether(src=me, dst=ALL))):
            end = f"{number}-at-{host}-by-{way}"
            frames[f"tenant-by-vxlan-{end}"] = (
                outer / IP(src=my4, dst=host) / UDP(sport=4789, dport=4789)
                / VXLAN(vni=number, flags=8) / inner
            )
            frames[f"tenant-by-gre-{end}"] = (
                outer / IP(src=my4, dst=host) / GRE(proto=0x6558, key_present=1, key=number) / inner
            )
wire = conf.L2socket(iface="eth0")
for name, frame in [*frames.items(), ("honest-last", frames["honest-udp"])]:
    # The name is behind the packet, where a frame's padding is.
    wire.send(Raw(bytes(frame).ljust(60, b"\\0") + f"<{name}>".encode()))
print(" ".join(frames))
"""
HONEST = ("honest-udp", "honest-udp6", "honest-arp", "honest-discovery")
NEIGHBOUR = (
    "mac",
    "mac-of-the-victim",
    "ip",
    "ip-of-the-gateway",
    "ip-none",
    "ip6",
    "arp-for-the-gateway",
    "arp-with-another-mac",
    "arp-from-another-mac",
    "neighbour-for-the-gateway",
    "ra",
    "ra-to-the-victim",
    "ra-behind-options",
    "ra-in-a-fragment",
    "redirect",
    "dhcp-offer",
    "dhcp-offer-to-all",
    "dhcp-offer-of-the-server",
    "dhcpv6-reply",
    "spanning-tree",
    "other-type",
)
VLANS = (*range(5), *range(100, 105))


@dataclass(frozen=True)
class Scene:
    """After the attacks: what was sent, and what each victim received."""

    cloud: Cloud
    attacker: VirtualMachine
    sent: frozenset[str]
    neighbour: bytes
    tenant: bytes


@pytest.fixture(
    scope="module",
    params=[("kernel", ""), ("userspace", ""), ("kernel", "vxlan"), ("userspace", "gre")],
    ids=["kernel-vlan", "userspace-vlan", "kernel-vxlan", "userspace-gre"],
)
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("attacks")
    datapath, tunnel = request.param
    tunnels = (tunnel,) if tunnel else ()
    with pytest.MonkeyPatch.context() as patch:
        if datapath == "kernel":
            require_programs()
        patch.setenv(CHOICE, datapath)
        with Cloud("at", programs=own_tools(directory / "t"), tunnels=tunnels) as cloud:
            cloud.serve()
            cloud.add_host("a")
            cloud.add_host("b")
            cloud.start()
            yield attacked(cloud, directory)


def machine(cloud: Cloud, project: str, label: str, host: str) -> tuple[VirtualMachine, list[str]]:
    """A machine that lets everything in: it, and its MAC and IP addresses."""
    make = cloud.api.make
    owner = {"tenant_id": project}
    known = cloud.api.request("GET", f"networks?name={project}")["networks"]
    if known:
        network = known[0]
    else:
        network = make("network", name=project, **owner)
        for version, cidr in ((4, "10.0.0.0/24"), (6, "2001:db8::/64")):
            more = {"ip_version": version, "enable_dhcp": False, **owner}
            make("subnet", network_id=network["id"], cidr=cidr, **more)
    group = make("security_group", name=label, **owner)
    for kind in ("IPv4", "IPv6"):
        rule = {"direction": "ingress", "ethertype": kind, **owner}
        make("security_group_rule", security_group_id=group["id"], **rule)
    at = cloud.hosts[host]
    port = cloud.port(network, at, project, security_groups=[group["id"]])
    addresses = sorted((one["ip_address"] for one in port["fixed_ips"]), key=lambda one: ":" in one)
    return cloud.boot(label, at, port), [port["mac_address"], *addresses]


def local(mac: str) -> str:
    """The link-local address of a MAC address."""
    octets = bytes.fromhex(mac.replace(":", ""))
    words = bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:])).hex()
    return f"fe80::{words[:4]}:{words[4:8]}:{words[8:12]}:{words[12:]}"


def attacked(cloud: Cloud, directory: Path) -> Scene:
    attacker, mine = machine(cloud, "blue", "evil", "a")
    victim, his = machine(cloud, "blue", "victim", "b")
    other, foreign = machine(cloud, "red", "other", "a")
    files = {victim: directory / "victim", other: directory / "other"}
    for vm, file in files.items():
        record = ("tcpdump", "-i", "eth0", "-U", "-Z", "root", "-w", str(file))
        cloud.spawn(vm, "tcpdump", *record)
    log = cloud.directory / "victim" / "tcpdump.log"
    cloud.wait("the victim listens", lambda: log.exists() and "listening" in log.read_text())
    log = cloud.directory / "other" / "tcpdump.log"
    cloud.wait("the other listens", lambda: log.exists() and "listening" in log.read_text())
    cloud.wait("they talk", lambda: attacker.ping(his[1], 1) and attacker.ping(his[2], 1))
    words = [*mine, local(mine[0]), *his, *foreign[:2]]
    sent = attacker.run(sys.executable, "-c", FRAMES, *words).stdout.split()
    # Those whose flow is there already pass others.
    for name in (*HONEST, "honest-last"):
        mark = f"<{name}>".encode()
        cloud.wait(f"{name} arrives", lambda: mark in files[victim].read_bytes())  # noqa: B023
    # The other tenant hears of nothing; its own question shows that its record is complete.
    length = files[other].stat().st_size
    other.ping("10.0.0.77", 1)
    cloud.wait("the question is recorded", lambda: files[other].stat().st_size > length)
    return Scene(
        cloud,
        attacker,
        frozenset(sent),
        files[victim].read_bytes(),
        files[other].read_bytes(),
    )


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_frame_arrives(scene: Scene, name: str) -> None:
    assert f"<{name}>".encode() in scene.neighbour


@pytest.mark.parametrize("name", NEIGHBOUR)
def test_a_neighbour_does_not_receive(scene: Scene, name: str) -> None:
    assert name in scene.sent
    assert f"<{name}>".encode() not in scene.neighbour


def test_nothing_at_all_reaches_another_tenant(scene: Scene) -> None:
    tried = {name for name in scene.sent if name.startswith("tenant-")}
    assert tried >= {f"tenant-by-vlan-{vlan}" for vlan in VLANS}
    assert len([name for name in tried if "-vxlan-" in name or "-gre-" in name]) == 40
    assert {name for name in scene.sent if f"<{name}>".encode() in scene.tenant} == set()


def test_the_host_s_services_are_out_of_reach(scene: Scene) -> None:
    cloud, host = scene.cloud, scene.cloud.hosts["a"]
    stand_in = VirtualMachine(host.namespace.name, "a-services", "", "")
    cloud.spawn(stand_in, "server", sys.executable, "-c", SERVER, "8080")
    here = ("python3", "-c", CLIENT, host.address, "8080")
    cloud.wait("the host serves", lambda: host.namespace.run(*here, check=False).ok)
    devices = ("eth-physnet1", "br-int", "br-physnet1", "br-underlay", "br-tun")
    for device in devices:
        if host.namespace.run("ip", "link", "show", device, check=False).ok:
            mac = host.namespace.run("cat", f"/sys/class/net/{device}/address").stdout.strip()
            scene.attacker.ip("neigh", "replace", host.address, "lladdr", mac, "dev", "eth0")
            scene.attacker.ip("route", "replace", host.address, "dev", "eth0")
            assert not scene.attacker.run(*here, check=False).ok, device
    for number in range(1, 3):
        assert not scene.attacker.ping(UNDERLAY.format(number), 1)
