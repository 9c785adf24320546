"""A system device, through a packet socket (packet(7)).

The kernel keeps the device: the switch sees what comes in and sends what it wants, as a network
analyser would. Packets that this machine sends through the device are not ours and are not seen.
Both directions carry a virtio_net_hdr, so senders' offloads pass through undone.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable, Mapping
from struct import Struct

from netloom.base.log import get_logger
from netloom.base.record import replace
from netloom.netdev.device import DeviceState, DeviceStats, Packet
from netloom.netdev.errors import cannot_open
from netloom.netdev.linux.link_device import LinkHandle
from netloom.netdev.linux.packet_ring import SOL_PACKET, PacketRing
from netloom.netdev.linux.rtnl import Rtnl
from netloom.netdev.linux.shaper import LinuxShaper
from netloom.packet.offload import (
    NO_OFFLOAD_HEADER,
    Offload,
    finish_offload,
    is_of_tunnel,
    with_header,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

log: Final = get_logger("netdev_linux")

ETH_P_ALL: Final = 3
PACKET_ADD_MEMBERSHIP: Final = 1
PACKET_VNET_HDR: Final = 15
PACKET_IGNORE_OUTGOING: Final = 23
PACKET_MR_PROMISC: Final = 1
SO_RCVBUFFORCE: Final = 33
#: Long packets that may wait in the kernel: 60 of 64 KiB. Others wait in the ring.
SOCKET_BUFFER_BYTES: Final = 8 * 1024 * 1024
#: Failures to send that are part of life: the device is down, gone, or busy.
_QUIET: Final = frozenset({errno.ENETDOWN, errno.ENXIO, errno.ENODEV, errno.ENOBUFS, errno.EAGAIN})


class PacketSocketDevice:
    """An existing device of the kernel."""

    type = "system"

    def __init__(self, name: str, rtnl: Rtnl) -> None:
        link = rtnl.link(name, fresh=True)
        if link is None:
            raise cannot_open(name)
        self.name = name
        self._link = LinkHandle(link, rtnl)
        self._tx_dropped = 0
        self.shaper = LinuxShaper(name, self.state, rtnl)
        self._had_packets = False
        #: That of the packets sent last.
        self._priority = 0
        self._count_sent: Callable[[], tuple[int, int, int]] | None = None
        self._ring: PacketRing | None
        try:
            self._socket, self._ring = _open_socket(name, link.ifindex)
        except OSError as error:
            raise cannot_open(name, error.errno or errno.ENODEV) from error

    def state(self) -> DeviceState:
        return self._link.state()

    def stats(self) -> DeviceStats:
        stats = self._link.stats()
        count = self._count_sent
        packets, n_bytes, errors = count() if count is not None else (0, 0, 0)
        return replace(
            stats,
            tx_packets=stats.tx_packets + packets,
            tx_bytes=stats.tx_bytes + n_bytes,
            rx_dropped=stats.rx_dropped + (self._ring.count_dropped() if self._ring else 0),
            tx_dropped=stats.tx_dropped + self._tx_dropped,
            tx_errors=stats.tx_errors + errors,
        )

    def receive(self, limit: int) -> list[Packet]:
        if self._ring is None:
            return []
        packets = self._ring.receive(limit)
        if not packets and not self._had_packets:
            # A device that went down leaves an error on the socket, which is readable until the
            # error is taken.
            self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._had_packets = bool(packets)
        return packets

    def send(self, packets: list[Packet]) -> None:
        send = self._socket.send
        for packet in packets:
            offload = packet.offload
            data = packet.data
            if offload is not None and is_of_tunnel(data, offload):
                parts = finish_offload(data, offload)
                self.send([Packet(part, priority=packet.priority) for part in parts])
                continue
            frame = NO_OFFLOAD_HEADER + data if offload is None else with_header(data, offload)
            if packet.priority != self._priority:
                self._set_priority(packet.priority)
            try:
                send(frame)
            except OSError as error:
                self._send_failed(frame, data, offload, error)

    def _set_priority(self, priority: int) -> None:
        """Have the next packets go to the queue of that priority."""
        self._priority = priority
        try:
            number = priority.to_bytes(4, sys.byteorder)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, number)
        except OSError as error:
            # Without rights over the namespace.
            log.warn_rl("%s: no queues can be chosen (%s)", self.name, error.strerror)

    def _send_failed(
        self, frame: bytes, data: bytes, offload: Offload | None, error: OSError
    ) -> None:
        if offload is not None and error.errno == errno.EINVAL:
            # The device takes no such offload: do its work.
            parts = finish_offload(data, offload)
            self.send([Packet(part, priority=self._priority) for part in parts])
            return
        if error.errno == errno.ENETDOWN:
            # Perhaps left from when the device was down, and reported once.
            try:
                self._socket.send(frame)
                return
            except OSError as again:
                error = again
        self._tx_dropped += 1
        if error.errno == errno.EMSGSIZE:
            log.warn_rl(
                "%s: dropping packet of %d bytes, longer than the MTU", self.name, len(data)
            )
        elif error.errno not in _QUIET:
            log.warn_rl("error sending Ethernet packet on %s: %s", self.name, error.strerror)

    def hand_over(self) -> int:
        """Leave what comes in to somebody else and only send from now on; returns the index of the
        device."""
        sender = _open_sender(self.name, self._link.ifindex)
        self.close()
        self._socket, self._ring = sender, None
        self._priority = 0
        return self._link.ifindex

    def count_sent(self, count: Callable[[], tuple[int, int, int]]) -> None:
        """Add what `count` says: packets and bytes to what the device has sent, and its errors."""
        self._count_sent = count

    def fileno(self) -> int | None:
        return self._socket.fileno() if self._ring is not None else None

    def set_options(self, options: Mapping[str, str]) -> None:
        """System devices have no options; unknown ones are ignored, as Open vSwitch does."""

    def set_mtu(self, mtu: int) -> None:
        self._link.set_mtu(mtu)

    def set_mac(self, mac: str) -> None:
        self._link.set_mac(mac)

    def set_admin_up(self, up: bool) -> None:
        self._link.set_admin_up(up)

    def close(self) -> None:
        if self._ring is not None:
            self._ring.close()
        self._socket.close()


def _open_socket(name: str, ifindex: int) -> tuple[socket.socket, PacketRing]:
    # Protocol 0 until all is set: nothing may arrive in another form.
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        for option in (PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING):
            sock.setsockopt(SOL_PACKET, option, 1)
        _be_promiscuous(sock, ifindex)
        _set_buffer(sock)
        ring = PacketRing(sock)
        sock.bind((name, ETH_P_ALL))
    except OSError:
        sock.close()
        raise
    return sock, ring


def _open_sender(name: str, ifindex: int) -> socket.socket:
    """A socket that nothing is delivered to."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        _be_promiscuous(sock, ifindex)
        sock.bind((name, 0))
    except OSError:
        sock.close()
        raise
    return sock


def _be_promiscuous(sock: socket.socket, ifindex: int) -> None:
    membership = Struct("=iHH8s").pack(ifindex, PACKET_MR_PROMISC, 0, b"")
    sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)


def _set_buffer(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES)
    except PermissionError:
        # Without rights over the machine (in a user namespace): as much as everybody may have.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
