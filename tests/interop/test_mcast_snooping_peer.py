"""Multicast snooping: the same packets teach Debian's switch and ours the same groups and routers,
and packets of these groups go the same ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_pair import PeerPair, peer_pair
from tests.support.peer_switch import PeerSwitch
from tests.support.peers import wait_until

from netloom.packet import build
from netloom.packet.checksum import checksum

pytestmark = pytest.mark.interop

N_PORTS = 6


def mac(number: int) -> bytes:
    return bytes((0x02, 0, 0, 0, 0, number))


def group_mac(group: bytes) -> bytes:
    return b"\x01\x00\x5e" + bytes((group[1] & 0x7F, *group[2:]))


def address(text: str) -> bytes:
    return bytes(map(int, text.split(".")))


def igmp(port: int, kind: int, group: str, body: bytes = b"", source: str = "10.0.0.1") -> str:
    """An IGMP message from a host behind a port."""
    message = bytes((kind, 0, 0, 0)) + (body or address(group))
    message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
    ip = build.ipv4(address(source), address(group), 2, message)
    return build.ethernet(group_mac(address(group)), mac(port), 0x0800, ip).hex()


def igmp_v3(port: int, *records: tuple[int, str, int]) -> str:
    """Records: kind, group, number of sources."""
    body = len(records).to_bytes(4, "big") + b"".join(
        bytes((kind, 0)) + n.to_bytes(2, "big") + address(group) + bytes(range(1, 5)) * n
        for kind, group, n in records
    )
    return igmp(port, 0x22, "224.0.0.22", body)


def mld(port: int, kind: int, group: str, body: bytes = b"") -> str:
    source = bytes.fromhex("fe80") + bytes(13) + bytes((port,))
    target = bytes.fromhex(group)
    message = build.icmpv6(source, target, kind, 0, body or bytes(4) + target)
    ip = build.ipv6(source, target, 58, message)
    return build.ethernet(b"\x33\x33" + target[-4:], mac(port), 0x86DD, ip).hex()


GROUP6 = "ff05" + "00" * 13 + "42"
ALL_NODES = "ff02" + "00" * 13 + "01"


def prepare(switch: PeerSwitch) -> None:
    switch.add_bridge_of_two()
    switch.run(
        "ovs-vsctl", "set", "bridge", "br0", "mcast_snooping_enable=true",
        *(word for n in range(3, N_PORTS + 1) for word in (
            "--", "add-port", "br0", f"p{n}", *(("tag=5",) if n > 4 else ()), "--",
            "set", "interface", f"p{n}", "type=dummy", f"ofport_request={n}")),
    )  # fmt: skip
    switch.run("ovs-ofctl", "add-flow", "br0", "actions=NORMAL")
    switch.control("time/stop")


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[PeerPair]:
    with peer_pair(tmp_path, prepare) as pair:
        yield pair


def groups(switch: PeerSwitch) -> list[tuple[str, int]]:
    """mdb/show without the protocol, which the peer does not tell; ages apart."""
    lines = switch.control("mdb/show", "br0").splitlines()[1:]
    words = [
        [word for word in line.split() if word[:3] not in ("IGM", "MLD", "UNK")] for line in lines
    ]
    return [(" ".join(line[:-1]), int(line[-1])) for line in words]


def receive(switches: PeerPair, port: int, packet: str) -> None:
    switches.control("netdev-dummy/receive", f"p{port}", packet)
    switches.control("time/warp", "1000")
    agree_on_groups(switches)


def agree_on_groups(switches: PeerPair) -> list[str]:
    """The same groups and routers in the same order, with the same ages but for rounding; the peer
    may take a moment, for it has threads."""

    def agree() -> bool:
        theirs, ours = map(groups, switches)
        return len(theirs) == len(ours) and all(
            one[0] == other[0] and abs(one[1] - other[1]) <= 1
            for one, other in zip(theirs, ours, strict=True)
        )

    assert wait_until(agree), [groups(switch) for switch in switches]
    return [text for text, _ in groups(switches[1])]


#: Packets of IGMP, which no flow text describes; what they teach they take back.
MESSAGES = (
    igmp(9, 0x11, "224.0.0.1", bytes(4), source="0.0.0.0"),
    igmp(9, 0x16, "225.1.1.77"),
    igmp(9, 0x17, "225.1.1.77"),
    igmp(9, 0x33, "225.1.1.77"),
)
DATA = {
    "group": "udp,dl_dst=01:00:5e:01:01:01,nw_dst=225.1.1.1",
    "unknown": "udp,dl_dst=01:00:5e:01:01:09,nw_dst=225.1.1.9",
    "local": "udp,dl_dst=01:00:5e:00:00:05,nw_dst=224.0.0.5",
    "group6": "udp6,dl_dst=33:33:00:00:00:42,ipv6_dst=ff05::42",
    "all6": "udp6,dl_dst=33:33:00:00:00:01,ipv6_dst=ff02::1",
    "mld query": "icmp6,icmpv6_type=130,dl_dst=33:33:00:00:00:01,ipv6_dst=ff02::1",
    "mld report": "icmp6,icmpv6_type=131,dl_dst=33:33:00:00:00:42,ipv6_dst=ff05::42",
    "other icmp6": "icmp6,icmpv6_type=128,dl_dst=33:33:00:00:00:42,ipv6_dst=ff05::42",
    "no ip": "dl_type=0x1234,dl_dst=01:00:5e:01:01:01",
    "broadcast": "udp,dl_dst=ff:ff:ff:ff:ff:ff,nw_dst=225.1.1.1",
}


def without_order(trace: str) -> tuple[str, list[tuple[str, str]]]:
    """The text, and the ports that the packet goes to with the tag that it has there: the peer
    floods in the order of a hash table."""
    head, _, actions = trace.partition("Datapath actions: ")
    tag, outputs = "", []
    for action in actions.split("\n")[0].replace(",pcp", ";pcp").split(","):
        if action.isdigit():
            outputs.append((tag, action))
        else:
            tag = action if action.startswith("push") else ""
    head += actions.partition("\n")[2]
    # Flagged ports, too, come in any order.
    return "\n".join(sorted(head.splitlines())), sorted(outputs)


def agree_on_ways(switches: PeerPair) -> None:
    """Packets of all kinds, from ports of both VLANs, leave the same way for the same reasons."""
    questions = [(f"dl_src={mac(9).hex(':')},{flow}",) for flow in DATA.values()]
    questions += [("", message) for message in MESSAGES]
    for flow, *packet in questions:
        for port in (1, 4, 5):
            words = ("br0", f"in_port={port},{flow}", *packet)
            theirs, ours = (switch.control("ofproto/trace", *words) for switch in switches)
            assert without_order(ours) == without_order(theirs), f"{words}\n{theirs}\n{ours}"


def test_reports_and_leaves_of_igmp(switches: PeerPair) -> None:
    agree_on_ways(switches)
    receive(switches, 1, igmp(1, 0x16, "225.1.1.1"))
    receive(switches, 2, igmp(2, 0x12, "225.1.1.2"))
    receive(switches, 5, igmp(5, 0x16, "225.1.1.1"))
    agree_on_ways(switches)
    receive(switches, 2, igmp(2, 0x16, "225.1.1.1"))
    receive(switches, 1, igmp(1, 0x16, "225.1.1.1"))
    receive(switches, 3, igmp(3, 0x17, "225.1.1.1"))
    agree_on_ways(switches)
    receive(switches, 1, igmp(1, 0x17, "225.1.1.1"))
    assert len(agree_on_groups(switches)) == 3
    receive(switches, 2, igmp(2, 0x17, "225.1.1.1")[:-2] + "ff")
    assert len(agree_on_groups(switches)) == 3
    agree_on_ways(switches)


def test_queries_show_where_routers_are(switches: PeerPair) -> None:
    receive(switches, 2, igmp(2, 0x16, "225.1.1.1"))
    receive(switches, 3, igmp(3, 0x11, "224.0.0.1", bytes(4)))
    receive(switches, 6, igmp(6, 0x11, "224.0.0.1", bytes(4)))
    receive(switches, 4, igmp(4, 0x11, "224.0.0.1", bytes(4), source="0.0.0.0"))
    agree_on_ways(switches)
    receive(switches, 3, igmp(3, 0x16, "225.1.1.1"))
    receive(switches, 2, igmp(2, 0x11, "224.0.0.1", bytes(4)))
    agree_on_ways(switches)
    switches.configure("set", "bridge", "br0",
              "other_config:mcast-snooping-disable-flood-unregistered=true")  # fmt: skip
    agree_on_ways(switches)
    switches.control("time/warp", "200000")
    assert not [line for line in agree_on_groups(switches) if "querier" in line]
    switches.control("time/warp", "120000")
    assert agree_on_groups(switches) == []


def test_version_3_reports(switches: PeerPair) -> None:
    receive(switches, 1, igmp_v3(1, (4, "225.1.1.1", 0), (2, "225.1.1.3", 1), (3, "225.1.1.4", 1)))
    receive(switches, 2, igmp_v3(2, (4, "225.1.1.1", 0), (5, "225.1.1.5", 1), (6, "225.1.1.6", 1)))
    receive(switches, 2, igmp_v3(2, (1, "225.1.1.7", 0), (1, "225.1.1.8", 2), (9, "225.1.1.2", 1)))
    agree_on_ways(switches)
    receive(switches, 1, igmp_v3(1, (3, "225.1.1.1", 0), (4, "225.1.1.4", 0)))
    agree_on_ways(switches)


def test_listeners_of_ipv6(switches: PeerPair) -> None:
    receive(switches, 1, mld(1, 131, GROUP6))
    record = bytes((4, 0, 0, 0)) + bytes.fromhex(GROUP6)
    receive(switches, 2, mld(2, 143, "ff02" + "00" * 13 + "16", b"\0\0\0\1" + record))
    receive(switches, 3, mld(3, 130, ALL_NODES, bytes(20)))
    agree_on_ways(switches)
    receive(switches, 1, mld(1, 132, GROUP6))
    agree_on_ways(switches)


def test_flagged_ports(switches: PeerPair) -> None:
    switches.configure("set", "port", "p4", "other_config:mcast-snooping-flood=true",
              "--", "set", "port", "p3", "other_config:mcast-snooping-flood-reports=true",
              "--", "set", "port", "p6", "other_config:mcast-snooping-flood=true")  # fmt: skip
    receive(switches, 1, igmp(1, 0x16, "225.1.1.1"))
    receive(switches, 3, igmp(3, 0x16, "225.1.1.1"))
    receive(switches, 4, igmp(4, 0x16, "225.1.1.1"))
    agree_on_ways(switches)
    receive(switches, 3, igmp(3, 0x17, "225.1.1.1"))
    receive(switches, 4, igmp(4, 0x11, "224.0.0.1", bytes(4)))
    agree_on_ways(switches)
    switches.configure("set", "bridge", "br0",
              "other_config:mcast-snooping-disable-flood-unregistered=true")  # fmt: skip
    agree_on_ways(switches)


def test_the_table_is_bounded_and_can_be_flushed(switches: PeerPair) -> None:
    switches.configure("set", "bridge", "br0", "other_config:mcast-snooping-table-size=10",
              "other_config:mcast-snooping-aging-time=60")  # fmt: skip
    for number in range(12):
        receive(switches, 1 + number % 2, igmp(1, 0x16, f"225.1.1.{number + 1}"))
    assert len(agree_on_groups(switches)) == 10
    switches.control("time/warp", "15000")
    agree_on_groups(switches)
    switches.control("mdb/flush", "br0")
    assert agree_on_groups(switches) == []
    receive(switches, 1, igmp(1, 0x16, "225.1.1.1"))
    switches.configure("set", "port", "p1", "tag=5")
    assert agree_on_groups(switches) == []
    receive(switches, 2, igmp(2, 0x16, "225.1.1.1"))
    switches.configure("del-port", "p2")
    assert agree_on_groups(switches) == []
    switches.configure("set", "bridge", "br0", "mcast_snooping_enable=false")
    agree_on_ways(switches)


def test_the_protocol_of_the_latest_report_is_told(switches: PeerPair) -> None:
    receive(switches, 1, igmp_v3(1, (4, "225.1.1.1", 0)))
    receive(switches, 2, mld(2, 131, GROUP6))
    assert switches[1].control("mdb/show", "br0") == (
        " port  VLAN  protocol  GROUP                Age\n"
        "    1     0  IGMPv3    225.1.1.1           2\n"
        "    2     0  MLDv1     ff05::42           1\n"
    )
