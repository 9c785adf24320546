"""`learn`: the action that adds flows.

On the wire each part of the flow to learn is a 16-bit head (10 bits: how many bits; 2: what they
become; 1: whether the source is an immediate value), the source and the destination; a head of 0
ends the list. Syntax and meaning: ovs-actions(7).
"""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.base.errors import ConfigError
from netloom.flow.fields import Field
from netloom.flow.match import Match
from netloom.flow.numbers import scan_integer
from netloom.flow.ports import port_from_of10, port_to_of10
from netloom.flow.text import parse_subfield, scan_subfield
from netloom.flow.value_text import format_field_value, parse_field_value
from netloom.flow.words import split_words
from netloom.openflow import actions as a
from netloom.openflow.action_fields import bare_field_at, field_at, subfield
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.number_text import leading_int, leading_u64
from netloom.openflow.oxm import encode_field_header
from netloom.openflow.subfield_text import format_subfield, has_short_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from netloom.openflow.action_encode import Writer
    from netloom.openflow.action_format import TextNames
    from netloom.openflow.action_parse import ActionReader

MATCH, LOAD, OUTPUT = 0, 1, 2
_IMMEDIATE = 1 << 13
_RESERVED = ~(0x3FF | 3 << 11 | _IMMEDIATE) & 0xFFFF
SEND_FLOW_REM, DELETE_LEARNED, WRITE_RESULT = 1, 2, 4


# Bytes


def read_learn(action: bytes, body: int, version: int) -> a.Action:
    """`learn` from its bytes."""
    return _read(action, second=False)


def read_learn2(action: bytes, body: int, version: int) -> a.Action:
    """`learn2` from its bytes."""
    return _read(action, second=True)


def _read(action: bytes, *, second: bool) -> a.Action:
    if len(action) < (40 if second else 32):
        raise OpenFlowError("OFPBAC_BAD_LEN")
    idle, hard, priority, cookie, flags, table_id, pad, fin_idle, fin_hard = unpack_from(
        ">HHHQHBBHH", action, 10
    )
    known = SEND_FLOW_REM | DELETE_LEARNED | (WRITE_RESULT if second else 0)
    if pad or table_id == 255 or flags & ~known:
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    pos, limit, result = 32, 0, None
    if second:
        limit, offset, pad = unpack_from(">IHH", action, 32)
        if pad:
            raise OpenFlowError("NXBAC_MUST_BE_ZERO")
        pos = 40
        if flags & WRITE_RESULT:
            field, pos = bare_field_at(action, pos, writable=True)
            result = subfield(field, offset, 1)
        elif offset:
            raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    specs = tuple(_read_specs(action, pos))
    return a.Learn(
        table_id, specs, idle, hard, priority, cookie, flags, fin_idle, fin_hard, limit, result,
        second,
    )  # fmt: skip


#: A field and an offset in it, at least.
_PART_BYTES = 6


def _read_specs(action: bytes, pos: int) -> list[a.LearnSpec]:
    found = []
    end = len(action)
    while pos + 2 <= end:
        (head,) = unpack_from(">H", action, pos)
        pos += 2
        if not head:
            break
        n_bits, kind = head & 0x3FF, head >> 11 & 3
        if head & _RESERVED or not n_bits or kind == 3:
            raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
        source: a.Subfield | int
        size = (n_bits + 15) // 16 * 2 if head & _IMMEDIATE else _PART_BYTES
        if pos + size + (0 if kind == OUTPUT else _PART_BYTES) > end:
            raise OpenFlowError("OFPBAC_BAD_LEN")
        if head & _IMMEDIATE:
            # Bits that the value may not have, in its bytes, do not count in other bytes.
            source = int.from_bytes(action[pos : pos + size], "big") & (1 << (n_bits + 7 & ~7)) - 1
            pos += size
            if kind == OUTPUT:
                raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
        else:
            source, pos = _read_part(action, pos, n_bits)
        destination = None
        if kind != OUTPUT:
            destination, pos = _read_part(action, pos, n_bits)
        found.append(a.LearnSpec(kind, n_bits, source, destination))
    if any(action[pos:]):
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    return found


def _read_part(action: bytes, pos: int, n_bits: int) -> tuple[a.Subfield, int]:
    field, after = field_at(action, pos, writable=False)
    if after + 2 > len(action):
        raise OpenFlowError("OFPBAC_BAD_LEN")
    (offset,) = unpack_from(">H", action, after)
    # Flows that are listed may have parts that go beyond their field; `action_check` has a word.
    return a.Subfield(field, offset, n_bits), after + 2


def write_learn(w: Writer, action: a.Learn) -> None:
    """`learn` to bytes."""
    flags = action.flags
    out = pack(">HHHQHBxHH", action.idle_timeout, action.hard_timeout, action.priority,
               action.cookie, flags, action.table_id, action.fin_idle_timeout,
               action.fin_hard_timeout)  # fmt: skip
    second = bool(action.second or action.limit or flags & WRITE_RESULT)
    if second:
        result = action.result
        out += pack(">IH2x", action.limit, result.offset if result else 0)
        if result is not None:
            out += encode_field_header(result.field, 1)
    for spec in action.specs:
        immediate = not isinstance(spec.source, a.Subfield)
        out += pack(">H", spec.n_bits | spec.kind << 11 | (_IMMEDIATE if immediate else 0))
        if isinstance(spec.source, a.Subfield):
            out += _part(spec.source)
        else:
            out += spec.source.to_bytes((spec.n_bits + 15) // 16 * 2, "big")
        if spec.destination is not None:
            out += _part(spec.destination)
    w.put("LEARN2" if second else "LEARN", out)


def _part(part: a.Subfield) -> bytes:
    return encode_field_header(part.field, 1) + pack(">H", part.offset)


# Text

#: Options with numbers: attribute, bits.
_NUMBERS = {
    "idle_timeout": 16, "hard_timeout": 16, "priority": 16, "fin_idle_timeout": 16,
    "fin_hard_timeout": 16, "limit": 32, "cookie": 64,
}  # fmt: skip
_FLAGS = {"send_flow_rem": SEND_FLOW_REM, "delete_learned": DELETE_LEARNED}


def parse_learn(r: ActionReader, text: str) -> a.Action:
    """`learn` from its arguments."""
    numbers: dict[str, Any] = {}
    specs = []
    flags, table_id = 0, 1
    result: a.Subfield | None = None
    for name, value in split_words(text):
        if name == "table":
            table_id = _table(r, text, value)
        elif name in _NUMBERS:
            read = leading_u64 if name == "cookie" else leading_int
            numbers[name] = read(value) & (1 << _NUMBERS[name]) - 1
        elif name in _FLAGS:
            flags |= _FLAGS[name]
        elif name == "result_dst":
            result = _result(value)
            flags |= WRITE_RESULT
        else:
            specs.append(_spec(r, name, value, text))
    return a.Learn(table_id, tuple(specs), flags=flags, result=result, **numbers)


def _table(r: ActionReader, text: str, value: str) -> int:
    table = r.table(value)
    if table is None:
        raise ConfigError(f'unknown table "{value}"')
    if table == 255:
        raise ConfigError(f"{text}: table id 255 not valid for `learn' action")
    return table


def _result(value: str) -> a.Subfield:
    part = a.Subfield(*parse_subfield(value))
    if not part.field.writable:
        raise ConfigError(f"{value} is read-only")
    if part.n_bits != 1:
        raise ConfigError("result_dst in 'learn' action must be a single bit")
    return part


def _spec(r: ActionReader, name: str, value: str, whole: str) -> a.LearnSpec:
    if name == "load":
        return _load(value, whole)
    if name == "output":
        part = a.Subfield(*parse_subfield(value))
        return a.LearnSpec(OUTPUT, part.n_bits, _short(part, value, whole), None)
    try:
        part = a.Subfield(*parse_subfield(name))
    except ConfigError:
        raise ConfigError(f"{whole}: unknown keyword {name}") from None
    part = _short(part, name, whole)
    if not value:
        return a.LearnSpec(MATCH, part.n_bits, part, part)
    source = _match_source(r, part, name, value, whole)
    if isinstance(source, a.Subfield) and source.n_bits != part.n_bits:
        raise ConfigError(
            f"{whole}: bit widths of {name} ({source.n_bits}) and {value} ({part.n_bits}) differ"
        )
    return a.LearnSpec(MATCH, part.n_bits, source, part)


def _short(part: a.Subfield, name: str, whole: str) -> a.Subfield:
    if not has_short_header(part.field):
        raise ConfigError(f"{whole}: experimenter OXM field '{name}' not supported")
    return part


def _match_source(
    r: ActionReader, part: a.Subfield, name: str, value: str, whole: str
) -> a.Subfield | int:
    """A part of a field if `value` names one, else the number that it says for `part`."""
    try:
        found = a.Subfield(*parse_subfield(value))
    except ConfigError as error:
        no_field = str(error)
    else:
        return _short(found, value, whole)
    try:
        return _immediate(r, part, value, whole)
    except ConfigError as error:
        raise ConfigError(
            f"{whole}: {name} value {value} cannot be parsed as a subfield ({no_field}) or an "
            f"immediate value ({error})"
        ) from None


def _immediate(r: ActionReader, part: a.Subfield, value: str, whole: str) -> int:
    field = part.field
    if part.n_bits == field.width:
        number, mask = parse_field_value(field, value, r.port_names)
        if mask != field.ones:
            raise ConfigError(f"{value}: wildcards not allowed here")
        if field.form == "port10":
            number = port_to_of10(number) or 0
        return number
    try:
        number, rest = scan_integer(value, field.n_bytes)
    except ValueError:
        rest = value
    if rest:
        raise ConfigError(f"{whole}: cannot parse integer value")
    if number >> part.n_bits:
        shown = format_field_value(field, number)
        raise ConfigError(f"{whole}: value {shown} does not fit into {part.n_bits} bits")
    return number


#: Of so many bytes an immediate value may be; whether its destination is as wide comes after.
_LOAD_BYTES: Final = 128


def _load(text: str, whole: str) -> a.LearnSpec:
    if text.startswith("->"):
        raise ConfigError(f"load: missing source before `->' in `{text}'")
    if "->" not in text:
        raise ConfigError(f"load: missing `->' in `{text}'")
    try:
        number, rest = scan_integer(text, _LOAD_BYTES)
    except ValueError:
        return _load_part(text)
    before, _, name = text.partition("->")
    if not rest.startswith("->") or len(rest) != len(text) - len(before):
        raise ConfigError(f"load: garbage before `->' in `{text}'")
    part = _short(a.Subfield(*parse_subfield(name)), name, text)
    if number >> part.n_bits:
        raise ConfigError(f"{text}: value does not fit into {part.n_bits} bits")
    return a.LearnSpec(LOAD, part.n_bits, number, part)


def _load_part(text: str) -> a.LearnSpec:
    """`PART->PART`."""
    field, offset, n_bits, rest = scan_subfield(text)
    source = a.Subfield(field, offset, n_bits)
    if not rest.startswith("->"):
        raise ConfigError(f"{text}: missing `->' following source")
    part = a.Subfield(*parse_subfield(rest[2:]))
    if part.n_bits != n_bits:
        raise ConfigError(
            f"{text}: source field is {n_bits} bits wide but destination is {part.n_bits} bits wide"
        )
    return a.LearnSpec(LOAD, n_bits, source, part)


def format_learn(action: a.Learn, names: TextNames) -> str:
    """`learn` as text."""
    words = [f"table={names.table(action.table_id)}"]
    for name in ("idle_timeout", "hard_timeout", "fin_idle_timeout", "fin_hard_timeout"):
        if value := getattr(action, name):
            words.append(f"{name}={value}")
    if action.priority != 0x8000:
        words.append(f"priority={action.priority}")
    words += [name for name, flag in _FLAGS.items() if action.flags & flag]
    if action.cookie:
        words.append(f"cookie={action.cookie:#x}")
    if action.limit:
        words.append(f"limit={action.limit}")
    if action.result is not None:
        words.append(f"result_dst={format_subfield(action.result)}")
    words += [_format_spec(spec, names) for spec in action.specs]
    return f"learn({','.join(words)})"


def _format_spec(spec: a.LearnSpec, names: TextNames) -> str:
    source, part = spec.source, spec.destination
    if part is None:
        return f"output:{format_subfield(source)}" if isinstance(source, a.Subfield) else ""
    if isinstance(source, a.Subfield):
        if spec.kind == LOAD:
            return f"load:{format_subfield(source)}->{format_subfield(part)}"
        if source == part:
            return format_subfield(part)
        return f"{format_subfield(part)}={format_subfield(source)}"
    number = f"{source:#x}" if source else "0"
    if spec.kind == LOAD:
        return f"load:{number}->{format_subfield(part)}"
    if part.offset == 0 and part.n_bits == part.field.width:
        return f"{part.field.name}={_whole(part.field, source, names)}"
    return f"{format_subfield(part)}={number}"


def _whole(field: Field, value: int, names: TextNames) -> str:
    text = format_field_value(field, value, None, names.ports)
    return f"packet_type={text}" if field.form == "packet_type" else text


def learned_match(match: Match, part: a.Subfield, value: int) -> Match:
    """`match` with the bits of `part` demanded to be `value`."""
    if part.field.form == "port10" and part.n_bits == part.field.width:
        return match.with_field(part.field, port_from_of10(value))
    shift = part.field.shift + part.offset
    ones = ((1 << part.n_bits) - 1) << shift & part.field.mask
    return Match(match.value & ~ones | value << shift & ones, match.mask | ones & part.field.mask)
