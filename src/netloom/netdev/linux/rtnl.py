"""Links of the kernel: what a device is and does, asked over rtnetlink.

Messages are pyroute2's; the sockets are our own, for pyroute2's cannot be used inside a running
event loop. One request is one round trip of 0.15 ms; results are kept until the kernel says that
something changed.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST
from pyroute2.netlink.rtnl import RTM_GETLINK, RTM_SETLINK, RTMGRP_LINK
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from netloom.base.record import Record
from netloom.netdev.device import DeviceStats

IFF_UP = 0x1
IFF_LOWER_UP = 0x10000
#: Bytes of one answer: a link with all its attributes takes some 2 KiB.
ANSWER_BYTES = 65_536


class Link(Record):
    """A link as the kernel describes it."""

    ifindex: int
    name: str
    admin_up: bool
    carrier: bool
    mtu: int
    mac: str
    carrier_changes: int
    #: "veth", "tun", "bridge" ...; "" for hardware and loopback.
    kind: str
    stats: DeviceStats


class Rtnl:
    """Asks for links, sets them, and notices changes."""

    def __init__(self) -> None:
        self._requests = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._requests.bind((0, 0))
        self._events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._events.bind((0, RTMGRP_LINK))
        self._events.setblocking(False)
        self._marshal = MarshalRtnl()
        self._sequence = 0
        self._links: dict[str, Link] = {}
        self._changes = 0

    def fileno(self) -> int:
        """Readable when links changed."""
        return self._events.fileno()

    def changes(self) -> int:
        """Grows with every change of any link; forgets what is known of links meanwhile."""
        while True:
            try:
                self._events.recv(ANSWER_BYTES)
            except BlockingIOError:
                return self._changes
            except OSError as error:
                # ENOBUFS: events were lost, so anything may have changed.
                if error.errno != errno.ENOBUFS:
                    raise
            self._changes += 1
            self._links.clear()

    def link(self, name: str, fresh: bool = False) -> Link | None:
        """The link of that name, or None; `fresh` has its statistics read anew."""
        self.changes()
        found = None if fresh else self._links.get(name)
        if found is None:
            answer = self._request(RTM_GETLINK, 0, [("IFLA_IFNAME", name)])
            found = None if answer is None else _read_link(answer)
            if found is not None:
                self._links[name] = found
        return found

    def set_link(self, ifindex: int, **changes: Any) -> None:
        """Change `mtu`, `mac` or `up`; raises OSError with the kernel's reason."""
        attributes: list[tuple[str, Any]] = []
        if "mtu" in changes:
            attributes.append(("IFLA_MTU", changes["mtu"]))
        if "mac" in changes:
            attributes.append(("IFLA_ADDRESS", changes["mac"]))
        flags = {} if "up" not in changes else {"flags": IFF_UP * changes["up"], "change": IFF_UP}
        self._request(RTM_SETLINK, NLM_F_ACK, attributes, index=ifindex, **flags)
        self._links.clear()

    def close(self) -> None:
        self._requests.close()
        self._events.close()

    def _request(
        self, kind: int, flags: int, attributes: list[tuple[str, Any]], **fields: int
    ) -> Any:
        """Send one message and return the answer's; None for "no such device"."""
        self._sequence += 1
        message = ifinfmsg()
        message["header"]["type"] = kind
        message["header"]["flags"] = NLM_F_REQUEST | flags
        message["header"]["sequence_number"] = self._sequence
        for name, value in fields.items():
            message[name] = value
        message["attrs"] = attributes
        message.encode()
        self._requests.send(bytes(message.data))
        while True:
            for answer in self._marshal.parse(self._requests.recv(ANSWER_BYTES)):
                if answer["header"]["sequence_number"] == self._sequence:
                    return _check(answer)


def _check(answer: Any) -> Any:
    error = answer["header"].get("error")
    if error is None:
        return answer
    if error.code == errno.ENODEV:
        return None
    raise OSError(error.code, str(error))


def _read_link(message: Any) -> Link:
    stats = message.get_attr("IFLA_STATS64") or {}
    info = message.get_attr("IFLA_LINKINFO")
    return Link(
        ifindex=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        admin_up=bool(message["flags"] & IFF_UP),
        carrier=bool(message["flags"] & IFF_LOWER_UP),
        mtu=message.get_attr("IFLA_MTU"),
        mac=message.get_attr("IFLA_ADDRESS") or "",
        carrier_changes=message.get_attr("IFLA_CARRIER_CHANGES") or 0,
        kind=(info.get_attr("IFLA_INFO_KIND") if info else "") or "",
        stats=DeviceStats(
            rx_packets=stats.get("rx_packets", 0),
            rx_bytes=stats.get("rx_bytes", 0),
            tx_packets=stats.get("tx_packets", 0),
            tx_bytes=stats.get("tx_bytes", 0),
            rx_dropped=stats.get("rx_dropped", 0),
            rx_frame_err=stats.get("rx_frame_errors", 0),
            rx_over_err=stats.get("rx_over_errors", 0),
            rx_crc_err=stats.get("rx_crc_errors", 0),
            rx_errors=stats.get("rx_errors", 0),
            tx_dropped=stats.get("tx_dropped", 0),
            tx_errors=stats.get("tx_errors", 0),
            collisions=stats.get("collisions", 0),
        ),
    )
