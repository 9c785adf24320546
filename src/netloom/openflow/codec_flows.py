"""Bytes of flow mods, removed flows, flow and aggregate statistics.

OpenFlow 1.0 has each twice: with its own match, and in Nicira's form with NXM. 1.1 and later have
instructions in place of actions; from 1.2 the match is OXM.
"""

from __future__ import annotations

from struct import Struct, pack, unpack_from

from netloom.base.record import replace
from netloom.flow.fields import SLOT
from netloom.flow.match import Match
from netloom.flow.ports import port_from_of10, port_from_of11, port_to_of10
from netloom.openflow import (
    action_encode,
    codec_match,
    flow_mod_shape,
    instruction_memo,
    old_match,
    oxm,
)
from netloom.openflow import actions as a
from netloom.openflow import codec_flows15 as c15
from netloom.openflow import messages as m
from netloom.openflow import protocol as p
from netloom.openflow.codec_flow_rows import (
    EMERG10,
    FLAGS,
    NX_STATS,
    STATS10,
    STATS11,
    encode_flags,
    encode_flow_rows_reply,
)
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from netloom.openflow.instruction_memo import InstructionMemo


Encoded = tuple[str, bytes]
_DL_TYPE = SLOT["dl_type"]
_CT_IPV4 = SLOT["ct_nw_src"].mask | SLOT["ct_nw_dst"].mask
_CT_IPV6 = SLOT["ct_ipv6_src"].mask | SLOT["ct_ipv6_dst"].mask
_CT_ADDRESSES = _CT_IPV4 | _CT_IPV6


def _port10(number: int | None) -> int:
    if number is None:
        raise OpenFlowError("OFPBRC_BAD_PORT")
    return number


def _any_port11(number: int) -> int:
    port = port_from_of11(number)
    if port is None:
        raise OpenFlowError("OFPBAC_BAD_OUT_PORT")
    return port


# Flow mods

_FLOW_MOD10: Final = Struct(">QHHHHIHH")
_NX_FLOW_MOD: Final = Struct(">QHHHHIHHH6x")
_FLOW_MOD11: Final = Struct(">QQBBHHHIIIHH")
#: The type of matches that are OXM.
_OXM: Final = b"\0\1"
#: Type and length of a match; where a flow mod's cookie ends.
_MATCH_HEAD_BYTES: Final = 4
_COOKIE_END: Final = 16


def _decode_flags(flags: int, version: int) -> int:
    if flags & ~(FLAGS[version - 1] | (EMERG10 if version == 1 else 0)):
        raise OpenFlowError("OFPFMFC_BAD_FLAGS")
    if version == 1 and flags & EMERG10:
        flags = flags & ~EMERG10 | m.OFPFF_EMERG
    return flags


def _command(word: int, protocol: int) -> tuple[int, int]:
    """Command and table of the word that has both when the extension is on."""
    table_id = 0xFF
    if protocol & p.P_TID:
        word, table_id = word & 0xFF, word >> 8
    return _check_command(word), table_id


def _check_command(command: int) -> int:
    if command > m.OFPFC_DELETE_STRICT:
        raise OpenFlowError("OFPFMFC_BAD_COMMAND")
    return command


def _new_cookie(cookie: int) -> int | None:
    return None if cookie == m.UNKNOWN else cookie


def decode_flow_mod(frame: Frame, protocol: int) -> m.FlowMod:
    if frame.row.name == "NXT_FLOW_MOD":
        return _decode_nx_flow_mod(frame, protocol)
    if frame.version == 1:
        return _decode_flow_mod10(frame, protocol)
    frame.need(40)
    return read_flow_mod(frame.data, frame.version, frame.memo)


def _check_connection(match: Match) -> None:
    """Flow mods may ask for the addresses of a connection only of packets with such addresses."""
    dl_type = _DL_TYPE.get(match.value)
    if (match.mask & _CT_IPV4 and dl_type != 0x0800) or (
        match.mask & _CT_IPV6 and dl_type != 0x86DD
    ):
        raise OpenFlowError("OFPBAC_MATCH_INCONSISTENT")


def _decode_flow_mod10(frame: Frame, protocol: int) -> m.FlowMod:
    data = frame.data
    pos = frame.need(64)
    match = old_match.decode_ofp10_match(data, pos)
    cookie, word, idle, hard, priority, buffer_id, out_port, flags = _FLOW_MOD10.unpack_from(
        data, pos + 40
    )
    if old_match.is_exact10(data, pos):
        priority = 0xFFFF
    command, table_id = _command(word, protocol)
    decode = instruction_memo.decode_actions if frame.memo is None else frame.memo.decode_actions
    actions = decode(data[pos + 64 :], 1)
    return m.FlowMod(
        command, match, priority, table_id, actions, 0, 0, _new_cookie(cookie), idle, hard,
        _decode_flags(flags, 1), buffer_id, port_from_of10(out_port),
    )  # fmt: skip


def _decode_nx_flow_mod(frame: Frame, protocol: int) -> m.FlowMod:
    data = frame.data
    pos = frame.need(32)
    new_cookie, word, idle, hard, priority, buffer_id, out_port, flags, size = (
        _NX_FLOW_MOD.unpack_from(data, pos)
    )
    match, cookie, cookie_mask, after = codec_match.decode_nx_match(
        data, pos + 32, size, cookie=True
    )
    if match.mask & _CT_ADDRESSES:
        _check_connection(match)
    command, table_id = _command(word, protocol)
    if command == m.OFPFC_ADD and cookie_mask:
        raise OpenFlowError("NXBRC_NXM_INVALID")
    memo = frame.memo
    if frame.version == 1:
        decode = instruction_memo.decode_actions if memo is None else memo.decode_actions
    else:
        decode = instruction_memo.decode_instructions if memo is None else memo.decode
    actions = decode(data[after:], frame.version)
    return m.FlowMod(
        command, match, priority, table_id, actions, cookie, cookie_mask,
        _new_cookie(new_cookie), idle, hard, _decode_flags(flags, 1), buffer_id,
        port_from_of10(out_port),
    )  # fmt: skip


def read_flow_mod(data: bytes, version: int, memo: InstructionMemo | None) -> m.FlowMod:
    """The flow mod of OpenFlow 1.1 or later in `data`, which has its fixed part at least."""
    (cookie, cookie_mask, table_id, command, idle, hard, priority, buffer_id, out_port,
     out_group, flags, importance) = _FLOW_MOD11.unpack_from(data, 8)  # fmt: skip
    if version >= 3 and data[48:50] == _OXM:
        match, after = oxm.decode_ofp12_match(data, 48, version)
    else:
        match, after = codec_match.decode_match(data, 48, version)
    new_cookie = None
    deletes = m.OFPFC_DELETE <= command <= m.OFPFC_DELETE_STRICT
    if command == m.OFPFC_ADD or (version == 2 and not deletes and not cookie_mask):
        new_cookie = None if cookie == m.UNKNOWN else cookie
        cookie = cookie_mask = 0
    if table_id == 0xFF and (version == 2 or not deletes):
        raise OpenFlowError("OFPFMFC_BAD_TABLE_ID")
    if match.mask & _CT_ADDRESSES:
        _check_connection(match)
    port = _any_port11(out_port)
    if command > m.OFPFC_DELETE_STRICT:
        raise OpenFlowError("OFPFMFC_BAD_COMMAND")
    decode = instruction_memo.decode_instructions if memo is None else memo.decode
    actions = decode(data[after:], version)
    if flags:
        flags = _decode_flags(flags, version)
    mod = m.FlowMod(
        command, match, priority, table_id, actions, cookie, cookie_mask, new_cookie, idle, hard,
        flags, buffer_id, port, out_group if deletes else m.OFPG_ANY,
        importance if version >= 5 and command == m.OFPFC_ADD else 0, version == 2,
    )  # fmt: skip
    if memo is not None and command == m.OFPFC_ADD and version >= 3:
        _learn_shape(memo, data, version, mod, after)
    return mod


def _learn_shape(
    memo: InstructionMemo, data: bytes, version: int, mod: m.FlowMod, after: int
) -> None:
    """Remember what a flow mod that adds has in common with the one before, if they are alike."""
    entries = flow_mod_shape.ENTRIES
    fixed = data[_COOKIE_END:entries]
    if fixed != memo.fixed:
        memo.fixed = fixed
        return
    end = entries - _MATCH_HEAD_BYTES + (data[entries - 2] << 8 | data[entries - 1])
    template = oxm.oxm_table(version).templates.find(data[entries:end])
    if template is not None and not template.mask & _CT_ADDRESSES:
        memo.shape = flow_mod_shape.FlowModShape(data, mod, end, after, template)


def encode_flow_mod(
    message: m.FlowMod, version: int, protocol: int, actions: bytes | None = None
) -> Encoded:
    """`actions`: those of the message, if they are encoded already."""
    if actions is None:
        actions = encode_flow_actions(message, version)
    if version > 1:
        return _encode_flow_mod11(message, version, actions)
    command = message.command
    if protocol & p.P_TID:
        command |= message.table_id << 8
    cookie = m.UNKNOWN if message.new_cookie is None else message.new_cookie
    flags = encode_flags(message.flags, 1)
    out_port = _port10(port_to_of10(message.out_port))
    if protocol & p.P_NXM_ANY:
        match, size = codec_match.encode_nx_match(
            message.match, message.cookie, message.cookie_mask
        )
        head = _NX_FLOW_MOD.pack(
            cookie, command, message.idle_timeout, message.hard_timeout, message.priority,
            message.buffer_id, out_port, flags, size,
        )  # fmt: skip
        return "NXT_FLOW_MOD", head + match + actions
    head = _FLOW_MOD10.pack(
        cookie, command, message.idle_timeout, message.hard_timeout, message.priority,
        message.buffer_id, out_port, flags,
    )  # fmt: skip
    return "OFPT_FLOW_MOD", old_match.encode_ofp10_match(message.match) + head + actions


def encode_flow_actions(message: m.FlowMod, version: int) -> bytes:
    """The actions or instructions of a flow mod. They depend on its match only by whether that
    demands a VLAN tag, and by its IP protocol."""
    if version == 1:
        return action_encode.encode_actions(message.actions, 1, message.match)
    return action_encode.encode_instructions(message.actions, version, message.match)


def _encode_flow_mod11(message: m.FlowMod, version: int, instructions: bytes) -> Encoded:
    command = message.command
    deletes = command >= m.OFPFC_DELETE
    if command == m.OFPFC_ADD or (version == 2 and not deletes and not message.cookie_mask):
        cookie = m.UNKNOWN if message.new_cookie is None else message.new_cookie
    else:
        cookie = message.cookie & message.cookie_mask
    table_id = message.table_id
    if table_id == 0xFF and (version == 2 or not deletes):
        table_id = 0
    head = _FLOW_MOD11.pack(
        cookie, message.cookie_mask, table_id, command, message.idle_timeout,
        message.hard_timeout, message.priority, message.buffer_id, message.out_port,
        message.out_group, encode_flags(message.flags, version),
        message.importance if version >= 5 else 0,
    )  # fmt: skip
    match = codec_match.encode_match(message.match, version)
    return "OFPT_FLOW_MOD", head + match + instructions


# Flows that are gone


def decode_flow_removed(frame: Frame, protocol: int) -> m.FlowRemoved:
    data = frame.data
    if frame.row.name == "NXT_FLOW_REMOVED":
        return _decode_nx_flow_removed(frame)
    if frame.version == 1:
        pos = frame.exactly(80)
        match = old_match.read_ofp10_match(data, pos)
        (cookie, priority, reason, sec, nsec, idle, packets, octets) = unpack_from(
            ">QHBxIIH2xQQ", data, pos + 40
        )
        return m.FlowRemoved(
            match, priority, cookie, reason, 255, sec, nsec, idle, 0, packets, octets
        )
    if frame.version == c15.VERSION:
        return c15.read_removed15(data, frame.need(16))
    pos = frame.need(40)
    (cookie, priority, reason, table_id, sec, nsec, idle, hard, packets, octets) = unpack_from(
        ">QHBBIIHHQQ", data, pos
    )
    match, _ = codec_match.decode_match(data, pos + 40, frame.version, options=True)
    return m.FlowRemoved(
        match, priority, cookie, reason, table_id, sec, nsec, idle, hard, packets, octets
    )


def _decode_nx_flow_removed(frame: Frame) -> m.FlowRemoved:
    pos = frame.need(40)
    (cookie, priority, reason, table_id, sec, nsec, idle, size, packets, octets) = unpack_from(
        ">QHBBIIHHQQ", frame.data, pos
    )
    match, _, _, after = codec_match.decode_nx_match(frame.data, pos + 40, size, options=True)
    if after != len(frame.data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    table_id = table_id - 1 if table_id else 255
    return m.FlowRemoved(
        match, priority, cookie, reason, table_id, sec, nsec, idle, 0, packets, octets
    )


def encode_flow_removed(message: m.FlowRemoved, version: int, protocol: int) -> Encoded:
    r = message
    reason = r.reason
    if reason == m.OFPRR_METER_DELETE and version < 5:
        # Other reasons are told to versions that do not know them, if their controllers ask.
        reason = m.OFPRR_DELETE
    if version == 1 and protocol & p.P_NXM_ANY:
        match, size = codec_match.encode_nx_match(r.match)
        table_id = 0 if r.table_id == 255 else r.table_id + 1
        head = pack(">QHBBIIHHQQ", r.cookie, r.priority, reason, table_id, r.duration_sec,
                    r.duration_nsec, r.idle_timeout, size, r.packet_count,
                    r.byte_count)  # fmt: skip
        return "NXT_FLOW_REMOVED", head + match
    if version == 1:
        tail = pack(">QHBxIIH2xQQ", r.cookie, r.priority, reason, r.duration_sec, r.duration_nsec,
                    r.idle_timeout, r.packet_count, r.byte_count)  # fmt: skip
        return "OFPT_FLOW_REMOVED", old_match.encode_ofp10_match(r.match) + tail
    if version == c15.VERSION:
        return "OFPT_FLOW_REMOVED", c15.write_removed15(r, reason)
    hard = r.hard_timeout if version > 2 else 0
    head = pack(">QHBBIIHHQQ", r.cookie, r.priority, reason, r.table_id, r.duration_sec,
                r.duration_nsec, r.idle_timeout, hard, r.packet_count, r.byte_count)  # fmt: skip
    return "OFPT_FLOW_REMOVED", head + codec_match.encode_match(r.match, version)


# Flow statistics: what to tell about

Query = tuple[Match, int, int, int, int, int, bool]


def _decode_query(frame: Frame) -> Query:
    data = frame.data
    if frame.row.name.startswith("NXST"):
        pos = frame.need(8)
        out_port, size, table_id = unpack_from(">HHB", data, pos)
        match, cookie, cookie_mask, after = codec_match.decode_nx_match(
            data, pos + 8, size, cookie=True
        )
        if after != len(data):
            raise OpenFlowError("OFPBRC_BAD_LEN")
        return match, table_id, port_from_of10(out_port), m.OFPG_ANY, cookie, cookie_mask, True
    if frame.version == 1:
        pos = frame.exactly(44)
        table_id, out_port = unpack_from(">BxH", data, pos + 40)
        port = port_from_of10(out_port)
        return old_match.read_ofp10_match(data, pos), table_id, port, m.OFPG_ANY, 0, 0, False
    pos = frame.need(32)
    table_id, out_port, out_group, cookie, cookie_mask = unpack_from(">B3xII4xQQ", data, pos)
    port = _any_port11(out_port)
    match, _ = codec_match.decode_match(data, pos + 32, frame.version)
    return match, table_id, port, out_group, cookie, cookie_mask, False


def _encode_query(
    query: m.FlowStatsRequest | m.AggregateRequest, version: int, what: str
) -> Encoded:
    if version == 1 and query.nx:
        match, size = codec_match.encode_nx_match(query.match, query.cookie, query.cookie_mask)
        out_port = _port10(port_to_of10(query.out_port))
        return f"NXST_{what}", pack(">HHB3x", out_port, size, query.table_id) + match
    if version == 1:
        out_port = _port10(port_to_of10(query.out_port))
        tail = pack(">BxH", query.table_id, out_port)
        return f"OFPST_{what}", old_match.encode_ofp10_match(query.match) + tail
    head = pack(">B3xII4xQQ", query.table_id, query.out_port, query.out_group, query.cookie,
                query.cookie_mask)  # fmt: skip
    return f"OFPST_{what}", head + codec_match.encode_match(query.match, version)


def decode_flow_stats_request(frame: Frame, protocol: int) -> m.FlowStatsRequest:
    return m.FlowStatsRequest(*_decode_query(frame))


def encode_flow_stats_request(message: m.FlowStatsRequest, version: int, protocol: int) -> Encoded:
    return _encode_query(message, version, "FLOW")


def decode_aggregate_request(frame: Frame, protocol: int) -> m.AggregateRequest:
    return m.AggregateRequest(*_decode_query(frame))


def encode_aggregate_request(message: m.AggregateRequest, version: int, protocol: int) -> Encoded:
    return _encode_query(message, version, "AGGREGATE")


# Flow statistics: what there is


def decode_flow_stats_reply(frame: Frame, protocol: int) -> m.FlowStatsReply:
    nx = frame.row.name == "NXST_FLOW"
    if nx:
        minimum, read = 48, read_nx_stats
    elif frame.version == 1:
        minimum, read = 88, _read_stats10
    elif frame.version == c15.VERSION:
        minimum, read = c15.MINIMUM, _read_stats15
    else:
        minimum, read = 56, read_stats11
    # Many flows of a table do the same: the lists that were decoded before in this message.
    known: dict[bytes, tuple[a.Action, ...]] = {}

    def entry(data: bytes, pos: int, version: int) -> tuple[m.FlowStats, int]:
        size = int.from_bytes(data[pos : pos + 2], "big")
        if nx and len(data) - pos >= minimum <= size:
            _check_nx_match(data, pos, size)
        is_cut = frame.version == c15.VERSION and c15.is_match_cut(data, pos, size)
        if size < minimum or pos + size > len(data) or is_cut:
            if 1 < version < c15.VERSION:
                _check_match11(data, pos, size, version)
            elif version == c15.VERSION and size >= minimum:
                c15.read_stats15(data[pos:], known)
                raise OpenFlowError("OFPBIC_BAD_LEN")
            raise OpenFlowError("OFPBRC_BAD_LEN")
        return read(data[pos : pos + size], version, known), pos + size

    return m.FlowStatsReply(frame.entries(entry), nx, frame.more)


def _check_nx_match(data: bytes, pos: int, size: int) -> None:
    """Does the match of a flow of `size` bytes fit into it? What is wrong with the match is said
    before what is with the size."""
    match_size = int.from_bytes(data[pos + 18 : pos + 20], "big")
    if match_size > size - 48:
        raise OpenFlowError("OFPBRC_BAD_LEN")
    if pos + size > len(data):
        codec_match.decode_nx_match(data, pos + 48, match_size, options=True)


def _check_match11(data: bytes, pos: int, size: int, version: int) -> None:
    """Says first what is wrong with the match of a flow whose size is wrong, then whether its
    instructions are not all there."""
    if size < 48 or len(data) - pos < 48:
        return
    _, after = codec_match.decode_match(data, pos + 48, version)
    if size >= after - pos:
        raise OpenFlowError("OFPBIC_BAD_LEN")


def _known_actions(
    data: bytes, version: int, known: dict[bytes, tuple[a.Action, ...]], *, instructions: bool
) -> tuple[a.Action, ...]:
    actions = known.get(data)
    if actions is None:
        decode = (
            instruction_memo.decode_instructions
            if instructions
            else instruction_memo.decode_actions
        )
        actions = known[data] = c15.decode_listed(decode, data, version)
    return actions


def _read_stats10(
    entry: bytes, version: int, known: dict[bytes, tuple[a.Action, ...]]
) -> m.FlowStats:
    match = old_match.read_ofp10_match(entry, 4)
    sec, nsec, priority, idle, hard, cookie, packets, octets = STATS10.unpack_from(entry, 44)
    actions = _known_actions(entry[88:], 1, known, instructions=False)
    return m.FlowStats(
        match, priority, entry[2], actions, cookie, sec, nsec, idle, hard, -1, -1, 0, 0, packets,
        octets,
    )  # fmt: skip


def read_nx_stats(
    entry: bytes, version: int, known: dict[bytes, tuple[a.Action, ...]]
) -> m.FlowStats:
    (_, table_id, sec, nsec, priority, idle, hard, size, idle_age, hard_age, cookie, packets,
     octets) = NX_STATS.unpack_from(entry)  # fmt: skip
    match, _, _, after = codec_match.decode_nx_match(entry, 48, size, options=True)
    actions = _known_actions(entry[after:], version, known, instructions=False)
    return m.FlowStats(
        match, priority, table_id, actions, cookie, sec, nsec, idle, hard, idle_age - 1,
        hard_age - 1, 0, 0, packets, octets,
    )  # fmt: skip


def _read_stats15(
    entry: bytes, version: int, known: dict[bytes, tuple[a.Action, ...]]
) -> m.FlowStats:
    flow, flags = c15.read_stats15(entry, known)
    return replace(flow, flags=_decode_flags(flags, version))


def read_stats11(
    entry: bytes, version: int, known: dict[bytes, tuple[a.Action, ...]]
) -> m.FlowStats:
    (_, table_id, sec, nsec, priority, idle, hard, flags, importance, cookie, packets,
     octets) = STATS11.unpack_from(entry)  # fmt: skip
    match, after = codec_match.decode_match(entry, 48, version, options=True)
    actions = _known_actions(entry[after:], version, known, instructions=True)
    return m.FlowStats(
        match, priority, table_id, actions, cookie, sec, nsec, idle, hard, -1, -1,
        _decode_flags(flags, version) if version >= 4 else 0, importance if version >= 5 else 0,
        packets, octets,
    )  # fmt: skip


def encode_flow_stats_reply(
    message: m.FlowStatsReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    return encode_flow_rows_reply(m.FlowRowsReply(message.flows, message.nx), version, protocol)


def decode_aggregate_reply(frame: Frame, protocol: int) -> m.AggregateReply:
    """Sums over flows, which OpenFlow 1.5 sends as OXS."""
    if frame.version == c15.VERSION:
        packets, octets, flows = c15.read_aggregate15(frame.data, frame.body)
    else:
        packets, octets, flows = unpack_from(">QQI", frame.data, frame.exactly(24))
    return m.AggregateReply(packets, octets, flows, frame.row.name[0] == "N", frame.more)


def encode_aggregate_reply(message: m.AggregateReply, version: int, protocol: int) -> Encoded:
    counts = (message.packet_count, message.byte_count, message.flow_count)
    body = c15.write_aggregate15(*counts) if version == c15.VERSION else pack(">QQI4x", *counts)
    return "NXST_AGGREGATE+" if message.nx else "OFPST_AGGREGATE+", body
