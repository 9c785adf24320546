"""Queueing disciplines and classes of the kernel, over rtnetlink.

Messages are pyroute2's, the socket is our own, as in `rtnl`. What the kernel refuses is an OSError
with its reason; ENOENT for a discipline or a class that it does not know.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pyroute2.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_ECHO,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    NLMSG_DONE,
)
from pyroute2.netlink.rtnl import (
    RTM_DELQDISC,
    RTM_DELTCLASS,
    RTM_GETQDISC,
    RTM_GETTCLASS,
    RTM_NEWQDISC,
    RTM_NEWTCLASS,
    TC_H_ROOT,
)
from pyroute2.netlink.rtnl.marshal import MarshalRtnl
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from netloom.netdev.qos import ROOT_CLASS, ROOT_HANDLE

#: Bytes of one answer of a dump.
ANSWER_BYTES = 65_536
PSCHED = Path("/proc/net/psched")


class ClassCounts(NamedTuple):
    """What a class has counted; `drops` are packets that found no room."""

    packets: int
    n_bytes: int
    drops: int


class Tc:
    """Asks for disciplines and classes, and sets them."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._marshal = MarshalRtnl()
        self._sequence = 0
        self.ticks_per_s = read_ticks(PSCHED.read_text() if PSCHED.exists() else "")

    def close(self) -> None:
        self._socket.close()

    def kind(self, ifindex: int) -> str:
        """The kind of the discipline 1:0 of a device; "" if there is none. What the kernel gives a
        device by itself has another number."""
        fields = {"index": ifindex, "handle": ROOT_HANDLE, "parent": TC_H_ROOT}
        try:
            # Without ECHO only those who listen to all changes are told.
            for answer in self._request(RTM_GETQDISC, NLM_F_ECHO, fields):
                return str(answer.get_attr("TCA_KIND") or "")
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL):
                raise
        return ""

    def add(self, ifindex: int, kind: str, options: Any) -> None:
        """Make the discipline 1:0 of a device, in place of what somebody else put there."""
        fields = {"index": ifindex, "handle": ROOT_HANDLE, "parent": TC_H_ROOT}
        attributes = [("TCA_KIND", kind), ("TCA_OPTIONS", options)]
        self._request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, fields, attributes)

    def delete(self, ifindex: int) -> None:
        """Remove it with all its classes; one that is gone is no error."""
        try:
            self._request(RTM_DELQDISC, 0, {"index": ifindex, "parent": TC_H_ROOT})
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL, errno.ENODEV):
                raise

    def set_class(self, ifindex: int, number: int, kind: str, options: Any) -> None:
        """Make the class 1:`number`, or change it. All but the topmost are below that."""
        handle = ROOT_HANDLE | number
        parent = ROOT_HANDLE if handle == ROOT_CLASS else ROOT_CLASS
        fields = {"index": ifindex, "handle": handle, "parent": parent}
        attributes = [("TCA_KIND", kind), ("TCA_OPTIONS", options)]
        self._request(RTM_NEWTCLASS, NLM_F_CREATE, fields, attributes)

    def delete_class(self, ifindex: int, number: int) -> None:
        """Remove a class; one that is gone is no error."""
        fields = {"index": ifindex, "handle": ROOT_HANDLE | number, "parent": 0}
        try:
            self._request(RTM_DELTCLASS, 0, fields)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise

    def classes(self, ifindex: int) -> dict[int, ClassCounts]:
        """The classes of the discipline 1:0 by number, with their counts."""
        found = {}
        for answer in self._request(RTM_GETTCLASS, NLM_F_DUMP, {"index": ifindex}):
            if answer["handle"] >> 16 == ROOT_HANDLE >> 16:
                found[answer["handle"] & 0xFFFF] = _counts(answer)
        return found

    def _request(
        self,
        kind: int,
        flags: int,
        fields: dict[str, int],
        attributes: list[tuple[str, Any]] | None = None,
    ) -> list[Any]:
        """Send one message; what the kernel answers with."""
        self._sequence += 1
        message = tcmsg()
        message["header"]["type"] = kind
        asks = kind in (RTM_GETQDISC, RTM_GETTCLASS)
        message["header"]["flags"] = NLM_F_REQUEST | flags | (0 if asks else NLM_F_ACK)
        message["header"]["sequence_number"] = self._sequence
        message["family"] = socket.AF_UNSPEC
        for name, value in fields.items():
            message[name] = value
        message["attrs"] = attributes or []
        message.encode()
        self._socket.send(bytes(message.data))
        return list(self._answers(is_dump=flags & NLM_F_DUMP == NLM_F_DUMP))

    def _answers(self, is_dump: bool) -> Iterator[Any]:
        while True:
            for answer in self._marshal.parse(self._socket.recv(ANSWER_BYTES)):
                header = answer["header"]
                if header["sequence_number"] != self._sequence:
                    continue
                if header["type"] == NLMSG_DONE:
                    return
                error = header.get("error")
                if error is not None:
                    raise OSError(error.code, os.strerror(error.code))
                yield answer
                if not is_dump:
                    return


def read_ticks(text: str) -> int:
    """Ticks of tc's times in a second, of the contents of /proc/net/psched: nanoseconds that a
    microsecond, and that a tick has, in hexadecimal."""
    words = text.split()
    if len(words) < 3:
        return 15_625_000
    nanoseconds, per_tick, microseconds = (int(word, 16) for word in words[:3])
    return microseconds * nanoseconds // per_tick if per_tick else microseconds


def _counts(answer: Any) -> ClassCounts:
    stats = answer.get_attr("TCA_STATS2")
    basic = stats.get_attr("TCA_STATS_BASIC") if stats is not None else None
    queue = stats.get_attr("TCA_STATS_QUEUE") if stats is not None else None
    return ClassCounts(
        basic["packets"] if basic else 0,
        basic["bytes"] if basic else 0,
        queue["drops"] if queue else 0,
    )
