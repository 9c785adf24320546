"""The host's side of tunnels that leave by a device of its own: whose Ethernet address is whose.

The kernel keeps that (rtnetlink(7), RTM_GETNEIGH). It asks the network as soon as it is told that
somebody wants to use an entry (NTF_USE).
"""

from __future__ import annotations

import socket
from struct import Struct

from netloom.flow.mapped import address_bytes, is_ipv4
from netloom.netdev.device import Device
from netloom.netdev.linux.packet_socket import PacketSocketDevice
from netloom.netdev.linux.rtnl import Rtnl
from netloom.netdev.rtnetlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    attribute,
    attributes,
    messages,
    request,
)

RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30
NDA_DST, NDA_LLADDR = 1, 2
NTF_USE = 0x1
#: NUD_REACHABLE, STALE, DELAY, PROBE, NOARP and PERMANENT: the entry has an address.
_KNOWN = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80
_MAC_BYTES = 6
_ANSWER_BYTES = 8_192
_NEIGHBOUR = Struct("=BxxxiHBB")


class UplinkHost:
    """Opens such devices, and asks the kernel for neighbours; addresses as in `flow.mapped`."""

    def __init__(self, rtnl: Rtnl) -> None:
        self._rtnl = rtnl
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))

    def open(self, name: str) -> Device:
        """Raises ConfigError where there is no such device."""
        return PacketSocketDevice(name, self._rtnl)

    def find(self, device: str, address: int) -> int | None:
        """The Ethernet address that the kernel has for a neighbour."""
        answer = self._request(RTM_GETNEIGH, 0, device, address, 0)
        if answer is None:
            return None
        kind, body = answer
        if kind != RTM_NEWNEIGH or not _NEIGHBOUR.unpack_from(body)[2] & _KNOWN:
            return None
        mac = attributes(body[_NEIGHBOUR.size :]).get(NDA_LLADDR, b"")
        return int.from_bytes(mac, "big") if len(mac) == _MAC_BYTES else None

    def ask(self, device: str, address: int) -> None:
        """Have the kernel find a neighbour, or see whether it is still there."""
        self._request(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE, device, address, NTF_USE)

    def close(self) -> None:
        self._socket.close()

    def _request(
        self, kind: int, flags: int, device: str, address: int, use: int
    ) -> tuple[int, bytes] | None:
        """Type and body of the answer; None if the device is gone."""
        link = self._rtnl.link(device)
        if link is None:
            return None
        family = socket.AF_INET if is_ipv4(address) else socket.AF_INET6
        wanted = address_bytes(address)
        body = _NEIGHBOUR.pack(family, link.ifindex, 0, use, 0)
        body += attribute(NDA_DST, wanted)
        self._socket.send(request(kind, flags, body))
        return next(messages(self._socket.recv(_ANSWER_BYTES)))
