"""A system device, through a packet socket (packet(7)).

The kernel keeps the device: the switch sees what comes in and sends what it wants, as a network
analyser would. A VLAN tag that the card or veth took out of the frame comes as auxiliary data and
is put back; packets that this machine sends through the device are not ours and are not seen.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from struct import Struct

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.netdev.device import DeviceState, DeviceStats, Packet
from netloom.netdev.errors import cannot_open
from netloom.netdev.linux.rtnl import Link, Rtnl
from netloom.packet.offload import (
    NO_OFFLOAD_HEADER,
    VIRTIO_NET_HDR_LEN,
    Offload,
    decode_offload,
    finish_offload,
)

log = get_logger("netdev_linux")

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_AUXDATA = 8
PACKET_VNET_HDR = 15
PACKET_IGNORE_OUTGOING = 23
PACKET_MR_PROMISC = 1
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6
#: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
TPACKET_AUXDATA = Struct("=IIIHHHH")
_read_aux = TPACKET_AUXDATA.unpack_from
_pack_tag = Struct(">HH").pack
_ANCILLARY_BYTES = socket.CMSG_SPACE(TPACKET_AUXDATA.size)
#: The largest GSO packet (64 KiB) with its headers and a tag. BIG TCP is not negotiated here.
FRAME_BYTES = 65_536 + 64
#: Bytes that may wait in the kernel: a burst of some thousand packets, or 60 of 64 KiB.
SOCKET_BUFFER_BYTES = 4 * 1024 * 1024


class PacketSocketDevice:
    """An existing device of the kernel."""

    def __init__(self, name: str, rtnl: Rtnl) -> None:
        link = rtnl.link(name)
        if link is None:
            raise cannot_open(name)
        self.name = name
        self.type = "system"
        self._rtnl = rtnl
        self._ifindex = link.ifindex
        self._gone = False
        self._tx_dropped = 0
        self._buffer = bytearray(FRAME_BYTES)
        self._view = memoryview(self._buffer)
        self._socket = _open_socket(link)

    def _link(self, fresh: bool = False) -> Link | None:
        link = None if self._gone else self._rtnl.link(self.name, fresh)
        if link is None or link.ifindex != self._ifindex:
            # Another device of this name is another device: the switch opens it anew.
            self._gone = True
            return None
        return link

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
            driver=(("driver_name", link.kind),) if link.kind else (),
        )

    def stats(self) -> DeviceStats:
        link = self._link(fresh=True)
        return link.stats if link else DeviceStats()

    def receive(self, limit: int) -> list[Packet]:
        packets: list[Packet] = []
        buffers = [self._view]
        read = self._socket.recvmsg_into
        while len(packets) < limit:
            try:
                n_bytes, ancillary, _, _ = read(buffers, _ANCILLARY_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                # ENETDOWN: the device went down or away; more packets may wait behind it.
                if error.errno != errno.ENETDOWN:
                    log.warn_rl("%s: receive failed: %s", self.name, error.strerror)
                break
            packets.append(_read_packet(self._view, n_bytes, ancillary))
        return packets

    def send(self, packets: list[Packet]) -> None:
        for packet in packets:
            if not self._send(packet.data, packet.offload):
                self._tx_dropped += 1

    def _send(self, data: bytes, offload: Offload | None) -> bool:
        header = offload.encode() if offload else NO_OFFLOAD_HEADER
        try:
            self._socket.send(header + data)
        except OSError as error:
            if offload and error.errno == errno.EINVAL:
                # The device takes no such offload: do its work.
                return all(self._send(part, None) for part in finish_offload(data, offload))
            if error.errno not in (errno.ENETDOWN, errno.ENXIO, errno.ENOBUFS, errno.EAGAIN):
                log.warn_rl("%s: send failed: %s", self.name, error.strerror)
            return False
        return True

    def fileno(self) -> int | None:
        return self._socket.fileno()

    def set_options(self, options: Mapping[str, str]) -> None:
        """System devices have no options; unknown ones are ignored, as Open vSwitch does."""

    def set_mtu(self, mtu: int) -> None:
        _set(self._rtnl, self.name, self._ifindex, mtu=mtu)

    def set_mac(self, mac: str) -> None:
        _set(self._rtnl, self.name, self._ifindex, mac=mac)

    def set_admin_up(self, up: bool) -> None:
        _set(self._rtnl, self.name, self._ifindex, up=up)

    def close(self) -> None:
        self._socket.close()


def _set(rtnl: Rtnl, name: str, ifindex: int, **changes: int | str | bool) -> None:
    try:
        rtnl.set_link(ifindex, **changes)
    except OSError as error:
        what = ", ".join(changes)
        raise ConfigError(f"{name}: failed to set {what}: {error.strerror}") from error


def _open_socket(link: Link) -> socket.socket:
    try:
        # Protocol 0 until all is set: nothing may arrive in another form.
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    except OSError as error:
        raise cannot_open(link.name, error.errno or errno.EPERM) from error
    try:
        for option in (PACKET_VNET_HDR, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING):
            sock.setsockopt(SOL_PACKET, option, 1)
        membership = Struct("=iHH8s").pack(link.ifindex, PACKET_MR_PROMISC, 0, b"")
        sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        sock.bind((link.name, ETH_P_ALL))
    except OSError as error:
        sock.close()
        raise cannot_open(link.name, error.errno or errno.ENODEV) from error
    return sock


def _read_packet(view: memoryview, n_bytes: int, ancillary: list[tuple[int, int, bytes]]) -> Packet:
    """The packet in the buffer, its tag put back."""
    offload: Offload | None = None
    # Flags and GSO type are the first two bytes; both are zero in most packets.
    if view[0] & 1 or view[1]:
        offload = decode_offload(view)
    data = bytes(view[VIRTIO_NET_HDR_LEN:n_bytes])
    if ancillary:
        status, _, _, _, _, tci, tpid = _read_aux(ancillary[0][2])
        if status & TP_STATUS_VLAN_VALID:
            tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
            data = data[:12] + _pack_tag(tpid, tci) + data[12:]
            if offload is not None:
                offload = offload.moved(4)
    return Packet(data, offload)
