"""Bytes of Nicira's messages about tunnel options, connection tracking and IPFIX."""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.base.log import get_logger
from netloom.flow.fields import N_TUN_METADATA
from netloom.openflow import messages_nx as n
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import Frame
from netloom.openflow.properties import (
    HEADER_BYTES,
    check_number,
    find_properties,
    unknown_property,
)

Encoded = tuple[str, bytes]

log = get_logger("ofp_match")
_ct_log = get_logger("ofp_ct")

#: Bytes of the longest tunnel option.
_MAX_OPTION = 124


# Tunnel options


def _decode_maps(data: bytes, pos: int, n_fields: int) -> tuple[n.TlvMap, ...]:
    maps = [n.TlvMap(*unpack_from(">HBBH", data, at)) for at in range(pos, len(data), 8)]
    for one in maps:
        if one.option_len % 4 or one.option_len > _MAX_OPTION:
            log.warn_rl("tlv table option length (%d) is not a valid option size", one.option_len)
            raise OpenFlowError("NXTTMFC_BAD_OPT_LEN")
        if one.index >= n_fields:
            log.warn_rl("tlv table field index (%d) is too large (max %d)", one.index, n_fields - 1)
            raise OpenFlowError("NXTTMFC_BAD_FIELD_IDX")
    return tuple(maps)


def _encode_maps(maps: tuple[n.TlvMap, ...]) -> bytes:
    return b"".join(
        [pack(">HBBH2x", t.option_class, t.option_type, t.option_len, t.index) for t in maps]
    )


def decode_tlv_table_mod(frame: Frame, protocol: int) -> n.TlvTableMod:
    """A change of the table of tunnel options."""
    pos = frame.need(8)
    (command,) = unpack_from(">H", frame.data, pos)
    if command > n.NXTTMC_CLEAR:
        raise OpenFlowError("NXTTMFC_BAD_COMMAND")
    maps = _decode_maps(frame.data, pos + 8, N_TUN_METADATA)
    return n.TlvTableMod(command, maps)


def encode_tlv_table_mod(message: n.TlvTableMod, version: int, protocol: int) -> Encoded:
    return "NXT_TLV_TABLE_MOD", pack(">H6x", message.command) + _encode_maps(message.maps)


def decode_tlv_table_request(frame: Frame, protocol: int) -> n.TlvTableRequest:
    frame.exactly(0)
    return n.TlvTableRequest()


def encode_tlv_table_request(message: n.TlvTableRequest, version: int, protocol: int) -> Encoded:
    return "NXT_TLV_TABLE_REQUEST", b""


def decode_tlv_table_reply(frame: Frame, protocol: int) -> n.TlvTableReply:
    pos = frame.need(16)
    space, fields = unpack_from(">IH", frame.data, pos)
    return n.TlvTableReply(space, fields, _decode_maps(frame.data, pos + 16, fields))


def encode_tlv_table_reply(message: n.TlvTableReply, version: int, protocol: int) -> Encoded:
    head = pack(">IH10x", message.max_option_space, message.max_fields)
    return "NXT_TLV_TABLE_REPLY", head + _encode_maps(message.maps)


# Connection tracking


def decode_ct_flush_zone(frame: Frame, protocol: int) -> n.CtFlushZone:
    pos = frame.exactly(8)
    if any(frame.data[pos : pos + 6]) and not frame.printed:
        raise OpenFlowError("NXBRC_MUST_BE_ZERO")
    return n.CtFlushZone(*unpack_from(">H", frame.data, pos + 6))


def encode_ct_flush_zone(message: n.CtFlushZone, version: int, protocol: int) -> Encoded:
    return "NXT_CT_FLUSH_ZONE", pack(">6xH", message.zone_id)


_ORIGINAL, _REPLY, _ZONE, _MARK, _MARK_MASK, _LABELS, _LABELS_MASK = range(7)
#: Bytes of the properties that are numbers.
_SIZES = {_ZONE: 2, _MARK: 4, _MARK_MASK: 4, _LABELS: 16, _LABELS_MASK: 16}
#: Property of a tuple: field of CtTuple, bytes of its value.
_TUPLE = (
    ("src", 16), ("dst", 16), ("src_port", 2), ("dst_port", 2), ("icmp_id", 2),
    ("icmp_type", 1), ("icmp_code", 1),
)  # fmt: skip
_LAST_ADDRESS = 1
_ICMP = (1, 58)


def _property(kind: int, body: bytes) -> bytes:
    size = 4 + len(body)
    return pack(">HH", kind, size) + body + bytes(-size % 8)


class _TupleReader:
    """Reads the tuples of one message, which are of one family of addresses."""

    def __init__(self, ip_proto: int) -> None:
        self._is_icmp = ip_proto in _ICMP
        #: 0 before the first address, and after one that is nobody's.
        self._family = 0

    def read(self, body: bytes) -> n.CtTuple:
        # The tuple's properties start at a multiple of 8 bytes.
        found: dict[str, int] = {}
        for kind, start, end in find_properties(body, 4, len(body)):
            if kind >= len(_TUPLE):
                raise _unknown(body, start, "NXT_CT_TUPLE")
            name, size = _TUPLE[kind]
            value = _first_bytes(body[start + HEADER_BYTES : end], size)
            if kind <= _LAST_ADDRESS:
                self._check_family(value)
                found[name] = value
            else:
                found |= self._number(name, value, found)
        return n.CtTuple(**found)

    def _check_family(self, address: int) -> None:
        family = (4 if address >> 32 == 0xFFFF else 6) if address else 0
        if family and self._family and family != self._family:
            raise OpenFlowError("OFPBPC_BAD_VALUE")
        self._family = family

    def _number(self, name: str, value: int, found: dict[str, int]) -> dict[str, int]:
        """Ports stand where the numbers of ICMP do, whichever of them a message names."""
        if name in ("src_port", "icmp_id"):
            return {"icmp_id" if self._is_icmp else "src_port": value}
        if not self._is_icmp:
            port = found.get("dst_port", 0)
            if name == "icmp_type":
                value |= port & 0xFF00
            elif name == "icmp_code":
                value = value << 8 | port & 0xFF
            return {"dst_port": value}
        if name == "dst_port":
            return {"icmp_type": value & 0xFF, "icmp_code": value >> 8}
        return {name: value}


def _unknown(data: bytes, start: int, where: str) -> OpenFlowError:
    """The error about the property at `start`, which is logged."""
    (kind,) = unpack_from(">H", data, start)
    _ct_log.warn_rl("unknown %s property type %d", where, kind)
    return unknown_property(data, start)


def _first_bytes(data: bytes, size: int) -> int:
    """The number that a property starts with."""
    if len(data) < size:
        raise OpenFlowError("OFPBPC_BAD_LEN")
    return int.from_bytes(data[:size], "big")


def _encode_tuple(one: n.CtTuple) -> bytes:
    out = bytes(4)
    for kind, (name, size) in enumerate(_TUPLE):
        value = getattr(one, name)
        if value is not None:
            out += _property(kind, value.to_bytes(size, "big"))
    return out


def decode_ct_flush(frame: Frame, protocol: int) -> n.CtFlush:
    """A wish to forget connections."""
    pos = frame.need(8)
    ip_proto = frame.data[pos]
    if any(frame.data[pos + 1 : pos + 8]):
        raise OpenFlowError("NXBRC_MUST_BE_ZERO")
    tuples = {_ORIGINAL: n.NO_TUPLE, _REPLY: n.NO_TUPLE}
    numbers: dict[int, int] = {}
    reader = _TupleReader(ip_proto)
    for kind, start, end in find_properties(frame.data, pos + 8, len(frame.data)):
        body = frame.data[start + HEADER_BYTES : end]
        if kind in tuples:
            tuples[kind] = reader.read(body)
        elif kind in _SIZES:
            check_number(start, end, _SIZES[kind])
            numbers[kind] = _first_bytes(body, _SIZES[kind])
        else:
            raise _unknown(frame.data, start, "NXT_CT_FLUSH")
    return n.CtFlush(
        ip_proto, tuples[_ORIGINAL], tuples[_REPLY], numbers.get(_ZONE),
        _masked(numbers, _MARK, _MARK_MASK), _masked(numbers, _LABELS, _LABELS_MASK),
    )  # fmt: skip


def _masked(numbers: dict[int, int], value: int, mask: int) -> tuple[int, int]:
    """A value and its mask; without one, all bits of the value count. Without a value it is 0."""
    all_bits = (1 << 8 * _SIZES[value]) - 1 if value in numbers else 0
    return numbers.get(value, 0), numbers.get(mask, all_bits)


def _masked_properties(kind: int, value: int, mask: int) -> bytes:
    """The properties of a value, and of its mask unless that is all ones."""
    size = _SIZES[kind]
    if not mask:
        return b""
    out = _property(kind, value.to_bytes(size, "big"))
    if mask != (1 << 8 * size) - 1:
        out += _property(kind + 1, mask.to_bytes(size, "big"))
    return out


def encode_ct_flush(message: n.CtFlush, version: int, protocol: int) -> Encoded:
    """Tuples that say nothing are left out."""
    out = pack(">B7x", message.ip_proto)
    for kind, one in ((_ORIGINAL, message.original), (_REPLY, message.reply)):
        if one != n.NO_TUPLE:
            out += _property(kind, _encode_tuple(one))
    if message.zone_id is not None:
        out += _property(_ZONE, message.zone_id.to_bytes(2, "big"))
    out += _masked_properties(_MARK, *message.mark)
    out += _masked_properties(_LABELS, *message.labels)
    return "NXT_CT_FLUSH", out


# IPFIX


def _ipfix_name(flow: bool) -> str:
    return "NXST_IPFIX_FLOW" if flow else "NXST_IPFIX_BRIDGE"


def decode_ipfix_stats_request(frame: Frame, protocol: int) -> n.IpfixStatsRequest:
    frame.exactly(0)
    return n.IpfixStatsRequest(frame.row.name == "NXST_IPFIX_FLOW")


def encode_ipfix_stats_request(
    message: n.IpfixStatsRequest, version: int, protocol: int
) -> Encoded:
    return _ipfix_name(message.flow), b""


def decode_ipfix_stats_reply(frame: Frame, protocol: int) -> n.IpfixStatsReply:
    """Counters of the exporters, one of the bridge's, any number of flows'."""
    if (len(frame.data) - frame.body) % 88:
        raise OpenFlowError("OFPBRC_BAD_LEN")
    stats = tuple(
        n.IpfixStats(*unpack_from(">10QI", frame.data, at))
        for at in range(frame.body, len(frame.data), 88)
    )
    return n.IpfixStatsReply(frame.row.name == "NXST_IPFIX_FLOW", stats, frame.more)


def encode_ipfix_stats_reply(
    message: n.IpfixStatsReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    entries = [pack(">10QI4x", *one._values()) for one in message.stats]
    return _ipfix_name(message.flow), entries
