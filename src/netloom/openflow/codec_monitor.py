"""Bytes of flow monitors.

Nicira's requests and updates (and ONF's updates) have another order of fields, flags and events
than those of OpenFlow 1.4.
"""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.base.log import get_logger
from netloom.flow.ports import port_from_of10, port_from_of11
from netloom.openflow import messages as m
from netloom.openflow import messages_monitor as w
from netloom.openflow.action_decode import decode_actions, decode_instructions
from netloom.openflow.action_encode import encode_actions, encode_instructions
from netloom.openflow.codec_match import decode_match, decode_nx_match, encode_nx_match
from netloom.openflow.codec_ports import port_to_10
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import Frame
from netloom.openflow.oxm import encode_ofp12_match

Encoded = tuple[str, bytes]

log = get_logger("ofp_monitor")

#: An update must fit into a message, behind 24 bytes.
_MAX_ENTRY = 0xFFFF - 24
#: Events of Nicira's encoding, by ours. There is no INITIAL: such a flow was added.
_TO_NX = {
    w.OFPFME_INITIAL: 0, w.OFPFME_ADDED: 0, w.OFPFME_REMOVED: 1, w.OFPFME_MODIFIED: 2,
    w.OFPFME_ABBREV: 3,
}  # fmt: skip
_FROM_NX = {
    0: w.OFPFME_ADDED, 1: w.OFPFME_REMOVED, 2: w.OFPFME_MODIFIED, 3: w.OFPFME_ABBREV,
}  # fmt: skip
#: The flag of Nicira's and ONF's encoding that has another number: OWN, "also mine".
_NX_OWN = 1 << 5
_SAME = 0x1F


def _name(version: int) -> str:
    if version < 4:
        return "NXST_FLOW_MONITOR"
    return "ONFST_FLOW_MONITOR" if version == 4 else "OFPST_FLOW_MONITOR"


def _port11(port: int) -> int:
    known = port_from_of11(port)
    if known is None:
        raise OpenFlowError("OFPBAC_BAD_OUT_PORT")
    return known


# Requests


def decode_flow_monitor_request(frame: Frame, protocol: int) -> w.FlowMonitorRequest:
    """One request or several, one after the other."""
    read = _read_nx if frame.version < 4 else _read_onf if frame.version == 4 else _read_14
    return w.FlowMonitorRequest(frame.entries(read))


def _check_flags(flags: int, known: int) -> None:
    if not flags & (w.OFPFMF_ADD | w.OFPFMF_REMOVED | w.OFPFMF_MODIFY) or flags & ~known:
        raise OpenFlowError("OFPMOFC_BAD_FLAGS")


def _read_nx(data: bytes, pos: int, version: int) -> tuple[w.MonitorRequest, int]:
    monitor_id, flags, port, size, table_id = unpack_from(">IHHHB5x", data, pos)
    _check_flags(flags, _SAME | _NX_OWN)
    if any(data[pos + 11 : pos + 16]):
        raise OpenFlowError("NXBRC_MUST_BE_ZERO")
    match, _, _, after = decode_nx_match(data, pos + 16, size)
    request = w.MonitorRequest(
        monitor_id, _flags_from_nx(flags), match, port_from_of10(port), table_id=table_id
    )
    return request, after


def _flags_from_nx(flags: int) -> int:
    return flags & _SAME | (w.OFPFMF_ONLY_OWN if flags & _NX_OWN else 0)


def _flags_to_nx(flags: int) -> int:
    return flags & _SAME | (_NX_OWN if flags & w.OFPFMF_ONLY_OWN else 0)


def _read_onf(data: bytes, pos: int, version: int) -> tuple[w.MonitorRequest, int]:
    monitor_id, flags, _, wire_port, table_id = unpack_from(">IHHIB3x", data, pos)
    _check_flags(flags, _SAME | _NX_OWN)
    if any(data[pos + 13 : pos + 16]):
        raise OpenFlowError("NXBRC_MUST_BE_ZERO")
    port = _port11(wire_port)
    match, after = decode_match(data, pos + 16, version)
    request = w.MonitorRequest(monitor_id, _flags_from_nx(flags), match, port, table_id=table_id)
    return request, after


def _read_14(data: bytes, pos: int, version: int) -> tuple[w.MonitorRequest, int]:
    monitor_id, wire_port, group, flags, table_id, command = unpack_from(">IIIHBB", data, pos)
    if command == w.OFPFMC_DELETE:
        port = port_from_of11(wire_port) or m.OFPP_ANY
    else:
        # As in Open vSwitch, nobody gets changes of his own in full (OFPFMF_NO_ABBREV).
        _check_flags(flags, _SAME | w.OFPFMF_ONLY_OWN)
        port = _port11(wire_port)
    match, after = decode_match(data, pos + 16, version)
    return w.MonitorRequest(monitor_id, flags, match, port, group, table_id, command), after


def encode_flow_monitor_request(
    message: w.FlowMonitorRequest, version: int, protocol: int
) -> Encoded:
    write = _write_nx if version < 4 else _write_onf if version == 4 else _write_14
    body = b"".join([write(request, version) for request in message.requests])
    return _name(version), body


def _write_nx(r: w.MonitorRequest, version: int) -> bytes:
    match, size = encode_nx_match(r.match)
    head = pack(">IHHHB5x", r.monitor_id, _flags_to_nx(r.flags), port_to_10(r.out_port), size,
                r.table_id)  # fmt: skip
    return head + match


def _write_onf(r: w.MonitorRequest, version: int) -> bytes:
    match = encode_ofp12_match(r.match, version)
    size = int.from_bytes(match[2:4], "big")
    head = pack(">IHHIB3x", r.monitor_id, _flags_to_nx(r.flags), size, r.out_port, r.table_id)
    return head + match


def _write_14(r: w.MonitorRequest, version: int) -> bytes:
    head = pack(">IIIHBB", r.monitor_id, r.out_port, r.out_group, r.flags, r.table_id, r.command)
    return head + encode_ofp12_match(r.match, version)


# Updates


def decode_flow_monitor_reply(frame: Frame, protocol: int) -> w.FlowMonitorReply:
    """What changed, in the order in which it did."""
    return w.FlowMonitorReply(frame.entries(_read_entry), frame.more)


def _read_entry(data: bytes, pos: int, version: int) -> tuple[w.FlowUpdate, int]:
    size, event = unpack_from(">HH4x", data, pos)
    if size % 8 or pos + size > len(data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    return _read_update(data, pos, size, event, version), pos + size


def _read_update(data: bytes, pos: int, length: int, number: int, version: int) -> w.FlowUpdate:
    """The update at `pos`. Its match may end behind it, which shows in its actions."""
    event = _FROM_NX.get(number, 99) if version < 5 else number
    if event > w.OFPFME_RESUMED:
        raise OpenFlowError("NXBRC_FM_BAD_EVENT")
    if event >= w.OFPFME_ABBREV:
        if length != 8:
            raise OpenFlowError("OFPBRC_BAD_LEN")
        xid = unpack_from(">I", data, pos + 4)[0] if event == w.OFPFME_ABBREV else 0
        return w.FlowUpdate(event, xid)
    if length < 24:
        raise OpenFlowError("OFPBRC_BAD_LEN")
    size = 0
    if version < 5:
        reason, priority, idle, hard, size, table_id, cookie = unpack_from(
            ">HHHHHBxQ", data, pos + 4
        )
    else:
        table_id, reason, idle, hard, priority, cookie = unpack_from(">BBHHH4xQ", data, pos + 4)
    if size > length - 24:
        raise OpenFlowError("OFPBRC_BAD_LEN")
    end = pos + length
    if version < 4:
        match, _, _, after = decode_nx_match(data, pos + 24, size, options=True)
        actions = decode_actions(data[after:end], version)
    else:
        match, after = decode_match(data, pos + 24, version, options=True)
        if after > end:
            raise OpenFlowError("OFPBIC_BAD_LEN")
        actions = decode_instructions(data[after:end], version)
    return w.FlowUpdate(event, 0, reason, table_id, priority, idle, hard, cookie, match, actions)


def encode_flow_monitor_reply(
    message: w.FlowMonitorReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    entries = []
    for update in message.updates:
        entry = _write_update(update, version)
        if len(entry) > _MAX_ENTRY:
            log.warn_rl("a flow is too long for the updates of flow monitors, and left out")
        else:
            entries.append(entry)
    return _name(version), entries


def _write_update(u: w.FlowUpdate, version: int) -> bytes:
    event = _TO_NX.get(u.event) if version < 5 else u.event
    if event is None:
        raise OpenFlowError("OFPBRC_BAD_TYPE")
    if u.event >= w.OFPFME_ABBREV:
        return pack(">HHI", 8, event, u.xid)
    if version < 4:
        match, size = encode_nx_match(u.match)
        actions = encode_actions(u.actions, version, u.match)
    else:
        match = encode_ofp12_match(u.match, version)
        actions = encode_instructions(u.actions, version, u.match)
        size = int.from_bytes(match[2:4], "big")
    length = 24 + len(match) + len(actions)
    if version < 5:
        head = pack(">HHHHHHHBxQ", length & 0xFFFF, event, u.reason, u.priority, u.idle_timeout,
                    u.hard_timeout, size, u.table_id, u.cookie)  # fmt: skip
    else:
        head = pack(">HHBBHHH4xQ", length & 0xFFFF, event, u.table_id, u.reason, u.idle_timeout,
                    u.hard_timeout, u.priority, u.cookie)  # fmt: skip
    return head + match + actions


# The rest


def decode_flow_monitor_cancel(frame: Frame, protocol: int) -> w.FlowMonitorCancel:
    return w.FlowMonitorCancel(*unpack_from(">I", frame.data, frame.exactly(4)))


def encode_flow_monitor_cancel(
    message: w.FlowMonitorCancel, version: int, protocol: int
) -> Encoded:
    name = "NXT_FLOW_MONITOR_CANCEL" if version != 4 else "ONFT_FLOW_MONITOR_CANCEL"
    return name, pack(">I", message.monitor_id)


def decode_flow_monitor_paused(frame: Frame, protocol: int) -> w.FlowMonitorPaused:
    frame.exactly(0)
    return w.FlowMonitorPaused()


def encode_flow_monitor_paused(
    message: w.FlowMonitorPaused, version: int, protocol: int
) -> Encoded:
    return "NXT_FLOW_MONITOR_PAUSED" if version != 4 else "ONFT_FLOW_MONITOR_PAUSED", b""


def decode_flow_monitor_resumed(frame: Frame, protocol: int) -> w.FlowMonitorResumed:
    frame.exactly(0)
    return w.FlowMonitorResumed()


def encode_flow_monitor_resumed(
    message: w.FlowMonitorResumed, version: int, protocol: int
) -> Encoded:
    return "NXT_FLOW_MONITOR_RESUMED" if version != 4 else "ONFT_FLOW_MONITOR_RESUMED", b""
