"""Bytes of meters: changes, configuration, statistics, features."""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.openflow import messages_meters as t
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import Frame

Encoded = tuple[str, bytes]


def _decode_bands(data: bytes, pos: int, end: int) -> tuple[t.MeterBand, ...]:
    bands = []
    while pos < end:
        if end - pos < 12:
            raise OpenFlowError("OFPBRC_BAD_LEN")
        kind, size, rate, burst = unpack_from(">HHII", data, pos)
        if size != 16 or pos + size > end:
            raise OpenFlowError("OFPBRC_BAD_LEN")
        if kind not in (t.OFPMBT_DROP, t.OFPMBT_DSCP_REMARK):
            raise OpenFlowError("OFPMMFC_BAD_BAND")
        level = data[pos + 12] if kind == t.OFPMBT_DSCP_REMARK else 0
        bands.append(t.MeterBand(kind, rate, burst, level))
        pos += size
    return tuple(bands)


def _encode_bands(bands: tuple[t.MeterBand, ...]) -> bytes:
    return b"".join(
        [pack(">HHIIB3x", b.type, 16, b.rate, b.burst_size, b.prec_level) for b in bands]
    )


def decode_meter_mod(frame: Frame, protocol: int) -> t.MeterMod:
    """Read a meter mod from its bytes."""
    pos = frame.need(8)
    command, flags, meter_id = unpack_from(">HHI", frame.data, pos)
    if command > t.OFPMC_DELETE:
        raise OpenFlowError("OFPMMFC_BAD_COMMAND")
    if command == t.OFPMC_DELETE:
        # What a meter was like is of no matter when it goes.
        return t.MeterMod(command, meter_id)
    rates = flags & (t.OFPMF_KBPS | t.OFPMF_PKTPS)
    if rates == t.OFPMF_KBPS | t.OFPMF_PKTPS:
        raise OpenFlowError("OFPMMFC_BAD_FLAGS")
    bands = _decode_bands(frame.data, pos + 8, len(frame.data))
    return t.MeterMod(command, meter_id, flags, bands)


def encode_meter_mod(message: t.MeterMod, version: int, protocol: int) -> Encoded:
    head = pack(">HHI", message.command, message.flags, message.meter_id)
    return "OFPT_METER_MOD", head + _encode_bands(message.bands)


# Requests


def decode_meter_stats_request(frame: Frame, protocol: int) -> t.MeterStatsRequest:
    return t.MeterStatsRequest(*unpack_from(">I", frame.data, frame.exactly(8)))


def encode_meter_stats_request(
    message: t.MeterStatsRequest, version: int, protocol: int
) -> Encoded:
    return "OFPST_METER", pack(">I4x", message.meter_id)


def decode_meter_config_request(frame: Frame, protocol: int) -> t.MeterConfigRequest:
    return t.MeterConfigRequest(*unpack_from(">I", frame.data, frame.exactly(8)))


def encode_meter_config_request(
    message: t.MeterConfigRequest, version: int, protocol: int
) -> Encoded:
    return "OFPST_METER_CONFIG", pack(">I4x", message.meter_id)


def decode_meter_features_request(frame: Frame, protocol: int) -> t.MeterFeaturesRequest:
    frame.exactly(0)
    return t.MeterFeaturesRequest()


def encode_meter_features_request(
    message: t.MeterFeaturesRequest, version: int, protocol: int
) -> Encoded:
    return "OFPST_METER_FEATURES", b""


# Replies


def _entry(data: bytes, pos: int, size: int, least: int) -> int:
    """The end of an entry of `size` bytes at `pos`."""
    if size < least or pos + size > len(data):
        raise OpenFlowError("OFPBRC_BAD_LEN")
    return pos + size


def decode_meter_stats_reply(frame: Frame, protocol: int) -> t.MeterStatsReply:
    """Read a meter stats reply from its bytes."""
    return t.MeterStatsReply(frame.entries(_read_stats), frame.more)


def _read_stats(data: bytes, pos: int, version: int) -> tuple[t.MeterStats, int]:
    meter_id, size = unpack_from(">IH", data, pos)
    end = _entry(data, pos, size, 40)
    if (size - 40) % 16:
        raise OpenFlowError("OFPBRC_BAD_LEN")
    bands = tuple(
        t.BandStats(*unpack_from(">QQ", data, at)) for at in range(pos + 40, end - 15, 16)
    )
    flows, packets, octets, sec, nsec = unpack_from(">IQQII", data, pos + 12)
    return t.MeterStats(meter_id, flows, packets, octets, sec, nsec, bands), end


def encode_meter_stats_reply(
    message: t.MeterStatsReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    """The row and the bytes of a meter stats reply."""
    entries = []
    for s in message.meters:
        bands = b"".join(pack(">QQ", b.packet_count, b.byte_count) for b in s.bands)
        head = pack(">IH6xIQQII", s.meter_id, 40 + len(bands), s.flow_count, s.packet_in_count,
                    s.byte_in_count, s.duration_sec, s.duration_nsec)  # fmt: skip
        entries.append(head + bands)
    return "OFPST_METER", entries


def decode_meter_config_reply(frame: Frame, protocol: int) -> t.MeterConfigReply:
    """Read a meter config reply from its bytes."""
    return t.MeterConfigReply(frame.entries(_read_config), frame.more)


def _read_config(data: bytes, pos: int, version: int) -> tuple[t.MeterConfig, int]:
    size, flags, meter_id = unpack_from(">HHI", data, pos)
    end = _entry(data, pos, size, 8)
    return t.MeterConfig(meter_id, flags, _decode_bands(data, pos + 8, end)), end


def encode_meter_config_reply(
    message: t.MeterConfigReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    """The row and the bytes of a meter config reply."""
    entries = []
    for meter in message.meters:
        bands = _encode_bands(meter.bands)
        entries.append(pack(">HHI", 8 + len(bands), meter.flags, meter.meter_id) + bands)
    return "OFPST_METER_CONFIG", entries


def decode_meter_features_reply(frame: Frame, protocol: int) -> t.MeterFeaturesReply:
    # OpenFlow 1.5 appends words of features that nobody uses.
    meters, bands, flags, per_meter, colors = unpack_from(">IIIBB", frame.data, frame.need(16))
    return t.MeterFeaturesReply(meters, bands, flags, per_meter, colors, frame.more)


def encode_meter_features_reply(
    message: t.MeterFeaturesReply, version: int, protocol: int
) -> Encoded:
    """The row and the bytes of a meter features reply."""
    body = pack(">IIIBB2x", message.max_meters, message.band_types, message.capabilities,
                message.max_bands, message.max_color)  # fmt: skip
    return "OFPST_METER_FEATURES+", body
