"""A device that this kernel has not, made of a TAP and a process.

    soft_devices.py IP link add … type TYPE …

does what ip(8), which is the program IP, would do: `vlan` over another device, and the tunnels
`geneve`, `gretap`, `ip6gretap`, `gre`, `erspan` and `ip6erspan` with one remote end. The process
stays in the background until the device is gone, and for four minutes at most. It runs by itself,
without anything of Netloom, so that what is tested is not its own measure.

Frames of the TAP and of packet sockets have a `struct virtio_net_hdr` in front, which says what is
left to whoever sends them; VLANs pass it on, tunnels complete checksums.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import ipaddress
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

LIFETIME_S = 240
MAX_FRAME = 70_000
#: linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 1, 2, 0x1000, 0x4000
#: linux/if_packet.h
_SOL_PACKET, _PACKET_AUXDATA, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 8, 15, 23
_TP_STATUS_VLAN_VALID, _TP_STATUS_VLAN_TPID_VALID = 0x10, 0x40
_AUXDATA = struct.Struct("=IIIHHHH")
#: struct virtio_net_hdr: flags, GSO type, header length, segment size, start and place of the
#: checksum.
_VNET = struct.Struct("=BBHHHH")
_NEEDS_CSUM = 1
#: linux/udp.h: UDP over IPv6 without checksums, to be sent and taken.
_NO_CHECK6 = (101, 102)
_ETH_P_ALL, _ETH_P_TEB, _ETH_P_8021Q, _ETH_P_8021AD = 3, 0x6558, 0x8100, 0x88A8
_ETH_P_IP, _ETH_P_IPV6, _ETH_P_ERSPAN, _ETH_P_ERSPAN2 = 0x0800, 0x86DD, 0x88BE, 0x22EB
_GRE = 47
#: RFC 2784, RFC 2890: the flags of optional words.
_GRE_CSUM, _GRE_KEY, _GRE_SEQ = 0x8000, 0x2000, 0x1000
_GENEVE_PORT = 6081


class Device(NamedTuple):
    """What frames go through: a socket, and what to make of what it brings (None: of no concern)
    and of what the TAP has. Both have the virtio header in front on the side of the TAP."""

    socket: socket.socket
    taken_in: Callable[[], bytes | None]
    send: Callable[[bytes], None]


def options(words: list[str]) -> dict[str, str]:
    """Words of ip(8) by the word before: `type` is that of the device, `name` is its name."""
    place = words.index("type")
    before, behind = words[words.index("add") + 1 : place], words[place:]
    found = dict(pairwise(before))
    name = found.get("name") or found.get("dev") or before[0]
    return found | dict(pairwise(behind)) | {"name": name}


def main(argv: list[str]) -> None:
    """See the module."""
    ip, *words = argv
    wanted = options(words)
    kind, name = wanted["type"], wanted["name"]
    layer = _IFF_TUN if kind == "gre" else _IFF_TAP
    tap = os.open("/dev/net/tun", os.O_RDWR)
    request = struct.pack("16sH22x", name.encode(), layer | _IFF_NO_PI | _IFF_VNET_HDR)
    fcntl.ioctl(tap, _TUNSETIFF, request)
    device = _MAKERS[kind](ip, wanted)
    if os.fork():
        return
    os.setsid()
    signal.alarm(LIFETIME_S)
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    serve(tap, device)


def serve(tap: int, device: Device) -> None:
    """Carry frames until the TAP is gone."""
    poll = select.poll()
    poll.register(tap, select.POLLIN)
    poll.register(device.socket, select.POLLIN)
    while True:
        for fd, event in poll.poll():
            if event & (select.POLLERR | select.POLLHUP) and fd == tap:
                return
            try:
                if fd == tap:
                    device.send(os.read(tap, MAX_FRAME))
                elif (data := device.taken_in()) is not None:
                    os.write(tap, data)
            except OSError as error:
                if error.errno in (errno.EBADFD, errno.ENODEV):
                    return
                # A frame that cannot be sent is lost, as on any wire.


def vlan(ip: str, wanted: dict[str, str]) -> Device:
    """Frames with one tag of the device below."""
    number = int(wanted["id"])
    proto = _ETH_P_8021AD if wanted.get("proto", "").lower() == "802.1ad" else _ETH_P_8021Q
    below = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    for option in (_PACKET_AUXDATA, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING):
        below.setsockopt(_SOL_PACKET, option, 1)
    below.bind((wanted["link"], _ETH_P_ALL))
    shown = subprocess.check_output((ip, "-j", "link", "show", wanted["link"]))
    (link,) = json.loads(shown)
    likeness = ("address", link["address"], "mtu", str(link["mtu"]))
    subprocess.run((ip, "link", "set", wanted["name"], *likeness), check=True)
    tag = struct.pack("!HH", proto, number)

    def taken_in() -> bytes | None:
        data, ancillary, _, _ = below.recvmsg(MAX_FRAME, 256)
        found = _tag_aside(ancillary)
        if found is None:
            found = struct.unpack_from("!HH", data, _VNET.size + 12)
            if found[0] != proto:
                return None
            data = _moved(data, -4) + data[_VNET.size : _VNET.size + 12] + data[_VNET.size + 16 :]
        return data if found[0] == proto and found[1] & 0xFFF == number else None

    def send(data: bytes) -> None:
        at = _VNET.size + 12
        below.send(_moved(data, 4) + data[_VNET.size : at] + tag + data[at:])

    return Device(below, taken_in, send)


def _tag_aside(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int] | None:
    """Type and TCI of a tag that the kernel took off."""
    for level, kind, value in ancillary:
        if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
            status, *_, tci, proto = _AUXDATA.unpack(value)
            if status & _TP_STATUS_VLAN_VALID:
                return (proto if status & _TP_STATUS_VLAN_TPID_VALID else _ETH_P_8021Q), tci
    return None


def _moved(data: bytes, by: int) -> bytes:
    """The virtio header of a frame whose headers have become longer by so much."""
    flags, kind, length, size, start, place = _VNET.unpack_from(data)
    return _VNET.pack(
        flags, kind, length + by * bool(kind), size, start + by * (flags & _NEEDS_CSUM), place
    )


def geneve(ip: str, wanted: dict[str, str]) -> Device:
    """RFC 8926. Options are passed over, but for those that must be known."""
    remote = ipaddress.ip_address(wanted["remote"])
    port, number = int(wanted.get("dstport", _GENEVE_PORT)), int(wanted.get("vni", "0"))
    below = socket.socket(_family(remote), socket.SOCK_DGRAM)
    if remote.version == 6:
        for option in _NO_CHECK6:
            below.setsockopt(socket.SOL_UDP, option, 1)
    below.bind(("", port))
    head = struct.pack("!BBHI", 0, 0, _ETH_P_TEB, number << 8)

    def taken_in() -> bytes | None:
        data = _received(below, remote)
        if data is None or len(data) < len(head):
            return None
        lengths, flags, proto, found = struct.unpack_from("!BBHI", data)
        is_ours = not lengths >> 6 and proto == _ETH_P_TEB and found >> 8 == number
        if not is_ours or flags & 0x40:
            return None
        return bytes(_VNET.size) + completed(data[len(head) + (lengths & 63) * 4 :])

    def send(data: bytes) -> None:
        below.sendto(head + data[_VNET.size :], (str(remote), port))

    return Device(below, taken_in, send)


def gre(ip: str, wanted: dict[str, str]) -> Device:
    """RFC 2784 and RFC 2890, without a key: Ethernet, or packets of IP."""
    remote = ipaddress.ip_address(wanted["remote"])
    is_ethernet = wanted["type"] != "gre"
    below = socket.socket(_family(remote), socket.SOCK_RAW, _GRE)

    def taken_in() -> bytes | None:
        data = _received(below, remote)
        if data is None:
            return None
        flags, proto = struct.unpack_from("!HH", data)
        if (proto == _ETH_P_TEB) != is_ethernet:
            return None
        inner = data[4 + 4 * sum(bool(flags & f) for f in (_GRE_CSUM, _GRE_KEY, _GRE_SEQ)) :]
        return bytes(_VNET.size) + (completed(inner) if is_ethernet else inner)

    def send(data: bytes) -> None:
        inner = data[_VNET.size :]
        of_ip = _ETH_P_IPV6 if inner[0] >> 4 == 6 else _ETH_P_IP
        head = struct.pack("!HH", 0, _ETH_P_TEB if is_ethernet else of_ip)
        below.sendto(head + inner, (str(remote), 0))

    return Device(below, taken_in, send)


def erspan(ip: str, wanted: dict[str, str]) -> Device:
    """draft-foschiano-erspan: types II (version 1) and III (version 2)."""
    remote = ipaddress.ip_address(wanted["remote"])
    version, session = int(wanted.get("erspan_ver", "1")), int(wanted.get("key", "0"), 0)
    index = wanted.get("erspan", "")
    hardware = int(wanted.get("erspan_hwid", "0"), 0) << 4
    direction = (wanted.get("erspan_dir") == "egress") << 3
    below = socket.socket(_family(remote), socket.SOCK_RAW, _GRE)
    proto = _ETH_P_ERSPAN if version == 1 else _ETH_P_ERSPAN2
    rest = struct.pack("!I", int(index, 0) if index[:1].isdigit() else 0)
    if version == 2:
        rest = struct.pack("!IHH", 0, 0, 0x8000 | hardware | direction)
    n_sent = 0

    def taken_in() -> bytes | None:
        data = _received(below, remote)
        if data is None:
            return None
        flags, found = struct.unpack_from("!HH", data)
        at = 4 + 4 * bool(flags & _GRE_SEQ)
        (first,) = struct.unpack_from("!I", data, at)
        is_ours = found in (_ETH_P_ERSPAN, _ETH_P_ERSPAN2) and first >> 28 == version
        if not is_ours or first & 0x3FF != session:
            return None
        return bytes(_VNET.size) + completed(data[at + 4 + len(rest) :])

    def send(data: bytes) -> None:
        nonlocal n_sent
        n_sent += 1
        head = struct.pack("!HHII", _GRE_SEQ, proto, n_sent, version << 28 | session)
        below.sendto(head + rest + data[_VNET.size :], (str(remote), 0))

    return Device(below, taken_in, send)


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_MAKERS: dict[str, Callable[[str, dict[str, str]], Device]] = {
    "vlan": vlan, "geneve": geneve, "gretap": gre, "ip6gretap": gre, "gre": gre,
    "erspan": erspan, "ip6erspan": erspan,
}  # fmt: skip


def _family(address: _Address) -> socket.AddressFamily:
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET


def _received(below: socket.socket, remote: _Address) -> bytes | None:
    """What the other end sent, without a header of IPv4, which raw sockets keep."""
    data, who = below.recvfrom(MAX_FRAME)
    if ipaddress.ip_address(who[0].split("%")[0]) != remote:
        return None
    is_raw_v4 = below.type == socket.SOCK_RAW and remote.version == 4
    return data[(data[0] & 15) * 4 :] if is_raw_v4 else data


def completed(frame: bytes) -> bytes:
    """The frame with the checksum of its TCP or UDP, if that is whole: a sender's kernel leaves it
    to whoever sends the frame on."""
    at = 12
    while frame[at : at + 2] in (b"\x81\0", b"\x88\xa8"):
        at += 4
    eth_type, at = int.from_bytes(frame[at : at + 2], "big"), at + 2
    if eth_type == _ETH_P_IP and len(frame) >= at + 20:
        if int.from_bytes(frame[at + 6 : at + 8], "big") & 0x3FFF:
            return frame
        proto, addresses = frame[at + 9], frame[at + 12 : at + 20]
        start = at + (frame[at] & 15) * 4
        end = at + int.from_bytes(frame[at + 2 : at + 4], "big")
    elif eth_type == _ETH_P_IPV6 and len(frame) >= at + 40:
        proto, addresses = frame[at + 6], frame[at + 8 : at + 40]
        start = at + 40
        end = start + int.from_bytes(frame[at + 4 : at + 6], "big")
    else:
        return frame
    place = start + {socket.IPPROTO_TCP: 16, socket.IPPROTO_UDP: 6}.get(proto, len(frame))
    if max(place + 2, end) > len(frame):
        return frame
    if proto == socket.IPPROTO_UDP and not any(frame[place : place + 2]):
        return frame
    covered = frame[start:place] + b"\0\0" + frame[place + 2 : end]
    pseudo = addresses + struct.pack("!II", proto, end - start)
    checksum = 0xFFFF ^ _sum(pseudo + covered) or 0xFFFF
    return frame[:place] + checksum.to_bytes(2, "big") + frame[place + 2 :]


def _sum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1:])
