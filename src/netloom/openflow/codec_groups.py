"""Bytes of groups: changes, descriptions, statistics, features.

Buckets have two layouts: a fixed one in OpenFlow 1.1 to 1.4, and one with properties in 1.5 and in
the Nicira form of 1.0.
"""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.base.log import get_logger
from netloom.base.record import replace
from netloom.flow.fields import FIELD
from netloom.flow.ports import port_from_of11
from netloom.openflow import messages_groups as g
from netloom.openflow.action_decode import decode_action_list
from netloom.openflow.action_encode import encode_actions
from netloom.openflow.constants import OFP13_VERSION, OFPG_ANY, OFPP_ANY
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import Frame
from netloom.openflow.oxm import decode_field_header, encode_field_header
from netloom.openflow.properties import check_number, find_properties, unknown_property

log = get_logger("ofp_group")

Encoded = tuple[str, bytes]

_NTR_VENDOR_ID = 0x0000154D
_NTR_SELECTION_METHOD = 1
#: The second is that of Open vSwitch 2.4.
_NTR_METHODS = ((_NTR_VENDOR_ID, _NTR_SELECTION_METHOD), (0x00001540, _NTR_SELECTION_METHOD))
_WEIGHT, _WATCH_PORT, _WATCH_GROUP = range(3)


def _has_properties(version: int) -> bool:
    return version in (1, 6)


# Buckets


def _watched(port: int) -> int:
    known = port_from_of11(port)
    if known is None:
        raise OpenFlowError("OFPGMFC_BAD_WATCH")
    return known


def _bucket_size(data: bytes, pos: int, end: int, least: int) -> int:
    if end - pos < least:
        log.warn_rl("buckets end with %d leftover bytes", end - pos)
        raise OpenFlowError("OFPGMFC_BAD_BUCKET")
    size = int.from_bytes(data[pos : pos + 2], "big")
    if size < least:
        log.warn_rl("OpenFlow message bucket length %d is not valid", size)
        raise OpenFlowError("OFPGMFC_BAD_BUCKET")
    if pos + size > end:
        log.warn_rl("OpenFlow message bucket length %d exceeds remaining buckets data size %d",
                    size, end - pos)  # fmt: skip
        raise OpenFlowError("OFPGMFC_BAD_BUCKET")
    return size


def _decode_fixed(data: bytes, pos: int, end: int, version: int) -> tuple[g.Bucket, ...]:
    buckets: list[g.Bucket] = []
    while pos < end:
        size = _bucket_size(data, pos, end, 16)
        weight, port, group = unpack_from(">HII", data, pos + 2)
        actions = decode_action_list(data[pos + 16 : pos + size], version)
        buckets.append(g.Bucket(actions, len(buckets), weight, _watched(port), group))
        pos += size
    return tuple(buckets)


def _decode_flexible(
    data: bytes, pos: int, end: int, version: int, group_type: int
) -> tuple[g.Bucket, ...]:
    buckets: list[g.Bucket] = []
    seen: set[int] = set()
    while pos < end:
        size = _bucket_size(data, pos, end, 8)
        actions_len, bucket_id = unpack_from(">HI", data, pos + 2)
        if actions_len > size - 8:
            log.warn_rl("OpenFlow message bucket actions length %d exceeds remaining bucket data "
                        "size %d", actions_len, size - 8)  # fmt: skip
            raise OpenFlowError("OFPGMFC_BAD_BUCKET")
        after = pos + 8 + actions_len
        actions = decode_action_list(data[pos + 8 : after], version)
        weight, port, group = _bucket_properties(data, after, pos + size, group_type)
        if bucket_id > g.OFPG_BUCKET_MAX:
            log.warn_rl("bucket id (%d) is out of range", bucket_id)
            raise OpenFlowError("OFPGMFC_BAD_BUCKET")
        if bucket_id in seen:
            log.warn_rl("Duplicate bucket id")
            raise OpenFlowError("OFPGMFC_BAD_BUCKET")
        seen.add(bucket_id)
        buckets.append(g.Bucket(actions, bucket_id, weight, port, group))
        pos += size
    return tuple(buckets)


def _bucket_properties(data: bytes, pos: int, end: int, group_type: int) -> tuple[int, int, int]:
    weight = int(group_type == g.OFPGT_SELECT)
    port, group = OFPP_ANY, OFPG_ANY
    for kind, start, stop in find_properties(data, pos, end):
        if kind not in (_WEIGHT, _WATCH_PORT, _WATCH_GROUP):
            raise unknown_property(data, start)
        check_number(start, stop, 2 if kind == _WEIGHT else 4)
        if kind == _WEIGHT:
            (weight,) = unpack_from(">H", data, start + 4)
        elif kind == _WATCH_PORT:
            port = _watched(unpack_from(">I", data, start + 4)[0])
        else:
            (group,) = unpack_from(">I", data, start + 4)
    return weight, port, group


def _encode_bucket(bucket: g.Bucket, version: int, group_type: int) -> bytes:
    actions = encode_actions(bucket.actions, version)
    if not _has_properties(version):
        head = pack(">HHII4x", 16 + len(actions), bucket.weight, bucket.watch_port,
                    bucket.watch_group)  # fmt: skip
        return head + actions
    properties = b""
    if group_type == g.OFPGT_SELECT or bucket.weight:
        properties += pack(">HHH2x", _WEIGHT, 8, bucket.weight)
    if bucket.watch_port != OFPP_ANY:
        properties += pack(">HHI", _WATCH_PORT, 8, bucket.watch_port)
    if bucket.watch_group != OFPG_ANY:
        properties += pack(">HHI", _WATCH_GROUP, 8, bucket.watch_group)
    size = 8 + len(actions) + len(properties)
    return pack(">HHI", size, len(actions), bucket.bucket_id) + actions + properties


def _encode_buckets(buckets: tuple[g.Bucket, ...], version: int, group_type: int) -> bytes:
    if _has_properties(version):
        buckets = _numbered(buckets)
    return b"".join([_encode_bucket(bucket, version, group_type) for bucket in buckets])


def _numbered(buckets: tuple[g.Bucket, ...]) -> tuple[g.Bucket, ...]:
    """Buckets without a number get one that no bucket after the first such has."""
    free: list[int] = [place for place, b in enumerate(buckets) if b.bucket_id > g.OFPG_BUCKET_MAX]
    if not free:
        return buckets
    used = {bucket.bucket_id for bucket in buckets[free[0] :]}
    numbers = iter(number for number in range(len(buckets) * 2) if number not in used)
    return tuple(
        replace(bucket, bucket_id=next(numbers)) if place in free else bucket
        for place, bucket in enumerate(buckets)
    )


# The selection method, a property of the group


def _bad_property(text: str, *args: object) -> OpenFlowError:
    log.warn_rl(text, *args)
    return OpenFlowError("OFPBPC_BAD_VALUE")


def _decode_group_properties(
    data: bytes, pos: int, end: int, version: int, group_type: int, command: int
) -> g.GroupProperties:
    found = g.NO_PROPERTIES
    for kind, start, stop in find_properties(data, pos, end):
        if kind != 0xFFFF or unpack_from(">II", data, start + 4) not in _NTR_METHODS:
            raise unknown_property(data, start)
        found = _decode_selection(data, start, stop, version, group_type, command)
    return found


def _decode_selection(
    data: bytes, start: int, stop: int, version: int, group_type: int, command: int
) -> g.GroupProperties:
    if group_type > g.OFPGT_FF:
        raise OpenFlowError("OFPGMFC_BAD_TYPE")
    if group_type != g.OFPGT_SELECT:
        raise _bad_property("ntr selection method property is only allowed for select groups")
    if command not in _COMMANDS:
        raise OpenFlowError("OFPGMFC_BAD_COMMAND")
    if command not in (g.OFPGC_ADD, g.OFPGC_MODIFY, g.OFPGC_ADD_OR_MOD):
        raise _bad_property(
            "ntr selection method property is only allowed for add and delete group modifications"
        )
    if stop - start < 40:
        log.dbg("ntr selection method property length %d is not valid", stop - start)
        raise OpenFlowError("OFPBPC_BAD_LEN")
    name = data[start + 16 : start + 32]
    if b"\0" not in name:
        raise _bad_property("ntr selection method is not null terminated")
    method = name.split(b"\0", 1)[0].decode("ascii", "replace")
    if method not in ("hash", "dp_hash"):
        raise _bad_property("ntr selection method '%s' is not supported", method)
    (param,) = unpack_from(">Q", data, start + 32)
    fields = _decode_fields(data, start + 40, stop)
    if fields and method != "hash":
        raise _bad_property("ntr selection method %s does not support fields", method)
    return g.GroupProperties(method, param, fields)


def _decode_fields(data: bytes, pos: int, end: int) -> tuple[tuple[str, int], ...]:
    found: dict[str, int] = {}
    while pos < end:
        if pos + 4 > end or pos + 4 + data[pos + 3] > end:
            raise OpenFlowError("OFPBMC_BAD_LEN")
        if data[pos + 2] & 1:
            # Said of unknown fields, too.
            raise OpenFlowError("OFPBMC_BAD_MASK")
        field, _, after = decode_field_header(data, pos)
        size = (field.bits + 7) // 8
        if field.name in found:
            raise OpenFlowError("OFPBMC_DUP_FIELD")
        found[field.name] = int.from_bytes(data[after : after + size], "big")
        pos = after + size
    return in_order(tuple(found.items()))


def in_order(fields: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    """`fields` in the order of the field table, in which they are written and printed."""
    order = {name: place for place, name in enumerate(FIELD)}
    return tuple(sorted(fields, key=lambda pair: order[pair[0]]))


def _encode_group_properties(properties: g.GroupProperties, version: int) -> bytes:
    if not properties.selection_method:
        return b""
    fields = b""
    for name, value in in_order(properties.fields):
        field = FIELD[name]
        fields += encode_field_header(field, version)
        fields += value.to_bytes((field.bits + 7) // 8, "big")
    size = 40 + len(fields)
    head = pack(">HHII4x16sQ", 0xFFFF, size, _NTR_VENDOR_ID, _NTR_SELECTION_METHOD,
                properties.selection_method.encode()[:15],
                properties.selection_method_param)  # fmt: skip
    return head + fields + bytes(-size % 8)


# Group mod


def decode_group_mod(frame: Frame, protocol: int) -> g.GroupMod:
    """Read a group mod from its bytes."""
    pos = frame.need(8)
    data, version = frame.data, frame.version
    command, kind, group_id = unpack_from(">HBxI", data, pos)
    if not _has_properties(version):
        buckets = _decode_fixed(data, pos + 8, len(data), version)
        if buckets and command == g.OFPGC_DELETE and version >= OFP13_VERSION:
            raise OpenFlowError("OFPGMFC_INVALID_GROUP")
        mod = g.GroupMod(command, group_id, kind, buckets)
    else:
        mod = _decode_flexible_mod(frame, command, kind, group_id)
    _check(mod)
    return mod


def _decode_flexible_mod(frame: Frame, command: int, kind: int, group_id: int) -> g.GroupMod:
    pos = frame.need(16)
    data, version = frame.data, frame.version
    buckets_len, bucket_id = unpack_from(">H2xI", data, pos + 8)
    _check_command_bucket(command, bucket_id)
    end = pos + 16 + buckets_len
    if end > len(data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    buckets = _decode_flexible(data, pos + 16, end, version, kind)
    properties = _decode_group_properties(data, end, len(data), version, kind, command)
    return g.GroupMod(command, group_id, kind, buckets, bucket_id, properties)


def _check_command_bucket(command: int, bucket_id: int) -> None:
    special = (g.OFPG_BUCKET_FIRST, g.OFPG_BUCKET_LAST)
    if command == g.OFPGC_REMOVE_BUCKET:
        special += (g.OFPG_BUCKET_ALL,)  # type: ignore[assignment]
    if command in (g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET):
        if bucket_id > g.OFPG_BUCKET_MAX and bucket_id not in special:
            log.warn_rl("group command bucket id (%d) is out of range", bucket_id)
            raise OpenFlowError("OFPGMFC_BAD_BUCKET")
    elif bucket_id != g.OFPG_BUCKET_ALL:
        log.warn_rl("group command bucket id is not OFPG15_BUCKET_ALL")
        raise OpenFlowError("OFPGMFC_BAD_BUCKET")


#: Those that are written where buckets have no numbers; all of them are read there.
_OLD_COMMANDS = (g.OFPGC_ADD, g.OFPGC_MODIFY, g.OFPGC_DELETE, g.OFPGC_ADD_OR_MOD)
_COMMANDS = (*_OLD_COMMANDS, g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET)


def _check(mod: g.GroupMod) -> None:
    """What can be seen from the message alone."""
    if mod.type > g.OFPGT_FF:
        raise OpenFlowError("OFPGMFC_BAD_TYPE")
    if mod.type == g.OFPGT_INDIRECT and mod.command != g.OFPGC_DELETE and len(mod.buckets) != 1:
        raise OpenFlowError("OFPGMFC_INVALID_GROUP")
    if mod.command == g.OFPGC_REMOVE_BUCKET and mod.buckets:
        raise OpenFlowError("OFPGMFC_BAD_BUCKET")
    if mod.command not in _COMMANDS:
        raise OpenFlowError("OFPGMFC_BAD_COMMAND")
    weighted = mod.type == g.OFPGT_SELECT or mod.command == g.OFPGC_INSERT_BUCKET
    for bucket in mod.buckets:
        lives = bucket.watch_port != OFPP_ANY or bucket.watch_group != OFPG_ANY
        if bucket.weight and not weighted:
            raise OpenFlowError("OFPGMFC_INVALID_GROUP")
        if mod.type == g.OFPGT_FF and not lives:
            raise OpenFlowError("OFPGMFC_INVALID_GROUP")
        if mod.type in (g.OFPGT_ALL, g.OFPGT_INDIRECT) and lives:
            raise OpenFlowError("OFPGMFC_WATCH_UNSUPPORTED")


def encode_group_mod(message: g.GroupMod, version: int, protocol: int) -> Encoded:
    """The row and the bytes of a group mod."""
    buckets = _encode_buckets(message.buckets, version, message.type)
    if _has_properties(version):
        head = pack(">HBxIH2xI", message.command, message.type, message.group_id, len(buckets),
                    message.command_bucket_id)  # fmt: skip
        body = head + buckets + _encode_group_properties(message.properties, version)
        return "NXT_GROUP_MOD" if version == 1 else "OFPT_GROUP_MOD", body
    if message.command not in _OLD_COMMANDS:
        raise OpenFlowError("OFPGMFC_BAD_COMMAND")
    head = pack(">HBxI", message.command, message.type, message.group_id)
    return "OFPT_GROUP_MOD", head + buckets


# Requests


def _encode_id(group_id: int) -> bytes:
    return pack(">I4x", group_id)


def _name(name: str, nicira: bool) -> str:
    return ("NXST_" if nicira else "OFPST_") + name


def decode_group_stats_request(frame: Frame, protocol: int) -> g.GroupStatsRequest:
    return g.GroupStatsRequest(*unpack_from(">I", frame.data, frame.exactly(8)))


def encode_group_stats_request(
    message: g.GroupStatsRequest, version: int, protocol: int
) -> Encoded:
    return _name("GROUP", version == 1), _encode_id(message.group_id)


def decode_group_desc_request(frame: Frame, protocol: int) -> g.GroupDescRequest:
    if not _has_properties(frame.version):
        frame.exactly(0)
        return g.GroupDescRequest()
    return g.GroupDescRequest(*unpack_from(">I", frame.data, frame.exactly(8)))


def encode_group_desc_request(message: g.GroupDescRequest, version: int, protocol: int) -> Encoded:
    body = _encode_id(message.group_id) if _has_properties(version) else b""
    return _name("GROUP_DESC", version == 1), body


def decode_group_features_request(frame: Frame, protocol: int) -> g.GroupFeaturesRequest:
    frame.exactly(0)
    return g.GroupFeaturesRequest()


def encode_group_features_request(
    message: g.GroupFeaturesRequest, version: int, protocol: int
) -> Encoded:
    return _name("GROUP_FEATURES", version < 3), b""


# Replies


def decode_group_stats_reply(frame: Frame, protocol: int) -> g.GroupStatsReply:
    """Read a group stats reply from its bytes."""
    return g.GroupStatsReply(frame.entries(_read_stats), frame.more)


def _read_stats(data: bytes, pos: int, version: int) -> tuple[g.GroupStats, int]:
    timed = version not in (2, 3)
    least = 40 if timed else 32
    if len(data) - pos < least:
        raise OpenFlowError("OFPBRC_BAD_LEN")
    size, group_id, refs, packets, octets = unpack_from(">H2xII4xQQ", data, pos)
    # What is left over of its size belongs to the next one.
    end = pos + least + max(size - least, 0) // 16 * 16
    if size < least or end > len(data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    sec, nsec = unpack_from(">II", data, pos + 32) if timed else (0xFFFFFFFF, 0xFFFFFFFF)
    counters = tuple(
        g.BucketCounter(*unpack_from(">QQ", data, at)) for at in range(pos + least, end, 16)
    )
    return g.GroupStats(group_id, refs, packets, octets, sec, nsec, counters), end


def encode_group_stats_reply(
    message: g.GroupStatsReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    """The row and the bytes of a group stats reply."""
    entries = []
    for group in message.groups:
        tail = b"" if version in (2, 3) else pack(">II", group.duration_sec, group.duration_nsec)
        tail += b"".join(pack(">QQ", c.packet_count, c.byte_count) for c in group.buckets)
        head = pack(">H2xII4xQQ", 32 + len(tail), group.group_id, group.ref_count,
                    group.packet_count, group.byte_count)  # fmt: skip
        entries.append(head + tail)
    return _name("GROUP", version == 1), entries


def decode_group_desc_reply(frame: Frame, protocol: int) -> g.GroupDescReply:
    """Read a group desc reply from its bytes."""
    return g.GroupDescReply(frame.entries(_read_desc), frame.more)


def _read_desc(data: bytes, pos: int, version: int) -> tuple[g.GroupDesc, int]:
    flexible = _has_properties(version)
    least = 16 if flexible else 8
    if len(data) - pos < least:
        raise OpenFlowError("OFPBRC_BAD_LEN")
    size, kind, group_id = unpack_from(">HBxI", data, pos)
    if size < least or pos + size > len(data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    if flexible:
        (buckets_len,) = unpack_from(">H", data, pos + 8)
        end = pos + 16 + buckets_len
        if end > pos + size:
            raise OpenFlowError("OFPBRC_BAD_LEN")
        buckets = _decode_flexible(data, pos + 16, end, version, kind)
        properties = _decode_group_properties(data, end, pos + size, version, kind, g.OFPGC_ADD)
    else:
        buckets = _decode_fixed(data, pos + 8, pos + size, version)
        properties = g.NO_PROPERTIES
    return g.GroupDesc(group_id, kind, buckets, properties), pos + size


def _encode_desc(group: g.GroupDesc, version: int) -> bytes:
    buckets = _encode_buckets(group.buckets, version, group.type)
    if not _has_properties(version):
        return pack(">HBxI", 8 + len(buckets), group.type, group.group_id) + buckets
    tail = _encode_group_properties(group.properties, version)
    size = 16 + len(buckets) + len(tail)
    return pack(">HBxIH6x", size, group.type, group.group_id, len(buckets)) + buckets + tail


def encode_group_desc_reply(
    message: g.GroupDescReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    entries = [_encode_desc(group, version) for group in message.groups]
    return _name("GROUP_DESC", version == 1), entries


def decode_group_features_reply(frame: Frame, protocol: int) -> g.GroupFeaturesReply:
    words = unpack_from(">10I", frame.data, frame.exactly(40))
    return g.GroupFeaturesReply(words[0], words[1], words[2:6], words[6:10], frame.more)


def encode_group_features_reply(
    message: g.GroupFeaturesReply, version: int, protocol: int
) -> Encoded:
    body = pack(">10I", message.types, message.capabilities, *message.max_groups, *message.actions)
    return _name("GROUP_FEATURES", version < 3) + "+", body
