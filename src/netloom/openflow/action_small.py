"""Nicira's actions of a few numbers or one field: `sample`, `check_pkt_larger`, `delete_field`."""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.flow.fields import FIELD
from netloom.flow.ports import ANY, format_port, parse_port, port_from_of10, port_to_of10
from netloom.flow.text import parse_subfield
from netloom.flow.words import split_words
from netloom.openflow import actions as a
from netloom.openflow.action_fields import (
    bare_field_at,
    check_zeros,
    expect_size,
    field_at,
    pack_subfield,
    subfield,
    unpack_subfield,
)
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.number_text import c_int, to_u16, to_u32
from netloom.openflow.oxm import encode_field_header
from netloom.openflow.subfield_text import format_subfield

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.openflow.action_encode import Writer
    from netloom.openflow.action_format import TextNames
    from netloom.openflow.action_parse import ActionReader

log = get_logger("ofp_actions")

_DIRECTIONS = ("", "ingress", "egress")


# Sample


def read_sample(action: bytes, body: int, version: int) -> a.Action:
    """`sample` from its bytes."""
    expect_size(action, 24)
    return _sample(action, ANY, 0)


_SAMPLE2 = 38


def read_sample2(action: bytes, body: int, version: int) -> a.Action:
    """Also the third, which has a direction."""
    expect_size(action, 32)
    port, direction = unpack_from(">HB", action, 24)
    if action[9] == _SAMPLE2:
        return _sample(action, port_from_of10(port), 0)
    check_zeros(action[27:])
    if direction >= len(_DIRECTIONS):
        log.warn_rl("invalid sample direction %u", direction)
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    return _sample(action, port_from_of10(port), direction)


def _sample(action: bytes, port: int, direction: int) -> a.Action:
    probability, collectors, domain, point = unpack_from(">HIII", action, 10)
    if not probability:
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    return a.Sample(probability, collectors, domain, point, port, direction)


def read_sample4(action: bytes, body: int, version: int) -> a.Action:
    """`sample4` from its bytes."""
    expect_size(action, 40)
    probability, collectors = unpack_from(">HI", action, 10)
    port, direction = unpack_from(">HB", action, 32)
    if not probability or direction >= len(_DIRECTIONS):
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    check_zeros(action[35:])
    domain, point = _observation(action, 16), _observation(action, 24)
    return a.Sample(probability, collectors, domain, point, port_from_of10(port), direction)


def _observation(action: bytes, pos: int) -> a.Subfield | int:
    """A field's header and part, or zero and a number."""
    if not any(action[pos : pos + 4]):
        return int.from_bytes(action[pos + 4 : pos + 8], "big")
    field, after = field_at(action, pos, writable=False)
    if after != pos + 4:
        raise OpenFlowError("OFPBAC_BAD_SET_TYPE")
    part = unpack_subfield(field, int.from_bytes(action[pos + 4 : pos + 6], "big"))
    check_zeros(action[pos + 6 : pos + 8])
    if part.n_bits > 32:
        raise OpenFlowError("OFPBAC_BAD_SET_LEN")
    return part


def write_sample(w: Writer, action: a.Sample) -> None:
    """`sample` to bytes."""
    domain, point = action.obs_domain_id, action.obs_point_id
    head = pack(">HI", action.probability, action.collector_set_id)
    port = port_to_of10(action.sampling_port)
    if isinstance(domain, a.Subfield) or isinstance(point, a.Subfield):
        w.put(
            "SAMPLE4", head + _part(domain) + _part(point) + pack(">HB5x", port, action.direction)
        )
        return
    head += pack(">II", domain, point)
    if action.direction:
        w.put("SAMPLE3", head + pack(">HB5x", port, action.direction))
    elif action.sampling_port != ANY:
        w.put("SAMPLE2", head + pack(">H6x", port))
    else:
        w.put("SAMPLE", head)


def _part(source: a.Subfield | int) -> bytes:
    if isinstance(source, a.Subfield):
        return encode_field_header(source.field, 1) + pack(">H2x", pack_subfield(source))
    return pack(">II", 0, source)


def parse_sample(r: ActionReader, text: str) -> a.Action:
    """`sample` from its arguments."""
    found: dict[str, int] = {}
    ids: dict[str, a.Subfield | int] = {}
    for name, value in split_words(text):
        if name == "probability":
            found[name] = to_u16(value, name)
            if not found[name]:
                raise ConfigError(f'invalid probability value "{value}"')
        elif name == "collector_set_id":
            found[name] = to_u32(value)
        elif name in ("obs_domain_id", "obs_point_id"):
            ids[name] = _id(name, value)
        elif name == "sampling_port":
            port = parse_port(value, r.port_names)
            if port is None:
                raise ConfigError(f"{value}: unknown port")
            found[name] = port
        elif name in ("ingress", "egress"):
            found["direction"] = _DIRECTIONS.index(name)
        else:
            raise ConfigError(f'invalid key "{name}" in "sample" argument')
    if "probability" not in found:
        raise ConfigError('non-zero "probability" must be specified on sample')
    return a.Sample(
        found["probability"], found.get("collector_set_id", 0), ids.get("obs_domain_id", 0),
        ids.get("obs_point_id", 0), found.get("sampling_port", ANY), found.get("direction", 0),
    )  # fmt: skip


def _id(name: str, value: str) -> a.Subfield | int:
    """A number, or (since 3.4) at most 32 bits of a field."""
    if c_int(value) is None and value[:1].isalpha():
        try:
            part = a.Subfield(*parse_subfield(value))
        except ConfigError:
            return to_u32(value)
        if part.n_bits > 32:
            raise ConfigError(f"size of {name} field ({part.n_bits}) exceeds maximum (32)")
        return part
    return to_u32(value)


def format_sample(action: a.Sample, names: TextNames) -> str:
    """`sample` as text."""
    domain, point = (
        format_subfield(source) if isinstance(source, a.Subfield) else str(source)
        for source in (action.obs_domain_id, action.obs_point_id)
    )
    out = (
        f"sample(probability={action.probability},collector_set_id={action.collector_set_id},"
        f"obs_domain_id={domain},obs_point_id={point}"
    )
    if action.sampling_port != ANY:
        out += f",sampling_port={format_port(action.sampling_port, names.ports)}"
    if action.direction:
        out += f",{_DIRECTIONS[action.direction]}"
    return out + ")"


# Packet size


def read_check_pkt_larger(action: bytes, body: int, version: int) -> a.Action:
    """`check_pkt_larger` from its bytes."""
    expect_size(action, 24)
    size, offset = unpack_from(">HH", action, body)
    field, after = bare_field_at(action, body + 4, writable=True)
    check_zeros(action[after:])
    return a.CheckPktLarger(size, subfield(field, offset, 1))


def write_check_pkt_larger(w: Writer, action: a.CheckPktLarger) -> None:
    """`check_pkt_larger` to bytes."""
    part = action.destination
    header = encode_field_header(part.field, 1)
    w.put("CHECK_PKT_LARGER", (pack(">HH", action.size, part.offset) + header).ljust(14, b"\0"))


def parse_check_pkt_larger(r: ActionReader, text: str) -> a.Action:
    """`check_pkt_larger` from its arguments."""
    size_text, arrow, key = text.partition("->")
    if not arrow:
        raise ConfigError(f"{size_text.rstrip(')')}: missing `->'")
    if not key:
        raise ConfigError(f"{text}: missing field name following `->'")
    part = a.Subfield(*parse_subfield(key))
    if part.n_bits != 1:
        raise ConfigError("Only 1-bit destination field is allowed")
    size = to_u16(size_text.rstrip(")"), "(null)")
    return a.CheckPktLarger(size, part)


def format_check_pkt_larger(action: a.CheckPktLarger, names: TextNames) -> str:
    """`check_pkt_larger` as text."""
    return f"check_pkt_larger({action.size})->{format_subfield(action.destination)}"


# Options


def read_delete_field(action: bytes, body: int, version: int) -> a.Action:
    """`delete_field` from its bytes."""
    expect_size(action, 24)
    field, _ = bare_field_at(action, body, writable=False)
    return a.DeleteField(field)


def write_delete_field(w: Writer, action: a.DeleteField) -> None:
    """`delete_field` to bytes."""
    w.put("DELETE_FIELD", encode_field_header(action.field, 1).ljust(14, b"\0"))


def parse_delete_field(r: ActionReader, text: str) -> a.Action:
    """`delete_field` from its arguments."""
    field = FIELD.get(text)
    if field is None:
        raise ConfigError(f"unknown field `{text}'")
    return a.DeleteField(field)


def parse_fin_timeout(r: ActionReader, text: str) -> a.Action:
    """`fin_timeout` from its arguments."""
    found: dict[str, int] = {}
    for name, value in split_words(text):
        if name not in ("idle_timeout", "hard_timeout"):
            raise ConfigError(f"invalid key '{name}' in 'fin_timeout' argument")
        found[name] = to_u16(value, name)
    return a.FinTimeout(**found)


def format_fin_timeout(action: a.FinTimeout, names: TextNames) -> str:
    """`fin_timeout` as text."""
    words = [f"{name}={getattr(action, name)}" for name in ("idle_timeout", "hard_timeout")
             if getattr(action, name)]  # fmt: skip
    return f"fin_timeout({','.join(words)})"


def format_unroll(action: a.UnrollXlate, names: TextNames) -> str:
    """`unroll` as text."""
    return f"unroll_xlate(table={names.table(action.table_id)}, cookie={action.cookie})"
