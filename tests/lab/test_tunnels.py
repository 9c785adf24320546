"""Two hosts, each with a switch and a machine, and a tunnel between them over a wire.

As in the manual of native tunnels in user space: br-phy holds the wire and the address, br-int the
machine and the tunnel. The other end is another of our switches, Debian's, or the kernel's own
device.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from tests.support.kernel_programs import require_programs
from tests.support.peers import peer_tools, wait_until
from tests.support.switches import needs_root
from tests.support.tunnel_sites import ADDRESSES, ADDRESSES6, Site, lay_wire, reach

from netloom.lab.lab import Lab
from netloom.lab.namespace import Namespace, VirtualMachine
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]


@pytest.fixture
def wired(request: pytest.FixtureRequest) -> Iterator[tuple[Lab, Namespace, Namespace]]:
    """Two hosts with a wire between them: eth9 in both."""
    with Lab(f"u{abs(hash(request.node.name)) % 10_000}") as lab:
        yield lab, *lay_wire(lab)


def _copy(source: VirtualMachine, target: VirtualMachine) -> bytes:
    """What arrives of 200 kB sent over TCP."""
    found: list[bytes] = []
    program = (
        'import socket,sys;s=socket.create_server(("0.0.0.0",5001));print(1,flush=True);'
        'c,_=s.accept();d=b""\n'
        "while (b:=c.recv(65536)): d+=b\n"
        "print(len(d),sum(d))"
    )
    receive_at = f'("{target.ip_address}",5001)'
    send = (
        "import socket,time\n"
        "for _ in range(1000):\n"
        f" try: s=socket.create_connection({receive_at},60); break\n"
        " except ConnectionRefusedError: time.sleep(.05)\n"
        "s.sendall(bytes(range(200))*1000); s.close()"
    )
    receiver = threading.Thread(
        target=lambda: found.append(target.run("python3", "-c", program).stdout.encode())
    )
    receiver.start()
    source.run("python3", "-c", send)
    receiver.join(60)
    return found[0].split(b"\n")[1]


TUNNELS = (
    ("vxlan", ADDRESSES, ("key=7",)),
    ("geneve", ADDRESSES, ("key=7", "csum=true")),
    ("gre", ADDRESSES, ("key=7",)),
    ("vxlan", ADDRESSES6, ()),
)


@pytest.mark.parametrize("datapath_type", ["netdev", "system"])
@pytest.mark.parametrize(("type_", "ends", "options"), TUNNELS)
def test_machines_talk_through_a_tunnel(
    wired: tuple[Lab, Namespace, Namespace],
    tools: Programs,
    type_: str,
    ends: tuple[str, str],
    options: tuple[str, ...],
    datapath_type: str,
) -> None:
    lab, near, far = wired
    if datapath_type == "system":
        require_programs()
    sites = [Site(lab, host, n, tools, tools, datapath_type) for n, host in enumerate((near, far))]
    for site in sites:
        site.add_tunnel(type_, ends[1 - site.number], *options)
    assert reach(sites[0].vm, sites[1].vm)
    assert _copy(sites[0].vm, sites[1].vm) == b"200000 %d" % (sum(range(200)) * 1000)
    assert ends[1] in sites[0].appctl("tnl/neigh/show")
    assert wait_until(lambda: "tunnel_egress_iface=br-phy" in sites[0].status())


@pytest.mark.interop
@pytest.mark.parametrize("datapath_type", ["netdev", "system"])
@pytest.mark.parametrize("type_", ["vxlan", "geneve", "gre"])
def test_the_other_end_may_be_open_vswitch(
    wired: tuple[Lab, Namespace, Namespace], tools: Programs, type_: str, datapath_type: str
) -> None:
    lab, near, far = wired
    peer = peer_tools()
    sites = [Site(lab, near, 0, tools, tools, datapath_type), Site(lab, far, 1, peer, peer)]
    for site in sites:
        site.add_tunnel(type_, ADDRESSES[1 - site.number], "key=9")
    # Only pings: what its machine sends over TCP, Debian's switch leaves without checksums.
    assert reach(sites[0].vm, sites[1].vm)
    assert ADDRESSES[0] in sites[1].appctl("tnl/neigh/show")


@pytest.mark.parametrize("datapath_type", ["netdev", "system"])
def test_the_other_end_may_be_a_device_of_the_kernel(
    wired: tuple[Lab, Namespace, Namespace], tools: Programs, datapath_type: str
) -> None:
    lab, near, far = wired
    made = far.run(
        "ip", "link", "add", "vx0", "type", "vxlan", "id", "42", "dstport", "4789", "remote",
        ADDRESSES[0], "local", ADDRESSES[1], "dev", "eth9", check=False,
    )  # fmt: skip
    if not made.ok:
        pytest.skip(f"the kernel has no vxlan: {made.stderr.strip()}")
    far.ip("addr", "add", f"{ADDRESSES[1]}/24", "dev", "eth9")
    far.ip("addr", "add", "10.0.0.2/24", "dev", "vx0")
    far.ip("link", "set", "vx0", "up")
    site = Site(lab, near, 0, tools, tools, datapath_type)
    site.add_tunnel("vxlan", ADDRESSES[1], "key=42")
    assert wait_until(lambda: site.vm.ping("10.0.0.2", count=2))
