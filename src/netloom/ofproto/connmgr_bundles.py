"""Bundles of OpenFlow messages: collected one by one, then carried out all together or not at all.

A bundle belongs to the session that opened it. What can be seen to be wrong with a message alone is
answered when it is added; the rest when the bundle is committed. Then the messages are carried out
in their order; if one fails, all before it are undone, the newest first, and two errors go back:
its own, with the message that added it, and OFPBFC_MSG_FAILED for the commit. Nobody is told of
flows that came or went before all is done, and as no packet is handled meanwhile, none sees half
a bundle. A packet-out sees the tables as the messages before it made them, and leaves at the end.

Port changes cannot be undone: a bundle that must be atomic refuses them. OpenFlow 1.4, 6.8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from netloom.base.record import replace
from netloom.ofproto.connmgr_changes import (
    check_flow_mod,
    check_packet_out,
    check_presence,
    is_simple,
)
from netloom.ofproto.connmgr_groups import apply_group_mod
from netloom.ofproto.flow_mod_log import N_COMMANDS
from netloom.ofproto.groups import GroupChange
from netloom.ofproto.sessions import Session
from netloom.ofproto.tables import Change
from netloom.openflow import messages as m
from netloom.openflow import messages_bundles as b
from netloom.openflow.codec import decode_message
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.messages_groups import GroupMod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ofproto.connmgr import ConnectionManager

    Handler = Callable[[ConnectionManager, Session, Any, int], Iterable[m.Message]]


class OpenBundle:
    """A bundle that waits: its messages, the bytes that added them, and whether they name no group
    and no meter, each in a list of its own, for of objects that hold others the fewer the better
    (`transport.loop.MAX_NEW_OBJECTS`). `request` are the bytes that opened it."""

    __slots__ = ("are_simple", "closed", "flags", "messages", "request", "requests", "used_ms")

    def __init__(self, flags: int, request: bytes, now_ms: int) -> None:
        self.flags = flags
        self.request = request
        self.messages: list[m.Message] = []
        self.requests: list[bytes] = []
        self.are_simple: list[bool] = []
        self.closed = False
        self.used_ms = now_ms

    def add(self, message: m.Message, request: bytes, simple: bool, now_ms: int) -> None:
        self.messages.append(message)
        self.requests.append(request)
        self.are_simple.append(simple)
        self.used_ms = now_ms


class _Commit:
    """A bundle being carried out, and how to undo what is done."""

    def __init__(self, manager: ConnectionManager, session: Session, flags: int, now_ms: int):
        self._manager = manager
        self._tables = manager.tables
        self._session = session
        self._flags = flags
        self._now_ms = now_ms
        self._done: list[GroupChange | Change] = []
        self._packets: list[Callable[[], None]] = []
        #: How many flow mods of each command were carried out.
        self._commands = [0] * N_COMMANDS

    def apply(self, message: m.Message, simple: bool) -> None:
        """Carry out one message; raises OpenFlowError. `simple`: it names no group and no meter."""
        manager, now_ms = self._manager, self._now_ms
        if isinstance(message, m.FlowMod):
            if not simple:
                check_presence(manager.switch, message.actions)
            self._done += self._tables.apply(message, now_ms)
            self._commands[message.command] += 1
        elif isinstance(message, GroupMod):
            groups, changes = apply_group_mod(manager, message, now_ms)
            self._done += groups
            self._done += changes
        elif isinstance(message, m.PacketOut):
            check_presence(manager.switch, message.actions)
            self._packets.append(manager.switch.prepare_packet_out(message, now_ms))
        elif isinstance(message, m.PortMod):
            if self._flags & b.OFPBF_ATOMIC:
                raise OpenFlowError("OFPBFC_MSG_FAILED")
            manager.switch.port_mod(message)

    def undo(self) -> None:
        """Make undone what was done, the newest first."""
        for change in reversed(self._done):
            if isinstance(change, Change):
                self._tables.undo([change])
            else:
                self._manager.switch.groups.undo([change])

    def finish(self) -> None:
        """Tell who wants to know, and send what is to be sent."""
        changes = [change for change in self._done if isinstance(change, Change)]
        self._manager.flows_changed(changes, self._now_ms)
        for command, count in enumerate(self._commands):
            if count:
                self._session.flow_mods.note(command, self._now_ms, count)
        for send in self._packets:
            send()


def _control(
    manager: ConnectionManager, session: Session, message: b.BundleControl, now_ms: int
) -> tuple[m.Message, ...]:
    handler = _CONTROLS.get(message.type)
    if handler is None:
        raise OpenFlowError("OFPBFC_BAD_TYPE")
    handler(manager, session, message, now_ms)
    return (replace(message, type=message.type + 1, flags=0),)


def _open(
    manager: ConnectionManager, session: Session, message: b.BundleControl, now_ms: int
) -> None:
    if session.bundles.pop(message.bundle_id, None) is not None:
        raise OpenFlowError("OFPBFC_BAD_ID")
    bundle = OpenBundle(message.flags, manager.request, now_ms)
    session.bundles[message.bundle_id] = bundle


def _close(
    manager: ConnectionManager, session: Session, message: b.BundleControl, now_ms: int
) -> None:
    bundle = _existing(session, message.bundle_id)
    if bundle.closed:
        del session.bundles[message.bundle_id]
        raise OpenFlowError("OFPBFC_BUNDLE_CLOSED")
    _check_flags(session, bundle, message.bundle_id, message.flags)
    bundle.closed = True
    bundle.used_ms = now_ms


def _discard(
    manager: ConnectionManager, session: Session, message: b.BundleControl, now_ms: int
) -> None:
    _existing(session, message.bundle_id)
    del session.bundles[message.bundle_id]


def _commit(
    manager: ConnectionManager, session: Session, message: b.BundleControl, now_ms: int
) -> None:
    bundle = _existing(session, message.bundle_id)
    _check_flags(session, bundle, message.bundle_id, message.flags)
    del session.bundles[message.bundle_id]
    commit = _Commit(manager, session, bundle.flags, now_ms)
    number = 0
    messages = bundle.messages
    messages.reverse()
    try:
        while messages:
            # What is carried out makes room for what comes of it.
            commit.apply(messages.pop(), bundle.are_simple[number])
            number += 1
    except OpenFlowError as error:
        commit.undo()
        manager.refuse(session, error.name, bundle.requests[number])
        raise OpenFlowError("OFPBFC_MSG_FAILED") from None
    commit.finish()


def _existing(session: Session, bundle_id: int) -> OpenBundle:
    bundle = session.bundles.get(bundle_id)
    if bundle is None:
        raise OpenFlowError("OFPBFC_BAD_ID")
    return bundle


def _check_flags(session: Session, bundle: OpenBundle, bundle_id: int, flags: int) -> None:
    if bundle.flags != flags:
        del session.bundles[bundle_id]
        raise OpenFlowError("OFPBFC_BAD_FLAGS")


def _add(
    manager: ConnectionManager, session: Session, message: b.BundleAdd, now_ms: int
) -> tuple[m.Message, ...]:
    peer = session.peer
    entry, _ = decode_message(message.data, peer.protocol, peer.memo)
    simple = False
    if isinstance(entry, m.FlowMod):
        simple = is_simple(entry.actions)
        entry = check_flow_mod(manager, session, entry, simple)
    elif isinstance(entry, m.PacketOut):
        check_packet_out(session, entry, is_simple(entry.actions))
    bundle = session.bundles.get(message.bundle_id)
    if bundle is None:
        bundle = OpenBundle(message.flags, manager.request, now_ms)
        session.bundles[message.bundle_id] = bundle
    elif bundle.closed:
        del session.bundles[message.bundle_id]
        raise OpenFlowError("OFPBFC_BUNDLE_CLOSED")
    else:
        _check_flags(session, bundle, message.bundle_id, message.flags)
    bundle.add(entry, manager.request, simple, now_ms)
    return ()


def expire_bundles(
    manager: ConnectionManager, session: Session, timeout_ms: int, now_ms: int
) -> None:
    """Forget the bundles that nobody has touched for long, and say so."""
    for bundle_id, bundle in list(session.bundles.items()):
        if now_ms - bundle.used_ms >= timeout_ms:
            del session.bundles[bundle_id]
            manager.refuse(session, "OFPBFC_TIMEOUT", bundle.request)


_CONTROLS: dict[int, Callable[[ConnectionManager, Session, b.BundleControl, int], None]] = {
    b.OFPBCT_OPEN_REQUEST: _open,
    b.OFPBCT_CLOSE_REQUEST: _close,
    b.OFPBCT_COMMIT_REQUEST: _commit,
    b.OFPBCT_DISCARD_REQUEST: _discard,
}
HANDLERS: dict[type[m.Message], Handler] = {
    b.BundleControl: _control,
    b.BundleAdd: _add,
}
