"""An internal port: a TAP device of this process, an end of the wire for the host itself.

Somebody may move it to another namespace, where it goes on being ours: who holds its file sends and
receives as before. Only what rtnetlink tells, and sets, is out of reach meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress
from struct import Struct

from netloom.base.log import get_logger
from netloom.base.record import replace
from netloom.netdev.device import DeviceState, DeviceStats, Packet
from netloom.netdev.errors import cannot_open
from netloom.netdev.linux.link_device import LinkHandle
from netloom.netdev.linux.packet_ring import PACKET_BYTES
from netloom.netdev.linux.rtnl import Rtnl
from netloom.netdev.linux.shaper import LinuxShaper
from netloom.packet.offload import (
    NO_OFFLOAD_HEADER,
    VIRTIO_NET_HDR_LEN,
    Offload,
    decode_offload,
    finish_offload,
    is_of_tunnel,
    with_header,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

log: Final = get_logger("netdev_linux")

#: linux/if_tun.h
TUNSETIFF: Final = 0x400454CA
TUNSETOFFLOAD: Final = 0x400454D0
TUNGETIFF: Final = 0x800454D2
IFF_TAP: Final = 0x0002
IFF_NO_PI: Final = 0x1000
IFF_VNET_HDR: Final = 0x4000
TUN_F_CSUM: Final = 0x01
TUN_F_TSO4: Final = 0x02
TUN_F_TSO6: Final = 0x04
TUN_F_TSO_ECN: Final = 0x08
OFFLOADS: Final = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN
#: struct ifreq with a name and flags.
_REQUEST: Final = Struct("=16sH22x")
#: The device is down, gone, or its queue is full.
_QUIET: Final = frozenset({errno.EIO, errno.EAGAIN, errno.EBADFD})


class TapDevice:
    """A TAP that lives as long as this object."""

    def __init__(self, name: str, type_: str, rtnl: Rtnl) -> None:
        self.name = name
        self.type = type_
        self._tx_dropped = 0
        self.shaper = LinuxShaper(name, self.state, rtnl)
        self._rtnl = rtnl
        #: The kernel said that the device is down when that many changes of links had been seen.
        self._down_at = -1
        self._fd = _open_tap(name)
        link = rtnl.link(name, fresh=True)
        if link is None:
            os.close(self._fd)
            raise cannot_open(name)
        self._link = LinkHandle(link, rtnl)
        self._last = self._link.state()
        self._last_stats = DeviceStats()

    def _is_away(self) -> bool:
        """Whether the device is somewhere else: the kernel has it, and this namespace does not."""
        if not self._link.is_gone:
            return False
        link = self._rtnl.link(self.name)
        if link is not None and link.ifindex == self._link.ifindex:
            self._link = LinkHandle(link, self._rtnl)
            return False
        with suppress(OSError):
            fcntl.ioctl(self._fd, TUNGETIFF, bytes(_REQUEST.size))
            return True
        return False

    def state(self) -> DeviceState:
        state = self._link.state()
        if not state.present:
            if self._is_away():
                return replace(self._last, ifindex=0, admin_up=True, link_up=True)
            state = self._link.state()
        if state.present:
            self._last = state
        return state

    def stats(self) -> DeviceStats:
        if not self._is_away():
            self._last_stats = self._link.stats()
        stats = self._last_stats
        return replace(stats, rx_dropped=stats.rx_dropped + self._tx_dropped)

    def receive(self, limit: int) -> list[Packet]:
        packets: list[Packet] = []
        read, fd = os.read, self._fd
        while len(packets) < limit:
            try:
                data = read(fd, PACKET_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                # EBADFD: the device was deleted under us.
                if error.errno not in _QUIET:
                    log.warn_rl("error receiving Ethernet packet on %s: %s", self.name, error)
                break
            offload = decode_offload(data) if data[0] & 1 or data[1] else None
            packets.append(Packet(data[VIRTIO_NET_HDR_LEN:], offload))
        return packets

    def send(self, packets: list[Packet]) -> None:
        if self._down_at == self._rtnl.changes_seen and not self._is_away():
            self._tx_dropped += len(packets)
            return
        write, fd = os.write, self._fd
        for packet in packets:
            offload = packet.offload
            data = packet.data
            if offload is not None and is_of_tunnel(data, offload):
                self.send([Packet(part) for part in finish_offload(data, offload)])
                continue
            frame = NO_OFFLOAD_HEADER + data if offload is None else with_header(data, offload)
            try:
                write(fd, frame)
            except OSError as error:
                self._send_failed(data, offload, error)

    def _send_failed(self, data: bytes, offload: Offload | None, error: OSError) -> None:
        if offload is not None and error.errno == errno.EINVAL:
            self.send([Packet(part) for part in finish_offload(data, offload)])
            return
        self._tx_dropped += 1
        if error.errno == errno.EIO:
            self._down_at = self._rtnl.changes_seen
        if error.errno not in _QUIET:
            log.warn_rl("error sending Ethernet packet on %s: %s", self.name, error.strerror)

    def fileno(self) -> int | None:
        return self._fd

    def set_options(self, options: Mapping[str, str]) -> None:
        """Internal devices have no options; unknown ones are ignored, as Open vSwitch does."""

    def set_mtu(self, mtu: int) -> None:
        self._link.set_mtu(mtu)

    def set_mac(self, mac: str) -> None:
        self._link.set_mac(mac)

    def set_admin_up(self, up: bool) -> None:
        self._link.set_admin_up(up)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _open_tap(name: str) -> int:
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        raise cannot_open(name, error.errno or errno.ENODEV) from error
    try:
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
        fcntl.ioctl(fd, TUNSETIFF, _REQUEST.pack(name.encode(), flags))
        fcntl.ioctl(fd, TUNSETOFFLOAD, OFFLOADS)
    except OSError as error:
        os.close(fd)
        raise cannot_open(name, error.errno or errno.EBUSY) from error
    return fd
