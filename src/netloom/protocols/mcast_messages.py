"""The messages of IGMP (RFC 1112, 2236, 3376) and MLD (RFC 2710, 3810), as a snooping bridge reads
them.

Sources that a member wants or not are not told apart: a group with any source is joined, one that
is to exclude nothing too; only "include nothing" is a leave.
"""

from __future__ import annotations

from struct import unpack_from

from netloom.packet.checksum import checksum, pseudo_sum
from netloom.packet.parse import parse
from netloom.protocols.mcast_snooping import Change, mapped

IGMP_QUERY, IGMP_REPORT_V1, IGMP_REPORT_V2, IGMP_LEAVE, IGMP_REPORT_V3 = (
    0x11, 0x12, 0x16, 0x17, 0x22,
)  # fmt: skip
MLD_QUERY, MLD_REPORT_V1, MLD_DONE, MLD_REPORT_V2 = 130, 131, 132, 143

IGMP_REPORTS = frozenset({IGMP_REPORT_V1, IGMP_REPORT_V2, IGMP_LEAVE, IGMP_REPORT_V3})
MLD_REPORTS = frozenset({MLD_REPORT_V1, MLD_DONE, MLD_REPORT_V2})
MLD_TYPES = MLD_REPORTS | {MLD_QUERY}

#: Kinds of record that, with no source, say that the group is left: MODE_IS_INCLUDE and
#: CHANGE_TO_INCLUDE_MODE.
_INCLUDES = frozenset({1, 3})
_IGMP_NAMES = {IGMP_REPORT_V1: "IGMPv1", IGMP_REPORT_V2: "IGMPv2", IGMP_LEAVE: "IGMPv2"}
_IGMP_LEN = 8
_MLD_LEN = 24


def read_igmp(packet: bytes) -> list[Change] | None:
    """The changes of an IGMP packet (none for a query); None if its checksum is wrong."""
    headers = parse(packet)
    message = packet[headers.l4 : headers.end] if headers.l4 >= 0 else b""
    if len(message) < _IGMP_LEN or checksum(message):
        return None
    kind = message[0]
    if kind == IGMP_REPORT_V3:
        return _records(message, 4, "IGMPv3")
    if kind not in _IGMP_NAMES:
        return []
    group = mapped(int.from_bytes(message[4:8], "big"))
    return [Change(group, kind != IGMP_LEAVE, _IGMP_NAMES[kind])]


def read_mld(packet: bytes) -> list[Change] | None:
    """The same of MLD."""
    headers = parse(packet)
    message = packet[headers.l4 : headers.end] if headers.l4 >= 0 else b""
    source, destination = packet[headers.l3 + 8 : headers.l3 + 24], packet[
        headers.l3 + 24 : headers.l3 + 40
    ]  # fmt: skip
    if len(message) < 8 or checksum(message, pseudo_sum(source, destination, 58, len(message))):
        return None
    kind = message[0]
    if kind == MLD_REPORT_V2:
        return _records(message, 16, "MLDv2")
    if kind not in (MLD_REPORT_V1, MLD_DONE) or len(message) < _MLD_LEN:
        return []
    return [Change(int.from_bytes(message[8:24], "big"), kind == MLD_REPORT_V1, "MLDv1")]


def _records(message: bytes, width: int, protocol: str) -> list[Change]:
    """The group records of a report, with addresses of `width` bytes; those that are cut off, and
    what follows them, count for nothing."""
    changes = []
    offset = 8
    for _ in range(unpack_from("!H", message, 6)[0]):
        head = offset + 4 + width
        if head > len(message):
            break
        kind, aux_len, n_sources = unpack_from("!BBH", message, offset)
        address = int.from_bytes(message[offset + 4 : head], "big")
        if width == 4:
            address = mapped(address)
        if 1 <= kind <= 6 and address:
            joins = bool(n_sources) or kind not in _INCLUDES
            changes.append(Change(address, joins, protocol))
        offset = head + n_sources * width + aux_len * 4
        if offset > len(message):
            break
    return changes
