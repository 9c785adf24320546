"""The same packets through Debian's connection tracker and ours: equal states, bytes and tables.

Debian's switch writes ct_state and ct_mark of each packet over its Ethernet addresses and sends it
to a port that records; its clock stands still but for the script. The data path tracks directly."""

from __future__ import annotations

import random
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.all import (
    ICMP,
    IP,
    TCP,
    UDP,
    Ether,
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    IPv6,
    Raw,
)

sys.path.insert(0, str(Path(__file__).parent))
from trace_peers import TracePeer

from netloom.base.counters import Counters
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.actions import Ct
from netloom.datapath.userspace.conntrack.nat import translate_packet
from netloom.datapath.userspace.conntrack.tracker import ConnTracker, Tracked
from netloom.packet.parse import parse

pytestmark = pytest.mark.interop

A, B, OUTSIDE = "10.0.0.1", "10.0.0.2", "10.0.0.77"
#: (port, frame), or (0, milliseconds to wait).
Script = list[tuple[int, bytes | int]]


def frame(src: str, dst: str, payload: object) -> bytes:
    ether = Ether(src="50:00:00:00:00:01", dst="50:00:00:00:00:02")
    return bytes(ether / IP(src=src, dst=dst) / payload)


def frame6(src: str, dst: str, payload: object) -> bytes:
    ether = Ether(src="50:00:00:00:00:01", dst="50:00:00:00:00:02")
    return bytes(ether / IPv6(src=src, dst=dst) / payload)


def segment(port: int, flags: str, seq: int, ack: int, n: int = 0, scale: int = -1) -> bytes:
    src, dst, sport, dport = (A, B, 1000, 80) if port == 1 else (B, A, 80, 1000)
    options = [("WScale", scale)] if scale >= 0 else []
    header = TCP(sport=sport, dport=dport, flags=flags, seq=seq % 2**32, ack=ack % 2**32,
                 window=1000, options=options)  # fmt: skip
    return frame(src, dst, header / (b"x" * n))


def random_tcp(seed: int) -> Script:
    """A connection that opens properly, then everything that may happen to it."""
    rng = random.Random(seed)
    at = {1: rng.getrandbits(32), 2: rng.getrandbits(32)}
    scale = rng.choice([-1, 0, 7])
    script: Script = [
        (1, segment(1, "S", at[1], 0, scale=scale)),
        (2, segment(2, "SA", at[2], at[1] + 1, scale=scale)),
        (1, segment(1, "A", at[1] + 1, at[2] + 1)),
    ]
    at = {port: number + 1 for port, number in at.items()}
    for _ in range(80):
        port = rng.choice([1, 2])
        other = 3 - port
        kind = rng.choices(["data", "again", "astray", "fin", "rst", "syn", "odd", "wait"],
                           [50, 10, 12, 5, 3, 6, 4, 4])[0]  # fmt: skip
        if kind == "data":
            n = rng.randrange(100)
            script.append((port, segment(port, "PA", at[port], at[other], n)))
            at[port] += n * (rng.random() < 0.8)
        elif kind == "again":
            script.append(rng.choice(script))
        elif kind == "astray":
            seq, ack = (at[p] + rng.randrange(-70_000, 70_000) for p in (port, other))
            script.append((port, segment(port, "A", seq, ack, rng.randrange(50))))
        elif kind == "fin":
            script.append((port, segment(port, "FA", at[port], at[other])))
            at[port] += 1
        elif kind == "rst":
            seq = at[port] + rng.choice([0, 0, 1, -1, 5])
            script.append((port, segment(port, rng.choice(["R", "RA"]), seq, at[other])))
        elif kind == "syn":
            script.append((port, segment(port, rng.choice(["S", "SA"]), at[port], at[other])))
        elif kind == "odd":
            flags = rng.choice(["", "F", "SF", "SR", "P", "U"])
            script.append((port, segment(port, flags, at[port], at[other])))
        else:
            script.append((0, rng.choice([100, 10_000, 31_000, 46_000])))
    return script


def error(src: str, dst: str, quoted: bytes) -> bytes:
    return frame(src, dst, ICMP(type=3, code=1) / Raw(quoted[14:42]))


def translated() -> Script:
    out = frame(A, B, UDP(sport=5, dport=53) / b"hi")
    outside = frame(OUTSIDE, B, UDP(sport=5000, dport=53) / b"hi")
    return [
        (1, out),
        (2, frame(B, OUTSIDE, UDP(sport=53, dport=5000) / b"hello")),
        (1, out),
        (1, frame(A, B, UDP(sport=6, dport=53) / b"hi")),
        (2, error(B, OUTSIDE, outside)),
        (2, error("1.2.3.4", OUTSIDE, outside)),
        (1, error(A, B, frame(B, A, UDP(sport=53, dport=5) / b"r"))),
        (1, frame(A, B, ICMP(type=8, id=7) / b"abc")),
        (2, frame(B, OUTSIDE, ICMP(type=0, id=7) / b"abc")),
    ]


def ours(script: Script, actions: tuple[str, str]) -> tuple[list[bytes], list[str]]:
    tracker, now_ms, sent = ConnTracker(Counters(), lambda: 5), 1_000, []
    for port, what in script:
        if isinstance(what, int):
            now_ms += what
            tracker.expire(now_ms)
            continue
        (ct,) = parse_actions(actions[port - 1])
        assert isinstance(ct, Ct)
        headers = parse(what)
        found = tracker.track(what, headers, Tracked(), ct, now_ms)
        data = bytearray(what)
        if (how := found.translation) is not None:
            translate_packet(data, headers, how.wanted, how.action, how.inner, None)
        data[2:6] = found.tracked.mark.to_bytes(4, "big")
        data[8:12] = found.tracked.state.to_bytes(4, "big")
        sent.append(bytes(data))
    return sent, sorted(tracker.dump(now_ms, None, True, False))


def recorded(path: Path) -> list[bytes]:
    data, at, frames = path.read_bytes() if path.exists() else b"", 24, []
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        frames.append(data[at + 16 : at + 16 + size])
        at += 16 + size
    return frames


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[TracePeer]:
    switch = TracePeer(tmp_path / "peer")
    try:
        switch.vsctl("add-br br0 -- set bridge br0 fail-mode=secure")
        for number in (1, 2):
            switch.vsctl(f"add-port br0 p{number} -- set interface p{number} type=dummy"
                         f" ofport_request={number}")  # fmt: skip
        pcap = switch.directory / "p3.pcap"
        switch.vsctl("add-port br0 p3 -- set interface p3 type=dummy ofport_request=3"
                     f" options:tx_pcap={pcap}")  # fmt: skip
        switch.control("time/stop")
        yield switch
    finally:
        switch.close()


def theirs(peer: TracePeer, script: Script, flows: str) -> tuple[list[bytes], list[str]]:
    show = "move:NXM_NX_CT_STATE[]->NXM_OF_ETH_SRC[0..31],move:NXM_NX_CT_MARK[]->NXM_OF_ETH_DST"
    peer.replace_flows("br0", f"{flows}table=1,actions={show}[0..31],output:3\n")
    pcap, n = peer.directory / "p3.pcap", 0
    for port, what in script:
        if isinstance(what, int):
            peer.control("time/warp", str(what))
            continue
        peer.control("netdev-dummy/receive", f"p{port}", what.hex())
        n += 1
        deadline = time.monotonic() + 60
        while len(recorded(pcap)) < n:
            assert time.monotonic() < deadline, f"packet {n} does not come out"
            # Each answer is a turn of the daemon's main loop, which hands packets on.
            peer.control("version")
    dump = peer.control("dpctl/dump-conntrack", "-m").splitlines()
    return recorded(pcap), sorted(dump)


def assert_same(peer: TracePeer, script: Script, flows: str, actions: tuple[str, str]) -> None:
    their_frames, their_table = theirs(peer, script, flows)
    our_frames, our_table = ours(script, actions)
    for number, (their, our) in enumerate(zip(their_frames, our_frames, strict=True)):
        assert their[: len(our)] == our, f"packet {number}"
    assert our_table == their_table


@pytest.mark.parametrize("seed", range(6))
def test_random_tcp_conversation_is_tracked_alike(peer: TracePeer, seed: int) -> None:
    flows = "in_port=1,ip,actions=ct(commit,table=1)\nin_port=2,ip,actions=ct(table=1)\n"
    assert_same(peer, random_tcp(seed), flows, ("ct(commit)", "ct"))


def test_translation_and_its_errors_are_the_same_bytes(peer: TracePeer) -> None:
    nat = "nat(src=10.0.0.77:5000)"
    flows = f"in_port=1,ip,actions=ct(commit,table=1,{nat})\nin_port=2,ip,actions=ct(table=1,nat)\n"
    assert_same(peer, translated(), flows, (f"ct(commit,{nat})", "ct(nat)"))


def said(*lines: str) -> Script:
    """A TCP conversation; a line is ">" (client) or "<", flags, sequence, acknowledgement and bytes
    of data, or "wait" and milliseconds. Numbers count from each side's first."""
    script: Script = []
    first = {1: 5_000, 2: 900_000}
    for line in lines:
        side, *words = line.split()
        if side == "wait":
            script.append((0, int(words[0])))
            continue
        port = 1 if side == ">" else 2
        seq, ack, n = (int(word) for word in (*words[1:], "0", "0")[:3])
        script.append((port, segment(port, words[0], first[port] + seq, first[3 - port] + ack, n)))
    return script


OPENING = ("> S 0", "< SA 0 1", "> A 1 1")
CONVERSATIONS = {
    "loss": (*OPENING, "> PA 1 1 100", "> PA 1 1 100", "< A 1 101", "< PA 1 101 50", "wait 1000",
             "< PA 1 101 50", "> A 101 51"),
    "a lost SYN": ("> S 0", "wait 1000", "> S 0", "wait 3000", "> S 0", "< SA 0 1", "> A 1 1"),
    "a lost SYN and ACK": ("> S 0", "< SA 0 1", "wait 1000", "< SA 0 1", "> A 1 1"),
    "reorder": (*OPENING, "> PA 201 1 100", "> PA 101 1 100", "> PA 1 1 100", "< A 1 301",
                "< FA 1 301", "> A 301 2", "> FA 301 2", "< A 2 302"),
    "reset": (*OPENING, "> PA 1 1 10", "< R 1", "> A 11 1", "wait 9000", "> A 11 1"),
    "refused": ("> S 0", "< RA 0 1", "> S 0", "wait 31000", "> S 0"),
    "astray reset": (*OPENING, "< R 2000000", "< R 1", "> A 1 1"),
    "simultaneous open": ("> S 0", "< S 0", "> SA 0 1", "< SA 0 1", "> A 1 1", "< A 1 1"),
    "half close": (*OPENING, "> FA 1 1", "< A 1 2", "< PA 1 2 500", "> A 2 501", "< PA 501 2 500",
                   "> A 2 1001", "wait 60000", "< FA 1001 2", "> A 2 1002"),
    "both close": (*OPENING, "> FA 1 1", "< FA 1 1", "> A 2 2", "< A 2 2", "wait 46000", "> A 2 2"),
    "out of window": (*OPENING, "> A 100000 1 10", "< A 1 900000", "> A 1 1 10", "< A 1 11",
                      "> A 11 1 1200", "> A 2500 1 1"),
    "in the middle": ("> A 500 700 20", "< A 700 520", "> PA 520 700 20", "< PA 700 540 30"),
    "only the server": ("< SA 0 1", "< A 1 1", "> S 0", "< SA 0 1"),
    "an old port again": (*OPENING, "> FA 1 1", "< FA 1 2", "> A 2 2", "> S 7000", "< SA 9000 7001",
                          "> A 7001 9001"),
    "an answer nobody waits for": (*OPENING, "< SA 0 1", "> S 0", "< A 1 1"),
    "odd flags": ("> SF 0", "> SR 0", "> F 0", "> S 0", "< SAF 0 1", "> P 1 1", "> U 1 1"),
    "idle": (*OPENING, "wait 86390000", "> A 1 1", "wait 86390000", "< A 1 1", "wait 86410000",
             "< A 1 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_scripted_tcp_conversation_is_tracked_alike(peer: TracePeer, name: str) -> None:
    flows = "in_port=1,ip,actions=ct(commit,table=1)\nin_port=2,ip,actions=ct(table=1)\n"
    assert_same(peer, said(*CONVERSATIONS[name]), flows, ("ct(commit)", "ct"))


def udp_and_ping(inner: str, outer: str, there: str, is_ipv6: bool) -> Script:
    """Datagrams and pings from `inner`, seen outside as `outer`, and errors about them."""
    make = frame6 if is_ipv6 else frame
    request = ICMPv6EchoRequest(id=7) if is_ipv6 else ICMP(type=8, id=7)
    reply = ICMPv6EchoReply(id=7) if is_ipv6 else ICMP(type=0, id=7)
    refusal = ICMPv6DestUnreach(code=4) if is_ipv6 else ICMP(type=3, code=3)
    outside = make(outer, there, UDP(sport=5000, dport=53) / b"hi")
    answer = make(there, inner, UDP(sport=53, dport=5) / b"r")
    return [
        (1, make(inner, there, UDP(sport=5, dport=53) / b"hi")),
        (2, make(there, outer, UDP(sport=53, dport=5000) / b"hello")),
        (2, make(there, outer, UDP(sport=54, dport=5000) / b"hello")),
        (2, make(there, outer, refusal / Raw(outside[14:]))),
        (1, make(inner, there, refusal / Raw(answer[14:]))),
        (2, make(there, outer, refusal / Raw(b"not a packet"))),
        (1, make(inner, there, request / b"abc")),
        (2, make(there, outer, reply / b"abc")),
        (0, 31_000),
        (2, make(there, outer, UDP(sport=53, dport=5000) / b"late")),
    ]


V6 = ("fd00::1", "fd00::77", "fd00::2")


@pytest.mark.parametrize(("places", "kind", "nat"), [
    ((A, OUTSIDE, B), "ip", "nat(src=10.0.0.77:5000)"),
    (V6, "ipv6", "nat(src=[fd00::77]:5000)"),
    ((A, A, B), "ip", "nat(src=0.0.0.0)"),
])  # fmt: skip
def test_source_translation_and_errors_alike(
    peer: TracePeer, places: tuple[str, str, str], kind: str, nat: str
) -> None:
    flows = (f"in_port=1,{kind},actions=ct(commit,table=1,{nat})\n"
             f"in_port=2,{kind},actions=ct(table=1,nat)\n")  # fmt: skip
    script = udp_and_ping(*places, is_ipv6=kind == "ipv6")
    assert_same(peer, script, flows, (f"ct(commit,{nat})", "ct(nat)"))


@pytest.mark.parametrize("is_ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_destination_translation_alike(peer: TracePeer, is_ipv6: bool) -> None:
    make, kind = (frame6, "ipv6") if is_ipv6 else (frame, "ip")
    client, outer, server = V6 if is_ipv6 else (A, OUTSIDE, B)
    target = f"[{server}]:8080" if is_ipv6 else f"{server}:8080"
    nat = f"nat(dst={target})"
    flows = (f"in_port=1,{kind},actions=ct(commit,table=1,{nat})\n"
             f"in_port=2,{kind},actions=ct(table=1,nat)\n")  # fmt: skip
    script: Script = [
        (1, make(client, outer, TCP(sport=1, dport=80, flags="S", seq=1))),
        (2, make(server, client, TCP(sport=8080, dport=1, flags="SA", seq=9, ack=2))),
        (1, make(client, outer, TCP(sport=1, dport=80, flags="A", seq=2, ack=10))),
        (1, make(client, outer, TCP(sport=2, dport=80, flags="S", seq=1))),
        (2, make(server, client, TCP(sport=8081, dport=2, flags="SA", seq=9, ack=2))),
        (2, make(server, client, TCP(sport=8080, dport=2, flags="RA", seq=0, ack=2))),
    ]
    assert_same(peer, script, flows, (f"ct(commit,{nat})", "ct(nat)"))


def test_zones_are_apart_alike(peer: TracePeer) -> None:
    flows = ("in_port=1,ip,actions=ct(commit,zone=1,table=1)\n"
             "in_port=2,ip,actions=ct(zone=2,table=1)\n")  # fmt: skip
    script = said(*OPENING, "> PA 1 1 10", "< A 1 11")
    assert_same(peer, script, flows, ("ct(commit,zone=1)", "ct(zone=2)"))


def test_marks_stay_with_a_connection_alike(peer: TracePeer) -> None:
    mark = "commit,table=1,exec(set_field:0x1234->ct_mark)"
    flows = f"in_port=1,ip,actions=ct({mark})\nin_port=2,ip,actions=ct(table=1)\n"
    assert_same(peer, said(*OPENING), flows, ("ct(commit,mark=0x1234/0xffffffff)", "ct"))
