"""Attaching the programs to devices: by tcx links (Linux 6.6), else by the clsact queueing
discipline.

Both see a packet before the host does, at the same place. A tcx link can be pinned, and its program
exchanged without a gap; a clsact filter stays with its device by itself, and is exchanged the same
way by a new filter of the same number. rtnetlink's messages for the latter are those of tc(8).
"""

from __future__ import annotations

import errno
import os
import socket
from struct import Struct

from netloom.datapath.ebpf.pins import PinDirectory
from netloom.datapath.ebpf.syscall import link_create, link_update

RTM_NEWQDISC, RTM_NEWTFILTER, RTM_DELTFILTER = 36, 44, 45
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x200, 0x400
NLMSG_ERROR = 2
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_BPF_FD, TCA_BPF_NAME, TCA_BPF_FLAGS = 6, 7, 8
#: The filter's verdict is what becomes of the packet.
DIRECT_ACTION = 1
CLSACT, CLSACT_ROOT, CLSACT_INGRESS = 0xFFFF0000, 0xFFFFFFF1, 0xFFFFFFF2
#: Our filter on a device: its priority and number. Others may stand behind it.
PRIORITY, HANDLE = 1, 1
_ETH_P_ALL = 0x0300
_HEADER = Struct("=IHHII")
_TCMSG = Struct("=BxxxiIII")
_ATTRIBUTE = Struct("=HH")
_ANSWER_BYTES = 4_096


class Attachments:
    """The devices that one program is attached to. `use_tcx` None tries tcx first."""

    def __init__(
        self, program: int, pins: PinDirectory | None, use_tcx: bool | None = None
    ) -> None:
        self._program = program
        self._pins = pins
        self._links: dict[int, int] = {}
        self._filtered: set[int] = set()
        self.use_tcx = use_tcx

    def attach(self, ifindex: int) -> None:
        """Raises OSError with the kernel's reason."""
        if self.use_tcx is not False:
            try:
                self._links[ifindex] = self._link(ifindex)
            except OSError as error:
                # A kernel that does not know tcx does not know the number.
                if self.use_tcx or error.errno != errno.EINVAL:
                    raise
                self.use_tcx = False
            else:
                self.use_tcx = True
                return
        _send(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, ifindex, CLSACT, CLSACT_ROOT, 0, _CLSACT)
        info = PRIORITY << 16 | _ETH_P_ALL
        options = _filter_options(self._program)
        _send(RTM_NEWTFILTER, NLM_F_CREATE, ifindex, HANDLE, CLSACT_INGRESS, info, options)
        self._filtered.add(ifindex)

    def detach(self, ifindex: int) -> None:
        """Let the device's packets go to the host. A device that is gone is no error."""
        if self._pins is not None:
            self._pins.drop_link(ifindex)
        if (link := self._links.pop(ifindex, None)) is not None:
            os.close(link)
        if ifindex in self._filtered:
            self._filtered.discard(ifindex)
            info = PRIORITY << 16 | _ETH_P_ALL
            kind = _attribute(TCA_KIND, b"bpf\0")
            _send(RTM_DELTFILTER, 0, ifindex, HANDLE, CLSACT_INGRESS, info, kind)

    def renew(self, ifindexes: list[int]) -> None:
        """Have these devices, to which an earlier daemon attached its program, run ours; one that
        is gone meanwhile is left out."""
        for ifindex in ifindexes:
            if (link := self._take_over(ifindex)) is not None:
                self._links[ifindex] = link

    @property
    def devices(self) -> set[int]:
        """The indexes of those that have pinned links."""
        return set(self._links)

    def close(self) -> None:
        """Let go; pinned links and filters stay."""
        for link in self._links.values():
            os.close(link)
        self._links.clear()

    def _link(self, ifindex: int) -> int:
        held = self._links.pop(ifindex, None)
        link = held if held is not None else self._take_over(ifindex)
        if link is None:
            link = link_create(self._program, ifindex)
            if self._pins is not None:
                self._pins.keep_link(ifindex, link)
        return link

    def _take_over(self, ifindex: int) -> int | None:
        """The pinned link of an earlier daemon, now to our program; None if there is none, or that
        device is gone and another has its index."""
        link = self._pins.find_link(ifindex) if self._pins is not None else None
        if link is None:
            return None
        try:
            link_update(link, self._program)
        except OSError:
            os.close(link)
            assert self._pins is not None
            self._pins.drop_link(ifindex)
            return None
        return link


def _attribute(kind: int, data: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(data)
    return (_ATTRIBUTE.pack(length, kind) + data).ljust(length + 3 & ~3, b"\0")


_CLSACT = _attribute(TCA_KIND, b"clsact\0")


def _filter_options(program: int) -> bytes:
    number = Struct("=I").pack
    options = (
        _attribute(TCA_BPF_FD, number(program))
        + _attribute(TCA_BPF_NAME, b"netloom\0")
        + _attribute(TCA_BPF_FLAGS, number(DIRECT_ACTION))
    )
    return _attribute(TCA_KIND, b"bpf\0") + _attribute(TCA_OPTIONS, options)


def _send(
    kind: int, flags: int, ifindex: int, handle: int, parent: int, info: int, attributes: bytes
) -> None:
    """One request of rtnetlink. What is there already, or is gone, is as wished."""
    body = _TCMSG.pack(0, ifindex, handle, parent, info) + attributes
    header = _HEADER.pack(_HEADER.size + len(body), kind, NLM_F_REQUEST | NLM_F_ACK | flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        sock.send(header + body)
        answer = sock.recv(_ANSWER_BYTES)
    _, message_type, _, _, _ = _HEADER.unpack_from(answer)
    assert message_type == NLMSG_ERROR
    code = -int.from_bytes(answer[_HEADER.size : _HEADER.size + 4], "little", signed=True)
    is_deletion = kind == RTM_DELTFILTER
    if code and code != errno.EEXIST and not (is_deletion and code in (errno.ENODEV, errno.ENOENT)):
        raise OSError(code, os.strerror(code))
