"""The queues of a device of the kernel: from a `Qos` to disciplines and classes.

What a device is to have is compared with what the kernel says that it has: a discipline of the same
kind is changed in place, so that a daemon that starts again disturbs nobody; any other goes, an
administrator's too if it is the one that Open vSwitch would have (handle 1:0). Type `linux-noop`
keeps hands off.

The discipline is that of the device by whose name people know the port. Behind an internal port,
which the host sends into, it queues what the host sends, as in Open vSwitch.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from netloom.base.clock import SystemClock
from netloom.base.log import get_logger
from netloom.base.record import replace
from netloom.netdev.device import DeviceState
from netloom.netdev.disciplines import (
    DISCIPLINES,
    DPDK_TYPES,
    NOOP,
    Classful,
    Discipline,
    Link,
    Parameters,
)
from netloom.netdev.linux.tc import Tc
from netloom.netdev.qos import ROOT_CLASS, Qos, QosFacts, QueueFacts, QueueSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.netdev.linux.rtnl import Rtnl

log = get_logger("netdev_linux")


class LinuxShaper:
    """See `netdev.qos.Shaper`. `state` tells of the device as it is now."""

    def __init__(self, name: str, state: Callable[[], DeviceState], rtnl: Rtnl) -> None:
        self._name = name
        self._state = state
        self._rtnl = rtnl
        self._discipline: Discipline | None = None
        self._root: Parameters = {}
        self._queues: dict[int, QueueFacts] = {}

    def types(self) -> tuple[str, ...]:
        return tuple(DISCIPLINES)

    def facts(self) -> QosFacts:
        discipline = self._discipline
        if discipline is None or discipline is NOOP:
            return QosFacts()
        return QosFacts(discipline.type, discipline.shown(self._root), tuple(self._queues))

    def queues(self) -> list[QueueFacts]:
        if not self._queues:
            return []
        listed = []
        for number, counts in self._rtnl.tc().classes(self._state().ifindex).items():
            queue = self._queues.get(number - 1)
            if queue is not None:
                packets, n_bytes, drops = counts
                listed.append(replace(queue, tx_packets=packets, tx_bytes=n_bytes, tx_errors=drops))
        return listed

    def set(self, qos: Qos | None) -> list[str]:
        state = self._state()
        problems: list[str] = []
        if not state.ifindex:
            # It is gone, or in another namespace, where its discipline is none of our business.
            self._forget()
            return [f"{self._name}: QoS cannot be set on a device elsewhere"] if qos else []
        try:
            self._set(qos, state, problems)
        except OSError as error:
            self._forget()
            problems += _complaints(self._name, qos, error)
        return problems

    def clear(self) -> None:
        discipline, ifindex = self._discipline, self._state().ifindex
        self._forget()
        if discipline is None or discipline is NOOP or not ifindex:
            return
        try:
            self._delete(self._rtnl.tc(), ifindex)
        except OSError as error:
            log.warn("%s: removing QoS failed (%s)", self._name, error.strerror)

    # -- inside --------------------------------------------------------------------------

    def _is_plain(self) -> bool:
        """Is it known, of a device that was just opened, that packets leave it at once?"""
        link = self._rtnl.link(self._name)
        return link is not None and link.qdisc == "noqueue"

    def _delete(self, tc: Tc, ifindex: int) -> None:
        tc.delete(ifindex)
        if self._rtnl.shaped is not None:
            self._rtnl.shaped.forget(ifindex)

    def _forget(self) -> None:
        self._discipline, self._root = None, {}
        self._queues = {}

    def _set(self, qos: Qos | None, state: DeviceState, problems: list[str]) -> None:
        discipline = None
        if qos is not None:
            discipline = DISCIPLINES.get(qos.type)
            if discipline is None:
                problems.append(_refusal(self._name, qos.type))
                return
        if discipline is NOOP:
            self._forget()
            self._discipline = NOOP
            return
        tc, ifindex = self._rtnl.tc(), state.ifindex
        if discipline is None or qos is None:
            before = self._discipline
            self._forget()
            # What somebody else set while hands were off stays, as with Open vSwitch.
            is_ours = before is not NOOP and not (before is None and self._is_plain())
            if is_ours and tc.kind(ifindex):
                self._delete(tc, ifindex)
            return
        kind = tc.kind(ifindex)
        link = Link(state.mtu, state.speed_bps, tc.ticks_per_s)
        self._set_root(tc, ifindex, link, discipline, kind, qos)
        if isinstance(discipline, Classful):
            self._set_queues(tc, ifindex, link, discipline, qos, problems)

    def _set_root(
        self, tc: Tc, ifindex: int, link: Link, discipline: Discipline, kind: str, qos: Qos
    ) -> None:
        root = discipline.root(dict(qos.options), link)
        is_same = discipline is self._discipline and root == self._root
        keeps = kind == discipline.kind and (is_same or isinstance(discipline, Classful))
        if not keeps:
            if kind:
                self._delete(tc, ifindex)
            self._forget()
            tc.add(ifindex, discipline.kind, discipline.root_request(root, link))
        if self._rtnl.shaped is not None:
            self._rtnl.shaped.note(ifindex, self._name, discipline.kind)
        if isinstance(discipline, Classful):
            request = discipline.queue_request(discipline.root_class(root), link)
            tc.set_class(ifindex, ROOT_CLASS & 0xFFFF, discipline.kind, request)
        self._discipline, self._root = discipline, root

    def _set_queues(
        self,
        tc: Tc,
        ifindex: int,
        link: Link,
        discipline: Classful,
        qos: Qos,
        problems: list[str],
    ) -> None:
        wanted = {queue.number: queue for queue in qos.queues}
        # Packets that name no queue need one.
        wanted.setdefault(0, QueueSettings(0))
        for number in sorted(tc.classes(ifindex)):
            if number != ROOT_CLASS & 0xFFFF and number - 1 not in wanted:
                tc.delete_class(ifindex, number)
        for number in [number for number in self._queues if number not in wanted]:
            del self._queues[number]
        for number, queue in sorted(wanted.items()):
            if number >= discipline.n_queues:
                problems.append(
                    f"{self._name}: {discipline.type} has no queue {number}, only those below "
                    f"{discipline.n_queues}"
                )
                continue
            parameters = discipline.queue(dict(queue.options), self._root, link)
            request = discipline.queue_request(parameters, link)
            try:
                tc.set_class(ifindex, number + 1, discipline.kind, request)
            except OSError as error:
                problems.append(f"{self._name}: setting queue {number} failed ({error.strerror})")
                self._queues.pop(number, None)
                continue
            known = self._queues.get(number)
            created_ms = known.created_ms if known is not None else SystemClock().now_ms()
            options = discipline.shown_queue(parameters)
            self._queues[number] = QueueFacts(number, options, created_ms=created_ms)


def _refusal(name: str, type_: str) -> str:
    if type_ in DPDK_TYPES:
        return f"{name}: QoS type {type_} is only for devices that DPDK drives"
    return f"{name}: unknown QoS type {type_}"


def _complaints(name: str, qos: Qos | None, error: OSError) -> list[str]:
    """What the kernel said, and what it means."""
    if qos is None:
        return [f"{name}: removing QoS failed ({error.strerror})"]
    said = [f"{name}: Failed to install new qdisc: {error.strerror}"]
    if error.errno in (errno.ENOENT, errno.EOPNOTSUPP):
        kind = qos.type.removeprefix("linux-")
        said.append(f"{name}: QoS type {qos.type} needs a kernel with sch_{kind}")
    return said
