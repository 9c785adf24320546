"""Bytes of statistics that belong to the switch as a whole: its description, its tables."""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.openflow import messages as m
from netloom.openflow.message_table import Frame

Encoded = tuple[str, bytes]


def decode_desc_request(frame: Frame, protocol: int) -> m.DescRequest:
    frame.exactly(0)
    return m.DescRequest()


def encode_desc_request(message: m.DescRequest, version: int, protocol: int) -> Encoded:
    return "OFPST_DESC", b""


_DESC = ">256s256s256s32s256s"


def decode_desc_reply(frame: Frame, protocol: int) -> m.DescReply:
    parts = unpack_from(_DESC, frame.data, frame.exactly(1056))
    texts = [part.split(b"\0", 1)[0].decode("utf-8", "replace") for part in parts]
    return m.DescReply(*texts, more=frame.more)  # type: ignore[misc]


def encode_desc_reply(message: m.DescReply, version: int, protocol: int) -> Encoded:
    texts = (message.manufacturer, message.hardware, message.software, message.serial,
             message.datapath)  # fmt: skip
    sizes = (255, 255, 255, 31, 255)
    cut = [text.encode()[:size] for text, size in zip(texts, sizes)]
    return "OFPST_DESC+", pack(_DESC, *cut)


def decode_table_stats_request(frame: Frame, protocol: int) -> m.TableStatsRequest:
    frame.exactly(0)
    return m.TableStatsRequest()


def encode_table_stats_request(
    message: m.TableStatsRequest, version: int, protocol: int
) -> Encoded:
    return "OFPST_TABLE", b""


#: Size of an entry, by version.
_TABLE_SIZES = (64, 88, 128, 24, 24, 24)


def decode_table_stats_reply(frame: Frame, protocol: int) -> m.TableStatsReply:
    data, version = frame.data, frame.version
    tables = []
    size = _TABLE_SIZES[version - 1]
    for pos in range(frame.body, len(data), size):
        if version == 1:
            table_id, name, wildcards, max_entries, active, lookups, matches = unpack_from(
                ">B3x32sIIIQQ", data, pos
            )
        elif version >= 4:
            table_id, active, lookups, matches = unpack_from(">B3xIQQ", data, pos)
            name, wildcards, max_entries = b"", 0, 0
        else:
            table_id, name = unpack_from(">B7x32s", data, pos)
            max_entries, active, lookups, matches = unpack_from(">IIQQ", data, pos + size - 24)
            wildcards = 0
        text = name[:31].split(b"\0", 1)[0].decode("utf-8", "replace")
        tables.append(
            m.TableStats(table_id, active, lookups, matches, text, wildcards, max_entries)
        )
    return m.TableStatsReply(tuple(tables), frame.more)


def encode_table_stats_reply(
    message: m.TableStatsReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    return "OFPST_TABLE", [_encode_table(table, version) for table in message.tables]


def _encode_table(t: m.TableStats, version: int) -> bytes:
    counters = (t.active_count, t.lookup_count, t.matched_count)
    if version >= 4:
        return pack(">B3xIQQ", t.table_id, *counters)
    name = t.name.encode()[:31]
    if version == 1:
        return pack(">B3x32sIIIQQ", t.table_id, name, t.wildcards, t.max_entries, *counters)
    if version == 2:
        return pack(">B7x32s24xIIQQ", t.table_id, name, t.max_entries, *counters)
    return pack(">B7x32s64xIIQQ", t.table_id, name, t.max_entries, *counters)
