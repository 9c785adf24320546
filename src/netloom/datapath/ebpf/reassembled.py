"""Packets of tunnels that came to uplinks in pieces, put together by the host.

`nl_uplink` takes packets in one piece before the host sees them, and leaves pieces to it, for only
the first of them says what it is of. The host puts them together, and finds a socket of ours where
a tunnel listens: so nothing but such packets ever comes to one. Their outer headers are made anew
from what the kernel tells of them; what it does not tell (whether there was a checksum, who sent
the frames) is not known of them afterwards. From there on they are like packets that came up.

What must hold: each end of a tunnel (`listen`) has its own socket, bound to its address, so that
whatever else the host does with the port goes on. Where somebody else has it, pieces stay his.
Python does this with each packet; a network in which tunnels' packets do not fit is slow anyway.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final, NamedTuple

from netloom.base.log import get_logger
from netloom.flow.mapped import address_bytes, format_mapped, is_ipv4
from netloom.netdev.device import Device
from netloom.packet import build
from netloom.packet.headers import UDP, UDP_LEN

log = get_logger("dpif_netlink")

_UDP: Final = socket.IPPROTO_UDP
#: Packets of one socket that are taken in one turn.
MAX_AT_ONCE: Final = 64
_MAX_BYTES: Final = 65_535
_ANCILLARY_BYTES: Final = 256
#: Options of linux/in.h, linux/in6.h and linux/udp.h that Python has no names for.
_IP_PKTINFO, _IP_RECVTTL, _IP_RECVTOS = 8, 12, 13
_UDP_NO_CHECK6_RX: Final = 102
#: What the kernel tells: (level, type) -> what it is.
_PKTINFO = {(socket.IPPROTO_IP, _IP_PKTINFO), (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)}
_TTL = {(socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)}
_TOS = {(socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)}
_INT: Final = Struct("=i")
_IPV6_INFO: Final = Struct("=16si")

#: Address, protocol, and UDP port (0: it has none) of the end of a tunnel.
End = tuple[int, int, int]


class Told(NamedTuple):
    """What the kernel tells of a packet besides its bytes."""

    ifindex: int
    ttl: int
    tos: int


class Reassembled:
    """The sockets of one data path."""

    def __init__(self) -> None:
        #: By the numbers of their ports.
        self.uplinks: dict[int, Device] = {}
        self._sockets: dict[End, socket.socket] = {}
        self._by_fd: dict[int, End] = {}
        self._readable: set[int] = set()

    def listen(self, ends: Iterable[End]) -> None:
        """Have sockets at these ends, and no others."""
        wanted = set(ends)
        for end in self._sockets.keys() - wanted:
            gone = self._sockets.pop(end)
            del self._by_fd[gone.fileno()]
            gone.close()
        for end in wanted - self._sockets.keys():
            try:
                made = _open(end)
            except OSError as error:
                where = f"{format_mapped(end[0])} port {end[2]}"
                log.info("pieces of packets for %s stay the host's (%s)", where, error.strerror)
                continue
            self._sockets[end] = made
            self._by_fd[made.fileno()] = end

    def poll_fds(self) -> list[int]:
        return list(self._by_fd)

    def note_readable(self, fd: int) -> bool:
        """Whether the descriptor is one of ours."""
        if fd not in self._by_fd:
            return False
        self._readable.add(fd)
        return True

    def take(self) -> list[tuple[int, bytes]]:
        """What has come to uplinks, as (number of the port, frame)."""
        if not self._readable:
            return []
        states = {number: device.state() for number, device in self.uplinks.items()}
        ports = {state.ifindex: (number, state.mac) for number, state in states.items()}
        taken = []
        readable, self._readable = self._readable, set()
        for end in [self._by_fd[fd] for fd in readable if fd in self._by_fd]:
            for payload, told, source in _receive(self._sockets[end], is_ipv4(end[0])):
                # What came to another device is nobody's.
                if told.ifindex in ports:
                    number, mac = ports[told.ifindex]
                    taken.append((number, _frame(end, source, payload, told, mac)))
        return taken

    def close(self) -> None:
        self.listen(())


def _open(end: End) -> socket.socket:
    address, proto, port = end
    family = socket.AF_INET if is_ipv4(address) else socket.AF_INET6
    kind = socket.SOCK_DGRAM if proto == _UDP else socket.SOCK_RAW
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, proto)
    try:
        if family == socket.AF_INET:
            for option in (_IP_PKTINFO, _IP_RECVTTL, _IP_RECVTOS):
                made.setsockopt(socket.IPPROTO_IP, option, 1)
        else:
            for option in (
                socket.IPV6_RECVPKTINFO, socket.IPV6_RECVHOPLIMIT, socket.IPV6_RECVTCLASS
            ):  # fmt: skip
                made.setsockopt(socket.IPPROTO_IPV6, option, 1)
            if proto == _UDP:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                # Tunnels may do without a checksum (RFC 6935).
                made.setsockopt(_UDP, _UDP_NO_CHECK6_RX, 1)
        made.bind((socket.inet_ntop(family, address_bytes(address)), port))
    except OSError:
        made.close()
        raise
    return made


def _receive(sock: socket.socket, is_v4: bool) -> Iterator[tuple[bytes, Told, tuple[bytes, int]]]:
    """Payloads behind IP, or UDP, what is told of them, and who sent them (address, UDP port)."""
    family = socket.AF_INET if is_v4 else socket.AF_INET6
    for _ in range(MAX_AT_ONCE):
        try:
            data, ancillary, _, sender = sock.recvmsg(_MAX_BYTES, _ANCILLARY_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            # What the network said of something that was sent; we send nothing.
            log.dbg("a tunnel's socket: %s", os.strerror(error.errno or errno.EIO))
            continue
        if is_v4 and sock.type == socket.SOCK_RAW:
            # A raw socket of IPv4 has the header, too.
            data = data[4 * (data[0] & 15) :]
        source = socket.inet_pton(family, sender[0].partition("%")[0])
        yield data, _told(ancillary), (source, sender[1])


def _told(ancillary: Iterable[tuple[int, int, bytes]]) -> Told:
    ifindex, ttl, tos = 0, 64, 0
    for level, kind, data in ancillary:
        if (level, kind) in _PKTINFO:
            is_v4 = level == socket.IPPROTO_IP
            ifindex = _INT.unpack_from(data)[0] if is_v4 else _IPV6_INFO.unpack_from(data)[1]
        elif (level, kind) in _TTL:
            ttl = _INT.unpack_from(data)[0]
        elif (level, kind) in _TOS:
            # One byte of IPv4's, four of IPv6's.
            tos = int.from_bytes(data[:4], "little")
    return Told(ifindex, ttl, tos)


def _frame(end: End, source: tuple[bytes, int], payload: bytes, told: Told, mac: str) -> bytes:
    """The packet as it might have come in one piece."""
    address, proto, port = end
    src, dst = source[0], address_bytes(address)
    if proto == _UDP:
        udp = UDP.pack(source[1], port, UDP_LEN + len(payload), 0) + payload
        # One that IPv6 cannot do without.
        payload = udp if len(dst) == 4 else build.udp(src, dst, source[1], port, payload)
    if len(dst) == 4:
        packet, type_ = build.ipv4(src, dst, proto, payload, ttl=told.ttl, tos=told.tos), 0x0800
    else:
        packet = build.ipv6(src, dst, proto, payload, hlimit=told.ttl, tclass=told.tos)
        type_ = 0x86DD
    return build.ethernet(bytes.fromhex(mac.replace(":", "")), bytes(6), type_, packet)
