"""Matches and flow keys from text, in the syntax of ovs-ofctl(8) and ovs-fields(7).

`parse_match` reads a whole match. A reader of flows, where matches stand between other keywords,
feeds one word at a time to a `MatchReader`. `parse_flow` reads a flow key, as the command
ofproto/trace takes it: every field exact, none twice, prerequisites first.

Errors are ConfigError with Open vSwitch's text. Nothing here is slow to import: ovs-ofctl(8) does.
"""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.flow import numbers, ports
from netloom.flow import value_text as texts
from netloom.flow.fields import (
    FIELD,
    SLOT,
    TUN_METADATA,
    TUN_PRESENT_SHIFT,
    Field,
    option_present,
)
from netloom.flow.match import Match
from netloom.flow.prerequisites import key_meets
from netloom.flow.scan import scan_int
from netloom.flow.words import split_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Final

#: shorthand -> (Ethernet type, IP protocol or 0).
PROTOCOLS: dict[str, tuple[int, int]] = {
    "ip": (0x0800, 0),
    "ipv4": (0x0800, 0),
    "ip4": (0x0800, 0),
    "arp": (0x0806, 0),
    "icmp": (0x0800, 1),
    "tcp": (0x0800, 6),
    "udp": (0x0800, 17),
    "sctp": (0x0800, 132),
    "ipv6": (0x86DD, 0),
    "ip6": (0x86DD, 0),
    "icmp6": (0x86DD, 58),
    "tcp6": (0x86DD, 6),
    "udp6": (0x86DD, 17),
    "sctp6": (0x86DD, 132),
    "rarp": (0x8035, 0),
    "mpls": (0x8847, 0),
    "mplsm": (0x8848, 0),
}

_DL_TYPE: Final = FIELD["dl_type"]
_NW_PROTO: Final = FIELD["nw_proto"]
_PACKET_TYPE: Final = FIELD["packet_type"]
_IN_PORT: Final = FIELD["in_port"]
_VLAN_TCI: Final = SLOT["vlan_tci"]
_VLAN_TPID: Final = SLOT["vlan_tpid"]
_VLAN_NONE: Final = 0xFFFF


def set_match_field(match: Match, field: Field, value: int, mask: int | None = None) -> Match:
    """`match` with `field` set as OpenFlow means it: `Match.with_field`, and what is special about
    some fields (`dl_vlan` 0xffff is "no tag", a match on the VID forgets no priority)."""
    if field.name == "dl_vlan" and value == _VLAN_NONE:
        return Match(match.value & ~_VLAN_TCI.mask, match.mask | _VLAN_TCI.mask)
    if mask == 0:
        return match.without_field(field)
    return match.with_field(field, value & field.ones, mask)


#: Bytes that all tunnel options of a match have together.
_OPTION_SPACE: Final = 256


class MatchReader:
    """Reads the words of a match one by one; `match` is what they demand so far."""

    __slots__ = ("_port_names", "match")

    def __init__(self, port_names: Mapping[str, int] | None = None) -> None:
        self.match = Match()
        self._port_names = port_names

    def read(self, name: str, value: str) -> bool:
        """Takes one word; False if `name` is no part of a match. Raises ConfigError."""
        if name in PROTOCOLS:
            dl_type, nw_proto = PROTOCOLS[name]
            self.match = self.match.with_field(_DL_TYPE, dl_type)
            if nw_proto:
                self.match = self.match.with_field(_NW_PROTO, nw_proto)
        elif name == "eth":
            self.match = self.match.with_field(_PACKET_TYPE, 0)
        elif (field := FIELD.get(name)) is not None:
            self.match = self._read_field(field, value)
        elif "[" in name:
            self.match = self._read_subfield(name, value)
        else:
            return False
        return True

    def _read_field(self, field: Field, text: str) -> Match:
        if field.name == "dl_vlan" and _is_no_vlan(text):
            return set_match_field(self.match, field, _VLAN_NONE)
        # A name without a value asks for nothing but that the field is there.
        value, mask = texts.parse_field_value(field, text or "0/0", self._port_names)
        if field.dynamic:
            return self._with_option(field, value, mask)
        return set_match_field(self.match, field, value, mask)

    def _with_option(self, field: Field, value: int, mask: int) -> Match:
        """The match that also wants an option of the tunnel to be there."""
        present = option_present(field)
        used = _option_size(value, mask, field.ones)
        for other in TUN_METADATA if self.match.mask >> TUN_PRESENT_SHIFT else ():
            bits = self.match.mask >> other.shift & other.ones
            used += _option_size(other.get(self.match.value), bits, other.ones)
        if used > _OPTION_SPACE:
            raise ConfigError(
                f"field {field.name} exceeds maximum size for tunnel metadata "
                f"(used {used}, max {_OPTION_SPACE})"
            )
        if self.match.mask & present:
            raise ConfigError(f"field {field.name} set multiple times")
        wanted = set_match_field(self.match, field, value, mask)
        return Match(wanted.value | present, wanted.mask | present)

    def _read_subfield(self, name: str, text: str) -> Match:
        field, low, bits = parse_subfield(name)
        value = parse_subfield_value(name, bits, field, text)
        if bits == 8 * field.n_bytes:
            return set_match_field(self.match, field, value)
        mask = ((1 << bits) - 1) << low
        old_mask = self.match.mask >> field.shift & field.ones
        old_value = self.match.value >> field.shift & field.ones
        return set_match_field(self.match, field, old_value & ~mask | value << low, old_mask | mask)


def _option_size(value: int, mask: int, ones: int) -> int:
    """The bytes that a tunnel option takes at least."""
    return ((value if mask == ones else value | mask).bit_length() + 7) // 8


def _is_no_vlan(text: str) -> bool:
    """Whether `text` is the number 0xffff, which dl_vlan takes as "no tag"."""
    try:
        return numbers.scan_integer(text, 2) == (_VLAN_NONE, "")
    except ValueError:
        return False


def parse_subfield_value(name: str, bits: int, field: Field, text: str) -> int:
    """The number `text` for `bits` bits of `field`; `name` is how the message calls them."""
    try:
        value, rest = numbers.scan_integer(text, field.n_bytes)
    except ValueError:
        raise ConfigError(f"{name}: cannot parse integer value: {text}") from None
    if rest:
        raise ConfigError(f"{name}: cannot parse integer value: {text}")
    if value >> bits:
        shown = texts.format_field_value(field, value)
        raise ConfigError(f"{name}: value {shown} does not fit into {bits} bits")
    return value


def parse_subfield(text: str) -> tuple[Field, int, int]:
    """`FIELD[start..end]`, `FIELD[bit]`, `FIELD[]`: (field, lowest bit, number of bits)."""
    field, low, bits, rest = scan_subfield(text)
    if rest:
        raise ConfigError("unexpected input following field syntax")
    return field, low, bits


def scan_subfield(text: str) -> tuple[Field, int, int, str]:
    """`parse_subfield` for text that goes on after the subfield: also what is left. A name may be
    one of `FIELD` or of NXM and OXM. A field without brackets means all of it."""
    end = 0
    while end < len(text) and text[end] not in "[-":
        end += 1
    name = text[:end]
    field = FIELD.get(name) or _CODE_NAMES.get(name)
    if field is None:
        raise ConfigError(f"{text}: unknown field `{name}'")
    width = field.width
    rest = text[end:]
    if not rest.startswith("["):
        return field, 0, width, rest
    inside, bracket, after = rest[1:].partition("]")
    if not bracket:
        raise ConfigError(f"{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]")
    start, last = _subfield_range(text, inside, width)
    if start > last:
        raise ConfigError(f"{text}: starting bit {start} is after ending bit {last}")
    for which, bit in (("starting", start), ("ending", last)):
        if not 0 <= bit < width:
            raise ConfigError(
                f"{text}: {which} bit {bit} is not valid because field is only {width} bits wide"
            )
    return field, start, last - start + 1, after


def _subfield_range(text: str, inside: str, width: int) -> tuple[int, int]:
    if not inside:
        return 0, width - 1
    first = scan_int(inside)
    if first is not None and not first[1]:
        return first[0], first[0]
    second = scan_int(first[1][2:]) if first is not None and first[1].startswith("..") else None
    if first is not None and second is not None and not second[1]:
        return first[0], second[0]
    raise ConfigError(f"{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]")


_CODE_NAMES: Final = {code.name: field for field in FIELD.values() for code in field.codes}


def parse_match(text: str, port_names: Mapping[str, int] | None = None) -> Match:
    """The match that `text` says, for instance `tcp,nw_dst=10.0.0.0/8,tp_dst=80`."""
    reader = MatchReader(port_names)
    for name, value in split_words(text):
        if not reader.read(name, value):
            if not value:
                raise ConfigError(f"field {name} missing value")
            raise ConfigError(f"unknown keyword {name}")
    return reader.match


def parse_flow(
    text: str, port_names: Mapping[str, int] | None = None, options: Collection[str] = ()
) -> int:
    """The key of the flow `text`, as ofproto/trace reads it. A flow without in_port has ANY.
    `options`: the tun_metadata fields that stand for options of tunnels."""
    key = 0
    for name, value in split_words(text):
        if name in PROTOCOLS:
            key = _set_protocol(key, name, text)
        elif (field := FIELD.get(name)) is None:
            raise ConfigError(f"{text}: unknown field {name}")
        elif field.dynamic:
            with_option = _set_option(key, field, value, text)
            # Nobody has an option that no field stands for.
            key = with_option if name in options else key
        else:
            key = _set_flow_field(key, field, (name, value), text, port_names)
    return key if _IN_PORT.slot.get(key) else key | ports.ANY << _IN_PORT.slot.shift


def _set_protocol(key: int, name: str, text: str) -> int:
    dl_type, nw_proto = PROTOCOLS[name]
    if _DL_TYPE.get(key):
        raise ConfigError(f"{text}: Ethernet type set multiple times")
    key = _DL_TYPE.put(key, dl_type)
    if nw_proto:
        if _NW_PROTO.get(key):
            raise ConfigError(f"{text}: network protocol set multiple times")
        key = _NW_PROTO.put(key, nw_proto)
    return key


def _set_option(key: int, field: Field, value_text: str, text: str) -> int:
    """The key with an option of the tunnel."""
    if key & option_present(field):
        raise ConfigError(f"{text}: field {field.name} set multiple times")
    try:
        value, mask = texts.parse_field_value(field, value_text)
        if mask != field.ones:
            raise ConfigError(f"{value_text}: wildcards not allowed here")
    except ConfigError as error:
        raise ConfigError(f"{text}: bad value for {field.name} ({error})") from None
    return key | value << field.shift | option_present(field)


def _set_flow_field(
    key: int,
    field: Field,
    word: tuple[str, str],
    text: str,
    port_names: Mapping[str, int] | None,
) -> int:
    name, value_text = word
    if not key_meets(field, key):
        raise ConfigError(f"{text}: prerequisites not met for setting {name}")
    if field.get(key):
        raise ConfigError(f"{text}: field {name} set multiple times")
    if field.name == "dl_vlan" and _is_no_vlan(value_text):
        return key & ~_VLAN_TCI.mask
    try:
        value, mask = texts.parse_field_value(field, value_text, port_names)
        is_partial = field.form == "tun_flags" and value_text[:1] in ("+", "-")
        if mask != field.ones or is_partial:
            raise ConfigError(f"{value_text}: wildcards not allowed here")
    except ConfigError as error:
        raise ConfigError(f"{text}: bad value for {name} ({error})") from None
    return field.put(key, value) | field.implied
