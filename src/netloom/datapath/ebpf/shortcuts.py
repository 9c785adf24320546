"""Which ports packets may leave by the shortcut: straight to the other end of a veth pair.

The programs hand a packet to the other end themselves (bpf_redirect_peer, see bpf/leave.h) instead
of sending it into this end, which saves a third of what forwarding costs. Nobody may notice. So
there is a shortcut only while

* the device is a veth whose other end is in another namespace, up, and has no XDP program;
* packets leave it as they are: no queueing discipline, no filter or tcx program at its egress,
  checksum and segmentation offload on;
* nobody listens: no packet socket for all protocols at the device (tcpdump has one).

The address and MTU of the other end go with it: packets for others, and longer ones, go the usual
way. What leaves by the shortcut the device does not count; `count` says how much that is.

The MTU of each port is kept here as well: what is longer is dropped, and counted as an error of the
device.

All this may change at any time. Events of rtnetlink say so, those of other namespaces too; packet
sockets, of which there are no events, are looked up once a second, and some ports are looked at
again as well, in turn. What is not seen is what changes while no daemon runs; hence the option to
do without. (Chains of nftables at a device's egress see no packet that a program has sent there,
by the shortcut or not: the kernel spares them these.)
"""

from __future__ import annotations

import errno
import fcntl
import socket
from contextlib import suppress
from ctypes import addressof, create_string_buffer
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from netloom.base.log import get_logger
from netloom.datapath.ebpf.maps import SharedArray
from netloom.datapath.ebpf.spec import OUTPUT
from netloom.datapath.ebpf.syscall import count_programs
from netloom.netdev.rtnetlink import (
    NLM_F_DUMP,
    NLMSG_DONE,
    NLMSG_ERROR,
    attribute,
    attributes,
    messages,
    request,
)

log = get_logger("dpif_netlink")

RTM_GETLINK, RTM_GETTFILTER = 18, 46
RTMGRP_LINK, RTMGRP_TC = 0x1, 0x8
SOL_NETLINK, NETLINK_LISTEN_ALL_NSID = 270, 8
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_QDISC = 1, 3, 4, 5, 6
IFLA_LINKINFO, IFLA_EXT_MASK, IFLA_LINK_NETNSID, IFLA_XDP, IFLA_TARGET_NETNSID = 18, 29, 37, 43, 46
IFLA_INFO_KIND, IFLA_XDP_ATTACHED = 1, 2
SKIP_STATISTICS = 1 << 3
IFF_UP = 1
CLSACT_EGRESS = 0xFFFFFFF3
TCX_EGRESS = 47
SIOCETHTOOL, ETHTOOL_GTXCSUM, ETHTOOL_GTSO = 0x8946, 0x16, 0x1E
ETH_P_ALL = 3
#: What a device takes beside its MTU: Ethernet's header, and a tag.
HEADER_BYTES, TAG_BYTES = 14, 4
#: How often packet sockets are looked for, and how many ports are looked at again then.
LOOK_INTERVAL_MS, LOOKS = 1_000, 8
#: Turns of the main loop that do not ask for events after one that found none.
SKIPPED_TURNS = 7
ANSWER_BYTES = 32_768
#: This process's own namespace, among the numbers of others.
_HERE = -1
_IFINFO = Struct("=BxHiII")
_TCMSG = Struct("=BxxxiIII")
_IFREQ = Struct("16sP16x")
_VALUE = Struct("=II")
_INT = Struct("=i")
_U32 = Struct("=I")
_SHORTCUT = Struct("<QII")
_COUNTS = Struct("<QQQ")


class _Link(NamedTuple):
    """What rtnetlink says of a device; `peer` is (namespace, index) of the other end of a veth."""

    name: str
    is_up: bool
    kind: bytes
    address: bytes
    mtu: int
    qdisc: bytes
    peer: tuple[int, int] | None
    has_xdp: bool


class Shortcuts:
    """The shortcuts of the ports of one data path; `outputs` is the programs' map."""

    def __init__(self, outputs: SharedArray) -> None:
        self._outputs = outputs
        self._requests = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._requests.bind((0, 0))
        self._events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._events.setblocking(False)
        self._is_allowed = True
        # Without that nobody would tell us what becomes of other ends.
        self._sees_others = True
        try:
            self._events.setsockopt(SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, 1)
        except OSError:
            self._sees_others = False
        self._events.bind((0, RTMGRP_LINK | RTMGRP_TC))
        #: Port -> index of its device, in the order in which they are looked at again.
        self._ports: dict[int, int] = {}
        #: What ports have to do with: (namespace, index) of the device and its other end -> ports.
        self._concerned: dict[tuple[int, int], set[int]] = {}
        self._peers: dict[int, tuple[int, int]] = {}
        self._watched: frozenset[int] = frozenset()
        #: Counts of devices that are no ports any more, by index.
        self._departed: dict[int, tuple[int, int, int]] = {}
        self._next_look_ms = 0
        self._turns_to_skip = 0

    def fileno(self) -> int:
        """Readable when a device changed."""
        return self._events.fileno()

    def add(self, port: int, ifindex: int) -> None:
        """A device has become a port; its counts go on where they were."""
        self._ports[port] = ifindex
        self._concern((_HERE, ifindex), port, concerns=True)
        if counts := self._departed.pop(ifindex, None):
            _COUNTS.pack_into(self._outputs.view, self._at(port, "packets"), *counts)
        self._watched = watched_devices()
        self._look(port)

    def remove(self, port: int) -> None:
        """The port is no more."""
        ifindex = self._ports.pop(port, None)
        if ifindex is not None:
            self._departed[ifindex] = self.count(port)
            self._write(port, 0, 0, 0)
            _COUNTS.pack_into(self._outputs.view, self._at(port, "packets"), 0, 0, 0)
            self._set_peer(port, None)
            self._concern((_HERE, ifindex), port, concerns=False)

    def count(self, port: int) -> tuple[int, int, int]:
        """Packets and bytes that took the shortcut, and packets that were too long."""
        view, at = self._outputs.view, self._at(port, "packets")
        packets, n_bytes, too_long = _COUNTS.unpack_from(view, at)
        return packets, n_bytes, too_long

    def has(self, port: int) -> bool:
        """Whether the port has a shortcut now."""
        return bool(_SHORTCUT.unpack_from(self._outputs.view, self._at(port, "peer_mac"))[0])

    def run(self, now_ms: int) -> None:
        """Follow what changed."""
        for port in self._changed():
            self._look(port)
        if now_ms < self._next_look_ms:
            return
        self._next_look_ms = now_ms + LOOK_INTERVAL_MS
        before, self._watched = self._watched, watched_devices()
        again = list(self._ports)[:LOOKS]
        if before != self._watched:
            again = list(self._ports)
        for port in again:
            self._ports[port] = self._ports.pop(port)
            self._look(port)

    def allow(self, wanted: bool) -> None:
        """Have shortcuts, or do without."""
        if wanted != self._is_allowed:
            self._is_allowed = wanted
            for port in list(self._ports):
                self._look(port)

    def close(self) -> None:
        """Stop watching; the programs go on with what they have."""
        self._requests.close()
        self._events.close()

    # Changes

    def _changed(self) -> set[int]:
        """The ports that events since the last call may be about."""
        found: set[int] = set()
        if self._turns_to_skip:
            self._turns_to_skip -= 1
            return found
        while True:
            try:
                data, ancillary, _, _ = self._events.recvmsg(ANSWER_BYTES, 64)
            except BlockingIOError:
                self._turns_to_skip = SKIPPED_TURNS
                return found
            except OSError as error:
                # Events were lost, so anything may have changed.
                if error.errno != errno.ENOBUFS:
                    raise
                found.update(self._ports)
                continue
            namespace = next((_INT.unpack(value)[0] for _, _, value in ancillary), _HERE)
            for _, body in messages(data):
                # Of links and of tc, the index is in the same place.
                place = namespace, _INT.unpack_from(body, 4)[0]
                found |= self._concerned.get(place, set())

    def _look(self, port: int) -> None:
        """See whether the port may have a shortcut, and give or take it."""
        ifindex = self._ports[port]
        link = self._link(_HERE, ifindex)
        peer = link.peer if link is not None and link.kind == b"veth" else None
        if peer != self._peers.get(port):
            self._set_peer(port, peer)
        end = self._link(*peer) if peer is not None and peer[0] != _HERE else None
        most = link.mtu + HEADER_BYTES if link is not None else 0
        if (
            self._is_allowed
            and self._sees_others
            and link is not None
            and end is not None
            and end.is_up
            and not end.has_xdp
            and self._is_plain(link, ifindex)
        ):
            longest = min(most, end.mtu + HEADER_BYTES + TAG_BYTES)
            self._write(port, int.from_bytes(end.address, "little"), longest, most)
        else:
            self._write(port, 0, 0, most)

    def _concern(self, place: tuple[int, int], port: int, concerns: bool) -> None:
        """What happens to the device there concerns a port; or not any more."""
        ports = self._concerned.setdefault(place, set())
        if concerns:
            ports.add(port)
        else:
            ports.discard(port)
        if not ports:
            del self._concerned[place]

    def _set_peer(self, port: int, peer: tuple[int, int] | None) -> None:
        before = self._peers.pop(port, None)
        if before is not None:
            self._concern(before, port, concerns=False)
        if peer is not None:
            self._peers[port] = peer
            self._concern(peer, port, concerns=True)

    def _is_plain(self, link: _Link, ifindex: int) -> bool:
        """Whether nothing happens to packets that leave by this end, and nobody sees them."""
        return (
            link.qdisc == b"noqueue"
            and not self._watched & {0, ifindex}
            and self._has_offload(link.name, ETHTOOL_GTXCSUM)
            and self._has_offload(link.name, ETHTOOL_GTSO)
            and not count_programs(ifindex, TCX_EGRESS)
            and not self._has_filters(ifindex)
        )

    def _has_offload(self, name: str, question: int) -> bool:
        buffer = create_string_buffer(_VALUE.pack(question, 0), _VALUE.size)
        request = _IFREQ.pack(name.encode(), addressof(buffer))
        with suppress(OSError):
            fcntl.ioctl(self._requests, SIOCETHTOOL, request)
            return bool(_VALUE.unpack(buffer.raw)[1])
        return False

    def _has_filters(self, ifindex: int) -> bool:
        body = _TCMSG.pack(0, ifindex, 0, CLSACT_EGRESS, 0)
        return any(True for _ in self._ask(RTM_GETTFILTER, NLM_F_DUMP, body))

    def _link(self, namespace: int, ifindex: int) -> _Link | None:
        body = _IFINFO.pack(0, 0, ifindex, 0, 0)
        body += attribute(IFLA_EXT_MASK, _U32.pack(SKIP_STATISTICS))
        if namespace != _HERE:
            body += attribute(IFLA_TARGET_NETNSID, _INT.pack(namespace))
        return next((_read_link(answer) for answer in self._ask(RTM_GETLINK, 0, body)), None)

    def _ask(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        """The answers to one request; none if the kernel refuses."""
        answers: list[bytes] = []
        self._requests.send(request(kind, flags, body))
        while True:
            for answer, content in messages(self._requests.recv(ANSWER_BYTES)):
                if answer in (NLMSG_ERROR, NLMSG_DONE):
                    return answers
                answers.append(content)
            if not flags:
                return answers

    def _write(self, port: int, address: int, longest: int, most: int) -> None:
        at = self._at(port, "peer_mac")
        if _SHORTCUT.unpack_from(self._outputs.view, at) != (address, longest, most):
            log.dbg("port %d: %s shortcut", port, "a" if address else "no")
            # Never a new address with an old length.
            _SHORTCUT.pack_into(self._outputs.view, at, 0, longest, most)
            _SHORTCUT.pack_into(self._outputs.view, at, address, longest, most)

    @staticmethod
    def _at(port: int, member: str) -> int:
        return port * OUTPUT.size + OUTPUT.offsets[member]


def watched_devices() -> frozenset[int]:
    """The indexes of devices at which packet sockets see everything, also what is sent; 0 stands
    for all devices."""
    rows = Path("/proc/thread-self/net/packet").read_text().split("\n")[1:]
    # Address, references, type, protocol, index, whether it runs, ...
    words = [row.split() for row in rows if row]
    return frozenset(int(row[4]) for row in words if int(row[3], 16) == ETH_P_ALL and row[5] == "1")


def _read_link(body: bytes) -> _Link:
    _, _, _, flags, _ = _IFINFO.unpack_from(body)
    found = attributes(body[_IFINFO.size :])
    link = found.get(IFLA_LINK)
    namespace = found.get(IFLA_LINK_NETNSID)
    peer = None
    if link is not None:
        peer = _INT.unpack(namespace)[0] if namespace else _HERE, _INT.unpack(link)[0]
    xdp = attributes(found.get(IFLA_XDP, b"")).get(IFLA_XDP_ATTACHED, b"\0")
    return _Link(
        found[IFLA_IFNAME].rstrip(b"\0").decode(),
        bool(flags & IFF_UP),
        attributes(found.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND, b"").rstrip(b"\0"),
        found.get(IFLA_ADDRESS, b""),
        _U32.unpack(found[IFLA_MTU])[0],
        found.get(IFLA_QDISC, b"").rstrip(b"\0"),
        peer,
        any(xdp),
    )
