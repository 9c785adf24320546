"""Bytes of packets on their way to a controller (in four formats) and from one."""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.base.log import get_logger
from netloom.flow.fields import FIELD, SLOT, SLOTS
from netloom.flow.match import MATCH_ALL, Match
from netloom.flow.ports import CONTROLLER, MAX, UNSET, port_from_of10
from netloom.openflow import messages as m
from netloom.openflow.action_decode import decode_action_list
from netloom.openflow.action_encode import encode_actions
from netloom.openflow.codec_match import decode_nx_match, encode_nx_match
from netloom.openflow.codec_ports import port_from_wire, port_to_10
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import Frame
from netloom.openflow.oxm import decode_ofp12_match, encode_ofp12_match, oxm_table
from netloom.openflow.properties import (
    HEADER_BYTES,
    check_number,
    find_properties,
    unknown_property,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

Encoded = tuple[str, bytes]

log: Final = get_logger("ofp_packet")

_IN_PORT: Final = FIELD["in_port_oxm"]
_IN_PORT_MASK: Final = MATCH_ALL.with_field(_IN_PORT, 0).mask
#: Beginnings of the names of slots of a key that a packet to send may come with: what it has got
#: on its way, as opposed to what is in it.
_PIPELINE_NAMES: Final = ("tun_", "metadata", "reg", "packet_type", "in_port")
_IN_PACKET: Final = sum(slot.mask for slot in SLOTS if not slot.name.startswith(_PIPELINE_NAMES))


def _port_match(port: int) -> Match:
    return Match(port << _IN_PORT.shift, _IN_PORT_MASK)


def in_port(match: Match) -> int:
    return SLOT["in_port"].get(match.value)


def _reason(reason: int, version: int) -> int:
    """A reason that the version knows."""
    if reason in (m.OFPR_EXPLICIT_MISS, m.OFPR_IMPLICIT_MISS):
        return m.OFPR_NO_MATCH
    if reason >= m.OFPR_ACTION_SET and version < 5:
        return m.OFPR_ACTION
    if reason == m.OFPR_INVALID_TTL and version < 2:
        return m.OFPR_INVALID_TTL
    return reason


# Packet-in


def decode_packet_in(frame: Frame, protocol: int) -> m.PacketIn:
    name = frame.row.name
    if name == "NXT_PACKET_IN2":
        return _decode_properties(frame, strict=False)
    if name == "NXT_PACKET_IN":
        return _decode_nx(frame)
    data = frame.data
    if frame.version == 1:
        pos = frame.need(10)
        buffer_id, total_len, port, reason = unpack_from(">IHHB", data, pos)
        match = _port_match(port_from_of10(port))
        return m.PacketIn(data[pos + 10 :], match, reason, total_len, buffer_id)
    if frame.version == 2:
        pos = frame.need(16)
        buffer_id, port, _, total_len, reason, table_id = unpack_from(">IIIHBB", data, pos)
        known = port_from_wire(port)
        return m.PacketIn(
            data[pos + 16 :], _port_match(known), reason, total_len, buffer_id, table_id
        )
    pos = frame.need(8)
    buffer_id, total_len, reason, table_id = unpack_from(">IHBB", data, pos)
    pos += 8
    cookie = None
    if frame.version >= 4:
        (wire_cookie,) = unpack_from(">Q", data, pos)
        cookie = None if wire_cookie == m.UNKNOWN else wire_cookie
        pos += 8
    match, after = decode_ofp12_match(data, pos, frame.version, strict=False)
    if after + 2 > len(data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    packet = data[after + 2 :]
    return m.PacketIn(packet, match, reason, total_len, buffer_id, table_id, cookie)


def _decode_nx(frame: Frame) -> m.PacketIn:
    pos = frame.need(24)
    buffer_id, total_len, reason, table_id, cookie, size = unpack_from(">IHBBQH", frame.data, pos)
    match, _, _, after = decode_nx_match(frame.data, pos + 24, size, strict=False)
    if after + 2 > len(frame.data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    packet = frame.data[after + 2 :]
    known = None if cookie == m.UNKNOWN else cookie
    return m.PacketIn(packet, match, reason, total_len, buffer_id, table_id, known, m.PACKET_IN_NXT)


(_PACKET, _FULL_LEN, _BUFFER_ID, _TABLE_ID, _COOKIE, _REASON, _METADATA, _USERDATA,
 _CONTINUATION) = range(9)  # fmt: skip
#: Property -> offset of its value, size.
_NUMBERS: Final = {
    _FULL_LEN: (4, 4), _BUFFER_ID: (4, 4), _TABLE_ID: (4, 1), _COOKIE: (8, 8), _REASON: (4, 1),
}  # fmt: skip
#: Properties inside of another are at a multiple of eight bytes.
_NESTED_AT: Final = 8


def _decode_properties(frame: Frame, strict: bool) -> m.PacketIn:
    """Of what a switch tells, what is not known is passed over; what it is told, it must know."""
    data = frame.data
    raw: dict[int, bytes] = {}
    numbers: dict[int, int] = {}
    found: tuple[int, ...] = (0, 0)
    for kind, start, stop in find_properties(data, frame.body, len(data)):
        if kind in _NUMBERS:
            offset, width = _NUMBERS[kind]
            check_number(start, stop, offset + width - HEADER_BYTES)
            numbers[kind] = int.from_bytes(data[start + offset : start + offset + width], "big")
        elif kind == _METADATA:
            table = oxm_table(frame.version if frame.version >= 3 else 1)
            found = table.decode(data[start + 4 : stop], 0, stop - start - 4, strict=strict)
        elif kind <= _CONTINUATION:
            if kind == _CONTINUATION and stop - start < _NESTED_AT:
                raise OpenFlowError("OFPBPC_BAD_LEN")
            raw[kind] = data[start + 4 : stop]
        elif strict:
            raise unknown_property(data, start)
    packet = raw.get(_PACKET, b"")
    if not packet:
        log.warn_rl("NXT_PACKET_IN2 lacks packet")
        raise OpenFlowError("OFPBRC_BAD_LEN")
    total_len = numbers.get(_FULL_LEN) or len(packet)
    if total_len < len(packet):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    return m.PacketIn(
        packet, Match(found[0], found[1]), numbers.get(_REASON, m.OFPR_NO_MATCH),
        total_len, numbers.get(_BUFFER_ID, m.NO_BUFFER),
        numbers.get(_TABLE_ID, 0), numbers.get(_COOKIE), m.PACKET_IN_NXT2,
        raw.get(_USERDATA, b""), raw.get(_CONTINUATION, b""),
    )  # fmt: skip


def encode_packet_in(message: m.PacketIn, version: int, protocol: int) -> Encoded:
    p = message
    reason = _reason(p.reason, version)
    if p.format == m.PACKET_IN_NXT2:
        return "NXT_PACKET_IN2", _encode_properties(p, version)
    cookie = m.UNKNOWN if p.cookie is None else p.cookie
    if p.format == m.PACKET_IN_NXT:
        match, size = encode_nx_match(p.match)
        head = pack(">IHBBQH6x", p.buffer_id, p.total_len, reason, p.table_id, cookie, size)
        return "NXT_PACKET_IN", head + match + b"\0\0" + p.packet
    port = in_port(p.match)
    if version == 1:
        head = pack(">IHHBx", p.buffer_id, p.total_len, port_to_10(port), reason)
    elif version == 2:
        head = pack(">IIIHBB", p.buffer_id, port, port, p.total_len, reason, p.table_id)
    else:
        head = pack(">IHBB", p.buffer_id, p.total_len, reason, p.table_id)
        if version >= 4:
            head += cookie.to_bytes(8, "big")
        head += encode_ofp12_match(p.match, version) + b"\0\0"
    return "OFPT_PACKET_IN", head + p.packet


def _property(kind: int, body: bytes) -> bytes:
    size = 4 + len(body)
    return pack(">HH", kind, size) + body + bytes(-size % 8)


def _encode_properties(p: m.PacketIn, version: int) -> bytes:
    out = []
    if p.packet:
        out.append(_property(_PACKET, p.packet))
    if p.total_len != len(p.packet):
        out.append(_property(_FULL_LEN, p.total_len.to_bytes(4, "big")))
    if p.buffer_id != m.NO_BUFFER:
        out.append(_property(_BUFFER_ID, p.buffer_id.to_bytes(4, "big")))
    out.append(_property(_TABLE_ID, bytes((p.table_id,))))
    if p.cookie not in (None, m.UNKNOWN):
        assert p.cookie is not None
        out.append(_property(_COOKIE, bytes(4) + p.cookie.to_bytes(8, "big")))
    out.append(_property(_REASON, bytes((_reason(p.reason, version),))))
    metadata = oxm_table(max(version, 2)).encode(p.match)
    out.append(_property(_METADATA, metadata))
    if p.userdata:
        out.append(_property(_USERDATA, p.userdata))
    if p.continuation:
        out.append(_property(_CONTINUATION, p.continuation))
    return b"".join(out)


def decode_resume(frame: Frame, protocol: int) -> m.Resume:
    return m.Resume(_decode_properties(frame, strict=not frame.printed))


def encode_resume(message: m.Resume, version: int, protocol: int) -> Encoded:
    return "NXT_RESUME", _encode_properties(message.packet_in, version)


# Packet-out


def decode_packet_out(frame: Frame, protocol: int) -> m.PacketOut:
    data, version = frame.data, frame.version
    if version >= 6:
        pos = frame.need(8)
        buffer_id, actions_len = unpack_from(">IH", data, pos)
        match, start = decode_ofp12_match(data, pos + 8, version, strict=False)
        if match.mask & _IN_PACKET:
            raise OpenFlowError("OFPBRC_PIPELINE_FIELDS_ONLY")
        if not match.mask & _IN_PORT_MASK:
            raise OpenFlowError("OFPBRC_BAD_PORT")
    elif version == 1:
        pos = frame.need(8)
        buffer_id, port, actions_len = unpack_from(">IHH", data, pos)
        match, start = _port_match(port_from_of10(port)), pos + 8
    else:
        pos = frame.need(16)
        buffer_id, port, actions_len = unpack_from(">IIH", data, pos)
        known = port_from_wire(port)
        match, start = _port_match(known), pos + 16
    end = start + actions_len
    if end > len(data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    decode = decode_action_list if frame.memo is None else frame.memo.decode_action_list
    actions = decode(data[start:end], version)
    if not match.mask & _IN_PORT_MASK:
        raise OpenFlowError("OFPBRC_BAD_PORT")
    _check_in_port(in_port(match))
    packet = data[end:] if buffer_id == m.NO_BUFFER else b""
    return m.PacketOut(packet, match, actions, buffer_id)


def _check_in_port(port: int) -> None:
    """A packet comes from a real port, LOCAL, CONTROLLER or nowhere."""
    if port >= MAX and port not in (CONTROLLER, 0xFFFFFFFE, 0xFFFFFFFF) and port != UNSET:
        raise OpenFlowError("OFPBRC_BAD_PORT")


def encode_packet_out(message: m.PacketOut, version: int, protocol: int) -> Encoded:
    actions = encode_actions(message.actions, version)
    port = in_port(message.match)
    if version == 1:
        head = pack(">IHH", message.buffer_id, port_to_10(port), len(actions))
    elif version < 6:
        head = pack(">IIH6x", message.buffer_id, port, len(actions))
    else:
        head = pack(">IH2x", message.buffer_id, len(actions))
        head += encode_ofp12_match(message.match, version)
    packet = message.packet if message.buffer_id == m.NO_BUFFER else b""
    return "OFPT_PACKET_OUT", head + actions + packet
