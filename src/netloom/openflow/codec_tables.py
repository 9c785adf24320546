"""Bytes of OpenFlow 1.4's messages about tables and about requests of others."""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.openflow import messages_tables as t
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import Frame, read_frame
from netloom.openflow.properties import find_properties

Encoded = tuple[str, bytes]

_EVICTION, _VACANCY = 2, 3


def _decode_desc(data: bytes, pos: int, version: int) -> tuple[t.TableDesc, int]:
    if len(data) - pos < 8:
        raise OpenFlowError("OFPBRC_BAD_LEN")
    size, table_id, config = unpack_from(">HBxI", data, pos)
    end = pos + size
    if size < 8 or end > len(data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    eviction: int | None = None
    vacancy: tuple[int, int, int] | None = None
    for kind, start, stop in find_properties(data, pos + 8, end):
        if kind in (_EVICTION, _VACANCY) and stop - start != 8:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        if kind == _EVICTION:
            (eviction,) = unpack_from(">I", data, start + 4)
        elif kind == _VACANCY:
            vacancy = unpack_from(">BBB", data, start + 4)
    return t.TableDesc(table_id, config, eviction, vacancy), end


def _encode_desc(desc: t.TableDesc) -> bytes:
    tail = b""
    if desc.eviction_flags is not None:
        tail += pack(">HHI", _EVICTION, 8, desc.eviction_flags)
    if desc.vacancy is not None:
        tail += pack(">HHBBBx", _VACANCY, 8, *desc.vacancy)
    return pack(">HBxI", 8 + len(tail), desc.table_id, desc.config) + tail


def decode_table_desc_request(frame: Frame, protocol: int) -> t.TableDescRequest:
    frame.exactly(0)
    return t.TableDescRequest()


def encode_table_desc_request(message: t.TableDescRequest, version: int, protocol: int) -> Encoded:
    return "OFPST_TABLE_DESC", b""


def decode_table_desc_reply(frame: Frame, protocol: int) -> t.TableDescReply:
    """How tables are configured."""
    return t.TableDescReply(frame.entries(_decode_desc), frame.more)


def encode_table_desc_reply(
    message: t.TableDescReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    return "OFPST_TABLE_DESC", [_encode_desc(desc) for desc in message.tables]


def decode_table_status(frame: Frame, protocol: int) -> t.TableStatus:
    """News of a table's vacancy."""
    pos = frame.need(8)
    reason = frame.data[pos]
    if reason not in (t.OFPTR_VACANCY_DOWN, t.OFPTR_VACANCY_UP):
        raise OpenFlowError("OFPBPC_BAD_VALUE")
    desc, _ = _decode_desc(frame.data, pos + 8, frame.version)
    return t.TableStatus(reason, desc)


def encode_table_status(message: t.TableStatus, version: int, protocol: int) -> Encoded:
    return "OFPT_TABLE_STATUS", pack(">B7x", message.reason) + _encode_desc(message.table)


FORWARDED = ("OFPT_GROUP_MOD", "NXT_GROUP_MOD", "OFPT_METER_MOD")


def decode_request_forward(frame: Frame, protocol: int) -> t.RequestForward:
    """A request of another controller."""
    pos = frame.need(8)
    size = int.from_bytes(frame.data[pos + 2 : pos + 4], "big")
    if size < 8 or pos + size > len(frame.data):
        raise OpenFlowError("OFPBFC_MSG_BAD_LEN")
    data = frame.data[pos : pos + size]
    if data[0] != frame.version:
        raise OpenFlowError("OFPBRC_BAD_VERSION")
    if read_frame(data).row.name not in FORWARDED:
        raise OpenFlowError("OFPBFC_MSG_UNSUP")
    return t.RequestForward(data)


def encode_request_forward(message: t.RequestForward, version: int, protocol: int) -> Encoded:
    owner = "NXT" if version < 4 else "ONFT" if version == 4 else "OFPT"
    return f"{owner}_REQUESTFORWARD", message.data
