"""Flow statistics as OpenFlow 1.5 lays them out, with OXS: see `oxs`."""

from __future__ import annotations

from struct import Struct

from netloom.base.log import get_logger
from netloom.flow.match import Match
from netloom.openflow import codec_match, instruction_memo, oxm, oxs
from netloom.openflow import messages as m
from netloom.openflow.actions import Action
from netloom.openflow.errors import OpenFlowError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

log = get_logger("ofp_flow")

VERSION = 6
MINIMUM = 24
#: length, table, reason (unused in replies), priority, timeouts, flags, importance, cookie
_HEAD = Struct(">H2xBBHHHHHQ")
#: table, reason, priority, idle and hard timeout, cookie
_REMOVED = Struct(">BBHHHQ")


def decode_listed(
    decode: Callable[[bytes, int], tuple[Action, ...]], data: bytes, version: int
) -> tuple[Action, ...]:
    """The actions of a flow in a reply."""
    try:
        return decode(data, version)
    except OpenFlowError:
        log.warn_rl("OFPST_FLOW reply bad instructions")
        raise


def is_match_cut(data: bytes, pos: int, size: int) -> bool:
    """Does the match of the flow of so many bytes at `pos` go beyond them?"""
    at = pos + _HEAD.size
    return pos + size < at + (int.from_bytes(data[at + 2 : at + 4], "big") + 7 & ~7)


def read_stats15(entry: bytes, known: dict[bytes, tuple[Action, ...]]) -> tuple[m.FlowStats, int]:
    """One flow of a reply, and its flags as they came. `known` has lists of actions that were
    decoded before."""
    (_, table_id, _, priority, idle, hard, flags, importance, cookie) = _HEAD.unpack_from(entry)
    match, pos = codec_match.decode_match(entry, 24, VERSION, options=True)
    found, pos = oxs.decode_oxs(entry, pos)
    sec, nsec = oxs.split_time(found.get(oxs.DURATION, m.UNKNOWN))
    age = oxs.split_time(found[oxs.IDLE_TIME])[0] if oxs.IDLE_TIME in found else -1
    actions = known.get(entry[pos:])
    if actions is None:
        actions = known[entry[pos:]] = decode_listed(
            instruction_memo.decode_instructions, entry[pos:], VERSION
        )
    flow = m.FlowStats(
        match, priority, table_id, actions, cookie, sec, nsec, idle, hard, age, -1, 0,
        importance, found.get(oxs.PACKET_COUNT, m.UNKNOWN), found.get(oxs.BYTE_COUNT, m.UNKNOWN),
    )  # fmt: skip
    return flow, flags


def write_stats15(row: m.FlowStats, flags: int, instructions: bytes) -> bytes:
    """The bytes of one flow of a reply; `flags` as they go."""
    stats = {oxs.DURATION: oxs.join_time(row.duration_sec, row.duration_nsec)}
    if row.idle_age >= 0:
        stats[oxs.IDLE_TIME] = oxs.join_time(row.idle_age, 0)
    stats |= _counters(row.packet_count, row.byte_count)
    rest = oxm.encode_ofp12_match(row.match, VERSION) + oxs.encode_oxs(stats) + instructions
    head = _HEAD.pack(
        24 + len(rest) & 0xFFFF, row.table_id, 0, row.priority, row.idle_timeout,
        row.hard_timeout, flags, row.importance, row.cookie,
    )  # fmt: skip
    return head + rest


def _counters(packets: int, octets: int) -> dict[int, int]:
    """Counters that are known."""
    both = {oxs.PACKET_COUNT: packets, oxs.BYTE_COUNT: octets}
    return {field: value for field, value in both.items() if value != m.UNKNOWN}


def read_aggregate15(data: bytes, pos: int) -> tuple[int, int, int]:
    """Packets, bytes, flows."""
    found, _ = oxs.decode_oxs(data, pos)
    return (
        found.get(oxs.PACKET_COUNT, m.UNKNOWN), found.get(oxs.BYTE_COUNT, m.UNKNOWN),
        found.get(oxs.FLOW_COUNT, 0xFFFFFFFF),
    )  # fmt: skip


def write_aggregate15(packets: int, octets: int, flows: int) -> bytes:
    return oxs.encode_oxs(_counters(packets, octets) | {oxs.FLOW_COUNT: flows})


def read_removed15(data: bytes, pos: int) -> m.FlowRemoved:
    """A removed flow from its bytes at `pos`."""
    table_id, reason, priority, idle, hard, cookie = _REMOVED.unpack_from(data, pos)
    match: Match
    match, pos = codec_match.decode_match(data, pos + 16, VERSION, options=True)
    found, _ = oxs.decode_oxs(data, pos)
    sec, nsec = oxs.split_time(found.get(oxs.DURATION, m.UNKNOWN))
    return m.FlowRemoved(
        match, priority, cookie, reason, table_id, sec, nsec, idle, hard,
        found.get(oxs.PACKET_COUNT, m.UNKNOWN), found.get(oxs.BYTE_COUNT, m.UNKNOWN),
    )  # fmt: skip


def write_removed15(r: m.FlowRemoved, reason: int) -> bytes:
    """The bytes of a removed flow."""
    head = _REMOVED.pack(r.table_id, reason, r.priority, r.idle_timeout, r.hard_timeout, r.cookie)
    stats = {oxs.DURATION: oxs.join_time(r.duration_sec, r.duration_nsec)}
    return (
        head + oxm.encode_ofp12_match(r.match, VERSION)
        + oxs.encode_oxs(stats | _counters(r.packet_count, r.byte_count))
    )  # fmt: skip
