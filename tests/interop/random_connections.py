"""Packet-outs of packets of few connections, in any order and with any flags, that are tracked,
committed, marked and translated in three zones; errors that quote them among them."""

from __future__ import annotations

import random
from typing import NamedTuple

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

_HOSTS = (("10.0.0.1", "10.0.0.2", "10.0.0.3", "20.0.0.9"), ("fd00::1", "fd00::2", "fd00::3"))
_TRANSLATED = ("20.0.0.9", "fd00::9")
_FLAGS = ("S", "SA", "A", "A", "PA", "FA", "R", "RA", "", "SF", "U")
_KINDS = (*["udp"] * 6, *["tcp"] * 7, *["icmp"] * 3, "raw", *["error"] * 3)
#: Bytes of the packet that an error quotes.
_QUOTED = ((28, 36, 60, 100), (60, 100))
_UNKNOWN_PROTOCOL = 99


class Talk(NamedTuple):
    """One side of a conversation."""

    source: str
    destination: str
    is_ipv6: bool
    kind: str
    sport: int
    dport: int

    def answer(self) -> Talk:
        return Talk(self.destination, self.source, self.is_ipv6, self.kind, self.dport, self.sport)


class Connections:
    """A stream of them by a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._heard: list[Talk] = []

    def packet_out(self) -> str:
        """A line of `ovs-ofctl bundle`."""
        packet = self._packet()
        data = bytearray(bytes(packet))
        if self._rng.random() < 0.02:
            data[-1] ^= 1
        port, actions = self._rng.choice((1, 2)), self._actions(IPv6 in packet)
        return f"packet-out in_port={port},packet={data.hex()},actions={actions}\n"

    def _packet(self) -> Packet:
        rng = self._rng
        if self._heard and rng.random() < 0.45:
            talk = rng.choice(self._heard[-12:])
            talk = talk.answer() if rng.random() < 0.5 else talk
            self._heard.append(talk)
            return self._said(talk)
        kind = rng.choice(_KINDS if self._heard else ("udp",))
        if kind == "error":
            return self._error(rng.choice(self._heard[-10:]))
        is_ipv6 = rng.random() < 0.3
        source, destination = rng.sample(_HOSTS[is_ipv6], 2)
        ports = rng.choice((1000, 1001)), rng.choice((80, 53))
        talk = Talk(source, destination, is_ipv6, kind, *ports)
        self._heard.append(talk)
        return self._said(talk)

    def _said(self, talk: Talk) -> Packet:
        rng = self._rng
        ends = {"src": talk.source, "dst": talk.destination}
        ip = IPv6(**ends, hlim=64) if talk.is_ipv6 else IP(**ends, id=0, ttl=64)
        head = Ether(dst="50:54:00:00:00:0a", src="50:54:00:00:00:09") / ip
        if talk.kind == "udp":
            return head / UDP(sport=talk.sport, dport=talk.dport) / Raw(b"x" * rng.choice((0, 4)))
        if talk.kind == "tcp":
            segment = TCP(
                sport=talk.sport, dport=talk.dport, flags=rng.choice(_FLAGS),
                seq=rng.choice((0, 1, 2, 100, 5000)), ack=rng.choice((0, 1, 2, 101)),
                window=rng.choice((0, 1000, 8192)),
            )  # fmt: skip
            return head / segment / Raw(b"y" * rng.choice((0, 0, 5)))
        if talk.kind == "icmp":
            is_reply = rng.random() < 0.4
            if talk.is_ipv6:
                return head / (ICMPv6EchoReply if is_reply else ICMPv6EchoRequest)(id=talk.sport)
            return head / ICMP(
                type=0 if is_reply else rng.choice((8, 8, 13, 14, 15)), id=talk.sport
            )
        setattr(head.lastlayer(), "nh" if talk.is_ipv6 else "proto", _UNKNOWN_PROTOCOL)
        return head / Raw(b"12345678")

    def _error(self, talk: Talk) -> Packet:
        rng = self._rng
        quoted = Raw(bytes(self._said(talk)[Ether].payload)[: rng.choice(_QUOTED[talk.is_ipv6])])
        sender = rng.choice((talk.destination, *_HOSTS[talk.is_ipv6]))
        ether = Ether(dst="50:54:00:00:00:0a", src="50:54:00:00:00:09")
        if talk.is_ipv6:
            return ether / IPv6(src=sender, dst=talk.source) / ICMPv6DestUnreach(code=4) / quoted
        message = ICMP(type=rng.choice((3, 11, 4, 5, 12)), code=rng.choice((0, 1, 3)))
        return ether / IP(src=sender, dst=talk.source, id=0) / message / quoted

    def _actions(self, is_ipv6: bool) -> str:
        rng = self._rng
        zone, number = rng.choice((0, 0, 1, 2)), rng.randrange(9)
        address = _TRANSLATED[is_ipv6]
        wrapped = f"[{address}]" if is_ipv6 else address
        marks = (
            f"exec(set_field:{number}->ct_mark),",
            f"exec(set_field:{number:#x}/0xf->ct_label),",
        )
        mark = rng.choice(("", "", "", *marks))
        if rng.random() < 0.4:
            translations = f"src={address}", f"dst={address}", f"src={wrapped}:7000"
            return f"ct(commit,zone={zone},nat({rng.choice(translations)}),{mark}table=1)"
        forms = (
            *[f"ct(zone={zone},table=1)"] * 3,
            *[f"ct(zone={zone},nat,table=1)"] * 3,
            *[f"ct(commit,zone={zone},{mark}table=1)"] * 4,
            f"ct(commit,force,zone={zone},{mark}table=1)",
            f"ct(zone={zone},table=2)",
        )
        return rng.choice(forms)
