"""Actions as text, in the words of ovs-actions(7)."""

from __future__ import annotations

from netloom.flow.address import format_ipv4_masked, format_mac_masked
from netloom.flow.fields import Field
from netloom.flow.ports import CONTROLLER, IN_PORT, MAX, format_port, port_to_of10
from netloom.flow.value_text import format_field_value
from netloom.openflow import actions as a
from netloom.openflow.action_encode import segments
from netloom.openflow.names import REASONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    PortNames = Mapping[int, str] | None


def format_actions(
    actions: tuple[a.Action, ...],
    port_names: PortNames = None,
    table_names: Mapping[int, str] | None = None,
) -> str:
    """What stands behind `actions=`; no actions are "drop"."""
    names = _Names(port_names, table_names)
    return _format_list(actions, names)


class _Names:
    __slots__ = ("ports", "tables")

    def __init__(self, ports: PortNames, tables: Mapping[int, str] | None) -> None:
        self.ports = ports
        self.tables = tables

    def table(self, table_id: int) -> str:
        if self.tables and table_id in self.tables:
            from netloom.flow.ports import quote_name

            return quote_name(self.tables[table_id])
        return str(table_id)


def _format_list(actions: tuple[a.Action, ...], names: _Names) -> str:
    if not actions:
        return "drop"
    return ",".join([_FORMATS[type(action)](action, names) for action in actions])


def format_subfield(part: a.Subfield) -> str:
    """`NXM_NX_REG0[4..7]`, `NXM_NX_REG0[3]`, `NXM_NX_REG0[]`."""
    return format_bits(part.field, part.offset, part.n_bits)


def format_bits(field: Field, offset: int, n_bits: int) -> str:
    name = field_code_name(field)
    # OpenFlow 1.0's port number is 16 bits wide here, 32 in a key.
    bits = 16 if field.form == "port10" else field.bits
    if offset == 0 and n_bits >= bits:
        return f"{name}[]"
    if n_bits == 1:
        return f"{name}[{offset}]"
    return f"{name}[{offset}..{offset + n_bits - 1}]"


def field_code_name(field: Field) -> str:
    """The name of NXM if the field has one there, else of OXM, else its own."""
    codes = field.codes
    if not codes:
        return field.name
    return min(codes, key=lambda code: code.version).name


def _output(action: a.Output, names: _Names) -> str:
    if action.port < MAX:
        return f"output:{format_port(action.port, names.ports)}"
    text = format_port(action.port, names.ports)
    return f"{text}:{action.max_len}" if action.port == CONTROLLER else text


def _output_trunc(action: a.OutputTrunc, names: _Names) -> str:
    return f"output(port={format_port(action.port, names.ports)},max_len={action.max_len})"


def _controller(action: a.Controller, names: _Names) -> str:
    words = []
    if action.reason != 1:
        # The reason of the switch's own rule for misses has no name.
        reason = "" if action.reason == 7 else REASONS.get(action.reason, str(action.reason))
        words.append(f"reason={reason}")
    if action.max_len != 0xFFFF:
        words.append(f"max_len={action.max_len}")
    if action.controller_id:
        words.append(f"id={action.controller_id}")
    if action.userdata:
        words.append(f"userdata={action.userdata.hex('.')}")
    if action.pause:
        words.append("pause")
    if action.provider_meter_id:
        words.append(f"meter_id={action.provider_meter_id}")
    extra = action.reason != 1 or action.controller_id or action.userdata or action.pause
    if not extra and not action.provider_meter_id:
        return f"CONTROLLER:{action.max_len}"
    return f"controller({','.join(words)})"


def _set_field(action: a.SetField, names: _Names) -> str:
    field = action.field
    if action.legacy:
        return _legacy(field, action.value)
    if action.as_load:
        parts = []
        whole = action.value
        if field.form == "port10":
            whole = port_to_of10(whole) or 0
        for offset, n_bits in segments(action.mask):
            value = whole >> offset & (1 << n_bits) - 1
            text = f"{value:#x}" if value else "0"
            parts.append(f"load:{text}->{format_bits(field, offset, n_bits)}")
        return ",".join(parts)
    mask = action.mask if action.mask != field.ones else None
    return f"set_field:{format_field_value(field, action.value, mask, names.ports)}->{field.name}"


def _legacy(field: Field, value: int) -> str:
    keyword, form = _LEGACY[field.name]
    return f"{keyword}:{form(value)}"


def legacy_keyword(field: Field) -> str:
    """`mod_dl_src` and the like."""
    return _LEGACY[field.name][0]


def _mac(value: int) -> str:
    return format_mac_masked(value, 0xFFFFFFFFFFFF)


def _ipv4(value: int) -> str:
    return format_ipv4_masked(value, 0xFFFFFFFF)


_LEGACY: dict[str, tuple[str, Callable[[int], str]]] = {
    "eth_src": ("mod_dl_src", _mac),
    "eth_dst": ("mod_dl_dst", _mac),
    "ip_src": ("mod_nw_src", _ipv4),
    "ip_dst": ("mod_nw_dst", _ipv4),
    "nw_tos": ("mod_nw_tos", str),
    "nw_ecn": ("mod_nw_ecn", str),
    "nw_ttl": ("mod_nw_ttl", str),
    "tcp_src": ("mod_tp_src", str),
    "tcp_dst": ("mod_tp_dst", str),
}


def _vlan_vid(action: a.SetVlanVid, names: _Names) -> str:
    return f"{'mod' if action.push else 'set'}_vlan_vid:{action.vid}"


def _vlan_pcp(action: a.SetVlanPcp, names: _Names) -> str:
    return f"{'mod' if action.push else 'set'}_vlan_pcp:{action.pcp}"


def _dec_ttl(action: a.DecTtl, names: _Names) -> str:
    if not action.controller_ids:
        return "dec_ttl"
    return f"dec_ttl({','.join(map(str, action.controller_ids))})"


def _tunnel(action: a.SetTunnelId, names: _Names) -> str:
    wide = action.wide or action.tunnel_id > 0xFFFFFFFF
    value = f"{action.tunnel_id:#x}" if action.tunnel_id else "0"
    return f"set_tunnel{'64' if wide else ''}:{value}"


def _resubmit(action: a.Resubmit, names: _Names) -> str:
    if action.in_port != IN_PORT and action.table_id == 255:
        return f"resubmit:{format_port(action.in_port, names.ports)}"
    port = "" if action.in_port == IN_PORT else format_port(action.in_port, names.ports)
    table = "" if action.table_id == 255 else names.table(action.table_id)
    return f"resubmit({port},{table}{',ct' if action.with_ct else ''})"


def _metadata(action: a.WriteMetadata, names: _Names) -> str:
    value = f"{action.value:#x}" if action.value else "0"
    mask = "" if action.mask == 0xFFFFFFFFFFFFFFFF else f"/{action.mask:#x}"
    return f"write_metadata:{value}{mask}"


def _enqueue(action: a.Enqueue, names: _Names) -> str:
    return f"enqueue:{format_port(action.port, names.ports)}:{action.queue}"


_FORMATS: dict[type[a.Action], Callable[[Any, _Names], str]] = {
    a.Output: _output,
    a.OutputReg: lambda action, _: f"output:{format_subfield(action.source)}",
    a.OutputTrunc: _output_trunc,
    a.Controller: _controller,
    a.Enqueue: _enqueue,
    a.Group: lambda action, _: f"group:{action.group_id}",
    a.SetField: _set_field,
    a.Move: lambda action, _: (
        f"move:{format_subfield(action.source)}->{format_subfield(action.destination)}"
    ),
    a.SetVlanVid: _vlan_vid,
    a.SetVlanPcp: _vlan_pcp,
    a.StripVlan: lambda action, _: "pop_vlan" if action.pop else "strip_vlan",
    a.PushVlan: lambda action, _: f"push_vlan:{action.ethertype:#06x}",
    a.PushMpls: lambda action, _: f"push_mpls:{action.ethertype:#06x}",
    a.PopMpls: lambda action, _: f"pop_mpls:{action.ethertype:#06x}",
    a.DecTtl: _dec_ttl,
    a.SetMplsLabel: lambda action, _: f"set_mpls_label({action.label})",
    a.SetMplsTc: lambda action, _: f"set_mpls_tc({action.tc})",
    a.SetMplsTtl: lambda action, _: f"set_mpls_ttl({action.ttl})",
    a.DecMplsTtl: lambda action, _: "dec_mpls_ttl",
    a.SetTunnelId: _tunnel,
    a.SetQueue: lambda action, _: f"set_queue:{action.queue}",
    a.PopQueue: lambda action, _: "pop_queue",
    a.Push: lambda action, _: f"push:{format_subfield(action.source)}",
    a.Pop: lambda action, _: f"pop:{format_subfield(action.destination)}",
    a.Resubmit: _resubmit,
    a.Clone: lambda action, names: f"clone({_format_list(action.actions, names)})",
    a.Note: lambda action, _: f"note:{action.data.hex('.')}",
    a.Conjunction: lambda action, _: (
        f"conjunction({action.conj_id},{action.clause + 1}/{action.n_clauses})"
    ),
    a.Exit: lambda action, _: "exit",
    a.Meter: lambda action, _: f"meter:{action.meter_id}",
    a.ClearActions: lambda action, _: "clear_actions",
    a.WriteActions: lambda action, names: f"write_actions({_format_list(action.actions, names)})",
    a.WriteMetadata: _metadata,
    a.GotoTable: lambda action, names: f"goto_table:{names.table(action.table_id)}",
}
