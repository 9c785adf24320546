"""Meters from text (ovs-ofctl(8), "Meter Syntax"): `meter=ID,kbps,bands=type=drop,rate=...`.

Errors are ConfigError with the text that ovs-ofctl(8) prints.
"""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.openflow import messages_meters as t
from netloom.openflow.number_text import to_u8, to_u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_FLAGS = {
    "kbps": t.OFPMF_KBPS, "pktps": t.OFPMF_PKTPS, "burst": t.OFPMF_BURST, "stats": t.OFPMF_STATS,
}  # fmt: skip
_IDS = {"all": t.OFPM_ALL, "controller": t.OFPM_CONTROLLER, "slowpath": t.OFPM_SLOWPATH}
_TYPES = {"drop": t.OFPMBT_DROP, "dscp_remark": t.OFPMBT_DSCP_REMARK}


def _words(text: str, flags: Collection[str]) -> Iterator[tuple[str, str]]:
    """Names and their values, of which `flags` have none; what stands between is simpler here than
    in flows."""
    at = 0
    while True:
        name, at = _token(text, at, "=, \t\r\n")
        if not name:
            return
        value = ""
        if name not in flags:
            value, at = _token(text, at, ", \t\r\n")
        yield name, value


def _token(text: str, at: int, separators: str) -> tuple[str, int]:
    """The token from `at` on, and where to go on behind it."""
    while at < len(text) and text[at] in separators:
        at += 1
    start = at
    while at < len(text) and text[at] not in separators:
        at += 1
    return text[start:at], at + 1


def parse_meter_mod(text: str, command: int) -> t.MeterMod:
    """A meter mod; one that deletes has no flags and no bands."""
    full = command != t.OFPMC_DELETE
    bands_text = ""
    if full:
        text, bands_text = _split_bands(text)
    meter_id = 0
    flags = 0
    for name, value in _words(text, _FLAGS if full else ()):
        if full and name in _FLAGS:
            flags |= _FLAGS[name]
        elif not value:
            raise ConfigError(f"field {name} missing value")
        elif name == "meter":
            meter_id = _meter_id(value)
        else:
            raise ConfigError(f"unknown keyword {name}")
    if not meter_id:
        raise ConfigError("must specify 'meter'")
    if not full:
        return t.MeterMod(command, meter_id)
    if not flags:
        # Any other flag will do, too.
        raise ConfigError("meter must specify either 'kbps' or 'pktps'")
    return t.MeterMod(command, meter_id, flags, _parse_bands(bands_text, flags))


def _split_bands(text: str) -> tuple[str, str]:
    at = text.find("band")
    equals = text.find("=", at)
    if at < 0 or equals < 0:
        raise ConfigError("must specify bands")
    return text[:at], text[equals + 1 :]


def _meter_id(text: str) -> int:
    if text in _IDS:
        return _IDS[text]
    number = to_u32(text)
    if not number or number > t.OFPM_MAX:
        raise ConfigError("invalid value for meter")
    return number


class _Band:
    """A band while it is read."""

    def __init__(self, kind: int) -> None:
        self.type = kind
        self.rate = 0
        self.burst_size = 0
        self.prec_level = 0


def _parse_bands(text: str, flags: int) -> tuple[t.MeterBand, ...]:
    bands: list[_Band] = []
    for name, value in _words(text, ()):
        if not value:
            raise ConfigError(f"field {name} missing value")
        if name == "type":
            if value not in _TYPES:
                raise ConfigError(f"field {name} unknown value {value}")
            bands.append(_Band(_TYPES[value]))
        elif not bands:
            raise ConfigError("band must start with the 'type' keyword")
        elif name in ("rate", "burst_size"):
            setattr(bands[-1], name, to_u32(value))
        elif name == "prec_level":
            bands[-1].prec_level = to_u8(value, name)
        else:
            raise ConfigError(f"unknown keyword {name}")
    if not bands:
        raise ConfigError("meter must have bands")
    for band in bands:
        _check_band(band, flags)
    return tuple(t.MeterBand(b.type, b.rate, b.burst_size, b.prec_level) for b in bands)


def _check_band(band: _Band, flags: int) -> None:
    if not band.type:
        raise ConfigError("band must have 'type'")
    if band.type == t.OFPMBT_DSCP_REMARK:
        if not band.prec_level:
            raise ConfigError("'dscp_remark' band must have 'prec_level'")
    elif band.prec_level:
        raise ConfigError("Only 'dscp_remark' band may have 'prec_level'")
    if not band.rate:
        raise ConfigError("band must have 'rate'")
    if flags & t.OFPMF_BURST:
        if not band.burst_size:
            raise ConfigError("band must have 'burst_size' when 'burst' flag is set")
    elif band.burst_size:
        raise ConfigError("band may have 'burst_size' only when 'burst' flag is set")
