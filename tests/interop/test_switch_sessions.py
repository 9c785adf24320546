"""The same commands, given with Debian's tools to our daemons and to Debian's, have equal output.

Both run with dummy devices, so that nothing depends on the kernel. What may differ is named in
`normalized`: UUIDs, times, versions, the transaction ids of OpenFlow, what 3.7 prints anew.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peers import peer_tools
from tests.support.switches import own_tools

from netloom.lab.commands import Result
from netloom.lab.switch import Programs, Switch

pytestmark = pytest.mark.interop

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PATTERNS = (
    (UUID, "UUID"),
    (re.compile(r"xid=0x[0-9a-f]+"), "xid=X"),
    (re.compile(r"duration=[0-9.]+s"), "duration=T"),
    (re.compile(r"idle_age=\d+, "), ""),
    (re.compile(r"used:[0-9.]+s"), "used:T"),
    # Dummies are numbered in the order of their opening, which Debian's leaves to chance.
    (re.compile(r"addr:aa:55:aa:55:00:(?!00)[0-9a-f]{2}"), "addr:DUMMY"),
    (re.compile(r"^\d{4}-\d\d-\d\dT\S+?\|\d+\|", re.M), ""),
)

BRIDGE = (
    "ovs-vsctl add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure "
    "other-config:hwaddr=aa:55:aa:55:00:00 -- add-port br0 p1 -- set interface p1 type=dummy "
    "ofport_request=1 -- add-port br0 p2 -- set interface p2 type=dummy ofport_request=2 "
    "-- add-port br0 p3 -- set interface p3 type=dummy ofport_request=3"
)
PACKET = (
    "eth(src=50:54:00:00:00:{:02x},dst=50:54:00:00:00:{:02x}),eth_type(0x0800),"
    "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
)


def receive(port: int, source: int, target: int) -> str:
    flow = f"in_port({port}),{PACKET.format(source, target)}"
    return f"ovs-appctl netdev-dummy/receive p{port} {flow}"


SESSIONS: dict[str, tuple[str, ...]] = {
    "bridges": (
        "ovs-vsctl --columns=name,fail_mode,datapath_type,protocols list bridge",
        "ovs-vsctl --columns=name,datapath_id,datapath_version,fail_mode list bridge",
        "ovs-vsctl --columns=name,ofport,error,type list interface p1",
        "ovs-vsctl --columns=admin_state,link_state,mtu,error list interface p1",
        "ovs-vsctl get open . cur_cfg",
        "ovs-vsctl add-br br0",
        "ovs-vsctl list-ports br0",
        "ovs-appctl ofproto/list",
        "ovs-appctl dpif/show",
        "ovs-vsctl del-port br0 p3",
        "ovs-appctl dpif/show",
        "ovs-ofctl dump-ports-desc br0 p1",
        "ovs-vsctl del-br br0",
        "ovs-appctl ofproto/list",
        "ovs-ofctl dump-flows br0",
    ),
    "failures": (
        "ovs-vsctl --timeout=5 add-port br0 x1 -- set interface x1 type=patch",
        "ovs-vsctl --timeout=5 add-port br0 x2 -- set interface x2 type=patch options:peer=x2",
        "ovs-vsctl --timeout=5 add-port br0 x3 -- set interface x3 type=patch options:peer=nobody",
        "ovs-vsctl --columns=name,ofport,error list interface x1 x2 x3",
        "ovs-vsctl get interface p1 error",
        "ovs-appctl fdb/show nobody",
        "ovs-appctl bridge/reconnect nobody",
        "ovs-appctl nonsense",
        "ovs-appctl fdb/show",
        "ovs-ofctl dump-flows nobody",
        "ovs-ofctl add-flow br0 in_port=1,actions=nonsense",
        "ovs-appctl netdev-dummy/receive nobody in_port(1)",
        "ovs-appctl ofproto/trace br0 in_port=nobody",
    ),
    "in-band": (
        # Each with one remote, as the order of equal priorities is chance.
        "ovs-vsctl set-controller br0 tcp:1.2.3.4:6633",
        "ovs-appctl bridge/dump-flows br0",
        "ovs-ofctl dump-flows br0",
        "ovs-ofctl del-flows br0",
        "ovs-appctl ofproto/trace br0 in_port=1,tcp,nw_src=1.2.3.4,tp_src=6633",
        "ovs-vsctl set bridge br0 other-config:in-band-queue=3",
        "ovs-appctl bridge/dump-flows br0",
        "ovs-vsctl set controller br0 connection_mode=out-of-band",
        "ovs-appctl bridge/dump-flows br0",
        "ovs-vsctl set-manager ssl:4.4.4.4",
        "ovs-appctl bridge/dump-flows br0",
        "ovs-vsctl set bridge br0 other-config:disable-in-band=true",
        "ovs-appctl bridge/dump-flows br0",
    ),
    "vlans": (
        # Each VLAN has two ports at most, as the order of flooding is chance.
        "ovs-vsctl set port br0 tag=4000",
        "ovs-ofctl add-flow br0 actions=normal",
        "ovs-vsctl set port p1 tag=10 -- set port p2 trunks=10,20 -- set port p3 tag=20",
        "ovs-appctl ofproto/trace br0 in_port=1,dl_src=50:54:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff",
        "ovs-appctl ofproto/trace br0 in_port=2,dl_vlan=20,dl_src=50:54:00:00:00:01",
        "ovs-appctl ofproto/trace br0 in_port=2,dl_vlan=30,dl_src=50:54:00:00:00:01",
        "ovs-vsctl set port p2 vlan_mode=native-untagged tag=10",
        "ovs-appctl ofproto/trace br0 in_port=2,dl_src=50:54:00:00:00:01",
        "ovs-vsctl set port p2 vlan_mode=native-tagged tag=10",
        "ovs-appctl ofproto/trace br0 in_port=1,dl_src=50:54:00:00:00:01",
        "ovs-vsctl set port p2 vlan_mode=dot1q-tunnel tag=10 other-config:qinq-ethtype=802.1q",
        "ovs-appctl ofproto/trace br0 in_port=2,dl_vlan=5,dl_src=50:54:00:00:00:01",
        "ovs-vsctl set port p1 vlan_mode=trunk tag=7 trunks=1,2",
        "ovs-appctl ofproto/trace br0 in_port=1,dl_vlan=1,dl_src=50:54:00:00:00:01",
    ),
    "tracking zones": (
        "ovs-appctl time/stop",
        "ovs-vsctl -- --id=@m create Datapath datapath_version=0 "
        "-- set Open_vSwitch . datapaths:dummy=@m",
        "ovs-vsctl add-zone-tp dummy zone=5 icmp_first=3 udp_single=5 udp_first=4",
        "ovs-vsctl list-zone-tp dummy",
        "ovs-ofctl add-flow br0 udp,actions=ct(commit,zone=5),2",
        "ovs-appctl ofproto/trace br0 in_port=1,udp",
        receive(1, 1, 2),
        "ovs-appctl time/warp 100",
        "ovs-appctl dpctl/dump-conntrack -s",
        "ovs-appctl time/warp 6000 1000",
        "ovs-appctl dpctl/dump-conntrack",
        "ovs-vsctl del-zone-tp dummy zone=5",
        "ovs-appctl ofproto/trace br0 in_port=1,udp",
    ),
    "fragments": (
        "ovs-appctl dpctl/ipf-get-status",
        "ovs-appctl dpctl/ipf-set-disabled v4",
        "ovs-appctl dpctl/ipf-set-enabled v5",
        "ovs-appctl dpctl/ipf-set-min-frag v4 1000",
        "ovs-appctl dpctl/ipf-set-min-frag v4 300",
        "ovs-appctl dpctl/ipf-set-max-nfrags 500",
        "ovs-appctl dpctl/ipf-set-max-nfrags 5001",
        "ovs-appctl dpctl/ipf-get-status -m",
        "ovs-ofctl set-frags br0 drop",
        "ovs-ofctl add-flow br0 tcp,tcp_dst=80,actions=2",
        "ovs-ofctl add-flow br0 ip,nw_frag=later,priority=5,actions=3",
        "ovs-appctl ofproto/trace br0 in_port=1,tcp,tp_dst=80,nw_frag=later",
        "ovs-ofctl set-frags br0 nx-match",
        "ovs-appctl ofproto/trace br0 in_port=1,tcp,tp_dst=80,nw_frag=first",
        "ovs-appctl ofproto/trace br0 in_port=1,tcp,tp_dst=80,nw_frag=later",
        "ovs-ofctl get-frags br0",
    ),
    "learning": (
        "ovs-appctl time/stop",
        "ovs-ofctl add-flow br0 actions=normal",
        receive(1, 1, 2),
        receive(2, 2, 1),
        receive(1, 1, 2),
        "ovs-appctl time/warp 100",
        "ovs-appctl fdb/show br0",
        "ovs-appctl fdb/stats-show br0",
        "ovs-appctl fdb/flush br0",
        "ovs-appctl fdb/show br0",
        "ovs-appctl fdb/add br0 p1 5 50:54:00:00:00:09",
        "ovs-appctl fdb/show br0",
        "ovs-appctl fdb/del br0 5 50:54:00:00:00:09",
        "ovs-appctl fdb/show br0",
        "ovs-ofctl dump-flows br0",
        "ovs-appctl dpctl/show dummy@ovs-dummy",
    ),
    "patches": (
        "ovs-ofctl add-flow br0 actions=normal",
        "ovs-vsctl add-br br1 -- set bridge br1 datapath_type=dummy fail_mode=secure "
        "other-config:hwaddr=aa:55:aa:55:01:00",
        "ovs-ofctl add-flow br1 actions=normal",
        "ovs-vsctl add-port br0 pa -- set interface pa type=patch options:peer=pb ofport_request=9",
        "ovs-vsctl get interface pa error",
        "ovs-vsctl add-port br1 pb -- set interface pb type=patch options:peer=pa ofport_request=9",
        "ovs-vsctl get interface pa error ofport admin_state link_state mtu",
        "ovs-appctl dpif/show",
        "ovs-appctl ofproto/trace br0 in_port=1,dl_src=50:54:00:00:00:01,dl_dst=50:54:00:00:00:02",
        "ovs-vsctl set interface pb options:peer=elsewhere",
        "ovs-vsctl get interface pa error",
        "ovs-appctl ofproto/trace br0 in_port=1,dl_src=50:54:00:00:00:01,dl_dst=50:54:00:00:00:02",
        "ovs-vsctl del-br br1",
        "ovs-appctl dpif/show",
    ),
    "flows": (
        "ovs-ofctl add-flow br0 table=0,priority=5,ip,nw_dst=10.0.0.0/8,actions=resubmit(,1)",
        "ovs-ofctl add-flow br0 table=1,udp,actions=mod_vlan_vid:5,output:2",
        "ovs-ofctl -O OpenFlow13 add-flow br0 priority=1,arp,actions=dec_ttl,in_port",
        "ovs-ofctl -O OpenFlow13 add-flow br0 priority=1,arp,actions=set_field:1->reg3,in_port",
        "ovs-ofctl dump-flows br0",
        "ovs-appctl ofproto/trace br0 in_port=1,udp,nw_dst=10.1.2.3",
        "ovs-appctl ofproto/trace br0 in_port=1,arp",
        "ovs-appctl time/stop",
        receive(1, 1, 2),
        "ovs-appctl time/warp 1000",
        "ovs-appctl revalidator/wait",
        "ovs-ofctl dump-flows br0 table=1",
        "ovs-ofctl dump-aggregate br0",
        "ovs-ofctl --strict del-flows br0 priority=1,arp",
        "ovs-ofctl dump-flows br0",
        "ovs-ofctl del-flows br0",
        "ovs-ofctl dump-flows br0",
    ),
    "numbers": (
        "ovs-vsctl add-port br0 n1 -- set interface n1 type=dummy",
        "ovs-vsctl get interface n1 ofport",
        "ovs-vsctl del-port n1 -- add-port br0 n2 -- set interface n2 type=dummy ofport_request=77",
        "ovs-vsctl get interface n2 ofport",
        "ovs-vsctl set interface n2 ofport_request=78",
        "ovs-vsctl get interface n2 ofport",
        "ovs-vsctl clear interface n2 ofport_request",
        "ovs-vsctl get interface n2 ofport",
        "ovs-vsctl set bridge br0 other-config:datapath-id=0x99",
        "ovs-vsctl get bridge br0 datapath_id",
        "ovs-ofctl show br0",
        "ovs-appctl netdev-dummy/set-admin-state p1 down",
        "ovs-vsctl wait-until interface p1 admin_state=down",
        "ovs-ofctl dump-ports-desc br0 1",
    ),
}


#: In which order a packet is flooded is chance, too.
OUTPUTS = re.compile(r"(?<![\w(=])\d+(?:,\d+)+(?![\w(])")
ACTIONS = re.compile(r"^Datapath actions: .*$", re.M)


#: A line of fdb/show: its age, in whole seconds, depends on when the second began, and so does the
#: order of lines.
ENTRY = re.compile(r"^( +\S+ +\d+  [0-9a-f:]{17}) +\d+\n", re.M)


def normalized(result: Result) -> str:
    text = f"{result.status}\n{result.stdout}\n{result.stderr}"
    for pattern, instead in PATTERNS:
        text = pattern.sub(instead, text)
    entries = sorted(ENTRY.findall(text))
    text = ENTRY.sub("", text) + "\n".join(entries)
    return ACTIONS.sub(lambda line: OUTPUTS.sub(_sorted, line[0]), text)


def _sorted(outputs: re.Match[str]) -> str:
    return ",".join(sorted(outputs[0].split(",")))


class Pair:
    """Our switch and Debian's, commanded with the same tools."""

    def __init__(self, directory: Path, own: Programs, peer: Programs) -> None:
        self.sides = [
            Switch(directory / label, None, programs, ("--enable-dummy=override",))
            for label, programs in (("own", own), ("deb", peer))
        ]
        self._tools = [Switch(side.rundir, None, peer) for side in self.sides]

    def start(self) -> None:
        for side in self.sides:
            side.start()

    def run(self, command: str) -> list[str]:
        """The output on each side."""
        shown = []
        for tools in self._tools:
            text = normalized(tools.run(*command.split(" "), check=False))
            shown.append(text.replace(str(tools.rundir), "RUNDIR"))
        return shown

    def stop(self) -> None:
        for side in self.sides:
            side.stop()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    peer = peer_tools()
    # Not below pytest's directory: a socket's path must be short.
    directory = Path(tempfile.mkdtemp(prefix="nl"))
    made = Pair(directory, own_tools(tmp_path / "tools"), peer)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_looks_the_same_on_both_switches(pair: Pair, name: str) -> None:
    differences = []
    for command in (BRIDGE, *SESSIONS[name]):
        own, peer = pair.run(command)
        if own != peer:
            differences.append(f"$ {command}\n-- ours\n{own}\n-- Debian's\n{peer}")
    assert not differences, "\n\n".join(differences)
