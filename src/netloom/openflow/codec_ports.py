"""Bytes of ports: features of the switch, port status, changes, descriptions and statistics."""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.base.record import replace
from netloom.flow.ports import port_from_of10, port_from_of11, port_to_of10
from netloom.openflow import messages as m
from netloom.openflow import port_counters, properties
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import Frame

Encoded = tuple[str, bytes]

#: Feature bits: the lowest seven are the same everywhere; 1.0 has no 40 Gb/s to "other".
_SPEEDS10 = 0x7F
_SHIFT10 = 4
#: Known bits of configuration and state by version.
_CONFIG10 = 0x7F
_CONFIG11 = 0x65
_STATE10 = m.OFPPS_LINK_DOWN | m.OFPPS_STP_MASK
_STATE11 = 0x7
_SPEED_KBPS = (
    (m.OFPPF_1TB_FD, 1_000_000_000), (m.OFPPF_100GB_FD, 100_000_000),
    (m.OFPPF_40GB_FD, 40_000_000), (m.OFPPF_10GB_FD, 10_000_000),
    (m.OFPPF_1GB_HD | m.OFPPF_1GB_FD, 1_000_000), (m.OFPPF_100MB_HD | m.OFPPF_100MB_FD, 100_000),
    (m.OFPPF_10MB_HD | m.OFPPF_10MB_FD, 10_000),
)  # fmt: skip


def features_to_kbps(features: int, default: int = 0) -> int:
    """The highest speed among feature bits."""
    return next((kbps for bits, kbps in _SPEED_KBPS if features & bits), default)


def _features_from10(bits: int) -> int:
    return bits & _SPEEDS10 | (bits >> 7 & 0x1F) << 7 + _SHIFT10


def _features_to10(bits: int) -> int:
    return bits & _SPEEDS10 | (bits >> 7 + _SHIFT10 & 0x1F) << 7


def port_from_wire(number: int) -> int:
    port = port_from_of11(number)
    if port is None:
        raise OpenFlowError("OFPBAC_BAD_OUT_PORT")
    return port


def port_to_10(port: int) -> int:
    number = port_to_of10(port)
    if number is None:
        raise OpenFlowError("OFPBRC_BAD_PORT")
    return number


def _text(data: bytes) -> str:
    """A port's name: at most 15 characters, up to the first that is not printable ASCII."""
    end = next((at for at, byte in enumerate(data[:15]) if not 32 <= byte < 127), 15)
    return data[:end].decode("ascii")


def _name(name: str, size: int = 16) -> bytes:
    """A name as a field of `size` bytes, the last of them zero."""
    return name.encode()[: size - 1].ljust(size, b"\0")


# One port


def decode_port(data: bytes, pos: int, version: int) -> tuple[m.PhyPort, int]:
    """The port description at `pos` and where it ends."""
    if version == 1:
        return _decode_port10(data, pos), pos + 48
    if version < 5:
        number, mac, name, *rest = unpack_from(">I4x6s2x16s8I", data, pos)
        config, state, *features = rest
        return _port11(number, mac, name, config, state, features), pos + 64
    return _decode_port14(data, pos)


def _decode_port10(data: bytes, pos: int) -> m.PhyPort:
    number, mac, name, config, state, *features = unpack_from(">H6s16s6I", data, pos)
    current, advertised, supported, peer = (_features_from10(bits) for bits in features)
    return m.PhyPort(
        port_from_of10(number), int.from_bytes(mac, "big"), _text(name), config & _CONFIG10,
        state & _STATE10, current, advertised, supported, peer,
        features_to_kbps(current), features_to_kbps(supported),
    )  # fmt: skip


def _port11(
    number: int, mac: bytes, name: bytes, config: int, state: int, features: list[int]
) -> m.PhyPort:
    return m.PhyPort(
        port_from_wire(number), int.from_bytes(mac, "big"), _text(name), config & _CONFIG11,
        state & _STATE11, *(bits & 0xFFFF for bits in features[:4]), *features[4:6],
    )  # fmt: skip


def _decode_port14(data: bytes, pos: int) -> tuple[m.PhyPort, int]:
    number, size, mac, name, config, state = unpack_from(">IH2x6s2x16sII", data, pos)
    end = pos + size
    if size < 40 or end > len(data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    port_from_wire(number)
    features = [0] * 6
    for kind, start, stop in properties.find_properties(data, pos + 40, end):
        if kind == 0:
            if stop - start != 32:
                raise OpenFlowError("OFPBPC_BAD_LEN")
            features = list(unpack_from(">6I", data, start + 8))
    return _port11(number, mac, name, config, state, features), end


def encode_port(port: m.PhyPort, version: int) -> bytes:
    mac = port.hw_addr.to_bytes(6, "big")
    features = (port.current, port.advertised, port.supported, port.peer)
    if version == 1:
        return pack(
            ">H6s16s6I", port_to_10(port.port_no), mac, _name(port.name), port.config & _CONFIG10,
            port.state & _STATE10, *(_features_to10(bits) for bits in features),
        )  # fmt: skip
    config, state = port.config & _CONFIG11, port.state & _STATE11
    speeds = (port.current_speed_kbps, port.max_speed_kbps)
    if version < 5:
        return pack(">I4x6s2x16s8I", port.port_no, mac, _name(port.name), config, state,
                    *features, *speeds)  # fmt: skip
    return pack(">IH2x6s2x16sIIHH4x6I", port.port_no, 72, mac, _name(port.name), config, state,
                0, 32, *features, *speeds)  # fmt: skip


# Features, status, changes


def decode_features_reply(frame: Frame, protocol: int) -> m.FeaturesReply:
    pos = frame.need(24)
    version = frame.version
    datapath_id, n_buffers, n_tables, auxiliary_id, capabilities, actions = unpack_from(
        ">QIBB2xII", frame.data, pos
    )
    ports: tuple[m.PhyPort, ...] = ()
    if version < 4:
        auxiliary_id = 0
        frame.body += 24
        ports = frame.entries(decode_port)
    else:
        frame.exactly(24)
    return m.FeaturesReply(
        datapath_id, n_buffers, n_tables, auxiliary_id, capabilities,
        actions if version == 1 else 0, ports,
    )  # fmt: skip


def encode_features_reply(message: m.FeaturesReply, version: int, protocol: int) -> Encoded:
    head = pack(
        ">QIBB2xII", message.datapath_id, message.n_buffers, message.n_tables,
        message.auxiliary_id if version >= 4 else 0, message.capabilities,
        message.actions if version == 1 else 0,
    )  # fmt: skip
    ports = b""
    if version < 4:
        # As many as a message holds; the port description has them all.
        size = 48 if version == 1 else 64
        room = (0xFFFF - 32) // size
        ports = b"".join(encode_port(port, version) for port in message.ports[:room])
    return "OFPT_FEATURES_REPLY", head + ports


def decode_port_status(frame: Frame, protocol: int) -> m.PortStatus:
    pos = frame.need(8)
    reason = frame.data[pos]
    if reason > m.OFPPR_MODIFY:
        raise OpenFlowError("NXBRC_BAD_REASON")
    port, _ = decode_port(frame.data, pos + 8, frame.version)
    return m.PortStatus(reason, port)


def encode_port_status(message: m.PortStatus, version: int, protocol: int) -> Encoded:
    return "OFPT_PORT_STATUS", pack(">B7x", message.reason) + encode_port(message.port, version)


def decode_port_mod(frame: Frame, protocol: int) -> m.PortMod:
    data = frame.data
    if frame.version == 1:
        number, mac, config, mask, advertise = unpack_from(">H6sIII4x", data, frame.exactly(24))
        return m.PortMod(
            port_from_of10(number), int.from_bytes(mac, "big"), config & _CONFIG10,
            mask & _CONFIG10, _features_from10(advertise),
        )  # fmt: skip
    if frame.version < 5:
        number, mac, config, mask, advertise = unpack_from(">I4x6s2xIII4x", data, frame.exactly(32))
    else:
        number, mac, config, mask, advertise = _port_mod14(frame)
    return m.PortMod(
        port_from_wire(number), int.from_bytes(mac, "big"), config & _CONFIG11, mask & _CONFIG11,
        advertise & 0xFFFF,
    )  # fmt: skip


def _port_mod14(frame: Frame) -> tuple[int, bytes, int, int, int]:
    pos = frame.need(24)
    number, mac, config, mask = unpack_from(">I4x6s2xII", frame.data, pos)
    port_from_wire(number)
    advertise = 0
    for kind, start, stop in properties.find_properties(frame.data, pos + 24, len(frame.data)):
        if kind != 0:
            if frame.printed:
                continue
            raise properties.unknown_property(frame.data, start)
        if stop - start != 8:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        (advertise,) = unpack_from(">I", frame.data, start + 4)
    return number, mac, config, mask, advertise


def encode_port_mod(message: m.PortMod, version: int, protocol: int) -> Encoded:
    mac = message.hw_addr.to_bytes(6, "big")
    if version == 1:
        body = pack(
            ">H6sIII4x", port_to_10(message.port_no), mac, message.config & _CONFIG10,
            message.mask & _CONFIG10, _features_to10(message.advertise),
        )  # fmt: skip
    elif version < 5:
        body = pack(
            ">I4x6s2xIII4x", message.port_no, mac, message.config & _CONFIG11,
            message.mask & _CONFIG11, message.advertise,
        )  # fmt: skip
    else:
        body = pack(">I4x6s2xII", message.port_no, mac, message.config & _CONFIG11,
                    message.mask & _CONFIG11)  # fmt: skip
        if message.advertise:
            body += pack(">HHI", 0, 8, message.advertise)
    return "OFPT_PORT_MOD", body


# Descriptions


def decode_port_desc_request(frame: Frame, protocol: int) -> m.PortDescRequest:
    if frame.version < 6:
        frame.exactly(0)
        return m.PortDescRequest()
    (number,) = unpack_from(">I4x", frame.data, frame.exactly(8))
    return m.PortDescRequest(port_from_wire(number))


def encode_port_desc_request(message: m.PortDescRequest, version: int, protocol: int) -> Encoded:
    return "OFPST_PORT_DESC", pack(">I4x", message.port_no) if version >= 6 else b""


def decode_port_desc_reply(frame: Frame, protocol: int) -> m.PortDescReply:
    return m.PortDescReply(frame.entries(decode_port), frame.more)


def encode_port_desc_reply(
    message: m.PortDescReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    return "OFPST_PORT_DESC", [encode_port(port, version) for port in message.ports]


# Statistics


def decode_port_stats_request(frame: Frame, protocol: int) -> m.PortStatsRequest:
    if frame.version == 1:
        (number,) = unpack_from(">H", frame.data, frame.exactly(8))
        return m.PortStatsRequest(port_from_of10(number))
    (number,) = unpack_from(">I", frame.data, frame.exactly(8))
    return m.PortStatsRequest(port_from_wire(number))


def encode_port_stats_request(message: m.PortStatsRequest, version: int, protocol: int) -> Encoded:
    if version == 1:
        return "OFPST_PORT", pack(">H6x", port_to_10(message.port_no))
    return "OFPST_PORT", pack(">I4x", message.port_no)


def decode_port_stats_reply(frame: Frame, protocol: int) -> m.PortStatsReply:
    return m.PortStatsReply(frame.entries(_decode_stats), frame.more)


def _decode_stats(data: bytes, pos: int, version: int) -> tuple[m.PortStats, int]:
    if version >= 5:
        return _decode_stats14(data, pos)
    if version == 1:
        number, *counters = unpack_from(">H6x12Q", data, pos)
        return m.PortStats(port_from_of10(number), *counters), pos + 104
    if version < 4:
        number, *counters = unpack_from(">I4x12Q", data, pos)
        return m.PortStats(port_from_wire(number), *counters), pos + 104
    number, *counters = unpack_from(">I4x12QII", data, pos)
    return m.PortStats(port_from_wire(number), *counters), pos + 112


def _decode_stats14(data: bytes, pos: int) -> tuple[m.PortStats, int]:
    size, number, sec, nsec, *counters = unpack_from(">H2x3I8Q", data, pos)
    end = pos + size
    if size < 80 or end > len(data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    port = port_from_wire(number)
    ethernet: tuple[int, ...] = (m.UNKNOWN,) * 4
    rfc2819: tuple[int, ...] = ()
    custom: tuple[tuple[str, int], ...] = ()
    for kind, start, stop in properties.find_properties(data, pos + 80, end):
        if kind == 0:
            if stop - start != 40:
                raise OpenFlowError("OFPBPC_BAD_LEN")
            ethernet = unpack_from(">4Q", data, start + 8)
        elif kind == port_counters.EXPERIMENTER:
            sized, named = port_counters.decode_counters(data[start:stop])
            rfc2819, custom = rfc2819 or sized, custom or named
    everything = (*counters, *ethernet, sec, nsec)
    return replace(m.PortStats(port, *everything), rfc2819=rfc2819, custom=custom), end


def _encode_stats(s: m.PortStats, version: int) -> bytes:
    basic = (s.rx_packets, s.tx_packets, s.rx_bytes, s.tx_bytes, s.rx_dropped, s.tx_dropped,
             s.rx_errors, s.tx_errors)  # fmt: skip
    ethernet = (s.rx_frame_err, s.rx_over_err, s.rx_crc_err, s.collisions)
    if version == 1:
        return pack(">H6x12Q", port_to_10(s.port_no), *basic, *ethernet)
    if version < 4:
        return pack(">I4x12Q", s.port_no, *basic, *ethernet)
    duration = (s.duration_sec, s.duration_nsec)
    if version < 5:
        return pack(">I4x12QII", s.port_no, *basic, *ethernet, *duration)
    more = port_counters.encode_counters(s)
    size = 120 + len(more)
    head = pack(">H2x3I8QHH4x4Q", size, s.port_no, *duration, *basic, 0, 40, *ethernet)
    return head + more


def encode_port_stats_reply(
    message: m.PortStatsReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    return "OFPST_PORT", [_encode_stats(stats, version) for stats in message.ports]
