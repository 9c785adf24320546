"""Service headers (NSH, RFC 8300) and packets without Ethernet: the programs do what Python does,
and leave to it only what they cannot."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend, private_namespace
from tests.support.kernel_programs import require_programs

from netloom.datapath.action_parse import parse_actions
from netloom.datapath.actions import Output, PushNsh, Set, TunnelPop, TunnelPush
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT
from netloom.flow.key import explain_key, mask_of
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.tunnel import TunnelPort
from netloom.netdev.tunnel_config import parse_tunnel_config
from netloom.packet.checksum import pseudo_sum
from netloom.packet.offload import GSO_TCPV4, NEEDS_CSUM, Offload, finish_offload

pytestmark = pytest.mark.root
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = IP(src="10.0.0.1", dst="10.0.0.2")
DATA = Raw(bytes(range(40)))
INNER = bytes(ETHER / V4 / UDP(sport=5, dport=53) / DATA)
OUTER = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b", type=0x894F)
#: Of MD type 1: hop limit 63, protocol Ethernet, path 5, index 255.
NSH = bytes.fromhex("0fc60103000005ff00000001000000020000000300000004")
#: Of MD type 2 with 4 bytes of context; the longest there is; one without any.
NSH_2 = bytes.fromhex("0fc30203000005ff12345678")
NSH_LONG = bytes.fromhex("0fff0203000005ff") + bytes(range(244))
NSH_NONE = bytes.fromhex("0fc20203000005ff")
ANY, IN_NSH = "recirc_id(0),in_port(1),eth()", "recirc_id(0),in_port(1),eth(),eth_type(0x894f)"
IN_IP = f"{ANY},eth_type(0x0800)"
#: VXLAN with a protocol (GPE), number 77.
GPE = "0c0000{:02x}00004d00"
ON_1 = "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x5,si=255,c1=0x1,c2=0x2,c3=0x3,c4=0x4)"
ON_2 = "push_nsh(flags=1,ttl=9,mdtype=2,np=3,spi=0x5,si=255,md2=0x{})"
ETH = "push_eth(src=02:00:00:00:00:0a,dst=02:00:00:00:00:0b)"
ON_4 = ON_1.replace("np=3", "np=4")
LABEL_2 = "push_mpls(label=8,tc=0,ttl=64,bos=0,eth_type=0x8847)"
LABEL = "push_mpls(label=6,tc=0,ttl=64,bos=1,eth_type=0x8847)"
ON_LABEL = "add_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847)"


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelBackend]:
    require_programs()
    with private_namespace():
        backend = KernelBackend((1, 2))
        yield backend
        backend.close()


def framed(header: bytes, inside: bytes = INNER) -> bytes:
    return bytes(OUTER) + header + inside


def of(protocol: int, header: bytes = NSH) -> bytes:
    return header[:3] + bytes([protocol]) + header[4:]


def tagged(*tags: Packet) -> bytes:
    frame: Packet = ETHER
    for tag in tags:
        frame = frame / tag
    return bytes(frame / V4 / UDP() / DATA)


#: A flow, its actions, a packet.
CASES: dict[str, tuple[str, str, bytes]] = {
    "on": (IN_IP, f"{ON_1},{ETH},2", INNER),
    "on, of MD type 2": (IN_IP, f"{ON_2.format('1000010412345678')},{ETH},2", INNER),
    "on, of MD type 2, long": (IN_IP, f"{ON_2.format(bytes(range(244)).hex())},{ETH},2", INNER),
    "on twice": (IN_IP, f"{ON_1},{ON_4},{ETH},2", INNER),
    "on what is short": (ANY, f"{ON_1},{ETH},2", bytes(ETHER / ARP())),
    "on what has a tag": (IN_IP, f"{ON_1},{ETH},2", tagged(Dot1Q(vlan=5))),
    "on what has two tags": (
        f"{ANY},eth_type(0x8100)", f"{ON_1},{ETH},2",
        tagged(Dot1Q(vlan=5, prio=3), Dot1Q(vlan=6)),
    ),
    "on what has three tags": (
        f"{ANY},eth_type(0x8100)", f"{ON_1},{ETH},2",
        tagged(Dot1AD(vlan=5), Dot1Q(vlan=6), Dot1Q(vlan=7)),
    ),
    "on behind a tag": (IN_IP, f"push_vlan(vid=7,pcp=1),{ON_1},{ETH},push_vlan(vid=8,pcp=0),2",
                        INNER),
    "on, of another kind": (IN_IP, f"{ON_4},{ETH},2", INNER),
    "on and off": (IN_IP, f"{ON_1},{ETH},pop_eth,pop_nsh(),2", INNER),
    "on and off what has a tag": (
        IN_IP, f"{ON_1},pop_nsh(),2", tagged(Dot1Q(vlan=5, prio=3)),
    ),
    "on and changed": (
        IN_IP, f"{ON_1},set(nsh(flags=1,ttl=20,spi=0x9,si=254,c2=0x77)),{ETH},2", INNER,
    ),
    "on, twice sent": (IN_IP, f"{ON_1},{ETH},2,set(eth(dst=02:00:00:00:00:99)),2", INNER),
    "on, the copy last": (IN_IP, f"2,clone({ON_1},{ETH},2)", INNER),
    "off": (IN_NSH, "pop_eth,pop_nsh(),2", framed(NSH)),
    "off, of MD type 2": (IN_NSH, "pop_eth,pop_nsh(),2", framed(NSH_2)),
    "off, of MD type 2, long": (IN_NSH, "pop_eth,pop_nsh(),2", framed(NSH_LONG)),
    "off, of MD type 2, empty": (IN_NSH, "pop_eth,pop_nsh(),2", framed(NSH_NONE)),
    "off what is cut": (IN_NSH, "pop_eth,pop_nsh(),2", framed(NSH)[:30].ljust(60, b"\xff")),
    "off what nobody knows": (IN_NSH, "pop_eth,pop_nsh(),2", framed(of(9))),
    "off what has a tag": (IN_NSH, "pop_eth,pop_nsh(),2", framed(NSH, tagged(Dot1Q(vlan=5)))),
    "off what is short": (
        IN_NSH, f"pop_eth,pop_nsh(),{ETH},2", framed(of(1), bytes(V4 / UDP()))
    ),
    "off, IPv4": (
        IN_NSH, f"pop_eth,pop_nsh(),set(ipv4(ttl=7)),{ETH},2", framed(of(1), INNER[14:])
    ),
    "off, IPv6": (
        IN_NSH, f"pop_eth,pop_nsh(),set(ipv6(hlimit=7)),{ETH},2",
        framed(of(2), bytes(IPv6() / TCP() / DATA)),
    ),
    "off twice": (
        IN_NSH, "pop_eth,pop_nsh(),pop_nsh(),2", framed(of(4) + NSH_2)
    ),
    "off none": (IN_IP, "pop_nsh(),2", INNER),
    "off a frame that is none": (IN_NSH, "pop_nsh(),2", framed(NSH)),
    "passed": (IN_NSH, "2", framed(NSH)),
    "matched": (f"{IN_NSH},nsh(mdtype=1,np=3,spi=0x5,si=255,c1=0x1)", "2", framed(NSH)),
    "not matched": (f"{IN_NSH},nsh(mdtype=1,np=3,spi=0x6,si=255)", "2", framed(NSH)),
    "changed": (IN_NSH, "set(nsh(flags=0,ttl=20,spi=0x9,si=254)),2", framed(NSH)),
    "changed in part": (
        IN_NSH, "set(nsh(spi=0x9/0xff,c1=0x5/0xf,c4=0xff000000/0xff000000)),2", framed(NSH)
    ),
    "changed, of MD type 2": (IN_NSH, "set(nsh(ttl=3,c1=0x5)),2", framed(NSH_2)),
    "changed in a copy": (IN_NSH, "clone(set(nsh(ttl=3,c1=0x5)),2),2", framed(NSH)),
    "off and looked at": (IN_NSH, "pop_eth,pop_nsh(),recirc(0x1)", framed(NSH)),
    "off and looked at, IPv4": (IN_NSH, "pop_eth,pop_nsh(),recirc(0x2)", framed(of(1), INNER[14:])),
    "on and looked at": (IN_IP, f"{ON_1},recirc(0x3)", INNER),
    "without Ethernet": (IN_IP, f"pop_eth,set(ipv4(ttl=5)),{ETH},2", INNER),
    "without Ethernet, looked at": (IN_IP, "pop_eth,recirc(0x2)", INNER),
    "without Ethernet, not known": (f"{ANY},eth_type(0x0806)", "pop_eth,recirc(0x2)",
                                    bytes(ETHER / ARP(psrc="10.0.0.1", pdst="10.0.0.2") / DATA)),
    "without Ethernet, tracked": (IN_IP, f"pop_eth,ct(commit,zone=3),{ETH},2", INNER),
    "without Ethernet, translated": (
        IN_IP, "pop_eth,ct(commit,zone=4,nat(src=10.9.9.9)),recirc(0x2)", INNER
    ),
    "Ethernet on a frame": (IN_IP, f"{ETH},2", INNER),
    "a tag without Ethernet": (IN_IP, "pop_eth,push_vlan(vid=5,pcp=0),2", INNER),
    "by length": (IN_IP, f"pop_eth,check_pkt_len(size={len(INNER) - 14},"
                         f"gt(drop),le({ETH},2))", INNER),
    "a label in front": (IN_IP, f"{ON_LABEL},{ETH},2", INNER),
    "a label in front and off": (IN_IP, f"{ON_LABEL},pop_mpls(eth_type=0x6558),2", INNER),
    "two labels in front": (IN_IP, f"{ON_LABEL},push_mpls(label=6,tc=0,ttl=64,bos=0,"
                                   f"eth_type=0x8847),{ETH},2", INNER),
    "a label for Ethernet": (IN_IP, "pop_eth,push_mpls(label=6,tc=0,ttl=64,bos=1,"
                                    f"eth_type=0x8847),{ETH},2", INNER),
}  # fmt: skip
COPIES = {
    "a header": f"clone({ON_1},{ETH},2),2",
    "a header written": f"clone(2,{ON_1},set(nsh(ttl=3,c2=0x7)),{ETH},"
                        "set(eth(dst=02:00:00:00:00:77)),2),2",
    "two headers": f"clone({ON_1},{ON_4},{ETH},2),clone({ON_2.format('00000001')},{ETH},2),2",
    "a header and a tag": f"clone({ON_1},{ETH},push_vlan(vid=5,pcp=1),2),push_vlan(vid=6,pcp=0),2",
    "a header and its look": f"clone({ON_1},{ETH},hash(l4(0)),2),recirc(0x4)",
    "a label": f"clone({LABEL},2),set(ipv4(ttl=9)),2",
    "labels": f"clone({LABEL},set(mpls(label=9,tc=1,ttl=3,bos=1)),{LABEL_2},"
              f"push_vlan(vid=5,pcp=1),2),clone({ON_1},{ETH},2),clone(set(ipv4(ttl=3)),2),2",
}  # fmt: skip
#: Those of which user space has to do something.
SLOW = {"on what has three tags", "on, of another kind"}
#: Those that have no flow, in the end.
MISSED = {"not matched", "without Ethernet, not known"}


def put_flows(backend: UserspaceBackend | KernelBackend, flow: str, actions: str) -> None:
    backend.put(flow, actions)
    backend.put("recirc_id(0x1),in_port(1),eth(),eth_type(0x0800)", "2")
    backend.put(
        "recirc_id(0x2),in_port(1),packet_type(ns=1,id=0x800),eth_type(0x0800),ipv4(dst=10.0.0.2)",
        f"set(ipv4(dst=10.0.0.9)),{ETH},2",
    )
    backend.put(
        "recirc_id(0x3),in_port(1),packet_type(ns=1,id=0x894f),eth_type(0x894f),nsh(spi=0x5)",
        f"set(nsh(si=7)),{ETH},2",
    )


@pytest.mark.parametrize("name", CASES)
def test_service_headers_are_treated_alike(kernel: KernelBackend, name: str) -> None:
    flow, actions, packet = CASES[name]
    kernel.start()
    slow = kernel.dpif.slow_packets
    results = []
    for backend in (UserspaceBackend((1, 2)), kernel):
        put_flows(backend, flow, actions)
        backend.inject(1, packet)
        backend.run()
        flows = sorted(
            (row.key & row.mask, row.stats.packets, row.stats.bytes)
            for row in backend.dpif.flow_dump()
        )
        upcalls = [explain_key(upcall.key) for upcall in backend.dpif.recv_upcalls(10)]
        results.append(([data.hex() for data in backend.sent(2)], backend.drops(), upcalls, flows))
    assert results[0] == results[1]
    sent, drops, upcalls, _ = results[0]
    assert sent or drops or upcalls
    assert bool(upcalls) == (name in MISSED)
    assert kernel.reasons() == set()
    assert kernel.dpif.slow_packets - slow == (name in SLOW)


COPIED = {
    "plain": INNER,
    "tagged": tagged(Dot1Q(vlan=5, prio=3)),
    "IPv6": bytes(ETHER / IPv6() / TCP() / DATA),
    "short": bytes(ETHER / ARP()),
    "two tags": tagged(Dot1Q(vlan=5), Dot1Q(vlan=6)),
}


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("kind", COPIED)
def test_copies_get_headers_and_what_follows_has_none(
    kernel: KernelBackend, name: str, kind: str
) -> None:
    kernel.start()
    slow = kernel.dpif.slow_packets
    results = []
    for backend in (UserspaceBackend((1, 2)), kernel):
        backend.put("recirc_id(0),in_port(1)", COPIES[name])
        backend.put("recirc_id(0x4),in_port(1)", "2")
        backend.inject(1, COPIED[kind])
        backend.run()
        results.append([data.hex() for data in backend.sent(2)])
    assert results[1] == results[0]
    assert kernel.reasons() == set()
    assert kernel.dpif.slow_packets == slow


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        *((kind, way) for kind in ("TCP", "UDP") for way in ("sent", "brought up")),
        # UDP is segmented by its sender.
        ("TCP", "of many segments"),
    ],
)
def test_what_a_device_was_to_finish_is_finished(
    kernel: KernelBackend, kind: str, way: str
) -> None:
    """A checksum that the sender left undone is right in the end, behind a service header; and what
    is still to be segmented Python segments, which counts."""
    transport = TCP(sport=5, dport=53, flags="PA") if kind == "TCP" else UDP(sport=5, dport=53)
    size = 3_000 if way == "of many segments" else 200
    packet = bytes(ETHER / V4 / transport / Raw(bytes(size)))
    offset, pseudo = (16, 20) if kind == "TCP" else (6, 8)
    value = pseudo_sum(packet[26:30], packet[30:34], packet[23], len(packet) - 34)
    data = bytearray(packet)
    data[34 + offset : 36 + offset] = value.to_bytes(2, "big")
    offload = Offload(NEEDS_CSUM, 0, 0, 0, 34, offset)
    if way == "of many segments":
        offload = Offload(NEEDS_CSUM, GSO_TCPV4, 34 + pseudo, 1_000, 34, offset)
    end = f"{ETH},2" if way != "brought up" else "recirc(0x9)"
    kernel.start()
    slow = kernel.dpif.slow_packets
    results = []
    for backend in (UserspaceBackend((1, 2)), kernel):
        backend.put(IN_IP, f"{ON_1},{end}")
        if backend is kernel:
            kernel.inject(1, bytes(data), offload)
        else:
            for part in finish_offload(bytes(data), offload):
                backend.inject(1, part)
        backend.run()
        sent = [frame.hex() for frame in backend.sent(2)]
        for upcall in backend.dpif.recv_upcalls(10):
            backend.dpif.execute(upcall.packet, upcall.key, parse_actions(f"{ETH},2"),
                                 upcall.offload)  # fmt: skip
        backend.run()
        results.append(sent or [frame.hex() for frame in backend.sent(2)])
    assert results[0] == results[1]
    assert len(results[0]) == (3 if way == "of many segments" else 1)
    assert kernel.dpif.slow_packets - slow == (way == "of many segments")


@pytest.mark.parametrize("on", (ON_1, ON_LABEL, f"{ON_1},{ON_LABEL}", LABEL))
def test_a_checksum_that_was_left_is_found_behind_layers(kernel: KernelBackend, on: str) -> None:
    """What comes up is whole, whatever was put on before: as Python would have it."""
    packet = bytes(ETHER / V4 / TCP(sport=5, dport=53, flags="PA") / DATA)
    partial = bytearray(packet)
    partial[50:52] = pseudo_sum(packet[26:30], packet[30:34], 6, len(packet) - 34).to_bytes(
        2, "big"
    )
    kernel.start()
    kernel.put(IN_IP, f"{on},userspace(pid=0,controller(reason=1,dont_send=0,continuation=0,"
                      "recirc_id=0,rule_cookie=0,controller_id=0,max_len=65535))")  # fmt: skip
    kernel.inject(1, bytes(partial), Offload(NEEDS_CSUM, 0, 0, 0, 34, 16))
    kernel.run()
    (upcall,) = kernel.dpif.recv_upcalls(10)
    offload, data = upcall.offload, upcall.packet
    whole = data if offload is None else finish_offload(data, offload)[0]
    assert whole.endswith(packet[14:])


def test_headers_of_every_length_go_on_and_off(kernel: KernelBackend) -> None:
    userspace = UserspaceBackend((1, 2))
    kernel.start()
    key, mask = parse_odp_flow(IN_IP)
    slow = kernel.dpif.slow_packets
    for n_words in range(62):
        context = bytes(range(4 * n_words))
        push = PushNsh(1, 62, 2, 3, 0x5FF, context)
        for backend in (userspace, kernel):
            backend.dpif.flow_put(key, mask, (push, *parse_actions(f"{ETH},2")))
            backend.put(IN_NSH, "pop_eth,pop_nsh(),2")
            backend.inject(1, INNER)
            backend.run()
            backend.inject(1, backend.sent(2)[-1])
            backend.run()
        assert kernel.sent(2)[-2:] == userspace.sent(2)[-2:]
        assert kernel.sent(2)[-1] == INNER
        assert kernel.sent(2)[-2][14:].startswith(
            bytes.fromhex(f"1f{0x80 | n_words + 2:02x}0203000005ff") + context
        )
    assert kernel.dpif.slow_packets == slow


@pytest.mark.parametrize("seed", range(4))
def test_fields_of_service_headers_are_set_alike(kernel: KernelBackend, seed: int) -> None:
    rng = random.Random(seed)
    mask = mask_of("in_port") | mask_of("recirc_id") | mask_of("dl_type")
    bits = {"nsh_flags": 3, "nsh_ttl": 0x3F}
    for _ in range(20):
        chosen, value = 0, 0
        for name in ["nsh_flags", "nsh_ttl", "nsh_path", "nsh_c1", "nsh_c2", "nsh_c3", "nsh_c4"]:
            slot = SLOT[name]
            part = rng.choice((0, rng.getrandbits(32), 0xFFFFFFFF)) & bits.get(name, 0xFFFFFFFF)
            chosen = slot.put(chosen, part)
            value = slot.put(value, rng.getrandbits(32) & part)
        packet = framed(rng.choice((NSH, NSH, NSH_2, NSH_NONE, b"\x40" + NSH[1:], NSH[:-4])))
        kernel.start()
        userspace = UserspaceBackend((1, 2))
        for backend in (userspace, kernel):
            backend.dpif.flow_put(
                extract_key(packet, 1), mask, (Set("nsh", value, chosen), Output(2))
            )
            backend.inject(1, packet)
            backend.run()
        assert kernel.sent(2) == userspace.sent(2)
        assert kernel.reasons() == set()


TUNNELLED = {
    "NSH": (4, NSH + INNER, "packet_type(ns=1,id=0x894f),eth_type(0x894f),nsh(spi=0x5)",
            "pop_nsh(),2", [INNER]),
    "IPv4": (1, INNER[14:], "packet_type(ns=1,id=0x800),eth_type(0x0800),ipv4(dst=10.0.0.2)",
             f"{ETH},2", [bytes(OUTER)[:12] + INNER[12:]]),
    "IPv6": (2, bytes(IPv6() / TCP()), "packet_type(ns=1,id=0x86dd),eth_type(0x86dd)",
             f"{ETH},2", [bytes(OUTER)[:12] + b"\x86\xdd" + bytes(IPv6() / TCP())]),
    "a frame": (3, INNER, "eth(),eth_type(0x0800)", "2", [INNER]),
    "nobody knows": (9, INNER, "eth()", "2", []),
}  # fmt: skip


@pytest.mark.parametrize("name", TUNNELLED)
@pytest.mark.parametrize("over", ("vxlan", "gre"))
def test_what_comes_out_of_a_tunnel_is_treated_alike(
    kernel: KernelBackend, name: str, over: str
) -> None:
    protocol, inside, flow, actions, expected = TUNNELLED[name]
    kernel.start()
    head: Packet = ETHER / IP(src="172.16.0.2", dst="172.16.0.1", proto=47)
    if over == "vxlan":
        head = ETHER / IP(src="172.16.0.2", dst="172.16.0.1") / UDP(sport=9_999, dport=4_789)
        packet = bytes(head / Raw(bytes.fromhex(GPE.format(protocol)) + inside))
        options, transport = {"exts": "gpe"}, "ipv4(proto=17,frag=no),udp(dst=4789)"
    else:
        kinds = {1: 0x800, 2: 0x86DD, 3: 0x6558, 4: 0x894F, 9: 0x22}
        packet = bytes(head / Raw(bytes(2) + kinds[protocol].to_bytes(2, "big") + inside))
        options, transport = {}, "ipv4(proto=47,frag=no)"
    slow = kernel.dpif.slow_packets
    results = []
    for backend in (UserspaceBackend((1, 2)), kernel):
        given = {"remote_ip": "172.16.0.2", "packet_type": "ptap", **options}
        device = TunnelPort(parse_tunnel_config("t", over, given))
        number = backend.dpif.port_add(device).number
        key, mask = parse_odp_flow(f"recirc_id(0),in_port(1),eth(),eth_type(0x0800),{transport}")
        backend.dpif.flow_put(key, mask, (TunnelPop(number),))
        backend.inject(1, packet)
        backend.run()
        upcalls = []
        for upcall in backend.dpif.recv_upcalls(10):
            fields = explain_key(upcall.key)
            assert fields.pop("in_port") == number
            upcalls.append((fields, upcall.packet.hex()))
        # Then a flow for it, as the one who asked would put it.
        backend.put(f"recirc_id(0),in_port({number}),{flow}", actions)
        backend.inject(1, packet)
        backend.run()
        backend.dpif.recv_upcalls(10)
        results.append((upcalls, [data.hex() for data in backend.sent(2)], backend.drops()))
        backend.dpif.port_del(number)
    assert results[0] == results[1]
    if name != "nobody knows":
        assert results[0][1] == [data.hex() for data in expected]
        assert kernel.dpif.slow_packets == slow


@pytest.mark.parametrize(
    "before", (ON_1, "pop_eth", f"{ON_1},{ON_4}", ""), ids=("NSH", "IPv4", "two", "a frame")
)
def test_what_goes_into_a_tunnel_is_treated_alike(kernel: KernelBackend, before: str) -> None:
    outer = bytes(ETHER / IP(src="172.16.0.1", dst="172.16.0.2", proto=17) / UDP(dport=4_789))
    header = outer[:40] + bytes(2) + bytes.fromhex(GPE.format(4))
    kernel.start()
    slow = kernel.dpif.slow_packets
    results = []
    for backend in (UserspaceBackend((1, 2)), kernel):
        options = {"remote_ip": "172.16.0.2", "exts": "gpe", "packet_type": "ptap"}
        device = TunnelPort(parse_tunnel_config("t", "vxlan", options))
        number = backend.dpif.port_add(device).number
        actions = parse_actions(before) if before else ()
        push = TunnelPush(number, 1, 4, header)
        backend.dpif.flow_put(*parse_odp_flow(IN_IP), (*actions, push, Output(2)))
        backend.inject(1, INNER)
        backend.run()
        results.append([data.hex() for data in backend.sent(2)])
        backend.dpif.port_del(number)
    assert results[0] == results[1] and len(results[0]) == 1
    assert kernel.reasons() == set() and kernel.dpif.slow_packets == slow
