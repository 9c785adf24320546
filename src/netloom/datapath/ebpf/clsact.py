"""Programs on devices by the clsact queueing discipline, for kernels without tcx links.

A filter stays with its device by itself, and is exchanged by a new one of the same number. Its name
says whose it is, and whether we made the discipline, too: what we made goes with the filter, unless
somebody else's filters are there by then. rtnetlink's messages are those of tc(8).
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from struct import Struct
from typing import Final

from netloom.netdev.rtnetlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLMSG_DONE,
    NLMSG_ERROR,
    attribute,
    attributes,
    messages,
    request,
)

RTM_NEWQDISC, RTM_DELQDISC = 36, 37
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_BPF_FD, TCA_BPF_NAME, TCA_BPF_FLAGS = 6, 7, 8
#: The filter's verdict is what becomes of the packet.
DIRECT_ACTION = 1
CLSACT, CLSACT_ROOT = 0xFFFF0000, 0xFFFFFFF1
CLSACT_INGRESS, CLSACT_EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
#: Our filter on a device: its priority and number. Others may stand behind it.
PRIORITY, HANDLE = 1, 1
#: The filter's name where the discipline was there before, and where it is ours.
NAME: Final = b"netloom"
NAME_WITH_CLSACT: Final = b"netloom+clsact"
_ETH_P_ALL = 0x0300
_TCMSG = Struct("=BxxxiIII")
_NUMBER = Struct("=I")
_ANSWER_BYTES = 65_536
#: What is there already, and what is gone, is as wished.
_PRESENT = (errno.EEXIST,)
_GONE = (errno.ENODEV, errno.ENOENT, errno.EINVAL)


class _Filter:
    """What is known of a filter: `name` is that of one of ours, empty of any other."""

    __slots__ = ("handle", "name", "priority")

    def __init__(self, handle: int, priority: int, name: bytes) -> None:
        self.handle = handle
        self.priority = priority
        self.name = name

    @property
    def is_ours(self) -> bool:
        return (self.handle, self.priority) == (HANDLE, PRIORITY) and bool(self.name)


def attach(ifindex: int, program: int) -> None:
    """Have a program see what comes in at a device. Raises OSError with the kernel's reason."""
    is_new = _request(
        RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, ifindex, CLSACT, CLSACT_ROOT, 0,
        attribute(TCA_KIND, b"clsact\0"), _PRESENT,
    )  # fmt: skip
    earlier = next((f.name for f in _filters(ifindex, CLSACT_INGRESS) if f.is_ours), b"")
    name = NAME_WITH_CLSACT if is_new or earlier == NAME_WITH_CLSACT else NAME
    options = (
        attribute(TCA_BPF_FD, _NUMBER.pack(program))
        + attribute(TCA_BPF_NAME, name + b"\0")
        + attribute(TCA_BPF_FLAGS, _NUMBER.pack(DIRECT_ACTION))
    )
    described = attribute(TCA_KIND, b"bpf\0") + attribute(TCA_OPTIONS, options)
    _request(
        RTM_NEWTFILTER, NLM_F_CREATE, ifindex, HANDLE, CLSACT_INGRESS, _INFO, described, _PRESENT
    )


def detach(ifindex: int) -> None:
    """Take our filter off a device, and the discipline, if we made it and nobody else uses it. A
    device that is gone, or has none, is no error."""
    found = list(_filters(ifindex, CLSACT_INGRESS))
    ours = next((one for one in found if one.is_ours), None)
    if ours is None:
        return
    _request(
        RTM_DELTFILTER, 0, ifindex, HANDLE, CLSACT_INGRESS, _INFO,
        attribute(TCA_KIND, b"bpf\0"), _GONE,
    )  # fmt: skip
    is_alone = len(found) == 1 and not any(_filters(ifindex, CLSACT_EGRESS))
    if ours.name == NAME_WITH_CLSACT and is_alone:
        _request(
            RTM_DELQDISC, 0, ifindex, CLSACT, CLSACT_ROOT, 0,
            attribute(TCA_KIND, b"clsact\0"), _GONE,
        )  # fmt: skip


_INFO: Final = PRIORITY << 16 | _ETH_P_ALL


def _filters(ifindex: int, parent: int) -> Iterator[_Filter]:
    """The filters of a device that packets in one direction pass."""
    body = _TCMSG.pack(0, ifindex, 0, parent, 0)
    for kind, data in _talk(RTM_GETTFILTER, NLM_F_DUMP, body):
        if kind != RTM_NEWTFILTER:
            continue
        _, index, handle, _, info = _TCMSG.unpack_from(data)
        if index == ifindex and handle:
            name = attributes(attributes(data[_TCMSG.size :]).get(TCA_OPTIONS, b"")).get(
                TCA_BPF_NAME, b""
            )
            name = name.rstrip(b"\0")
            yield _Filter(handle, info >> 16, name if name in (NAME, NAME_WITH_CLSACT) else b"")


def _request(
    kind: int,
    flags: int,
    ifindex: int,
    handle: int,
    parent: int,
    info: int,
    attributes: bytes,
    harmless: tuple[int, ...],
) -> bool:
    """One change. False if the kernel answered with a harmless error; raises OSError for others."""
    body = _TCMSG.pack(0, ifindex, handle, parent, info) + attributes
    for type_, data in _talk(kind, NLM_F_ACK | flags, body):
        code = -_signed(data) if type_ == NLMSG_ERROR else 0
        if code in harmless:
            return False
        if code:
            raise OSError(code, os.strerror(code))
    return True


def _signed(data: bytes) -> int:
    return int.from_bytes(data[:4], "little", signed=True)


def _talk(kind: int, flags: int, body: bytes) -> Iterator[tuple[int, bytes]]:
    """One request of rtnetlink: kinds and bodies of what it answers."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        sock.send(request(kind, flags, body))
        while True:
            for type_, data in messages(sock.recv(_ANSWER_BYTES)):
                if type_ == NLMSG_DONE:
                    return
                yield type_, data
                if type_ == NLMSG_ERROR:
                    return
