"""What messages consist of that come or go by the thousand.

They look like the other messages (`messages`), which are records, but are classes of another kind:
compiled (`tools/compile_hot.py`), these are made and read in a fifth of the time.
"""

from __future__ import annotations

from netloom.flow.match import MATCH_ALL, Match
from netloom.openflow.constants import (
    NO_BUFFER,
    OFPG_ANY,
    OFPP_ANY,
    OFPR_NO_MATCH,
    PACKET_IN_STANDARD,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from netloom.openflow.actions import Action


class Plain:
    """What these have in common: they are their fields."""

    _fields: ClassVar[tuple[str, ...]] = ()
    __slots__ = ()

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self._fields])

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Plain):
            return False
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({shown})"


class FlowMod(Plain):
    """`table_id` 255: the switch chooses (add) or all tables. Only flows whose cookie equals
    `cookie` under `cookie_mask` are changed or deleted; `new_cookie` is what the flow gets (None:
    a changed flow keeps its own, which it also does if this `keeps_cookies`, so that only one that
    is new for want of any gets it)."""

    _fields: ClassVar[tuple[str, ...]] = (
        "command", "match", "priority", "table_id", "actions", "cookie", "cookie_mask",
        "new_cookie", "idle_timeout", "hard_timeout", "flags", "buffer_id", "out_port",
        "out_group", "importance", "keeps_cookies",
    )  # fmt: skip
    __slots__ = (
        "actions", "buffer_id", "command", "cookie", "cookie_mask", "flags", "hard_timeout",
        "idle_timeout", "importance", "keeps_cookies", "match", "new_cookie", "out_group",
        "out_port", "priority", "table_id",
    )  # fmt: skip

    def __init__(
        self,
        command: int,
        match: Match = MATCH_ALL,
        priority: int = 0x8000,
        table_id: int = 255,
        actions: tuple[Action, ...] = (),
        cookie: int = 0,
        cookie_mask: int = 0,
        new_cookie: int | None = None,
        idle_timeout: int = 0,
        hard_timeout: int = 0,
        flags: int = 0,
        buffer_id: int = NO_BUFFER,
        out_port: int = OFPP_ANY,
        out_group: int = OFPG_ANY,
        importance: int = 0,
        keeps_cookies: bool = False,
    ) -> None:
        self.command = command
        self.match = match
        self.priority = priority
        self.table_id = table_id
        self.actions = actions
        self.cookie = cookie
        self.cookie_mask = cookie_mask
        self.new_cookie = new_cookie
        self.idle_timeout = idle_timeout
        self.hard_timeout = hard_timeout
        self.flags = flags
        self.buffer_id = buffer_id
        self.out_port = out_port
        self.out_group = out_group
        self.importance = importance
        self.keeps_cookies = keeps_cookies


class BundleAdd(Plain):
    """A message for a bundle. `data`: the whole of it, of the same version and transaction."""

    _fields: ClassVar[tuple[str, ...]] = ("bundle_id", "flags", "data")
    __slots__ = ("bundle_id", "data", "flags")

    def __init__(self, bundle_id: int, flags: int, data: bytes) -> None:
        self.bundle_id = bundle_id
        self.flags = flags
        self.data = data


class PacketIn(Plain):
    """`match` holds the metadata: in_port, registers, tunnel ... `cookie` None: unknown.
    `continuation`: opaque properties of a paused pipeline (NXPINT_CONTINUATION)."""

    _fields: ClassVar[tuple[str, ...]] = (
        "packet", "match", "reason", "total_len", "buffer_id", "table_id", "cookie", "format",
        "userdata", "continuation",
    )  # fmt: skip
    __slots__ = (
        "buffer_id", "continuation", "cookie", "format", "match", "packet", "reason", "table_id",
        "total_len", "userdata",
    )  # fmt: skip

    def __init__(
        self,
        packet: bytes,
        match: Match = MATCH_ALL,
        reason: int = OFPR_NO_MATCH,
        total_len: int = 0,
        buffer_id: int = NO_BUFFER,
        table_id: int = 0,
        cookie: int | None = None,
        format: int = PACKET_IN_STANDARD,
        userdata: bytes = b"",
        continuation: bytes = b"",
    ) -> None:
        self.packet = packet
        self.match = match
        self.reason = reason
        self.total_len = total_len
        self.buffer_id = buffer_id
        self.table_id = table_id
        self.cookie = cookie
        self.format = format
        self.userdata = userdata
        self.continuation = continuation


class PacketOut(Plain):
    """`match` holds in_port (and, in OpenFlow 1.5, other pipeline fields)."""

    _fields: ClassVar[tuple[str, ...]] = ("packet", "match", "actions", "buffer_id")
    __slots__ = ("actions", "buffer_id", "match", "packet")

    def __init__(
        self,
        packet: bytes,
        match: Match = MATCH_ALL,
        actions: tuple[Action, ...] = (),
        buffer_id: int = NO_BUFFER,
    ) -> None:
        self.packet = packet
        self.match = match
        self.actions = actions
        self.buffer_id = buffer_id


class FlowStats(Plain):
    """What is told of one flow. Ages in seconds; -1: the encoding has none."""

    _fields: ClassVar[tuple[str, ...]] = (
        "match", "priority", "table_id", "actions", "cookie", "duration_sec", "duration_nsec",
        "idle_timeout", "hard_timeout", "idle_age", "hard_age", "flags", "importance",
        "packet_count", "byte_count",
    )  # fmt: skip
    __slots__ = (
        "actions", "byte_count", "cookie", "duration_nsec", "duration_sec", "flags", "hard_age",
        "hard_timeout", "idle_age", "idle_timeout", "importance", "match", "packet_count",
        "priority", "table_id",
    )  # fmt: skip

    def __init__(
        self,
        match: Match,
        priority: int,
        table_id: int = 0,
        actions: tuple[Action, ...] = (),
        cookie: int = 0,
        duration_sec: int = 0,
        duration_nsec: int = 0,
        idle_timeout: int = 0,
        hard_timeout: int = 0,
        idle_age: int = -1,
        hard_age: int = -1,
        flags: int = 0,
        importance: int = 0,
        packet_count: int = 0,
        byte_count: int = 0,
    ) -> None:
        self.match = match
        self.priority = priority
        self.table_id = table_id
        self.actions = actions
        self.cookie = cookie
        self.duration_sec = duration_sec
        self.duration_nsec = duration_nsec
        self.idle_timeout = idle_timeout
        self.hard_timeout = hard_timeout
        self.idle_age = idle_age
        self.hard_age = hard_age
        self.flags = flags
        self.importance = importance
        self.packet_count = packet_count
        self.byte_count = byte_count
