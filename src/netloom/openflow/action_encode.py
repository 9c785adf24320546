"""Actions and instructions to bytes of one version.

What a version lacks is written as the next best thing, as Open vSwitch does: a field is set by a
load where there is no set_field, `mod_vlan_vid` becomes push_vlan and set_field from 1.2 on (no
push when the flow's match or an earlier action provides a tag), `goto_table` becomes a resubmit in
OpenFlow 1.0. An action that cannot be said at all raises `Unencodable`.
"""

from __future__ import annotations

from struct import pack

from netloom.base.errors import NetloomError
from netloom.flow.fields import FIELD, SLOT, VLAN_CFI, Field
from netloom.flow.match import MATCH_ALL, Match
from netloom.flow.ports import port_to_of10
from netloom.openflow import action_choice as choice
from netloom.openflow import action_conntrack as conntrack
from netloom.openflow import action_encap as encap
from netloom.openflow import action_learn as learn
from netloom.openflow import action_small as small
from netloom.openflow import action_table as t
from netloom.openflow import actions as a
from netloom.openflow import oxm
from netloom.openflow.constants import OFP13_VERSION, OFP15_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final


#: Nicira's actions name fields by their NXM numbers, whatever the version.
_NXM: Final = 1

#: Lengths have so many bits. Of a longer list, which another version wrote shorter, only these are
#: written: it fits into no message, and who writes messages leaves it out.
_LENGTH: Final = 0xFFFF

_CFI_IN_PLACE: Final = VLAN_CFI << SLOT["vlan_tci"].shift
_NW_PROTO: Final = SLOT["nw_proto"]


class Unencodable(NetloomError):
    """The version cannot express this."""


class Writer:
    """One list being written; `has_vlan`: packets surely have a tag at this point."""

    __slots__ = ("has_vlan", "match", "out", "version")

    def __init__(self, version: int, match: Match) -> None:
        self.version = version
        self.match = match
        self.has_vlan = bool(match.value & _CFI_IN_PLACE)
        self.out: list[bytes] = []

    def put(self, name: str, body: bytes) -> None:
        """One action: `body` is what follows its header, padded to eight bytes."""
        number = t.NUMBERS[name][self.version - 1]
        if number is None:
            raise Unencodable(name)
        vendor, kind = number
        if vendor:
            size = 10 + len(body) + 7 & ~7
            head = pack(">HHIH", t.OFPAT_EXPERIMENTER, size & _LENGTH, vendor, kind)
        else:
            size = 4 + len(body) + 7 & ~7
            head = pack(">HH", kind, size & _LENGTH)
        self.out.append((head + body).ljust(size, b"\0"))

    def nested(self, actions: tuple[a.Action, ...]) -> bytes:
        """The actions within one."""
        return encode_actions(actions, self.version, self.match)

    def is_vendor(self, name: str) -> bool:
        number = t.NUMBERS[name][self.version - 1]
        return number is not None and bool(number[0])

    def knows(self, name: str) -> bool:
        return t.NUMBERS[name][self.version - 1] is not None


def encode_actions(actions: tuple[a.Action, ...], version: int, match: Match = MATCH_ALL) -> bytes:
    writer = Writer(version, match)
    for action in actions:
        _write(writer, action)
    return b"".join(writer.out)


def _write(w: Writer, action: a.Action) -> None:
    kind = type(action)
    function = _WRITERS.get(kind)
    if function is not None:
        function(w, action)
        return
    name = t.LAYOUT_OF.get(kind)
    if name is None:
        raise Unencodable(kind.__name__)
    _, attributes, struct = t.LAYOUTS[name]
    body = pack(struct, *[getattr(action, attribute) for attribute in attributes])
    if w.is_vendor(name) and "I" in struct:
        body = b"\0\0" + body
    w.put(name, body)


# Output


def _write_output(w: Writer, action: a.Output) -> None:
    if w.version == 1:
        w.put("OUTPUT", pack(">HH", _of10(action.port), action.max_len))
    else:
        w.put("OUTPUT", pack(">IH6x", action.port, action.max_len))


def _of10(port: int) -> int:
    number = port_to_of10(port)
    if number is None:
        raise Unencodable(f"port {port}")
    return number


def _write_output_reg(w: Writer, action: a.OutputReg) -> None:
    part = action.source
    header = oxm.encode_field_header(part.field, _NXM)
    packed = part.offset << 6 | part.n_bits - 1
    if len(header) == 4:
        w.put("OUTPUT_REG", pack(">H4sH6x", packed, header, action.max_len))
    else:
        w.put("OUTPUT_REG2", pack(">HH8s2x", packed, action.max_len, header))


def _write_output_trunc(w: Writer, action: a.OutputTrunc) -> None:
    w.put("OUTPUT_TRUNC", pack(">HI", _of10(action.port), action.max_len))


def _write_enqueue(w: Writer, action: a.Enqueue) -> None:
    if w.version == 1:
        w.put("ENQUEUE", pack(">H6xI", _of10(action.port), action.queue))
        return
    w.put("SET_QUEUE", pack(">I", action.queue))
    _write_output(w, a.Output(action.port, 0xFFFF))
    w.put("POP_QUEUE", b"\0" * 6)


def _write_controller(w: Writer, action: a.Controller) -> None:
    if not (action.userdata or action.pause or action.meter_id):
        w.put("CONTROLLER",
              pack(">HHBx", action.max_len, action.controller_id, action.reason))  # fmt: skip
        return
    out = b"\0" * 6
    if action.max_len != 0xFFFF:
        out += pack(">HHH2x", 0, 8, action.max_len)
    if action.controller_id:
        out += pack(">HHH2x", 1, 8, action.controller_id)
    if action.reason != 1:
        out += pack(">HHB3x", 2, 5, action.reason)
    if action.userdata:
        size = 4 + len(action.userdata)
        out += pack(">HH", 3, size) + action.userdata + bytes(-size % 8)
    if action.pause:
        out += pack(">HH4x", 4, 4)
    if action.meter_id:
        out += pack(">HHI", 5, 8, action.meter_id)
    w.put("CONTROLLER2", out)


# Fields


def _write_set_field(w: Writer, action: a.SetField) -> None:
    field = action.field
    name = t.SET_ONE_BY_FIELD.get(field.name, "")
    full = action.mask == field.ones
    # OpenFlow 1.1 has an action for the TTL, which means no field that others name.
    legacy = action.legacy or (full and name and name != "SET_NW_TTL")
    if w.version >= 3 and action.legacy and not w.knows(name):
        _put_oxm(w, "SET_FIELD", b"", *_modern(w, action))
    elif w.version >= 6 and not action.legacy:
        _put_oxm(w, "SET_FIELD", b"", field, action.value, action.mask)
    elif field.dynamic and (w.version < 3 or not full or action.as_load):
        _put_oxm(w, "REG_LOAD2", b"", field, action.value, action.mask)
    elif action.as_load:
        _write_loads(w, action)
    elif legacy and name and w.knows(name) and (w.version < 3 or action.legacy):
        _write_set_one(w, name, action)
    elif w.version < 3 and field.name == "ip_dscp" and full:
        w.put("SET_NW_TOS", pack(">B3x", action.value << 2))
    elif w.version >= 3 and full:
        _put_oxm(w, "SET_FIELD", b"", field, action.value, action.mask)
    elif w.version < 3 and field.name == "vlan_vid" and full:
        w.put("SET_VLAN_VID", pack(">H2x", action.value & 0xFFF))
    elif w.version < 3 and field.name == "vlan_pcp":
        w.put("SET_VLAN_PCP", pack(">B3x", action.value))
    else:
        _write_loads(w, action)


#: IP protocol -> the fields that `mod_tp_src` and `mod_tp_dst` set.
_PORTS: Final = {17: ("udp_src", "udp_dst"), 132: ("sctp_src", "sctp_dst")}


def _modern(w: Writer, action: a.SetField) -> tuple[Field, int, int]:
    """The field that 1.2 and later set for an action of 1.0 or 1.1."""
    field = action.field
    if field.name == "nw_tos":
        return FIELD["ip_dscp"], action.value >> 2, FIELD["ip_dscp"].ones
    if field.name in ("tcp_src", "tcp_dst"):
        names = _PORTS.get(_NW_PROTO.get(w.match.value), ("tcp_src", "tcp_dst"))
        field = FIELD[names[field.name == "tcp_dst"]]
    return field, action.value, action.mask


def _put_oxm(w: Writer, name: str, before: bytes, field: Field, value: int, mask: int) -> None:
    w.put(name, before + oxm.encode_field_value(field, w.version, value, mask))


def _write_set_one(w: Writer, name: str, action: a.SetField) -> None:
    struct = t.SET_ONE[name][1]
    value: int | bytes = action.value
    if struct[0] == "6":
        value = action.value.to_bytes(6, "big")
    w.put(name, pack(">" + struct, value))


def _write_loads(w: Writer, action: a.SetField) -> None:
    """One load per run of at most 64 bits of the mask; fields of experimenters, whose headers do
    not fit a load, whole."""
    field = action.field
    header = oxm.encode_field_header(field, _NXM)
    if len(header) > 4:
        _put_oxm(w, "REG_LOAD2", b"", field, action.value & action.mask, action.mask)
        return
    for offset, n_bits, part in loads(action):
        w.put("REG_LOAD", pack(">H4sQ", offset << 6 | n_bits - 1, header, part))


def loads(action: a.SetField) -> list[tuple[int, int, int]]:
    """(offset, bits, value) of the loads that do the same."""
    field, value, mask = action.field, action.value, action.mask
    width = (1 << field.width) - 1
    if mask == field.ones and field.form == "port10":
        value = _of10(value)
    elif mask == field.ones and not action.as_load and field.bits < field.width:
        # A key has not all of it (ARP's operation).
        mask = width
    # What a key has of an ICMP type is wider than the field.
    found = _segments(mask & width)
    return [(offset, n_bits, value >> offset & (1 << n_bits) - 1) for offset, n_bits in found]


def _segments(mask: int) -> list[tuple[int, int]]:
    """Runs of ones in `mask` as (offset, bits), from the low end, of at most 64 bits."""
    found = []
    offset = 0
    while mask >> offset:
        rest = mask >> offset
        offset += (rest & -rest).bit_length() - 1
        rest = mask >> offset
        n_bits = min(((rest + 1) & ~rest).bit_length() - 1, 64)
        found.append((offset, n_bits))
        offset += n_bits
    return found


def _write_move(w: Writer, action: a.Move) -> None:
    source, destination = action.source, action.destination
    is_onf = action.onf and w.version == OFP13_VERSION
    names = w.version if w.version >= OFP15_VERSION or is_onf else _NXM
    fields = (oxm.encode_field_header(source.field, names)
              + oxm.encode_field_header(destination.field, names))  # fmt: skip
    numbers = pack(">3H", source.n_bits, source.offset, destination.offset)
    if is_onf:
        w.put("COPY_FIELD", b"\0\0" + numbers + b"\0\0" + fields)
    elif w.version < OFP15_VERSION:
        w.put("REG_MOVE", numbers + fields)
    else:
        w.put("COPY_FIELD", numbers + b"\0\0" + fields)


def _stack(w: Writer, name: str, part: a.Subfield) -> None:
    header = oxm.encode_field_header(part.field, _NXM)
    body = pack(">H", part.offset) + header + pack(">H", part.n_bits)
    w.put(name, body.ljust(14, b"\0"))


# VLAN


def _write_vlan_vid(w: Writer, action: a.SetVlanVid) -> None:
    _push_if_needed(w, action.push)
    if w.version <= 2:
        w.put("SET_VLAN_VID", pack(">H2x", action.vid))
    else:
        field = FIELD["vlan_vid"]
        _put_oxm(w, "SET_FIELD", b"", field, action.vid | VLAN_CFI, field.ones)
    w.has_vlan = True


def _write_vlan_pcp(w: Writer, action: a.SetVlanPcp) -> None:
    _push_if_needed(w, action.push)
    if w.version <= 2:
        w.put("SET_VLAN_PCP", pack(">B3x", action.pcp))
    else:
        field = FIELD["vlan_pcp"]
        _put_oxm(w, "SET_FIELD", b"", field, action.pcp, field.ones)
    w.has_vlan = True


def _push_if_needed(w: Writer, push: bool) -> None:
    if w.version > 1 and push and not w.has_vlan:
        w.put("PUSH_VLAN", pack(">H2x", 0x8100))


def _write_push_vlan(w: Writer, action: a.PushVlan) -> None:
    """In OpenFlow 1.0 the actions that set the tag push it."""
    if w.version > 1:
        w.put("PUSH_VLAN", pack(">H2x", action.ethertype))
    w.has_vlan = True


def _write_strip_vlan(w: Writer, action: a.StripVlan) -> None:
    w.put("STRIP_VLAN", b"\0" * 4)
    w.has_vlan = False


# MPLS, tunnels, TTL


def _write_mpls_label(w: Writer, action: a.SetMplsLabel) -> None:
    _write_mpls(w, "SET_MPLS_LABEL", "mpls_label", action.label)


def _write_mpls_tc(w: Writer, action: a.SetMplsTc) -> None:
    _write_mpls(w, "SET_MPLS_TC", "mpls_tc", action.tc)


def _write_mpls(w: Writer, name: str, field_name: str, value: int) -> None:
    if w.version > 2:
        field = FIELD[field_name]
        _put_oxm(w, "SET_FIELD", b"", field, value, field.ones)
        return
    body = pack(">I", value) if name == "SET_MPLS_LABEL" else pack(">B3x", value)
    w.put(name, b"\0\0" + body if w.version == 1 and name == "SET_MPLS_LABEL" else body)


def _write_tunnel(w: Writer, action: a.SetTunnelId) -> None:
    if w.version >= 3:
        field = FIELD["tun_id"]
        _put_oxm(w, "SET_FIELD", b"", field, action.tunnel_id, field.ones)
    elif action.wide or action.tunnel_id >> 32:
        w.put("SET_TUNNEL64", b"\0" * 6 + pack(">Q", action.tunnel_id))
    else:
        w.put("SET_TUNNEL", b"\0\0" + pack(">I", action.tunnel_id))


def _write_dec_ttl(w: Writer, action: a.DecTtl) -> None:
    if not action.controller_ids:
        w.put("DEC_NW_TTL", b"\0" * (6 if w.version == 1 else 4))
        return
    ids = action.controller_ids
    w.put("DEC_TTL_CNT_IDS", pack(f">H4x{len(ids)}H", len(ids), *ids))


# Flow of control


def _write_resubmit(w: Writer, action: a.Resubmit) -> None:
    port = _of10(action.in_port)
    if action.short and action.table_id == 255:
        w.put("RESUBMIT", pack(">H4x", port))
    elif action.with_ct:
        w.put("RESUBMIT_TABLE_CT", pack(">HB3x", port, action.table_id))
    else:
        w.put("RESUBMIT_TABLE", pack(">HB3x", port, action.table_id))


def _write_clone(w: Writer, action: a.Clone) -> None:
    w.put("CLONE", b"\0" * 6 + encode_actions(action.actions, w.version, w.match))


def _write_note(w: Writer, action: a.Note) -> None:
    w.put("NOTE", action.data or b"\0" * 6)


def _write_conjunction(w: Writer, action: a.Conjunction) -> None:
    w.put("CONJUNCTION", pack(">BBI", action.clause, action.n_clauses, action.conj_id))


def _write_metadata(w: Writer, action: a.WriteMetadata) -> None:
    w.put("WRITE_METADATA", b"\0" * 6 + pack(">QQ", action.value, action.mask))


def _write_goto(w: Writer, action: a.GotoTable) -> None:
    w.put("RESUBMIT_TABLE", pack(">HB3x", 0xFFF8, action.table_id))


def _write_nothing(w: Writer, action: a.Action) -> None:
    """OpenFlow 1.0 has no action set: nothing to clear, nothing to write to."""


def _write_meter(w: Writer, action: a.Meter) -> None:
    if w.knows("METER"):
        w.put("METER", pack(">I", action.meter_id))


#: Modules whose names these use run when the first such action is written.
_WRITERS: dict[type[a.Action], Callable[[Writer, Any], None]] = {
    a.Output: _write_output,
    a.OutputReg: _write_output_reg,
    a.OutputTrunc: _write_output_trunc,
    a.Enqueue: _write_enqueue,
    a.Controller: _write_controller,
    a.SetField: _write_set_field,
    a.Move: _write_move,
    a.Push: lambda w, action: _stack(w, "STACK_PUSH", action.source),
    a.Pop: lambda w, action: _stack(w, "STACK_POP", action.destination),
    a.SetVlanVid: _write_vlan_vid,
    a.SetVlanPcp: _write_vlan_pcp,
    a.PushVlan: _write_push_vlan,
    a.StripVlan: _write_strip_vlan,
    a.SetMplsLabel: _write_mpls_label,
    a.SetMplsTc: _write_mpls_tc,
    a.SetTunnelId: _write_tunnel,
    a.DecTtl: _write_dec_ttl,
    a.Resubmit: _write_resubmit,
    a.Clone: _write_clone,
    a.Note: _write_note,
    a.Conjunction: _write_conjunction,
    a.WriteMetadata: _write_metadata,
    a.GotoTable: _write_goto,
    a.Multipath: lambda w, action: choice.write_multipath(w, action),
    a.Bundle: lambda w, action: choice.write_bundle(w, action),
    a.Learn: lambda w, action: learn.write_learn(w, action),
    a.Meter: _write_meter,
    a.Conntrack: lambda w, action: conntrack.write_ct(w, action),
    a.Nat: lambda w, action: conntrack.write_nat(w, action),
    a.Encap: lambda w, action: encap.write_encap(w, action),
    a.Sample: lambda w, action: small.write_sample(w, action),
    a.CheckPktLarger: lambda w, action: small.write_check_pkt_larger(w, action),
    a.DeleteField: lambda w, action: small.write_delete_field(w, action),
    a.ClearActions: _write_nothing,
    a.WriteActions: _write_nothing,
}


# Instructions

#: The first version that has meters; the earlier ones are not told of them.
_METERS: Final = 4
_INSTRUCTIONS: Final = (a.Meter, a.ClearActions, a.WriteActions, a.WriteMetadata, a.GotoTable)


def encode_instructions(
    actions: tuple[a.Action, ...], version: int, match: Match = MATCH_ALL
) -> bytes:
    """`actions` as instructions of OpenFlow 1.1 and later: what is not an instruction is
    applied."""
    out: list[bytes] = []
    applied: list[a.Action] = []
    for action in actions:
        if isinstance(action, _INSTRUCTIONS) and not (version >= 6 and isinstance(action, a.Meter)):
            _flush(out, applied, version, match)
            if not isinstance(action, a.WriteActions) or action.actions:
                out.append(_instruction(action, version, match))
        else:
            applied.append(action)
    _flush(out, applied, version, match)
    return b"".join(out)


def _flush(out: list[bytes], applied: list[a.Action], version: int, match: Match) -> None:
    if applied:
        body = encode_actions(tuple(applied), version, match)
        out.append(pack(">HH4x", t.OFPIT_APPLY_ACTIONS, 8 + len(body) & _LENGTH) + body)
        applied.clear()


def _instruction(action: a.Action, version: int, match: Match) -> bytes:
    if isinstance(action, a.Meter):
        return pack(">HHI", t.OFPIT_METER, 8, action.meter_id) if version >= _METERS else b""
    if isinstance(action, a.WriteMetadata):
        return pack(">HH4xQQ", t.OFPIT_WRITE_METADATA, 24, action.value, action.mask)
    if isinstance(action, a.GotoTable):
        return pack(">HHB3x", t.OFPIT_GOTO_TABLE, 8, action.table_id)
    if isinstance(action, a.WriteActions):
        body = encode_actions(action.actions, version, match)
        return pack(">HH4x", t.OFPIT_WRITE_ACTIONS, 8 + len(body) & _LENGTH) + body
    return pack(">HH4x", t.OFPIT_CLEAR_ACTIONS, 8)
