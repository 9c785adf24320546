"""Actions and instructions from bytes.

`decode_actions` reads a list of actions, `decode_instructions` one of OpenFlow 1.1 and later
(returned as one sequence, in the order in which a switch carries them out). They check what can be
seen from the bytes alone: lengths, types, reserved ports, fields that exist and can be written.
Whether an action fits its flow's match is checked in `action_check`. Errors are OFPBAC_* and
OFPBIC_*, as `OpenFlowError`.
"""

from __future__ import annotations

from struct import unpack_from

from netloom.base.log import get_logger
from netloom.flow.fields import FIELD, VLAN_CFI, Field
from netloom.flow.ports import ANY, IN_PORT, MAX, port_from_of10, port_from_of11
from netloom.openflow import action_choice as choice
from netloom.openflow import action_conntrack as conntrack
from netloom.openflow import action_encap as encap
from netloom.openflow import action_faults, oxm, properties
from netloom.openflow import action_learn as learn
from netloom.openflow import action_small as small
from netloom.openflow import action_table as t
from netloom.openflow import actions as a
from netloom.openflow.action_fields import (
    bare_field_at,
    check_zeros,
    expect_size,
    field_at,
    subfield,
    unpack_subfield,
)
from netloom.openflow.action_nesting import in_action_set, nesting_fault
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.messages import NX_VENDOR_ID, ONF_VENDOR_ID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    #: (the action's bytes, position after its header, version, actions so far)
    Reader = Callable[[bytes, int, int, list[a.Action]], a.Action]

log: Final = get_logger("ofp_actions")
# One bad list leads to several complaints, and a peer that sends one sends more.
log.limit_together(per_minute=1, burst=5)

#: Actions within actions within ... before a list is refused.
MAX_DEPTH: Final = 8


def decode_actions(
    data: bytes, version: int, depth: int = 0, outer: str = ""
) -> tuple[a.Action, ...]:
    """The actions in `data`, which holds nothing else; `outer` is the keyword of the action that
    they stand in."""
    if len(data) % 8 and not depth:
        log.warn_rl("OpenFlow message actions length %d is not a multiple of 8", len(data))
        raise OpenFlowError("OFPBRC_BAD_LEN")
    found: list[a.Action] = []
    try:
        _decode_into(found, data, version, depth)
    except OpenFlowError as error:
        action_faults.log_bad_action(data, _end_of_good(data, found), version, error.name)
        raise
    actions = tuple(found)
    nested = nesting_fault(actions, outer)
    if nested is not None:
        log.warn("%s", nested[0])
        raise OpenFlowError(nested[1])
    return actions


def decode_action_list(data: bytes, version: int) -> tuple[a.Action, ...]:
    """The actions in `data`, which are not those of a flow: without what is an instruction since
    OpenFlow 1.1."""
    actions = decode_actions(data, version)
    for action in actions:
        if type(action) is a.WriteMetadata:
            log.warn("write_metadata instruction not allowed here")
            raise OpenFlowError("OFPBIC_UNSUP_INST")
    return actions


def _end_of_good(data: bytes, found: list[a.Action]) -> int:
    """Where the action after those in `found` starts."""
    pos = 0
    for _ in found:
        pos += int.from_bytes(data[pos + 2 : pos + 4], "big")
    return pos


def _decode_into(found: list[a.Action], data: bytes, version: int, depth: int) -> None:
    pos = 0
    end = len(data)
    while pos < end:
        kind, size = unpack_from(">HH", data, pos)
        wrong_size = size < 8 or size & 7 or pos + size > end
        vendor = 0
        body = 4
        if kind == t.OFPAT_EXPERIMENTER:
            vendor, kind, body = _vendor_header(data, pos, size)
        name = t.NAMES.get((version, vendor, kind))
        if wrong_size and name:
            raise OpenFlowError("OFPBAC_BAD_LEN")
        if name is None:
            raise OpenFlowError("OFPBAC_BAD_VENDOR_TYPE" if vendor else "OFPBAC_BAD_TYPE")
        reader = _READERS.get(name)
        if reader is not None:
            found.append(reader(data[pos : pos + size], body, version))
        elif name == "CLONE":
            if depth >= MAX_DEPTH:
                raise OpenFlowError("OFPBAC_TOO_MANY")
            inner = decode_actions(data[pos + 16 : pos + size], version, depth + 1, "clone")
            found.append(a.Clone(inner))
        elif name == "CT":
            if depth >= MAX_DEPTH:
                raise OpenFlowError("OFPBAC_TOO_MANY")
            found.append(conntrack.read_ct(
                data[pos : pos + size],
                lambda inner: decode_actions(inner, version, depth + 1, "ct"),
            ))  # fmt: skip
        elif name == "WRITE_METADATA":
            found.append(_read_write_metadata(data, pos, size))
        else:
            found.append(_decode_one(name, data[pos : pos + size], body, version))
        pos += size


def _vendor_header(data: bytes, pos: int, size: int) -> tuple[int, int, int]:
    if len(data) - pos < 8:
        raise OpenFlowError("OFPBAC_BAD_LEN")
    vendor = int.from_bytes(data[pos + 4 : pos + 8], "big")
    if vendor not in (NX_VENDOR_ID, ONF_VENDOR_ID):
        raise OpenFlowError("OFPBAC_BAD_VENDOR")
    if size < 16 or len(data) - pos < 10:
        raise OpenFlowError("OFPBAC_BAD_LEN")
    return vendor, int.from_bytes(data[pos + 8 : pos + 10], "big"), 10


def _decode_one(name: str, action: bytes, body: int, version: int) -> a.Action:
    layout = t.LAYOUTS.get(name)
    if layout is not None:
        return _read_layout(layout, action, body, version)
    return _read_set_one(name, action, body)


def _read_layout(layout: t.Layout, action: bytes, body: int, version: int) -> a.Action:
    kind, attributes, struct = layout
    expect_size(action, 8 if body == 4 else 16)
    values = unpack_from(struct, action, body + (2 if body == 10 and "I" in struct else 0))
    if len(values) != len(attributes):
        raise AssertionError(struct)
    if kind is a.SetVlanVid:
        if values[0] & ~0xFFF:
            raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
        return a.SetVlanVid(values[0], version == 1)
    if kind is a.SetVlanPcp:
        if values[0] & ~7:
            raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
        return a.SetVlanPcp(values[0], version == 1)
    _check_number(kind, values)
    return kind(*values)


def _check_number(kind: type[a.Action], values: tuple[int, ...]) -> None:
    if kind is a.PushMpls and values[0] not in (0x8847, 0x8848):
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    if kind is a.PushVlan and values[0] not in (0x8100, 0x88A8):
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")


def _read_set_one(name: str, action: bytes, body: int) -> a.Action:
    field_name, struct = t.SET_ONE[name]
    expect_size(action, 16 if struct[0] == "6" else 8)
    value = unpack_from(">" + struct, action, body)[0]
    field = FIELD[field_name]
    if struct[0] == "6":
        value = int.from_bytes(value, "big")
    if (name == "SET_NW_TOS" and value & 3) or value > field.limit:
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    mask = 0xFC if name == "SET_NW_TOS" else field.ones
    return a.SetField(field, value, mask, legacy=True)


# Ports


def _port10(number: int) -> int:
    """An output port of OpenFlow 1.0's 16 bits."""
    port = port_from_of10(number)
    if MAX <= port < IN_PORT:
        raise OpenFlowError("OFPBAC_BAD_OUT_PORT")
    return port


def _read_output(action: bytes, body: int, version: int) -> a.Action:
    if version == 1:
        expect_size(action, 8)
        number, max_len = unpack_from(">HH", action, body)
        port = _port10(number)
    else:
        expect_size(action, 16)
        number, max_len = unpack_from(">IH", action, body)
        known = port_from_of11(number)
        if known is None or MAX <= known < IN_PORT:
            raise OpenFlowError("OFPBAC_BAD_OUT_PORT")
        port = known
    if port == ANY:
        raise OpenFlowError("OFPBAC_BAD_OUT_PORT")
    return a.Output(port, max_len)


def _read_strip_vlan(action: bytes, body: int, version: int) -> a.Action:
    expect_size(action, 8)
    return a.StripVlan(version > 1)


def _read_enqueue(action: bytes, body: int, version: int) -> a.Action:
    expect_size(action, 16)
    number, queue = unpack_from(">H6xI", action, body)
    port = port_from_of10(number)
    if port >= MAX and port not in (IN_PORT, 0xFFFFFFFE):
        raise OpenFlowError("OFPBAC_BAD_OUT_PORT")
    return a.Enqueue(port, queue)


def _read_output_trunc(action: bytes, body: int, version: int) -> a.Action:
    expect_size(action, 16)
    number, max_len = unpack_from(">HI", action, body)
    if max_len < 14:
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    return a.OutputTrunc(port_from_of10(number), max_len)


def _read_resubmit(action: bytes, body: int, version: int) -> a.Action:
    expect_size(action, 16)
    (number,) = unpack_from(">H", action, body)
    return a.Resubmit(port_from_of10(number), short=True)


def _read_resubmit_table(action: bytes, body: int, version: int) -> a.Action:
    expect_size(action, 16)
    number, table_id = unpack_from(">HB", action, body)
    if any(action[13:16]):
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    with_ct = action[8:10] == b"\0\x2c"
    return a.Resubmit(port_from_of10(number), table_id, with_ct)


# Fields


def _read_reg_move(action: bytes, body: int, version: int) -> a.Action:
    if len(action) < 24:
        # It is the names of the fields that are missing.
        raise OpenFlowError("OFPBMC_BAD_LEN")
    return _move(action, body, body + 6, onf=False)


def _read_copy_field(action: bytes, body: int, version: int) -> a.Action:
    is_onf = body != 4
    # Behind ONF's number of the action is padding.
    start = body + 2 if is_onf else body
    if len(action) < 20:
        raise OpenFlowError("OFPBAC_BAD_LEN")
    return _move(action, start, start + 8, is_onf)


def _move(action: bytes, numbers_at: int, fields_at: int, onf: bool) -> a.Action:
    n_bits, src_offset, dst_offset = unpack_from(">3H", action, numbers_at)
    source, after = bare_field_at(action, fields_at, writable=False)
    destination, after = bare_field_at(action, after, writable=True)
    check_zeros(action[after:])
    return a.Move(
        subfield(source, src_offset, n_bits), subfield(destination, dst_offset, n_bits), onf
    )


def _read_reg_load(action: bytes, body: int, version: int) -> a.Action:
    expect_size(action, 24)
    packed, value = unpack_from(">H4xQ", action, body)
    field, _ = field_at(action, body + 2, writable=True)
    part = unpack_subfield(field, packed)
    ones = (1 << part.n_bits) - 1
    if value & ~ones:
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    return a.load(part, value)


def _read_reg_load2(action: bytes, body: int, version: int) -> a.Action:
    return _set_field(action, body, masks=True)


def _read_set_field(action: bytes, body: int, version: int) -> a.Action:
    return _set_field(action, body, masks=version >= 6)


def _set_field(action: bytes, pos: int, *, masks: bool) -> a.SetField:
    """A field, its value and possibly its mask, as an OXM entry, and zeros after it."""
    field, masked, start = _field_to_set(action, pos)
    end = pos + 4 + action[pos + 3]
    if end > len(action):
        raise OpenFlowError("OFPBMC_BAD_LEN")
    n_bytes = (end - start) // (2 if masked else 1)
    value = int.from_bytes(action[start : start + n_bytes], "big")
    mask = field.ones
    if masked:
        mask = int.from_bytes(action[start + n_bytes : start + 2 * n_bytes], "big")
        if value & ~mask:
            raise OpenFlowError("OFPBMC_BAD_WILDCARDS")
        if not masks:
            raise OpenFlowError("OFPBAC_BAD_SET_MASK")
    if any(action[end:]) or not field.writable or field.name == "in_port_oxm":
        raise OpenFlowError("OFPBAC_BAD_SET_ARGUMENT")
    # Any field may be set in part, also one that is always matched whole (OVN does so).
    if not mask & field.ones:
        raise OpenFlowError("OFPBAC_BAD_SET_MASK")
    if field.form == "port10" and mask & 0xFFFF == 0xFFFF:
        # All of the field, which is 16 bits wide here and 32 in a key.
        value, mask = port_from_of10(value), field.ones
    return a.SetField(field, _checked_value(field, value), mask & field.ones)


def _field_to_set(action: bytes, pos: int) -> tuple[Field, bool, int]:
    """See `decode_field_header`; a field of another length has a wrong one, if it has any."""
    try:
        return oxm.decode_field_header(action, pos)
    except OpenFlowError as error:
        if error.name != "OFPBMC_BAD_FIELD":
            raise
        what = "LEN" if action[pos + 3] and oxm.is_field_code(action, pos) else "TYPE"
        raise OpenFlowError(f"OFPBAC_BAD_SET_{what}") from None


def _checked_value(field: Field, value: int) -> int:
    if field.form == "port" and port_from_of11(value) is None:
        raise OpenFlowError("OFPBAC_BAD_SET_ARGUMENT")
    no_tag = field.name == "vlan_vid" and not value & VLAN_CFI
    if value > field.ones or no_tag or (field.name == "nw_tos" and value & 3):
        log.warn_rl("Invalid value for set field %s: %s", field.name, value)
        raise OpenFlowError("OFPBAC_BAD_SET_ARGUMENT")
    return value


def _read_output_reg(action: bytes, body: int, version: int) -> a.Action:
    expect_size(action, 24)
    (packed,) = unpack_from(">H", action, body)
    if any(action[body + 8 :]):
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    field, _ = field_at(action, body + 2, writable=False)
    (max_len,) = unpack_from(">H", action, body + 6)
    return a.OutputReg(unpack_subfield(field, packed), max_len)


def _read_output_reg2(action: bytes, body: int, version: int) -> a.Action:
    expect_size(action, 24)
    packed, max_len = unpack_from(">HH", action, body)
    field, after = bare_field_at(action, body + 4, writable=False)
    check_zeros(action[after:])
    return a.OutputReg(unpack_subfield(field, packed), max_len)


def _read_stack(action: bytes, body: int, writable: bool) -> a.Subfield:
    expect_size(action, 24)
    (offset,) = unpack_from(">H", action, body)
    field, after = bare_field_at(action, body + 2, writable=writable)
    (n_bits,) = unpack_from(">H", action, after)
    check_zeros(action[after + 2 :])
    return subfield(field, offset, n_bits)


def _read_push(action: bytes, body: int, version: int) -> a.Action:
    return a.Push(_read_stack(action, body, False))


def _read_pop(action: bytes, body: int, version: int) -> a.Action:
    return a.Pop(_read_stack(action, body, True))


def _read_tunnel(action: bytes, body: int, version: int) -> a.Action:
    expect_size(action, 16)
    return a.SetTunnelId(unpack_from(">I", action, body + 2)[0])


def _read_tunnel64(action: bytes, body: int, version: int) -> a.Action:
    expect_size(action, 24)
    return a.SetTunnelId(unpack_from(">Q", action, body + 6)[0], wide=True)


# Controllers, notes, conjunctions


def _read_controller(action: bytes, body: int, version: int) -> a.Action:
    expect_size(action, 16)
    max_len, controller_id, reason = unpack_from(">HHB", action, body)
    return a.Controller(max_len, controller_id, reason)


def _read_controller2(action: bytes, body: int, version: int) -> a.Action:
    """Properties: 0 max_len, 1 controller id, 2 reason, 3 user data, 4 pause, 5 meter."""
    check_zeros(action[body : body + 6])
    values: dict[str, int | bytes | bool] = {}
    pos = 16
    while pos < len(action):
        kind, size = unpack_from(">HH", action, pos)
        body_of = action[pos + 4 : pos + size]
        if size < 4 or pos + size > len(action):
            raise OpenFlowError("OFPBPC_BAD_LEN")
        wanted, name = _CONTROLLER2.get(kind, (-1, ""))
        if not name:
            raise OpenFlowError("OFPBPC_BAD_TYPE")
        if wanted > 0:
            properties.check_number(pos, pos + size, wanted)
            values[name] = int.from_bytes(body_of[:wanted], "big")
        else:
            values[name] = body_of if wanted else True
        pos += size + 7 & ~7
    return a.Controller(**values)  # type: ignore[arg-type]


_CONTROLLER2: Final = {
    0: (2, "max_len"),
    1: (2, "controller_id"),
    2: (1, "reason"),
    3: (-1, "userdata"),
    4: (0, "pause"),
    5: (4, "meter_id"),
}


def _read_dec_ttl_ids(action: bytes, body: int, version: int) -> a.Action:
    (count,) = unpack_from(">H", action, body)
    check_zeros(action[body + 2 : 16])
    if 16 + 2 * count > len(action):
        raise OpenFlowError("OFPBAC_BAD_LEN")
    return a.DecTtl(unpack_from(f">{count}H", action, 16))


def _read_note(action: bytes, body: int, version: int) -> a.Action:
    return a.Note(action[body:])


def _read_conjunction(action: bytes, body: int, version: int) -> a.Action:
    expect_size(action, 16)
    clause, n_clauses, conj_id = unpack_from(">BBI", action, body)
    if not 2 <= n_clauses <= 64 or clause >= n_clauses:
        raise OpenFlowError("NXBAC_BAD_CONJUNCTION")
    return a.Conjunction(conj_id, clause, n_clauses)


def _read_write_metadata(data: bytes, pos: int, size: int) -> a.Action:
    if size != 32:
        raise OpenFlowError("OFPBAC_BAD_LEN")
    check_zeros(data[pos + 10 : pos + 16])
    return a.WriteMetadata(*unpack_from(">QQ", data, pos + 16))


#: Modules whose names these use run when the first such action is read.
_READERS: dict[str, Callable[[bytes, int, int], a.Action]] = {
    "OUTPUT": _read_output,
    "STRIP_VLAN": _read_strip_vlan,
    "ENQUEUE": _read_enqueue,
    "OUTPUT_TRUNC": _read_output_trunc,
    "RESUBMIT": _read_resubmit,
    "RESUBMIT_TABLE": _read_resubmit_table,
    "RESUBMIT_TABLE_CT": _read_resubmit_table,
    "REG_MOVE": _read_reg_move,
    "COPY_FIELD": _read_copy_field,
    "REG_LOAD": _read_reg_load,
    "REG_LOAD2": _read_reg_load2,
    "SET_FIELD": _read_set_field,
    "OUTPUT_REG": _read_output_reg,
    "OUTPUT_REG2": _read_output_reg2,
    "STACK_PUSH": _read_push,
    "STACK_POP": _read_pop,
    "SET_TUNNEL": _read_tunnel,
    "SET_TUNNEL64": _read_tunnel64,
    "CONTROLLER": _read_controller,
    "CONTROLLER2": _read_controller2,
    "DEC_TTL_CNT_IDS": _read_dec_ttl_ids,
    "NOTE": _read_note,
    "CONJUNCTION": _read_conjunction,
    "MULTIPATH": lambda data, body, version: choice.read_multipath(data, body, version),
    "BUNDLE": lambda data, body, version: choice.read_bundle(data, body, version),
    "BUNDLE_LOAD": lambda data, body, version: choice.read_bundle_load(data, body, version),
    "LEARN": lambda data, body, version: learn.read_learn(data, body, version),
    "LEARN2": lambda data, body, version: learn.read_learn2(data, body, version),
    "NAT": lambda data, body, version: conntrack.read_nat(data, body, version),
    "ENCAP": lambda data, body, version: encap.read_encap(data, body, version),
    "SAMPLE": lambda data, body, version: small.read_sample(data, body, version),
    "SAMPLE2": lambda data, body, version: small.read_sample2(data, body, version),
    "SAMPLE3": lambda data, body, version: small.read_sample2(data, body, version),
    "SAMPLE4": lambda data, body, version: small.read_sample4(data, body, version),
    "CHECK_PKT_LARGER": lambda data, body, version: small.read_check_pkt_larger(
        data, body, version
    ),
    "DELETE_FIELD": lambda data, body, version: small.read_delete_field(data, body, version),
}


# Instructions


def decode_instructions(data: bytes, version: int) -> tuple[a.Action, ...]:
    """The instructions in `data` as actions, in order of execution: meter, the actions to apply,
    clear, write, metadata, goto."""
    found: dict[int, bytes] = {}
    pos = 0
    if len(data) % 8:
        log.warn_rl("OpenFlow message instructions length %d is not a multiple of 8", len(data))
        raise OpenFlowError("OFPBIC_BAD_LEN")
    while pos < len(data):
        if len(data) - pos < 8:
            raise OpenFlowError("OFPBIC_BAD_LEN")
        kind, size = unpack_from(">HH", data, pos)
        if size < 8 or size % 8 or pos + size > len(data):
            raise OpenFlowError("OFPBIC_BAD_LEN")
        if kind == 0xFFFF:
            raise OpenFlowError("OFPBIC_BAD_EXPERIMENTER")
        expected = _INSTRUCTION_SIZES.get(kind, -1)
        if expected == -1:
            raise OpenFlowError("OFPBIC_UNKNOWN_INST")
        if expected and size != expected:
            raise OpenFlowError("OFPBIC_BAD_LEN")
        if kind == t.OFPIT_METER and version not in (4, 5):
            raise OpenFlowError("OFPBIC_UNKNOWN_INST")
        if kind in found:
            raise OpenFlowError("OFPBIC_DUP_INST")
        found[kind] = data[pos + 4 : pos + size]
        pos += size
    actions: list[a.Action] = []
    if (body := found.get(t.OFPIT_METER)) is not None:
        actions.append(a.Meter(int.from_bytes(body[:4], "big")))
    if (body := found.get(t.OFPIT_APPLY_ACTIONS)) is not None:
        actions.extend(decode_actions(body[4:], version))
    if t.OFPIT_CLEAR_ACTIONS in found:
        actions.append(a.ClearActions())
    if (body := found.get(t.OFPIT_WRITE_ACTIONS)) is not None:
        actions.append(a.WriteActions(_action_set(body[4:], version)))
    if (body := found.get(t.OFPIT_WRITE_METADATA)) is not None:
        actions.append(a.WriteMetadata(*unpack_from(">QQ", body, 4)))
    if (body := found.get(t.OFPIT_GOTO_TABLE)) is not None:
        actions.append(a.GotoTable(body[0]))
    return tuple(actions)


def _action_set(data: bytes, version: int) -> tuple[a.Action, ...]:
    written = decode_actions(data, version, 0, "write_actions")
    for action in written:
        if not in_action_set(action):
            log.warn_rl("disallowed action in action set")
            raise OpenFlowError("OFPBAC_BAD_TYPE")
    return written


#: 0: any size.
_INSTRUCTION_SIZES: Final = {
    t.OFPIT_GOTO_TABLE: 8,
    t.OFPIT_WRITE_METADATA: 24,
    t.OFPIT_WRITE_ACTIONS: 0,
    t.OFPIT_APPLY_ACTIONS: 0,
    t.OFPIT_CLEAR_ACTIONS: 8,
    t.OFPIT_METER: 8,
}
