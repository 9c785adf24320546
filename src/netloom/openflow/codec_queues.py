"""Bytes of queues: their configuration and statistics."""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.flow.ports import MAX, port_from_of10
from netloom.openflow import messages as m
from netloom.openflow.codec_ports import port_from_wire, port_to_10
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import Frame
from netloom.openflow.properties import find_properties

Encoded = tuple[str, bytes]

_MIN_RATE, _MAX_RATE = 1, 2


# Configuration: messages of their own until 1.3, a multipart type since 1.4


def decode_queue_get_config_request(frame: Frame, protocol: int) -> m.QueueGetConfigRequest:
    data = frame.data
    if frame.version == 1:
        port = port_from_of10(unpack_from(">H", data, frame.exactly(4))[0])
        return m.QueueGetConfigRequest(_with_queues(port))
    number, queue = unpack_from(">II", data, frame.exactly(8))
    port = port_from_wire(number)
    if port != m.OFPP_ANY and frame.version < m.OFP14_VERSION:
        _with_queues(port)
    return m.QueueGetConfigRequest(port, queue if frame.version >= 5 else m.OFPQ_ALL)


def _with_queues(port: int) -> int:
    """`port`, which must be one that can have queues."""
    if port >= MAX:
        raise OpenFlowError("OFPQOFC_BAD_PORT")
    return port


def encode_queue_get_config_request(
    message: m.QueueGetConfigRequest, version: int, protocol: int
) -> Encoded:
    if version == 1:
        return "OFPT_QUEUE_GET_CONFIG_REQUEST", pack(">H2x", port_to_10(message.port))
    if version < 5:
        return "OFPT_QUEUE_GET_CONFIG_REQUEST", pack(">I4x", message.port)
    return "OFPST_QUEUE_DESC", pack(">II", message.port, message.queue)


def decode_queue_get_config_reply(frame: Frame, protocol: int) -> m.QueueGetConfigReply:
    data, version = frame.data, frame.version
    if version >= 5:
        return _decode_queue_desc(frame)
    pos = frame.need(8)
    if version == 1:
        port = port_from_of10(unpack_from(">H", data, pos)[0])
    else:
        (number,) = unpack_from(">I", data, pos)
        port = port_from_wire(number) if len(data) > pos + 8 else number

    def entry(data: bytes, pos: int, version: int) -> tuple[m.QueueConfig, int]:
        head = 8 if version < 3 else 16
        if version < 3:
            queue, size = unpack_from(">IH", data, pos)
        else:
            queue, _, size = unpack_from(">IIH", data, pos)
        if size < head or pos + size > len(data):
            raise OpenFlowError("OFPBRC_BAD_LEN")
        try:
            rates = _rates(data, pos + head, pos + size, 8, strict=True)
        except OpenFlowError:
            raise OpenFlowError("OFPBRC_BAD_LEN") from None
        return m.QueueConfig(port, queue, *rates), pos + size

    frame.body += 8
    return m.QueueGetConfigReply(port, frame.entries(entry))


def _decode_queue_desc(frame: Frame) -> m.QueueGetConfigReply:
    return m.QueueGetConfigReply(m.OFPP_ANY, frame.entries(_read_desc), frame.more)


def _read_desc(data: bytes, pos: int, version: int) -> tuple[m.QueueConfig, int]:
    number, queue, size = unpack_from(">IIH", data, pos)
    port = port_from_wire(number)
    if size < 16 or size % 8 or pos + size > len(data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    rates = _rates(data, pos + 16, pos + size, 4)
    return m.QueueConfig(port, queue, *rates), pos + size


def _rates(
    data: bytes, pos: int, end: int, offset: int, *, strict: bool = False
) -> tuple[int, int]:
    """Minimum and maximum rate of a queue's properties; the rate is `offset` bytes in. `strict`:
    properties are not padded, their length says so."""
    rates = {_MIN_RATE: 0xFFFF, _MAX_RATE: 0xFFFF}
    for kind, start, stop in find_properties(data, pos, end):
        if strict and (stop - start) % 8:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        if kind in rates:
            if strict and stop - start != 16:
                raise OpenFlowError("OFPBPC_BAD_LEN")
            if stop - start < offset + 2:
                raise OpenFlowError("OFPBPC_BAD_LEN")
            (rates[kind],) = unpack_from(">H", data, start + offset)
    return rates[_MIN_RATE], rates[_MAX_RATE]


def encode_queue_get_config_reply(
    message: m.QueueGetConfigReply, version: int, protocol: int
) -> tuple[str, bytes | list[bytes]]:
    entries = [_encode_queue(queue, version) for queue in message.queues]
    if version >= 5:
        return "OFPST_QUEUE_DESC", entries
    head = pack(">H6x", port_to_10(message.port)) if version == 1 else pack(">I4x", message.port)
    return "OFPT_QUEUE_GET_CONFIG_REPLY", head + b"".join(entries)


def _encode_queue(queue: m.QueueConfig, version: int) -> bytes:
    properties = b""
    for kind, rate in ((_MIN_RATE, queue.min_rate), (_MAX_RATE, queue.max_rate)):
        if rate != 0xFFFF:
            properties += (pack(">HHH2x", kind, 8, rate) if version >= 5
                           else pack(">HH4xH6x", kind, 16, rate))  # fmt: skip
    if version < 3:
        return pack(">IH2x", queue.queue, 8 + len(properties)) + properties
    if version < 5:
        return pack(">IIH6x", queue.queue, queue.port, 16 + len(properties)) + properties
    return pack(">IIH6x", queue.port, queue.queue, 16 + len(properties)) + properties


# Statistics


def decode_queue_stats_request(frame: Frame, protocol: int) -> m.QueueStatsRequest:
    if frame.version == 1:
        number, queue = unpack_from(">H2xI", frame.data, frame.exactly(8))
        port = port_from_of10(number)
        return m.QueueStatsRequest(m.OFPP_ANY if number == 0xFFFC else port, queue)
    number, queue = unpack_from(">II", frame.data, frame.exactly(8))
    return m.QueueStatsRequest(port_from_wire(number), queue)


def encode_queue_stats_request(
    message: m.QueueStatsRequest, version: int, protocol: int
) -> Encoded:
    if version == 1:
        # OpenFlow 1.0 says OFPP_ALL, later versions OFPP_ANY, for all ports.
        number = 0xFFFC if message.port_no == m.OFPP_ANY else port_to_10(message.port_no)
        return "OFPST_QUEUE", pack(">H2xI", number, message.queue)
    return "OFPST_QUEUE", pack(">II", message.port_no, message.queue)


def decode_queue_stats_reply(frame: Frame, protocol: int) -> m.QueueStatsReply:
    return m.QueueStatsReply(frame.entries(_read_stats), frame.more)


def _read_stats(data: bytes, pos: int, version: int) -> tuple[m.QueueStats, int]:
    if version == 1:
        number, *rest = unpack_from(">H2xI3Q", data, pos)
        return m.QueueStats(port_from_of10(number), *rest), pos + 32
    if version < 4:
        number, *rest = unpack_from(">II3Q", data, pos)
        return m.QueueStats(port_from_wire(number), *rest), pos + 32
    if version < 5:
        number, *rest = unpack_from(">II3QII", data, pos)
        return m.QueueStats(port_from_wire(number), *rest), pos + 40
    size, number, *rest = unpack_from(">H6xII3QII", data, pos)
    if size < 48 or pos + size > len(data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    return m.QueueStats(port_from_wire(number), *rest), pos + size


def encode_queue_stats_reply(
    message: m.QueueStatsReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    return "OFPST_QUEUE", [_encode_stats(stats, version) for stats in message.queues]


def _encode_stats(s: m.QueueStats, version: int) -> bytes:
    counters = (s.tx_bytes, s.tx_packets, s.tx_errors)
    duration = (s.duration_sec, s.duration_nsec)
    if version == 1:
        return pack(">H2xI3Q", port_to_10(s.port_no), s.queue, *counters)
    if version < 4:
        return pack(">II3Q", s.port_no, s.queue, *counters)
    if version < 5:
        return pack(">II3QII", s.port_no, s.queue, *counters, *duration)
    return pack(">H6xII3QII", 48, s.port_no, s.queue, *counters, *duration)
