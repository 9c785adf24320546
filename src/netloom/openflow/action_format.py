"""Actions as text, in the words of ovs-actions(7)."""

from __future__ import annotations

from netloom.flow import address, value_text
from netloom.flow.fields import Field
from netloom.flow.ports import CONTROLLER, IN_PORT, MAX, format_port
from netloom.openflow import action_choice as choice
from netloom.openflow import action_conntrack as conntrack
from netloom.openflow import action_encap as encap
from netloom.openflow import action_encode
from netloom.openflow import action_learn as learn
from netloom.openflow import action_small as small
from netloom.openflow import actions as a
from netloom.openflow import names as reasons
from netloom.openflow import subfield_text as subfields

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
    names = TextNames(port_names, table_names)
    return _format_list(actions, names)


class TextNames:
    """Names of ports and tables by number; `list` formats actions within an action."""

    __slots__ = ("ports", "tables")

    def __init__(self, ports: PortNames, tables: Mapping[int, str] | None) -> None:
        self.ports = ports
        self.tables = tables

    def list(self, actions: tuple[a.Action, ...]) -> str:
        return _format_list(actions, self) if actions else ""

    def table(self, table_id: int) -> str:
        if self.tables and table_id in self.tables:
            from netloom.flow.ports import quote_name

            return quote_name(self.tables[table_id])
        return str(table_id)


def _format_list(actions: tuple[a.Action, ...], names: TextNames) -> str:
    if not actions:
        return "drop"
    return ",".join([_FORMATS[type(action)](action, names) for action in actions])


def _output(action: a.Output, names: TextNames) -> str:
    if action.port < MAX:
        return f"output:{format_port(action.port, names.ports)}"
    text = format_port(action.port, names.ports)
    return f"{text}:{action.max_len}" if action.port == CONTROLLER else text


def _output_trunc(action: a.OutputTrunc, names: TextNames) -> str:
    return f"output(port={format_port(action.port, names.ports)},max_len={action.max_len})"


def _controller(action: a.Controller, names: TextNames) -> str:
    words = []
    if action.reason != 1:
        # The reason of the switch's own rule for misses has no name.
        reason = (
            "" if action.reason == 7 else reasons.REASONS.get(action.reason, str(action.reason))
        )
        words.append(f"reason={reason}")
    if action.max_len != 0xFFFF:
        words.append(f"max_len={action.max_len}")
    if action.controller_id:
        words.append(f"id={action.controller_id}")
    if action.userdata:
        words.append(f"userdata={action.userdata.hex('.')}")
    if action.pause:
        words.append("pause")
    if action.meter_id:
        words.append(f"meter_id={action.meter_id}")
    extra = action.reason != 1 or action.controller_id or action.userdata or action.pause
    if not extra and not action.meter_id:
        return f"CONTROLLER:{action.max_len}"
    return f"controller({','.join(words)})"


def _set_field(action: a.SetField, names: TextNames) -> str:
    field = action.field
    if action.legacy:
        return _legacy(field, action.value)
    if action.as_load:
        parts = []
        for offset, n_bits, value in action_encode.loads(action):
            text = f"{value:#x}" if value else "0"
            parts.append(f"load:{text}->{subfields.format_bits(field, offset, n_bits)}")
        return ",".join(parts)
    mask = action.mask if action.mask != field.ones else None
    shown = value_text.format_field_value(field, action.value, mask, names.ports)
    return f"set_field:{shown}->{field.name}"


def _legacy(field: Field, value: int) -> str:
    keyword, form = _LEGACY[field.name]
    return f"{keyword}:{form(value)}"


def legacy_keyword(field: Field) -> str:
    """`mod_dl_src` and the like."""
    return _LEGACY[field.name][0]


def _mac(value: int) -> str:
    return address.format_mac_masked(value, 0xFFFFFFFFFFFF)


def _ipv4(value: int) -> str:
    return address.format_ipv4_masked(value, 0xFFFFFFFF)


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


def _vlan_vid(action: a.SetVlanVid, names: TextNames) -> str:
    return f"{'mod' if action.push else 'set'}_vlan_vid:{action.vid}"


def _vlan_pcp(action: a.SetVlanPcp, names: TextNames) -> str:
    return f"{'mod' if action.push else 'set'}_vlan_pcp:{action.pcp}"


def _dec_ttl(action: a.DecTtl, names: TextNames) -> str:
    if not action.controller_ids:
        return "dec_ttl"
    return f"dec_ttl({','.join(map(str, action.controller_ids))})"


def _tunnel(action: a.SetTunnelId, names: TextNames) -> str:
    wide = action.wide or action.tunnel_id > 0xFFFFFFFF
    value = f"{action.tunnel_id:#x}" if action.tunnel_id else "0"
    return f"set_tunnel{'64' if wide else ''}:{value}"


def _resubmit(action: a.Resubmit, names: TextNames) -> str:
    if action.in_port != IN_PORT and action.table_id == 255:
        return f"resubmit:{format_port(action.in_port, names.ports)}"
    port = "" if action.in_port == IN_PORT else format_port(action.in_port, names.ports)
    table = "" if action.table_id == 255 else names.table(action.table_id)
    return f"resubmit({port},{table}{',ct' if action.with_ct else ''})"


def _metadata(action: a.WriteMetadata, names: TextNames) -> str:
    value = f"{action.value:#x}" if action.value else "0"
    mask = "" if action.mask == 0xFFFFFFFFFFFFFFFF else f"/{action.mask:#x}"
    return f"write_metadata:{value}{mask}"


def _enqueue(action: a.Enqueue, names: TextNames) -> str:
    return f"enqueue:{format_port(action.port, names.ports)}:{action.queue}"


#: Modules whose names these use run when the first such action is shown.
_FORMATS: dict[type[a.Action], Callable[[Any, TextNames], str]] = {
    a.Output: _output,
    a.OutputReg: lambda action, _: f"output:{subfields.format_subfield(action.source)}",
    a.OutputTrunc: _output_trunc,
    a.Controller: _controller,
    a.Enqueue: _enqueue,
    a.Group: lambda action, _: f"group:{action.group_id}",
    a.SetField: _set_field,
    a.Move: lambda action, _: (
        f"move:{subfields.format_subfield(action.source)}->{subfields.format_subfield(action.destination)}"
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
    a.Push: lambda action, _: f"push:{subfields.format_subfield(action.source)}",
    a.Pop: lambda action, _: f"pop:{subfields.format_subfield(action.destination)}",
    a.Resubmit: _resubmit,
    a.Clone: lambda action, names: f"clone({_format_list(action.actions, names)})",
    a.Note: lambda action, _: f"note:{action.data.hex('.')}",
    a.Conjunction: lambda action, _: (
        f"conjunction({action.conj_id},{action.clause + 1}/{action.n_clauses})"
    ),
    a.Multipath: lambda action, names: choice.format_multipath(action, names),
    a.Bundle: lambda action, names: choice.format_bundle(action, names),
    a.Learn: lambda action, names: learn.format_learn(action, names),
    a.FinTimeout: lambda action, names: small.format_fin_timeout(action, names),
    a.Conntrack: lambda action, names: conntrack.format_ct(action, names),
    a.Nat: lambda action, names: conntrack.format_nat(action, names),
    a.CtClear: lambda action, _: "ct_clear",
    a.Encap: lambda action, names: encap.format_encap(action, names),
    a.Decap: lambda action, names: encap.format_decap(action, names),
    a.DecNshTtl: lambda action, _: "dec_nsh_ttl",
    a.DeleteField: lambda action, _: f"delete_field:{action.field.name}",
    a.CheckPktLarger: lambda action, names: small.format_check_pkt_larger(action, names),
    a.Sample: lambda action, names: small.format_sample(action, names),
    a.DebugRecirc: lambda action, _: "debug_recirc",
    a.DebugSlow: lambda action, _: "debug_slow",
    a.UnrollXlate: lambda action, names: small.format_unroll(action, names),
    a.Exit: lambda action, _: "exit",
    a.Meter: lambda action, _: f"meter:{action.meter_id}",
    a.ClearActions: lambda action, _: "clear_actions",
    a.WriteActions: lambda action, names: f"write_actions({_format_list(action.actions, names)})",
    a.WriteMetadata: _metadata,
    a.GotoTable: lambda action, names: f"goto_table:{names.table(action.table_id)}",
}
