"""The host's routes and addresses, followed by netlink: what tunnels are to be sent over.

Events only say that something changed; `read` then asks for everything again, in three dumps: a
host has few routes, and they change seldom. Routes count that lead to a device: directly or by a
gateway, which may be of the other family; of a route with several next hops the first one counts,
as in Open vSwitch. Of rules those count that choose a table by the source address alone.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST
from pyroute2.netlink.rtnl import (
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETROUTE,
    RTM_GETRULE,
    RTMGRP_IPV4_IFADDR,
    RTMGRP_IPV4_ROUTE,
    RTMGRP_IPV4_RULE,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_IPV6_RULE,
    RTMGRP_LINK,
)
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.marshal import MarshalRtnl
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from netloom.base.record import Record
from netloom.flow.mapped import V4_BITS, parse_mapped

_GROUPS = (
    RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_LINK
    | RTMGRP_IPV4_RULE | RTMGRP_IPV6_RULE
)  # fmt: skip
ANSWER_BYTES = 65_536
#: Calls of `has_changed` that do not look after one that found nothing.
SKIPPED_CALLS = 7
#: Of what the kernel tells unasked, in one message; asking for more costs more each time.
EVENT_BYTES = 16_384
_UNICAST, _LOCAL = 1, 2
#: What a rule does, and that it is for all but what it says (linux/fib_rules.h).
_TO_TABLE, _FIB_RULE_INVERT = 1, 2
#: What a rule may look at besides, and nobody knows of a packet that is to be tunnelled.
_SELECTORS = (
    "FRA_DST", "FRA_IIFNAME", "FRA_OIFNAME", "FRA_FWMARK", "FRA_TUN_ID", "FRA_L3MDEV",
    "FRA_UID_RANGE", "FRA_IP_PROTO", "FRA_SPORT_RANGE", "FRA_DPORT_RANGE",
)  # fmt: skip
_NLMSG_DONE = 3


class HostRoute(Record):
    """One route; addresses are mapped (`flow.mapped`), 0 for none."""

    prefix: int
    length: int
    device: str
    gateway: int
    source: int
    is_local: bool
    table: int


class HostRule(Record):
    """One rule: packets from `prefix`/`length` (any, if that is 0), or `is_not` all others, are
    routed by `table`."""

    priority: int
    table: int
    is_v6: bool
    prefix: int
    length: int
    is_not: bool


#: Device -> (address, prefix length).
HostAddresses = dict[str, tuple[tuple[int, int], ...]]


class HostRoutes:
    """See the module. The descriptor is readable when something may have changed."""

    def __init__(self) -> None:
        self._events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._events.bind((0, _GROUPS))
        self._events.setblocking(False)
        self._requests = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._requests.bind((0, 0))
        self._marshal = MarshalRtnl()
        self._sequence = 0
        self._is_stale = True
        self._calls_to_skip = 0

    def fileno(self) -> int:
        return self._events.fileno()

    def has_changed(self, at_once: bool = False) -> bool:
        """Is there reason to `read`? Unless it is to be known `at_once`, not each call looks, as
        with `Rtnl.changes`."""
        if self._calls_to_skip and not at_once:
            self._calls_to_skip -= 1
            return self._is_stale
        while True:
            try:
                self._events.recv(EVENT_BYTES)
            except BlockingIOError:
                self._calls_to_skip = SKIPPED_CALLS
                return self._is_stale
            except OSError:
                # ENOBUFS: events were lost, which says that there were some.
                self._is_stale = True
            self._is_stale = True

    def read(self) -> tuple[HostAddresses, list[HostRoute]]:
        """Addresses and routes as they are now."""
        self._is_stale = False
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in self._dump(RTM_GETLINK)}
        families = (socket.AF_INET, socket.AF_INET6)
        messages = [m for family in families for m in self._dump(RTM_GETROUTE, family)]
        routes = [self._route(message, names) for message in messages]
        return self._addresses(names), [route for route in routes if route is not None]

    def read_addresses(self) -> HostAddresses:
        """Addresses as they are now."""
        links = self._dump(RTM_GETLINK)
        return self._addresses({link["index"]: link.get_attr("IFLA_IFNAME") for link in links})

    def _addresses(self, names: dict[int, str]) -> HostAddresses:
        addresses: dict[str, tuple[tuple[int, int], ...]] = {}
        for message in self._dump(RTM_GETADDR):
            name = names.get(message["index"])
            text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            address = parse_mapped(text or "")
            if name is not None and address is not None:
                length = _mapped_length(message["family"], message["prefixlen"])
                addresses[name] = (*addresses.get(name, ()), (address, length))
        return addresses

    def _route(self, message: Any, names: dict[int, str]) -> HostRoute | None:
        table = message.get_attr("RTA_TABLE") or message["table"]
        hop, index = _first_hop(message)
        name = names.get(index)
        if message["type"] not in (_UNICAST, _LOCAL) or name is None:
            return None
        family = message["family"]
        zero = "0.0.0.0" if family == socket.AF_INET else "::"
        prefix = parse_mapped(message.get_attr("RTA_DST") or zero) or 0
        return HostRoute(
            prefix,
            _mapped_length(family, message["dst_len"]),
            name,
            parse_mapped(_gateway(hop)) or 0,
            parse_mapped(message.get_attr("RTA_PREFSRC") or "") or 0,
            message["type"] == _LOCAL,
            table,
        )

    def read_rules(self) -> list[HostRule]:
        """The rules as they are now."""
        families = (socket.AF_INET, socket.AF_INET6)
        return [
            rule
            for family in families
            for message in self._dump(RTM_GETRULE, family)
            if (rule := _rule(message)) is not None
        ]

    def _dump(self, kind: int, family: int = 0) -> list[Any]:
        self._sequence += 1
        message = _MESSAGES[kind]()
        message["header"]["type"] = kind
        message["header"]["flags"] = NLM_F_REQUEST | NLM_F_DUMP
        message["header"]["sequence_number"] = self._sequence
        message["family"] = family
        message.encode()
        self._requests.send(bytes(message.data))
        found: list[Any] = []
        while True:
            for answer in self._marshal.parse(self._requests.recv(ANSWER_BYTES)):
                if answer["header"]["sequence_number"] != self._sequence:
                    continue
                if answer["header"]["type"] == _NLMSG_DONE:
                    return found
                if answer["header"].get("error") is not None:
                    return found
                found.append(answer)

    def close(self) -> None:
        self._events.close()
        self._requests.close()


def host_addresses(device: str) -> tuple[int, ...]:
    """The addresses of a device, asked for once; none if there is no such device."""
    host = HostRoutes()
    try:
        return tuple([address for address, _ in host.read_addresses().get(device, ())])
    finally:
        host.close()


_MESSAGES: dict[int, Callable[[], Any]] = {
    RTM_GETLINK: ifinfmsg, RTM_GETADDR: ifaddrmsg, RTM_GETROUTE: rtmsg, RTM_GETRULE: fibmsg
}  # fmt: skip


def _first_hop(message: Any) -> tuple[Any, int]:
    """What has the attributes of a route's first next hop, and the number of its device."""
    hops = message.get_attr("RTA_MULTIPATH")
    if hops:
        return hops[0], hops[0]["oif"]
    return message, message.get_attr("RTA_OIF") or 0


def _gateway(hop: Any) -> str:
    """The text of the gateway's address; empty if there is none."""
    via = hop.get_attr("RTA_VIA")
    return str(via["addr"]) if via else hop.get_attr("RTA_GATEWAY") or ""


def _rule(message: Any) -> HostRule | None:
    """None for one that looks at more than the source address, or does not choose a table."""
    if message["action"] != _TO_TABLE or any(message.get_attr(name) for name in _SELECTORS):
        return None
    if message["dst_len"] or message["tos"]:
        return None
    family, length = message["family"], message["src_len"]
    is_not = bool(message["flags"] & _FIB_RULE_INVERT)
    if is_not and not length:
        return None
    source = parse_mapped(message.get_attr("FRA_SRC") or "") or 0
    return HostRule(
        message.get_attr("FRA_PRIORITY") or 0,
        message.get_attr("FRA_TABLE") or message["table"],
        family == socket.AF_INET6,
        source,
        _mapped_length(family, length) if length else 0,
        is_not,
    )


def _mapped_length(family: int, length: int) -> int:
    return length + V4_BITS if family == socket.AF_INET else length
