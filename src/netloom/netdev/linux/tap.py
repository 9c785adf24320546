"""An internal port: a TAP device of this process, an end of the wire for the host itself."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Mapping
from struct import Struct

from netloom.base.log import get_logger
from netloom.netdev.device import DeviceState, DeviceStats, Packet
from netloom.netdev.errors import cannot_open
from netloom.netdev.linux.packet_socket import FRAME_BYTES, _set
from netloom.netdev.linux.rtnl import Link, Rtnl
from netloom.packet.offload import (
    NO_OFFLOAD_HEADER,
    VIRTIO_NET_HDR_LEN,
    decode_offload,
)

log = get_logger("netdev_linux")

#: linux/if_tun.h
TUNSETIFF = 0x400454CA
TUNSETOFFLOAD = 0x400454D0
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
TUN_F_CSUM = 0x01
TUN_F_TSO4 = 0x02
TUN_F_TSO6 = 0x04
TUN_F_TSO_ECN = 0x08
OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN


class TapDevice:
    """A TAP that lives as long as this object."""

    def __init__(self, name: str, type_: str, rtnl: Rtnl) -> None:
        self.name = name
        self.type = type_
        self._rtnl = rtnl
        self._buffer = bytearray(FRAME_BYTES)
        self._view = memoryview(self._buffer)
        self._fd = _open_tap(name)
        link = rtnl.link(name, fresh=True)
        if link is None:
            os.close(self._fd)
            raise cannot_open(name)
        self._ifindex = link.ifindex

    def _link(self, fresh: bool = False) -> Link | None:
        link = self._rtnl.link(self.name, fresh)
        return link if link is not None and link.ifindex == self._ifindex else None

    def state(self) -> DeviceState:
        link = self._link()
        if link is None:
            return DeviceState(present=False, admin_up=False, link_up=False, mtu=0, mac="")
        return DeviceState(
            present=True,
            admin_up=link.admin_up,
            link_up=link.carrier,
            mtu=link.mtu,
            mac=link.mac,
            ifindex=link.ifindex,
            carrier_changes=link.carrier_changes,
            driver=(("driver_name", "tun"),),
        )

    def stats(self) -> DeviceStats:
        link = self._link(fresh=True)
        return link.stats if link else DeviceStats()

    def receive(self, limit: int) -> list[Packet]:
        packets: list[Packet] = []
        buffers = [self._view]
        view = self._view
        while len(packets) < limit:
            try:
                n_bytes = os.readv(self._fd, buffers)
            except BlockingIOError:
                break
            except OSError as error:
                # EBADFD: the device was deleted under us.
                if error.errno not in (errno.EBADFD, errno.EIO):
                    log.warn_rl("%s: receive failed: %s", self.name, error.strerror)
                break
            offload = decode_offload(view) if view[0] & 1 or view[1] else None
            packets.append(Packet(bytes(view[VIRTIO_NET_HDR_LEN:n_bytes]), offload))
        return packets

    def send(self, packets: list[Packet]) -> None:
        for packet in packets:
            header = packet.offload.encode() if packet.offload else NO_OFFLOAD_HEADER
            try:
                os.writev(self._fd, (header, packet.data))
            except OSError as error:
                # EIO: the device is down. EAGAIN: its queue is full.
                if error.errno not in (errno.EIO, errno.EAGAIN, errno.EBADFD):
                    log.warn_rl("%s: send failed: %s", self.name, error.strerror)

    def fileno(self) -> int | None:
        return self._fd

    def set_options(self, options: Mapping[str, str]) -> None:
        """Internal devices have no options; unknown ones are ignored, as Open vSwitch does."""

    def set_mtu(self, mtu: int) -> None:
        _set(self._rtnl, self.name, self._ifindex, mtu=mtu)

    def set_mac(self, mac: str) -> None:
        _set(self._rtnl, self.name, self._ifindex, mac=mac)

    def set_admin_up(self, up: bool) -> None:
        _set(self._rtnl, self.name, self._ifindex, up=up)

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
        request = Struct("16sH22x").pack(name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
        fcntl.ioctl(fd, TUNSETIFF, request)
        fcntl.ioctl(fd, TUNSETOFFLOAD, OFFLOADS)
    except OSError as error:
        os.close(fd)
        raise cannot_open(name, error.errno or errno.EBUSY) from error
    return fd
