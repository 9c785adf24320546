"""Bytes of statistics that belong to the switch as a whole: its description, its tables."""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.base.log import get_logger
from netloom.flow.fields import BY_CODE, FIELD
from netloom.openflow import field_set
from netloom.openflow import messages as m
from netloom.openflow.message_table import Frame
from netloom.openflow.oxm import code_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

Encoded = tuple[str, bytes]

log: Final = get_logger("ofp_table")


def decode_desc_request(frame: Frame, protocol: int) -> m.DescRequest:
    frame.exactly(0)
    return m.DescRequest()


def encode_desc_request(message: m.DescRequest, version: int, protocol: int) -> Encoded:
    return "OFPST_DESC", b""


_DESC: Final = ">256s256s256s32s256s"


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
_TABLE_SIZES: Final = (64, 88, 128, 24, 24, 24)


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
            tables.append(_read_table(data, pos, version))
            continue
        tables.append(
            m.TableStats(table_id, active, lookups, matches, _text(name), wildcards, max_entries)
        )
    return m.TableStatsReply(tuple(tables), frame.more)


def read_table_names(frame: Frame) -> dict[int, str]:
    """Table number -> name, of the tables in such a reply that have names."""
    if frame.version != 1:
        reply = decode_table_stats_reply(frame, 0)
        return {table.table_id: table.name for table in reply.tables if table.name}
    data = frame.data
    return {
        data[pos]: name
        for pos in range(frame.body, len(data), _TABLE_SIZES[0])
        if (name := _text(data[pos + 4 : pos + 36]))
    }


def _text(name: bytes) -> str:
    return name[:31].split(b"\0", 1)[0].decode("utf-8", "replace")


# Tables of 1.1 and 1.2, with what they can do: fields as bits.

#: Fields of 1.1, by bit.
_FIELDS11: Final = (
    "in_port", "vlan_vid", "vlan_pcp", "eth_type", "nw_tos", "nw_proto", "tcp_src", "tcp_dst",
    "mpls_label", "mpls_tc", "", "eth_src", "eth_dst", "ip_src", "ip_dst", "metadata",
)  # fmt: skip
_OXM_CLASS: Final = 0x8000
_N_FIELDS12: Final = 36
_HEAD: Final = ">B7x32s"
_CAN11: Final = ">IIIIII"
_CAN12: Final = ">QQIIQQQQII"
_COUNTS: Final = ">IIQQ"
#: What a packet meets that no flow wants: the lowest bits.
_MISS_MASK: Final = 3
#: From goto_table to clear_actions.
_INSTRUCTIONS: Final = 0x3E
#: Actions that there are.
_ACTIONS11: Final = 0x01FFE7FF
_ACTIONS12: Final = 0x03FF8001


def _field_names(version: int) -> tuple[str, ...]:
    if version == m.OFP11_VERSION:
        return _FIELDS11
    known = (BY_CODE.get((_OXM_CLASS, 0, number)) for number in range(_N_FIELDS12))
    return tuple(found[0].name if found else "" for found in known)


def _fields(bits: int, version: int) -> tuple[str, ...]:
    names = _field_names(version)
    found = [name for n, name in enumerate(names) if name and bits >> n & 1]
    return tuple(sorted(found, key=field_set.rank))


def _bits(fields: tuple[str, ...], version: int) -> int:
    """In OpenFlow 1.2 also those of fields that only later versions have, which nobody reads."""
    if version == m.OFP11_VERSION:
        return sum(1 << n for n, name in enumerate(_FIELDS11) if name in fields)
    codes = (code_of(FIELD[name], version) for name in set(fields))
    return sum(1 << code.number for code in codes if code and code.klass == _OXM_CLASS)


def _read_table(data: bytes, pos: int, version: int) -> m.TableStats:
    table_id, name = unpack_from(_HEAD, data, pos)
    matched = written = set_write = set_apply = 0
    if version == m.OFP11_VERSION:
        wild, match, instructions, write, _, config = unpack_from(_CAN11, data, pos + 40)
        # The actions to apply are those to write, whatever the message says, as ever.
        apply = write
    else:
        (match, wild, write, apply, set_write, set_apply, matched, written, instructions,
         config) = unpack_from(_CAN12, data, pos + 40)  # fmt: skip
    max_entries, active, lookups, matches = unpack_from(
        _COUNTS, data, pos + _TABLE_SIZES[version - 1] - 24
    )
    known = _ACTIONS11 if version == m.OFP11_VERSION else _ACTIONS12
    able = m.InstructionFeatures(
        (), instructions & _INSTRUCTIONS, write & known, apply & known,
        _fields(set_write, version), _fields(set_apply, version),
    )  # fmt: skip
    features = m.TableFeatures(
        table_id, _text(name), matched, written, max_entries, _miss(config), able, able,
        _fields(match | wild, version), (), _fields(wild, version),
    )  # fmt: skip
    return m.TableStats(table_id, active, lookups, matches, _text(name), 0, max_entries, features)


def _miss(config: int) -> int:
    miss = config & _MISS_MASK
    if miss == _MISS_MASK:
        log.warn_rl("bad table miss config %d", miss)
        return 0
    return miss


def _write_table(t: m.TableStats, version: int) -> bytes:
    f = t.features or m.TableFeatures(t.table_id, t.name, 0, 0, t.max_entries)
    able = f.nonmiss
    match, wild = _bits(f.match, version), _bits(f.wildcards, version)
    actions = able.write_actions, able.apply_actions
    if version == m.OFP11_VERSION:
        can = pack(_CAN11, wild, match, able.instructions, *actions, f.config)
    else:
        sets = [_bits(names, version) for names in (able.write_set_fields, able.apply_set_fields)]
        can = pack(_CAN12, match, wild, *actions, *sets, f.metadata_match, f.metadata_write,
                   able.instructions, f.config)  # fmt: skip
    counts = pack(_COUNTS, t.max_entries, t.active_count, t.lookup_count, t.matched_count)
    return pack(_HEAD, t.table_id, t.name.encode()[:31]) + can + counts


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
    return _write_table(t, version)
