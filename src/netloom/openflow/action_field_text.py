"""Actions that write fields, from text: set_field, load, move, push, pop and `mod_*`."""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.flow.address import parse_plain_ipv4, scan_mac
from netloom.flow.fields import FIELD, VLAN_CFI
from netloom.flow.numbers import parse_integer, scan_integer
from netloom.flow.text import parse_subfield, scan_subfield
from netloom.flow.value_text import format_field_value, parse_field_value
from netloom.openflow import actions as a
from netloom.openflow.field_protocols import field_protocols
from netloom.openflow.number_text import to_u8, to_u16

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.openflow.action_parse import ActionReader

_socket_log = get_logger("socket_util")


def _split_arrow(text: str) -> tuple[str, str]:
    value, arrow, key = text.partition("->")
    if not arrow:
        raise ConfigError(f"{text}: missing `->'")
    if not key:
        raise ConfigError(f"{text}: missing field name following `->'")
    return value, key


#: Bits that values of set_field may have, where fields have less than their bytes.
_VALID = {
    "vlan_vid": 0x1FFF, "vlan_pcp": 7, "dl_vlan": 0xFFF, "dl_vlan_pcp": 7, "mpls_label": 0xFFFFF,
    "mpls_tc": 7, "ipv6_label": 0xFFFFF, "nw_tos": 0xFC, "ip_dscp": 0x3F, "nw_ecn": 3,
    "arp_op": 0xFF, "nsh_ttl": 0x3F, "nsh_spi": 0xFFFFFF,
}  # fmt: skip
#: Fields that no message knows -> those that mean the same.
_SPOKEN_AS = {"dl_vlan": "vlan_vid", "dl_vlan_pcp": "vlan_pcp"}


def parse_set_field(r: ActionReader, text: str) -> a.Action:
    value_text, key = _split_arrow(text)
    field = FIELD.get(key)
    if field is None:
        raise ConfigError(f"{key} is not a valid OXM field name")
    if not field.writable:
        raise ConfigError(f"{key} is read-only")
    value, mask = parse_field_value(field, value_text, r.port_names)
    valid = _VALID.get(field.name)
    if valid is not None and parse_integer(value_text, field.n_bytes, key)[0] & ~valid:
        raise ConfigError(f"{value_text} is not a valid value for field {key}")
    r.protocols &= field_protocols(field)
    if field.name in _SPOKEN_AS:
        field = FIELD[_SPOKEN_AS[field.name]]
        value |= VLAN_CFI if field.name == "vlan_vid" else 0
        mask = field.ones
    return a.SetField(field, value, mask)


def parse_load(r: ActionReader, text: str) -> a.Action:
    value_text, key = _split_arrow(text)
    field, offset, n_bits = parse_subfield(key)
    try:
        value, _ = scan_integer(value_text, field.n_bytes)
    except ValueError:
        raise ConfigError(f"{text}: cannot parse integer value") from None
    if value >> n_bits:
        shown = format_field_value(field, value)
        raise ConfigError(f"{text}: value {shown} does not fit into {n_bits} bits")
    return a.load(a.Subfield(field, offset, n_bits), value)


def parse_move(r: ActionReader, text: str) -> a.Action:
    field, offset, n_bits, rest = scan_subfield(text)
    if not rest.startswith("->"):
        raise ConfigError(f"{text}: missing `->' following source")
    source = a.Subfield(field, offset, n_bits)
    field, offset, n_bits = parse_subfield(rest[2:])
    if source.n_bits != n_bits:
        raise ConfigError(
            f"{text}: source field is {source.n_bits} bits wide but destination is "
            f"{n_bits} bits wide"
        )
    return a.Move(source, a.Subfield(field, offset, n_bits))


def parse_push(r: ActionReader, text: str) -> a.Action:
    return a.Push(_stacked(text))


def parse_pop(r: ActionReader, text: str) -> a.Action:
    return a.Pop(_stacked(text))


def _stacked(text: str) -> a.Subfield:
    field, offset, n_bits, rest = scan_subfield(text)
    if rest:
        raise ConfigError(f"{rest}: trailing garbage following push or pop")
    return a.Subfield(field, offset, n_bits)


def parse_mod_mac(text: str, name: str) -> a.Action:
    found = scan_mac(text)
    if found is None:
        raise ConfigError(f"invalid mac address {text}")
    return a.SetField(FIELD[name], found[0], FIELD[name].ones, legacy=True)


def parse_mod_ip(text: str, name: str) -> a.Action:
    value = parse_plain_ipv4(text)
    if value is None:
        _socket_log.err('"%s" is not a valid IP address', text)
        raise ConfigError(f"{text}: could not convert to IP address")
    return a.SetField(FIELD[name], value, FIELD[name].ones, legacy=True)


def parse_mod_port(text: str, name: str, what: str) -> a.Action:
    value = to_u16(text, what)
    return a.SetField(FIELD[name], value, FIELD[name].ones, legacy=True)


def parse_mod_tos(r: ActionReader, text: str) -> a.Action:
    value = to_u8(text, "TOS")
    if value & 3:
        raise ConfigError(f"{text}: not a valid TOS")
    return a.SetField(FIELD["nw_tos"], value, 0xFC, legacy=True)


def parse_mod_ecn(r: ActionReader, text: str) -> a.Action:
    value = to_u8(text, "ECN")
    if value > 3:
        raise ConfigError(f"{text}: not a valid ECN")
    return a.SetField(FIELD["nw_ecn"], value, 3, legacy=True)


def parse_mod_ttl(r: ActionReader, text: str) -> a.Action:
    return a.SetField(FIELD["nw_ttl"], to_u8(text, "TTL"), 0xFF, legacy=True)
