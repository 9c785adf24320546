"""Random frames for the flows of `random_flows`: whole packets with right checksums, fragments,
tags, labels, extension headers, answers of connections that were begun, and broken ones."""

from __future__ import annotations

import random

from random_flows import ADDRESSES, ADDRESSES6, BROADCAST, MACS, PORTS
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    fragment6,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw
from tests.support.odd_packets import odd_packet

_FLAGS = ["S", "S", "SA", "A", "PA", "FA", "R", "RA", "F", ""]


class Packets:
    """One port's worth of the world: frames that have a fair chance to match and to be answers."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        #: Connections that were begun: what their answers need.
        self._begun: list[Packet] = []

    def some(self) -> list[bytes]:
        """One packet, or the fragments of one."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.08:
            return [odd_packet(rng)]
        if kind < 0.2 and self._begun:
            return self._frames(self._answer(rng.choice(self._begun)))
        if kind < 0.28:
            return [bytes(self._ethernet() / self._arp())]
        if kind < 0.36:
            labels = MPLS(label=rng.randint(1, 3), ttl=rng.choice([1, 64]), s=1)
            if rng.random() < 0.5:
                labels = MPLS(label=rng.randint(1, 3), ttl=3, s=0) / labels
            return [bytes(self._ethernet() / labels / self._ipv4())]
        return self._frames(self._ipv4() if rng.random() < 0.7 else self._ipv6())

    def _ethernet(self) -> Packet:
        rng = self.rng
        frame = Ether(src=rng.choice(MACS), dst=rng.choice([*MACS, BROADCAST]))
        if rng.random() < 0.25:
            frame /= Dot1Q(vlan=rng.choice([1, 10, 20, 30]), prio=rng.choice([0, 0, 3]))
            if rng.random() < 0.3:
                frame /= Dot1Q(vlan=rng.choice([1, 10, 20]))
        elif rng.random() < 0.05:
            frame /= Dot1AD(vlan=10) / Dot1Q(vlan=20)
        return frame

    def _frames(self, packet: Packet) -> list[bytes]:
        """The frames of an IP packet: perhaps in fragments, in some order, perhaps not all."""
        rng, frame = self.rng, self._ethernet()
        if rng.random() > 0.12:
            return [self._padded(bytes(frame / packet))]
        payload = Raw(rng.randbytes(rng.choice([1500, 2600, 4000])))
        size = rng.choice([1300, 1300, 1400, 600])
        if IP in packet:
            parts = fragment(frame / packet / payload, size)
        else:
            head = IPv6(**{k: packet.fields[k] for k in ("src", "dst", "hlim", "tc")})
            extension = IPv6ExtHdrFragment(id=rng.randrange(1 << 32))
            body = UDP(sport=rng.choice(PORTS), dport=rng.choice(PORTS)) / payload
            parts = fragment6(frame / head / extension / body, size)
        frames = [bytes(part) for part in parts]
        if rng.random() < 0.3:
            rng.shuffle(frames)
        if rng.random() < 0.2:
            frames.append(rng.choice(frames))
        return frames[: rng.choice([1, 9, 9, 9])]

    def _padded(self, frame: bytes) -> bytes:
        return frame + bytes(self.rng.choice([0, 0, 0, 6]))

    def _transport(self) -> Packet:
        rng = self.rng
        sport, dport = rng.choice(PORTS), rng.choice(PORTS)
        kind = rng.choice(["tcp", "tcp", "tcp", "udp", "icmp"])
        if kind == "tcp":
            return TCP(sport=sport, dport=dport, flags=rng.choice(_FLAGS), seq=rng.choice([1, 2]),
                       ack=rng.choice([0, 2, 3]), window=1000)  # fmt: skip
        if kind == "udp":
            return UDP(sport=sport, dport=dport)
        return ICMP(type=rng.choice([8, 8, 0, 3, 11, 13]), id=rng.choice([1, 2]))

    def _ipv4(self) -> Packet:
        rng = self.rng
        head = IP(src=rng.choice(ADDRESSES), dst=rng.choice(ADDRESSES), id=rng.randrange(65536),
                  ttl=rng.choice([1, 2, 64]), tos=rng.choice([0, 0, 0x20, 3]),
                  options=rng.choice([[], [], [], b"\x94\x04\0\0"]))  # fmt: skip
        packet = head / self._transport() / Raw(rng.randbytes(rng.choice([0, 5, 40])))
        self._begun.append(packet)
        return packet

    def _ipv6(self) -> Packet:
        rng = self.rng
        source = rng.choice(ADDRESSES6)
        packet: Packet = IPv6(src=source, dst=rng.choice(ADDRESSES6), hlim=rng.choice([1, 64, 255]),
                      tc=rng.choice([0, 0x20]), fl=rng.choice([0, 5]))  # fmt: skip
        for extension in (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt):
            if rng.random() < 0.15:
                packet /= extension()
        kind = rng.choice(["nd", "echo", "udp", "tcp", "tcp"])
        if kind == "nd":
            option = ICMPv6NDOptSrcLLAddr(lladdr=rng.choice(MACS))
            return packet / ICMPv6ND_NS(tgt=rng.choice(ADDRESSES6)) / option
        if kind == "echo":
            return packet / ICMPv6EchoRequest(id=1)
        if kind == "udp":
            return packet / UDP(sport=rng.choice(PORTS), dport=rng.choice(PORTS)) / Raw(b"data")
        flags = rng.choice(_FLAGS)
        return packet / TCP(sport=rng.choice(PORTS), dport=rng.choice(PORTS), flags=flags, seq=1)

    def _arp(self) -> Packet:
        rng = self.rng
        return ARP(op=rng.choice([1, 2]), hwsrc=rng.choice(MACS), hwdst=rng.choice(MACS),
                   psrc=rng.choice(ADDRESSES), pdst=rng.choice(ADDRESSES))  # fmt: skip

    def _answer(self, packet: Packet) -> Packet:
        """What the other side might say to it: an answer, or an error about it."""
        rng, ip = self.rng, packet[IP]
        head = IP(src=ip.dst, dst=rng.choice([ip.src, "10.9.9.1"]), ttl=64)
        if rng.random() < 0.25:
            # RFC 792 asks for eight bytes behind the header, RFC 1812 for as much as there is.
            quoted = bytes(ip)[: rng.choice([20, 28, 28, 48, 576])]
            return head / ICMP(type=3, code=rng.choice([1, 3])) / Raw(quoted)
        if TCP in packet:
            flags = rng.choice(["SA", "SA", "A", "R", "RA", "FA"])
            return head / TCP(sport=ip.dport, dport=ip.sport, flags=flags, seq=1,
                              ack=ip[TCP].seq + 1, window=1000)  # fmt: skip
        if UDP in packet:
            return head / UDP(sport=ip.dport, dport=ip.sport) / Raw(b"answer")
        return head / ICMP(type=0, id=packet[ICMP].id or 0)
