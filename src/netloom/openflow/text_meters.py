"""Text of meters: changes, configuration, statistics, features."""

from __future__ import annotations

from netloom.openflow import messages_meters as t
from netloom.openflow.duration_text import format_duration
from netloom.openflow.message_table import Frame
from netloom.openflow.message_text import Style, bit_names

_COMMANDS = {t.OFPMC_ADD: "ADD", t.OFPMC_MODIFY: "MOD", t.OFPMC_DELETE: "DEL"}
_FLAGS = (
    (t.OFPMF_KBPS, "kbps"), (t.OFPMF_PKTPS, "pktps"), (t.OFPMF_BURST, "burst"),
    (t.OFPMF_STATS, "stats"),
)  # fmt: skip
_BANDS = {t.OFPMBT_DROP: "drop", t.OFPMBT_DSCP_REMARK: "dscp_remark"}
_IDS = {t.OFPM_SLOWPATH: "slowpath", t.OFPM_CONTROLLER: "controller", t.OFPM_ALL: "all"}


def _id_text(meter_id: int, separator: str = "=") -> str:
    known = meter_id if meter_id <= t.OFPM_MAX else "unknown"
    return f"meter{separator}{_IDS.get(meter_id, known)}"


def _flags_text(flags: int) -> str:
    words = "".join(f"{word} " for bit, word in _FLAGS if flags & bit)
    return f"{words}flags:{flags & ~0xF:#x} " if flags & ~0xF else words


def _meter_text(meter: t.MeterMod | t.MeterConfig) -> str:
    out = f"{_id_text(meter.meter_id)} {_flags_text(meter.flags)}bands="
    for band in meter.bands:
        out += f"\ntype={_BANDS.get(band.type, band.type)} rate={band.rate}"
        if meter.flags & t.OFPMF_BURST:
            out += f" burst_size={band.burst_size}"
        if band.type == t.OFPMBT_DSCP_REMARK:
            out += f" prec_level={band.prec_level}"
    return out + "\n"


def format_meter_mod(message: t.MeterMod, frame: Frame, style: Style) -> str:
    return f" {_COMMANDS[message.command]} {_meter_text(message)}"


def format_meter_stats_request(message: t.MeterStatsRequest, frame: Frame, style: Style) -> str:
    return f" {_id_text(message.meter_id)}"


def format_meter_config_request(message: t.MeterConfigRequest, frame: Frame, style: Style) -> str:
    return f" {_id_text(message.meter_id)}"


def format_meter_config_reply(message: t.MeterConfigReply, frame: Frame, style: Style) -> str:
    return "".join([f"\n{_meter_text(meter)}" for meter in message.meters])


def format_meter_stats_reply(message: t.MeterStatsReply, frame: Frame, style: Style) -> str:
    """What follows the first line's colon in a meter stats reply."""
    out = ""
    for s in message.meters:
        out += (
            f"\n{_id_text(s.meter_id, ':')} flow_count:{s.flow_count} "
            f"packet_in_count:{s.packet_in_count} byte_in_count:{s.byte_in_count} "
            f"duration:{format_duration(s.duration_sec, s.duration_nsec)} bands:\n"
        )
        for number, band in enumerate(s.bands):
            out += f"{number}: packet_count:{band.packet_count} byte_count:{band.byte_count}\n"
    return out


def format_meter_features_reply(message: t.MeterFeaturesReply, frame: Frame, style: Style) -> str:
    """What follows the first line's colon in a meter features reply."""
    bands = bit_names(message.band_types, [(1 << bit, name) for bit, name in _BANDS.items()])
    flags = bit_names(message.capabilities, _FLAGS)
    return (
        f"\nmax_meter:{message.max_meters} max_bands:{message.max_bands} "
        f"max_color:{message.max_color}\nband_types: {bands}\ncapabilities: {flags}\n"
    )
