"""Bytes of the flows of a reply, many at once, as every version has them.

What flows share is written once: lists of actions, by their identity.
"""

from __future__ import annotations

from struct import Struct, pack

from netloom.base.log import get_logger
from netloom.flow.match import Match
from netloom.openflow import action_encode, codec_match, old_match, oxm
from netloom.openflow import actions as a
from netloom.openflow import codec_flows15 as c15
from netloom.openflow import messages as m
from netloom.openflow.codec import MAX_PART

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

log: Final = get_logger("ofp_flow")

#: Flags that each version knows.
FLAGS: Final = (0x3, 0x3, 0x7, 0x1F, 0x1F, 0x1F)
EMERG10: Final = 4
STATS10: Final = Struct(">II3H6xQQQ")
NX_STATS: Final = Struct(">HBxII6HQQQ")
STATS11: Final = Struct(">HBxII5H2xQQQ")


def encode_flags(flags: int, version: int) -> int:
    """The flags of a flow that `version` has bits for."""
    known = flags & FLAGS[version - 1]
    if version == 1 and flags & m.OFPFF_EMERG:
        known |= EMERG10
    return known


def encode_flow_rows_reply(
    message: m.FlowRowsReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    """The flows, many at once: as many as fit into one message of the reply."""
    writer = ActionWriter(version)
    parts: list[bytes] = []
    part: list[bytes] = []
    size = 0
    longest = max_entry(message.nx)
    for row in message.rows:
        entry = _write_row(row, version, message.nx, writer)
        if len(entry) > longest:
            log_too_long()
            continue
        size += len(entry)
        if size > MAX_PART and part:
            parts.append(b"".join(part))
            part.clear()
            size = len(entry)
        part.append(entry)
    if part:
        parts.append(b"".join(part))
    return "NXST_FLOW" if version == 1 and message.nx else "OFPST_FLOW", parts


#: Bytes before the first flow of a reply, and of one of Nicira's.
_HEAD_BYTES: Final = 16
_NX_HEAD_BYTES: Final = 24


def max_entry(nx: bool) -> int:
    """The bytes that a flow of a reply may have: it must fit into a message."""
    return 0xFFFF - (_NX_HEAD_BYTES if nx else _HEAD_BYTES)


def log_too_long() -> None:
    """Says that a flow is left out of a reply. What writes flows cuts the length of such a one."""
    log.warn_rl(
        "Flow exceeded the maximum flow statistics reply size and was excluded from the response "
        "set"
    )


def _write_row(row: m.FlowStats, version: int, nx: bool, writer: ActionWriter) -> bytes:
    """One flow of a reply."""
    if version == 1:
        return _write_nx_stats(row, writer) if nx else _write_stats10(row, writer)
    if version == c15.VERSION:
        flags = encode_flags(row.flags, version)
        return c15.write_stats15(row, flags, writer.write(row.actions, row.match))
    return _write_stats11(row, version, writer)


class ActionWriter:
    """Writes the actions or instructions of many flows, those that flows share once."""

    __slots__ = ("_known", "_recent", "_version", "_written")

    def __init__(self, version: int) -> None:
        self._version = version
        #: By identity of the actions, which the flows keep alive; None: they depend on the match.
        self._known: dict[int, bytes | None] = {}
        #: The last actions that do not, and their bytes.
        self._recent: tuple[a.Action, ...] | None = None
        self._written = b""

    def write(self, actions: tuple[a.Action, ...], match: Match) -> bytes:
        """The actions of a flow that matches `match`."""
        if actions is self._recent:
            return self._written
        number = id(actions)
        written = self._known.get(number)
        if written is None:
            if self._version == 1:
                written = action_encode.encode_actions(actions, 1, match)
            else:
                written = action_encode.encode_instructions(actions, self._version, match)
            if number in self._known:
                return written
            if not all(type(action) in _PLAIN for action in actions):
                self._known[number] = None
                return written
            self._known[number] = written
        self._recent = actions
        self._written = written
        return written


#: Actions whose bytes do not depend on the match.
_PLAIN: Final = frozenset({a.Output, a.Controller, a.Resubmit, a.GotoTable, a.Group, a.Meter})


def _write_stats10(row: m.FlowStats, writer: ActionWriter) -> bytes:
    encoded = writer.write(row.actions, row.match)
    head = pack(">HBx", 88 + len(encoded) & 0xFFFF, row.table_id)
    body = STATS10.pack(
        row.duration_sec, row.duration_nsec, row.priority, row.idle_timeout, row.hard_timeout,
        row.cookie, row.packet_count, row.byte_count,
    )  # fmt: skip
    return head + old_match.encode_ofp10_match(row.match) + body + encoded


def _age(seconds: int) -> int:
    """An age as it travels: one more, 0 for unknown."""
    return min(seconds + 1, 0xFFFF)


def _write_nx_stats(row: m.FlowStats, writer: ActionWriter) -> bytes:
    entries, size = codec_match.encode_nx_match(row.match)
    encoded = writer.write(row.actions, row.match)
    head = NX_STATS.pack(
        48 + len(entries) + len(encoded) & 0xFFFF, row.table_id, row.duration_sec,
        row.duration_nsec, row.priority, row.idle_timeout, row.hard_timeout, size,
        _age(row.idle_age), _age(row.hard_age), row.cookie, row.packet_count, row.byte_count,
    )  # fmt: skip
    return head + entries + encoded


def _write_stats11(row: m.FlowStats, version: int, writer: ActionWriter) -> bytes:
    # Open vSwitch tells all fields also where OpenFlow 1.1 has a match of its own.
    rest = oxm.encode_ofp12_match(row.match, version) + writer.write(row.actions, row.match)
    flags = row.flags
    if flags:
        flags = encode_flags(flags, version) if version >= 4 else 0
    return STATS11.pack(
        48 + len(rest) & 0xFFFF, row.table_id, row.duration_sec, row.duration_nsec, row.priority,
        row.idle_timeout, row.hard_timeout, flags, row.importance if version >= 5 else 0,
        row.cookie, row.packet_count, row.byte_count,
    ) + rest  # fmt: skip


def encode_flow_parts_reply(
    message: m.FlowPartsReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    """Flows that were written already."""
    return "NXST_FLOW" if message.nx else "OFPST_FLOW", message.parts
