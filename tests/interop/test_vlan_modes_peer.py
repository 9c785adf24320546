"""Every VLAN mode, every kind of tagged packet, from every port to every port: our switch and
Debian's translate alike. Dummy devices; the MAC tables are filled by hand."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest
from tests.support.peers import peer_tools
from tests.support.switches import RunningSwitch, needs_root, own_tools

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.interop, pytest.mark.root, needs_root]

#: Port and its settings; its number is its place.
PORTS = {
    "acc10": "tag=10",
    "acc20": "vlan_mode=access tag=20",
    "all": "",
    "trunk": "trunks=10,20",
    "trunk0": "vlan_mode=trunk trunks=0,10",
    "natt": "vlan_mode=native-tagged tag=10 trunks=20",
    "natu": "vlan_mode=native-untagged tag=10 trunks=20",
    "natall": "vlan_mode=native-untagged tag=20",
    "tunnel": "vlan_mode=dot1q-tunnel tag=10",
    "tunnelc": "vlan_mode=dot1q-tunnel tag=20 cvlans=10,30",
    "tun8021q": "vlan_mode=dot1q-tunnel tag=20 other_config:qinq-ethtype=802.1q",
    "prio": "tag=10 other_config:priority-tags=true",
    "prionz": "vlan_mode=native-untagged tag=10 other_config:priority-tags=if-nonzero",
    "prioalw": "tag=20 other_config:priority-tags=always",
}
OWN_MAC = "50:54:00:00:00:77"
NUMBERS = {port: number for number, port in enumerate(PORTS, 1)}
Tag = tuple[int, int, int]
#: The tags of a packet, outermost first: Ethernet type, VLAN, priority.
TAGS: dict[str, tuple[Tag, ...]] = {
    "untagged": (),
    "priority": ((0x8100, 0, 5),),
    "10": ((0x8100, 10, 0),),
    "20": ((0x8100, 20, 3),),
    "30": ((0x8100, 30, 0),),
    "outer 10": ((0x88A8, 10, 2),),
    "20 in outer 10": ((0x88A8, 10, 2), (0x8100, 20, 0)),
    "10 in 20": ((0x8100, 20, 0), (0x8100, 10, 1)),
}


def packet(destination: str, tags: tuple[Tag, ...]) -> str:
    """An ARP-sized frame of an unused type, as hex digits."""
    shims = "".join(f"{kind:04x}{priority << 13 | vlan:04x}" for kind, vlan, priority in tags)
    return f"{destination}{OWN_MAC}".replace(":", "") + shims + "88b5" + "00" * 46


def of_flood(source: str, megaflow: str) -> str:
    """The megaflow of a flood without what depends on the order of its ports, which the peer
    leaves to chance: from a tunnel, whether the customer's tag is looked at as a whole."""
    return re.sub(r"dl_vlan_pcp1?=\d,", "", megaflow) if source.startswith("tun") else megaflow


def mac_of(port: str) -> str:
    return f"50:54:00:00:00:{NUMBERS[port]:02x}"


class Stand:
    """Bridge br0 with all the PORTS, each with a MAC in each VLAN behind it."""

    def __init__(self, lab: Lab, programs: Programs) -> None:
        self.switch = RunningSwitch(lab, programs, programs, ("--enable-dummy=override",))
        self.switch.start()
        words = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"]
        for port, settings in PORTS.items():
            words += ["--", "add-port", "br0", port, *settings.split()]
            words += ["--", "set", "interface", port, "type=dummy"]
            words += [f"ofport_request={NUMBERS[port]}"]
        self.switch.vsctl(*words)
        self._socket = socket.socket(socket.AF_UNIX)
        pid = self.switch.daemons.pid("ovs-vswitchd")
        self._socket.connect(str(self.switch.daemons.rundir / f"ovs-vswitchd.{pid}.ctl"))
        shown = self._control("dpif/show")
        pairs = re.findall(r"(\w+) \d+/(\d+):", shown)
        self._names = {number: name for name, number in pairs}

    def _control(self, command: str, *args: str) -> str:
        """What ovs-appctl would print, without a process for each."""
        request = {"id": 0, "method": command, "params": list(args)}
        self._socket.sendall(json.dumps(request).encode())
        data = b""
        while True:
            data += self._socket.recv(65_536)
            try:
                reply = json.loads(data)
            except ValueError:
                continue
            assert not reply.get("error"), reply
            return str(reply["result"])

    def learn(self, port: str) -> None:
        for vlan in (0, 10, 20):
            self._control("fdb/add", "br0", port, str(vlan), mac_of(port))

    def trace(self, source: str, tags: tuple[Tag, ...], destination: str) -> tuple[str, str]:
        """What becomes of the packet: the megaflow, and the actions with port names."""
        shown = self._control(
            "ofproto/trace", "br0", f"in_port={NUMBERS[source]}", packet(destination, tags)
        )
        lines = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line)
        actions = re.sub(
            r"(^|,)(\d+)(?=,|$)", lambda found: found[1] + self._names[found[2]],
            lines["Datapath actions"],
        )  # fmt: skip
        return lines["Megaflow"], actions


@pytest.fixture(scope="module")
def stands(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Stand, Stand]]:
    """(Debian's, ours)"""
    theirs, ours = peer_tools(), own_tools(tmp_path_factory.mktemp("tools"))
    with Lab("vlanpeer") as peer_lab, Lab("vlanown") as own_lab:
        yield Stand(peer_lab, theirs), Stand(own_lab, ours)


def outputs(actions: str, tags: tuple[Tag, ...]) -> list[tuple[str, tuple[Tag, ...]]]:
    """(port, tags of the packet there) of each output, sorted: what a flood does, in whatever
    order."""
    found = []
    now = list(tags)
    for action in re.findall(r"[^,(]+(?:\([^()]*\))?", actions):
        words = dict(re.findall(r"(\w+)=(\w+)", action))
        if action.startswith("push_vlan"):
            kind = int(words.get("tpid", "0x8100"), 16)
            now.insert(0, (kind, int(words["vid"]), int(words["pcp"])))
        elif action == "pop_vlan":
            now.pop(0)
        elif action != "drop":
            found.append((action, tuple(now)))
    return sorted(found)


@pytest.mark.parametrize("source", PORTS)
def test_a_flood_reaches_the_same_ports_with_the_same_tags(
    source: str, stands: tuple[Stand, Stand]
) -> None:
    different = []
    for what, tags in TAGS.items():
        theirs, ours = (stand.trace(source, tags, "ff:ff:ff:ff:ff:ff") for stand in stands)
        if of_flood(source, theirs[0]) != of_flood(source, ours[0]):
            different.append((what, theirs[0], ours[0]))
        there, here = outputs(theirs[1], tags), outputs(ours[1], tags)
        if there != here:
            different.append((what, str(set(there) - set(here)), str(set(here) - set(there))))
    assert different == []


@pytest.mark.parametrize("target", PORTS)
def test_a_packet_to_one_port_gets_the_same_tags_and_megaflow(
    target: str, stands: tuple[Stand, Stand]
) -> None:
    for stand in stands:
        stand.learn(target)
    different = []
    for source in ("acc10", "acc20", "all", "natu", "tunnel", "tunnelc", "tun8021q"):
        for what, tags in TAGS.items():
            theirs, ours = (stand.trace(source, tags, mac_of(target)) for stand in stands)
            if theirs[1] != ours[1] and len(outputs(theirs[1], tags)) > 1:
                # A VLAN without the address: a flood.
                theirs, ours = ((m, str(outputs(a, tags))) for m, a in (theirs, ours))
            if theirs != ours and what == "priority" and target in ("prio", "prionz"):
                # The peer leaves the priority open by which it decides that the tag stays.
                ours = ours[0].replace("dl_vlan_pcp=5,", ""), ours[1]
            if theirs != ours:
                different.append((source, what, theirs, ours))
    assert different == []
