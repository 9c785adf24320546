"""Messages of rtnetlink(7) as bytes, for what is asked too often, or too early, for pyroute2."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x200, 0x400
NLM_F_DUMP = 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
#: Length, type, flags, sequence number, port.
_HEADER = Struct("=IHHII")
_ATTRIBUTE = Struct("=HH")
#: Above it are flags about the value (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
_ATTRIBUTE_KIND = 0x3FFF


def request(kind: int, flags: int, body: bytes) -> bytes:
    """A request, with what follows its header."""
    return _HEADER.pack(_HEADER.size + len(body), kind, NLM_F_REQUEST | flags, 1, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, what follows the header) of the messages in `data`."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        yield kind, data[at + _HEADER.size : at + length]
        at += max(length + 3 & ~3, _HEADER.size)


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute, with its padding."""
    length = _ATTRIBUTE.size + len(data)
    return (_ATTRIBUTE.pack(length, kind) + data).ljust(length + 3 & ~3, b"\0")


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in `data` by their kinds; of one that came twice, the last."""
    found = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        found[kind & _ATTRIBUTE_KIND] = data[at + _ATTRIBUTE.size : at + length]
        at += max(length + 3 & ~3, _ATTRIBUTE.size)
    return found
