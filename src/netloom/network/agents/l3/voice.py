"""What routers say on their own: advertisements, and who has an address now.

Sockets are opened by a thread that has entered the router's namespace; they stay there. An open
socket keeps a namespace alive, so `hush` comes before a namespace is removed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from struct import pack
from zlib import crc32

from netloom.base.log import get_logger
from netloom.network.agents.l3.advertise import Advertisement, encode, gratuitous_arp
from netloom.network.agents.rooms import Link, work_in

log = get_logger("l3_agent")
ICMP6_FILTER = 1
SOLICITATION = 133
ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
#: When the first advertisements go out, seconds after each other: at first the device's own
#: address is still being checked, or its port not yet served.
FIRST_S = (0.5, 1.0, 2.0, 4.0, 8.0)
#: The later ones: RFC 4861 wants them spread, so each device has its own pace.
LEAST_S, SPREAD_S = 30, 60
#: Answers to one device are not closer than this.
ANSWER_S = 0.1
#: When an address is announced, seconds after it is there.
ANNOUNCE_S = (0.0, 0.5, 2.0, 5.0)


class Advertiser:
    """Advertises on one device from time to time, and answers who asks."""

    def __init__(self, room: str, advertisement: Advertisement) -> None:
        self._device = advertisement.device
        self._message = encode(advertisement)
        self._loop = asyncio.get_running_loop()
        self._index = 0
        self._sent = 0
        self._answered = 0.0
        self._socket = work_in(room, self._open)
        self._loop.add_reader(self._socket.fileno(), self._asked)
        self._timer = self._loop.call_later(FIRST_S[0], self._round)

    def _open(self) -> socket.socket:
        made = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        try:
            self._index = socket.if_nametoindex(self._device)
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._device.encode())
            wanted = bytearray(b"\xff" * 32)
            wanted[SOLICITATION // 32 * 4 : SOLICITATION // 32 * 4 + 4] = pack(
                "=I", 0xFFFFFFFF & ~(1 << SOLICITATION % 32)
            )
            made.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, bytes(wanted))
            for option in (socket.IPV6_MULTICAST_HOPS, socket.IPV6_UNICAST_HOPS):
                made.setsockopt(socket.IPPROTO_IPV6, option, 255)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self._index)
            group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + pack("=I", self._index)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        except OSError:
            made.close()
            raise
        return made

    def _round(self) -> None:
        self._send(ALL_NODES)
        self._sent += 1
        pace = LEAST_S + crc32(self._device.encode()) % SPREAD_S
        after = FIRST_S[self._sent] if self._sent < len(FIRST_S) else pace
        self._timer = self._loop.call_later(after, self._round)

    def _asked(self) -> None:
        try:
            _, sender = self._socket.recvfrom(1500)
        except OSError as error:
            log.dbg_rl("%s: %s", self._device, error)
            return
        now = self._loop.time()
        if now - self._answered >= ANSWER_S:
            self._answered = now
            host = str(sender[0]).partition("%")[0]
            self._send(ALL_NODES if host == "::" else host)

    def _send(self, to: str) -> None:
        try:
            self._socket.sendto(self._message, (to, 0, 0, self._index))
        except OSError as error:
            # The next round tries again.
            log.dbg_rl("%s: no advertisement: %s", self._device, error)

    def close(self) -> None:
        """Say no more."""
        self._timer.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()


class Voices:
    """The advertisers of all routers of the host, by the name of the room."""

    def __init__(self) -> None:
        self._advertisers: dict[str, list[Advertiser]] = {}

    def speak(self, room: str, advertisements: Iterable[Advertisement]) -> None:
        """Advertise this, and nothing else, from a room."""
        self.hush(room)
        mine = self._advertisers[room] = []
        for one in advertisements:
            mine.append(Advertiser(room, one))

    def hush(self, room: str) -> None:
        """End what is advertised from a room."""
        for advertiser in self._advertisers.pop(room, ()):
            advertiser.close()


def announce(room: str, link: Link, addresses: Iterable[str]) -> None:
    """Tell the neighbours of a device, several times, which addresses (with prefix lengths) it has
    got."""
    frames = [
        frame
        for address in addresses
        if ":" not in address
        for frame in gratuitous_arp(link.mac, address.partition("/")[0])
    ]
    if frames:
        loop = asyncio.get_running_loop()
        for after in ANNOUNCE_S:
            loop.call_later(after, _announce, room, link.inner, frames)


def _announce(room: str, device: str, frames: list[bytes]) -> None:
    def make() -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            made.bind((device, 0))
        except OSError:
            made.close()
            raise
        return made

    try:
        with work_in(room, make) as opened:
            for frame in frames:
                opened.send(frame)
    except OSError as error:
        # The room may be gone by now.
        log.dbg_rl("%s: not announced: %s", device, error)
