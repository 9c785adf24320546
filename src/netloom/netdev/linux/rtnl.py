"""Links of the kernel: what a device is and does, asked over rtnetlink.

Messages are pyroute2's; the sockets are our own, for pyroute2's cannot be used inside a running
event loop. One request is one round trip of 0.15 ms; results are kept until the kernel says that
something changed.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from struct import Struct
from typing import Any

from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST
from pyroute2.netlink.rtnl import (
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_NEWLINK,
    RTM_SETLINK,
    RTMGRP_LINK,
)
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from netloom.base.record import Record
from netloom.netdev.device import DeviceState, DeviceStats
from netloom.netdev.linux.ethtool import read_driver, read_speed
from netloom.netdev.linux.shaped import ShapedDevices
from netloom.netdev.linux.tc import Tc
from netloom.packet.marks import TX_SEGMENTS, TX_TCP, TX_UDP

IFF_UP = 0x1
IFF_LOOPBACK = 0x8
IFF_LOWER_UP = 0x10000
ARPHRD_ETHER = 1
#: Bytes of one answer: a link with all its attributes takes some 2 KiB.
ANSWER_BYTES = 65_536
#: Calls of `changes` that do not look after one that found nothing.
SKIPPED_CALLS = 7
#: Of what the kernel tells unasked, in one message; asking for more costs more each time.
EVENT_BYTES = 16_384
#: The start of a message about a link: its length, then (header, family, type left out) its index.
_EVENT = Struct("=I16xi")


class Link(Record):
    """A link as the kernel describes it."""

    ifindex: int
    name: str
    state: DeviceState
    stats: DeviceStats
    #: The kind of what packets wait in before they leave.
    qdisc: str = ""


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
        self._calls_to_skip = 0
        self._tc: Tc | None = None
        #: Where it is noted which devices have queues of ours, if anywhere.
        self.shaped: ShapedDevices | None = None

    def tc(self) -> Tc:
        """What sets the queues of the same devices."""
        if self._tc is None:
            self._tc = Tc()
        return self._tc

    def fileno(self) -> int:
        """Readable when links changed."""
        return self._events.fileno()

    @property
    def changes_seen(self) -> int:
        """What `changes` said last."""
        return self._changes

    def changes(self) -> int:
        """Grows with every change of any link; what is known of that link is forgotten. After a
        look that found nothing a few calls do not look: the main loop, which calls this in each
        turn, comes back at once while there is something to read."""
        if self._calls_to_skip:
            self._calls_to_skip -= 1
            return self._changes
        while True:
            try:
                events = self._events.recv(EVENT_BYTES)
            except BlockingIOError:
                self._calls_to_skip = SKIPPED_CALLS
                return self._changes
            except OSError as error:
                # ENOBUFS: events were lost, so anything may have changed.
                if error.errno != errno.ENOBUFS:
                    raise
                self._links.clear()
            else:
                self._forget(events)
            self._changes += 1

    def _forget(self, events: bytes) -> None:
        """Forget the links that the messages in `events` are about."""
        offset = 0
        changed = set()
        while offset + _EVENT.size <= len(events):
            length, ifindex = _EVENT.unpack_from(events, offset)
            changed.add(ifindex)
            offset += max(length + 3 & ~3, 16)
        for name in [name for name, link in self._links.items() if link.ifindex in changed]:
            del self._links[name]

    def link(self, name: str, fresh: bool = False) -> Link | None:
        """The link of that name, or None. Without `fresh` it may be what was known when `changes`
        was last asked."""
        found = None if fresh else self._links.get(name)
        if found is None:
            self.changes()
            answer = self._request(RTM_GETLINK, 0, [("IFLA_IFNAME", name)], {})
            if answer is None:
                self._links.pop(name, None)
                return None
            found = self._links[name] = self._read_link(answer)
        return found

    def set_link(self, ifindex: int, **changes: Any) -> None:
        """Change `mtu`, `mac` or `up`; raises OSError with the kernel's reason."""
        attributes: list[tuple[str, Any]] = []
        if "mtu" in changes:
            attributes.append(("IFLA_MTU", changes["mtu"]))
        if "mac" in changes:
            attributes.append(("IFLA_ADDRESS", changes["mac"]))
        fields = {"index": ifindex}
        if "up" in changes:
            fields |= {"flags": IFF_UP if changes["up"] else 0, "change": IFF_UP}
        self._request(RTM_SETLINK, NLM_F_ACK, attributes, fields)
        self._links.clear()

    def create_veth(self, name: str, peer: str) -> None:
        """Make a pair of virtual devices; raises OSError with the kernel's reason."""
        data = {"attrs": [("VETH_INFO_PEER", {"attrs": [("IFLA_IFNAME", peer)]})]}
        info = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)]}
        attributes = [("IFLA_IFNAME", name), ("IFLA_LINKINFO", info)]
        flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
        self._request(RTM_NEWLINK, flags, attributes, {})

    def delete_link(self, ifindex: int) -> None:
        """Remove a link; raises OSError with the kernel's reason."""
        self._request(RTM_DELLINK, NLM_F_ACK, [], {"index": ifindex})
        self._links.clear()

    def close(self) -> None:
        self._requests.close()
        self._events.close()
        if self._tc is not None:
            self._tc.close()

    def _request(
        self,
        kind: int,
        flags: int,
        attributes: list[tuple[str, Any]],
        fields: Mapping[str, int],
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
                    return _check(answer, is_query=kind == RTM_GETLINK)

    def _read_link(self, message: Any) -> Link:
        name = message.get_attr("IFLA_IFNAME")
        speed = read_speed(self._requests, name)
        state = DeviceState(
            present=True,
            admin_up=bool(message["flags"] & IFF_UP),
            link_up=bool(message["flags"] & IFF_LOWER_UP),
            mtu=message.get_attr("IFLA_MTU"),
            mac=message.get_attr("IFLA_ADDRESS") or "",
            ifindex=message["index"],
            speed_bps=speed.now_bps,
            max_speed_bps=speed.max_bps,
            full_duplex=speed.full_duplex,
            carrier_changes=message.get_attr("IFLA_CARRIER_CHANGES") or 0,
            driver=read_driver(self._requests, name),
            is_loopback=bool(message["flags"] & IFF_LOOPBACK),
            is_ethernet=message["ifi_type"] == ARPHRD_ETHER,
            master=message.get_attr("IFLA_MASTER") or 0,
            tx_offloads=_TX_OFFLOADS,
        )
        stats = message.get_attr("IFLA_STATS64") or {}
        counters = {field: stats.get(source, 0) for field, source in _STATISTICS.items()}
        qdisc = message.get_attr("IFLA_QDISC") or ""
        return Link(message["index"], name, state, DeviceStats(**counters), qdisc)


#: Members of DeviceStats -> members of the kernel's struct rtnl_link_stats64.
#: What a virtio_net_hdr asks the kernel for, which does it itself where the device cannot.
_TX_OFFLOADS = TX_TCP | TX_UDP | TX_SEGMENTS
_STATISTICS = {
    "rx_packets": "rx_packets",
    "rx_bytes": "rx_bytes",
    "tx_packets": "tx_packets",
    "tx_bytes": "tx_bytes",
    "rx_dropped": "rx_dropped",
    "rx_frame_err": "rx_frame_errors",
    "rx_over_err": "rx_over_errors",
    "rx_crc_err": "rx_crc_errors",
    "rx_errors": "rx_errors",
    "tx_dropped": "tx_dropped",
    "tx_errors": "tx_errors",
    "collisions": "collisions",
    "tx_aborted": "tx_aborted_errors",
    "tx_carrier": "tx_carrier_errors",
}


def _check(answer: Any, is_query: bool) -> Any:
    error = answer["header"].get("error")
    if error is None:
        return answer
    if error.code == errno.ENODEV and is_query:
        return None
    raise OSError(error.code, os.strerror(error.code))
