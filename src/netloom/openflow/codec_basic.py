"""Bytes of the messages about the connection and the switch itself: hello, errors, echo, switch
configuration, barriers, roles, which asynchronous messages to send."""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.base.log import get_logger
from netloom.openflow import error_table, properties
from netloom.openflow import messages as m
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

log: Final = get_logger("ofp_connection")
_hello_log: Final = get_logger("ofp_util")

#: What an encoder returns: the name of the row of the message table ("+" after it for a multipart
#: reply), and the body.
Encoded = tuple[str, bytes]


# Hello: since 1.3 elements may follow, of which type 1 is a bitmap of versions.


#: The highest version that a bitmap of 32 bits can name.
_MAX_VERSION = 31


def read_hello(data: bytes) -> tuple[tuple[int, ...], bool]:
    """The versions that a hello names, and whether all of it was understood."""
    versions = tuple(range(1, min(data[0], _MAX_VERSION) + 1))
    understood = True
    pos = 8
    while pos < len(data):
        if pos + 4 > len(data):
            return versions, False
        kind, size = unpack_from(">HH", data, pos)
        after = pos + (size + 7 & ~7)
        if size < 4 or after > len(data):
            return versions, False
        named: tuple[int, ...] = ()
        if kind == 1 and size > 4 and size % 4 == 0:
            named = _read_bitmap(int.from_bytes(data[pos + 4 : pos + 8], "big"))
        if named:
            versions = named
        else:
            understood = False
        pos = after
    return versions, understood


def _read_bitmap(bitmap: int) -> tuple[int, ...]:
    if bitmap & 1:
        _hello_log.warn_rl("peer claims to support invalid OpenFlow version 0x00")
    versions = tuple(n for n in range(1, _MAX_VERSION + 1) if bitmap >> n & 1)
    if not versions:
        _hello_log.warn_rl(
            "peer does not support any OpenFlow version (between 0x01 and 0x%02x)", _MAX_VERSION
        )
    return versions


def decode_hello(frame: Frame, protocol: int) -> m.Hello:
    return m.Hello(*read_hello(frame.data))


def encode_hello(message: m.Hello, version: int, protocol: int) -> Encoded:
    """A bitmap is needed only if not all versions up to the highest are spoken."""
    if message.versions == tuple(range(1, len(message.versions) + 1)):
        return "OFPT_HELLO", b""
    return "OFPT_HELLO", pack(">HHI", 1, 8, sum(1 << n for n in message.versions))


# Errors


def decode_error(frame: Frame, protocol: int) -> m.Error:
    pos = frame.need(4)
    kind, code = unpack_from(">HH", frame.data, pos)
    vendor = 0
    pos += 4
    if (kind, code) == (error_table.NXET_VENDOR, 0) and frame.version <= 2:
        vendor, kind, code = unpack_from(">IHH", frame.data, pos)
        pos += 8
    elif kind == error_table.OFPET_EXPERIMENTER and frame.version >= 2:
        kind, code = code, 0
        (vendor,) = unpack_from(">I", frame.data, pos)
        pos += 4
    name = error_table.error_name(frame.version, vendor, kind, code)
    return m.Error(name, frame.data[pos:], kind, code, vendor)


def encode_error(message: m.Error, version: int, protocol: int) -> Encoded:
    vendor, kind, code = message.vendor, message.type, message.code
    if message.name:
        vendor, kind, code = error_table.error_number(message.name, version)
    if not vendor:
        head = pack(">HH", kind, code)
    elif version <= 2:
        head = pack(">HHIHH", error_table.NXET_VENDOR, 0, vendor, kind, code)
    else:
        head = pack(">HHI", error_table.OFPET_EXPERIMENTER, kind, vendor)
    return "OFPT_ERROR", head + message.data


def decode_echo_request(frame: Frame, protocol: int) -> m.EchoRequest:
    return m.EchoRequest(frame.data[8:])


def encode_echo_request(message: m.EchoRequest, version: int, protocol: int) -> Encoded:
    return "OFPT_ECHO_REQUEST", message.data


def decode_echo_reply(frame: Frame, protocol: int) -> m.EchoReply:
    return m.EchoReply(frame.data[8:])


def encode_echo_reply(message: m.EchoReply, version: int, protocol: int) -> Encoded:
    return "OFPT_ECHO_REPLY", message.data


def encode_experimenter(message: m.Experimenter, version: int, protocol: int) -> Encoded:
    return "", pack(">II", message.vendor, message.subtype) + message.data


# Messages without a body


def decode_features_request(frame: Frame, protocol: int) -> m.FeaturesRequest:
    frame.exactly(0)
    return m.FeaturesRequest()


def encode_features_request(message: m.FeaturesRequest, version: int, protocol: int) -> Encoded:
    return "OFPT_FEATURES_REQUEST", b""


def decode_get_config_request(frame: Frame, protocol: int) -> m.GetConfigRequest:
    frame.exactly(0)
    return m.GetConfigRequest()


def encode_get_config_request(message: m.GetConfigRequest, version: int, protocol: int) -> Encoded:
    return "OFPT_GET_CONFIG_REQUEST", b""


def decode_barrier_request(frame: Frame, protocol: int) -> m.BarrierRequest:
    frame.exactly(0)
    return m.BarrierRequest()


def encode_barrier_request(message: m.BarrierRequest, version: int, protocol: int) -> Encoded:
    return "OFPT_BARRIER_REQUEST", b""


def decode_barrier_reply(frame: Frame, protocol: int) -> m.BarrierReply:
    frame.exactly(0)
    return m.BarrierReply()


def encode_barrier_reply(message: m.BarrierReply, version: int, protocol: int) -> Encoded:
    return "OFPT_BARRIER_REPLY", b""


def decode_get_async_request(frame: Frame, protocol: int) -> m.GetAsyncRequest:
    frame.exactly(0)
    return m.GetAsyncRequest()


def encode_get_async_request(message: m.GetAsyncRequest, version: int, protocol: int) -> Encoded:
    return "OFPT_GET_ASYNC_REQUEST", b""


def decode_flow_age(frame: Frame, protocol: int) -> m.FlowAge:
    frame.exactly(0)
    return m.FlowAge()


def encode_flow_age(message: m.FlowAge, version: int, protocol: int) -> Encoded:
    return "NXT_FLOW_AGE", b""


# Configuration


def decode_get_config_reply(frame: Frame, protocol: int) -> m.GetConfigReply:
    return m.GetConfigReply(*unpack_from(">HH", frame.data, frame.exactly(4)))


def encode_get_config_reply(message: m.GetConfigReply, version: int, protocol: int) -> Encoded:
    return "OFPT_GET_CONFIG_REPLY", pack(">HH", message.flags, message.miss_send_len)


def decode_set_config(frame: Frame, protocol: int) -> m.SetConfig:
    flags, miss_send_len = unpack_from(">HH", frame.data, frame.exactly(4))
    known = m.OFPC_FRAG_MASK
    if frame.version < m.OFP13_VERSION:
        known |= m.OFPC_INVALID_TTL_TO_CONTROLLER
    if flags & ~known:
        raise OpenFlowError("OFPSCFC_BAD_FLAGS")
    return m.SetConfig(flags, miss_send_len)


def encode_set_config(message: m.SetConfig, version: int, protocol: int) -> Encoded:
    return "OFPT_SET_CONFIG", pack(">HH", message.flags, message.miss_send_len)


_EVICTION, _VACANCY = 2, 3
_PERCENT = 100


def decode_table_mod(frame: Frame, protocol: int) -> m.TableMod:
    pos = frame.need(8)
    table_id, config = unpack_from(">B3xI", frame.data, pos)
    if frame.version < 5:
        frame.exactly(8)
        return m.TableMod(table_id, config)
    eviction: int | None = None
    vacancy: tuple[int, int] | None = None
    for kind, start, stop in properties.find_properties(frame.data, pos + 8, len(frame.data)):
        if kind not in (_EVICTION, _VACANCY):
            raise OpenFlowError("OFPBRC_BAD_TYPE")
        if stop - start != 8:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        if kind == _EVICTION:
            (eviction,) = unpack_from(">I", frame.data, start + 4)
        else:
            low, high, now = unpack_from(">BBB", frame.data, start + 4)
            if low > high or high > _PERCENT or now:
                raise OpenFlowError("OFPBPC_BAD_VALUE")
            vacancy = low, high
    return m.TableMod(table_id, config, eviction, vacancy)


def encode_table_mod(message: m.TableMod, version: int, protocol: int) -> Encoded:
    out = pack(">B3xI", message.table_id, message.config)
    if version >= 5:
        if message.eviction_flags is not None:
            out += pack(">HHI", 2, 8, message.eviction_flags)
        if message.vacancy is not None:
            out += pack(">HHBB2x", 3, 8, *message.vacancy)
    return "OFPT_TABLE_MOD", out


# Roles. Nicira's numbers are one less: they have no "no change".


def _decode_role(frame: Frame) -> tuple[int, int | None, bool]:
    if frame.row.name.startswith("NXT"):
        (role,) = unpack_from(">I", frame.data, frame.exactly(4))
        if role > 2:
            raise OpenFlowError("OFPRRFC_BAD_ROLE")
        return role + 1, None, frame.version >= m.OFP12_VERSION
    role, generation = unpack_from(">I4xQ", frame.data, frame.exactly(16))
    if role > 3:
        raise OpenFlowError("OFPRRFC_BAD_ROLE")
    given = generation != m.UNKNOWN
    if frame.row.name.endswith("REQUEST"):
        given &= role != m.OFPCR_ROLE_NOCHANGE
    return role, generation if given else None, False


def _encode_role(role: int, generation: int | None, nx: bool, version: int) -> tuple[str, bytes]:
    if nx or version < m.OFP12_VERSION:
        return "NXT_ROLE_", pack(">I", role - 1)
    return "OFPT_ROLE_", pack(">I4xQ", role, m.UNKNOWN if generation is None else generation)


def decode_role_request(frame: Frame, protocol: int) -> m.RoleRequest:
    return m.RoleRequest(*_decode_role(frame))


def encode_role_request(message: m.RoleRequest, version: int, protocol: int) -> Encoded:
    generation = message.generation_id
    if generation is None:
        generation = 0
    prefix, body = _encode_role(message.role, generation, message.nx, version)
    return prefix + "REQUEST", body


def decode_role_reply(frame: Frame, protocol: int) -> m.RoleReply:
    return m.RoleReply(*_decode_role(frame))


def encode_role_reply(message: m.RoleReply, version: int, protocol: int) -> Encoded:
    prefix, body = _encode_role(message.role, message.generation_id, message.nx, version)
    return prefix + "REPLY", body


def decode_role_status(frame: Frame, protocol: int) -> m.RoleStatus:
    role, reason, generation = unpack_from(">IB3xQ", frame.data, frame.need(16))
    if role > m.OFPCR_ROLE_SECONDARY:
        raise OpenFlowError("OFPRRFC_BAD_ROLE")
    return m.RoleStatus(role, reason, generation)


def encode_role_status(message: m.RoleStatus, version: int, protocol: int) -> Encoded:
    body = pack(">IB3xQ", message.role, message.reason, message.generation_id)
    return "ONFT_ROLE_STATUS" if version == m.OFP13_VERSION else "OFPT_ROLE_STATUS", body


# Which asynchronous messages to send: three pairs of masks; from 1.4 as properties, of which the
# even ones are for the secondary role.


#: Messages that have properties in 1.3 too.
_ASYNC2: Final = "NXT_SET_ASYNC_CONFIG2"


def _decode_async(frame: Frame, unset: int) -> m.AsyncConfig:
    """`unset` is the mask of what properties do not mention."""
    name = frame.row.name
    if name == _ASYNC2 or (frame.version >= 5 and not name.startswith("NXT")):
        return _decode_async_properties(frame, unset)
    words = unpack_from(">6I", frame.data, frame.exactly(24))
    allowed = _ASYNC_KNOWN_BEFORE if frame.version < 5 else _ASYNC_KNOWN_14
    masks = [word & known for word, known in zip(words, allowed)]
    return m.AsyncConfig((masks[0], masks[1]), (masks[2], masks[3]), (masks[4], masks[5]))


#: Reasons that there are: of packet-in, port status, removed flows, role, table, request forward.
_ASYNC_NAMES: Final = (
    "PACKET_IN", "PORT_STATUS", "FLOW_REMOVED", "ROLE_STATUS", "TABLE_STATUS", "REQUESTFORWARD",
)  # fmt: skip
_ASYNC_KNOWN: Final = (0x3F, 0x7, 0x3F, 0x7, 0x18, 0x3)
#: Those before OpenFlow 1.4: its two reasons for packet-ins more are no news there.
_ASYNC_KNOWN_TO_NICIRA: Final = (0x7, *_ASYNC_KNOWN[1:])
#: Those of the fixed form, for each role; others are passed over.
_ASYNC_KNOWN_BEFORE: Final = (0x7, 0x7, 0x7, 0x7, 0x3F, 0x3F)
_ASYNC_KNOWN_14: Final = (0x3F, 0x3F, *_ASYNC_KNOWN_BEFORE[2:])


def _decode_async_properties(frame: Frame, unset: int) -> m.AsyncConfig:
    known = _ASYNC_KNOWN if frame.version >= m.OFP14_VERSION else _ASYNC_KNOWN_TO_NICIRA
    masks = [unset] * 12
    told = frame.row.name == "OFPT_GET_ASYNC_REPLY"
    for kind, start, stop in properties.find_properties(
        frame.data, frame.body, len(frame.data), 0xFFFE
    ):
        if kind < len(masks):
            if stop - start != 8:
                raise OpenFlowError("OFPBPC_BAD_LEN")
            (mask,) = unpack_from(">I", frame.data, start + 4)
            if mask & ~known[kind // 2] and not told:
                log.warn_rl(
                    "bad value %#x for %s (allowed mask %#x)",
                    mask, _ASYNC_NAMES[kind // 2], known[kind // 2],
                )  # fmt: skip
                raise OpenFlowError("OFPACFC_INVALID")
            masks[kind ^ 1] = mask & known[kind // 2]
        elif not told:
            if kind == properties.EXPERIMENTER:
                raise properties.unknown_property(frame.data, start)
            log.warn_rl("unknown async config property type %d", kind)
            raise OpenFlowError("OFPACFC_UNSUPPORTED")
    return m.AsyncConfig(*[(masks[n], masks[n + 1]) for n in range(0, len(masks), 2)])


def _encode_async(config: m.AsyncConfig, properties: bool) -> bytes:
    words: tuple[int, ...] = (*config.packet_in, *config.port_status, *config.flow_removed)
    if not properties:
        return pack(">6I", *words)
    words += (*config.role_status, *config.table_status, *config.requestforward)
    return b"".join(
        pack(">HHI", n, 8, words[n ^ 1]) for n in range(12) if words[n ^ 1] != m.ASYNC_UNSET
    )


def decode_get_async_reply(frame: Frame, protocol: int) -> m.GetAsyncReply:
    return m.GetAsyncReply(_decode_async(frame, 0))


def encode_get_async_reply(message: m.GetAsyncReply, version: int, protocol: int) -> Encoded:
    return "OFPT_GET_ASYNC_REPLY", _encode_async(message.config, version >= 5)


def decode_set_async(frame: Frame, protocol: int) -> m.SetAsync:
    return m.SetAsync(_decode_async(frame, m.ASYNC_UNSET))


def encode_set_async(message: m.SetAsync, version: int, protocol: int) -> Encoded:
    config = message.config
    if version < 4:
        return "NXT_SET_ASYNC_CONFIG", _encode_async(config, False)
    if version == 4 and any((*config.role_status, *config.table_status, *config.requestforward)):
        return _ASYNC2, _encode_async(config, True)
    return "OFPT_SET_ASYNC", _encode_async(message.config, version >= 5)


# Nicira's settings of a connection


def _decode_word(frame: Frame) -> int:
    word: int = unpack_from(">I", frame.data, frame.exactly(4))[0]
    return word


def decode_set_flow_format(frame: Frame, protocol: int) -> m.SetFlowFormat:
    value = _decode_word(frame)
    if value not in (m.NXFF_OPENFLOW10, m.NXFF_NXM) and not frame.printed:
        raise OpenFlowError("OFPBRC_EPERM")
    return m.SetFlowFormat(value)


def encode_set_flow_format(message: m.SetFlowFormat, version: int, protocol: int) -> Encoded:
    return "NXT_SET_FLOW_FORMAT", pack(">I", message.format)


def decode_flow_mod_table_id(frame: Frame, protocol: int) -> m.FlowModTableId:
    return m.FlowModTableId(frame.data[frame.exactly(8)] != 0)


def encode_flow_mod_table_id(message: m.FlowModTableId, version: int, protocol: int) -> Encoded:
    return "NXT_FLOW_MOD_TABLE_ID", pack(">B7x", message.enable)


def decode_set_packet_in_format(frame: Frame, protocol: int) -> m.SetPacketInFormat:
    value = _decode_word(frame)
    if value > m.PACKET_IN_NXT2:
        raise OpenFlowError("OFPBRC_EPERM")
    return m.SetPacketInFormat(value)


def encode_set_packet_in_format(
    message: m.SetPacketInFormat, version: int, protocol: int
) -> Encoded:
    return "NXT_SET_PACKET_IN_FORMAT", pack(">I", message.format)


def decode_set_controller_id(frame: Frame, protocol: int) -> m.SetControllerId:
    pos = frame.exactly(8)
    if any(frame.data[pos : pos + 6]) and not frame.printed:
        raise OpenFlowError("NXBRC_MUST_BE_ZERO")
    return m.SetControllerId(int.from_bytes(frame.data[pos + 6 : pos + 8], "big"))


def encode_set_controller_id(message: m.SetControllerId, version: int, protocol: int) -> Encoded:
    return "NXT_SET_CONTROLLER_ID", pack(">6xH", message.controller_id)
