"""One handler per OpenFlow action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from netloom.flow.fields import SLOT, VLAN_CFI, Field
from netloom.flow.key import PACKET_MASK, TUNNEL_MASK
from netloom.flow.ports import UNSET, port_from_of10
from netloom.flow.value_text import format_field_value
from netloom.ofproto.translate import (
    choice,
    clone,
    ct,
    encap,
    freeze,
    groups,
    learn,
    mpls,
    packet_length,
    sampling,
    small,
)
from netloom.ofproto.translate.action_set import execution_order
from netloom.ofproto.translate.commit import tags_of, with_tags
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.fields import changes_packet
from netloom.ofproto.translate.fields import has_field as _has
from netloom.ofproto.translate.output import output, to_controller
from netloom.ofproto.translate.written import completed, presence, with_tpid
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow.action_format import format_actions
from netloom.openflow.subfield_text import format_subfield

_TPID: Final = SLOT["vlan_tpid"]
_TCI: Final = SLOT["vlan_tci"]
_TCI1: Final = SLOT["vlan1_tci"]
_TAG_MASK: Final = _TPID.mask | _TCI.mask
_TAG1_MASK: Final = SLOT["vlan1_tpid"].mask | _TCI1.mask
_DL_TYPE: Final = SLOT["dl_type"]
_NW_TTL: Final = SLOT["nw_ttl"]
_METADATA: Final = SLOT["metadata"]
_ACTSET_OUTPUT: Final = SLOT["actset_output"]
_NW_PROTO: Final = SLOT["nw_proto"]
_PORT_SLOTS: Final = (SLOT["tp_src"], SLOT["tp_dst"])
_TUN_ID: Final = SLOT["tun_id"]
#: Prerequisites of fields of the network layer.
_NETWORK: Final = frozenset({"ipv4", "ipv6", "ip", "arp"})
_IP_TYPES: Final = frozenset({0x0800, 0x86DD})
_IN_PORT_UNCHANGED: Final = 0xFFFFFFF8


def run_actions(context: Context, actions: a.Actions) -> None:
    """Run a list of actions, up to its end or to one that ends it: handlers of such return True
    (`context.done` ends the lists around it, too)."""
    recorder, log = context.recorder, context.log
    if not actions and recorder is not None:
        recorder.add("action", "drop")
    is_last, context.is_last = context.is_last, False
    final = len(actions) - 1
    for at, action in enumerate(actions):
        if context.was_mpls and not context.done:
            mpls.recirculate_for(context, action)
        ended = context.done
        if ended:
            if context.freeze is not None:
                freeze.freeze_rest(context, actions[at:])
            break
        if recorder is not None:
            recorder.add("action", format_actions((action,), context.port_names()))
        if log is not None:
            log.check_action(action)
        if context.mirrored and changes_packet(context, action):
            context.mirrored = frozenset()
        if type(action) not in _CLEAR:
            _blur(context, action)
        if isinstance(action, a.CheckPktLarger):
            if packet_length.check_pkt_larger(context, action, actions[at + 1 :]):
                break
            continue
        if at == final:
            context.is_last = is_last and not context.action_set
        if _HANDLERS[type(action)](context, action):
            break
        if context.done and (frozen := context.freeze) is not None and not frozen.actions:
            freeze.freeze_rest(context, actions[at + frozen.resumes_behind :])
            frozen.resumes_behind = True
            break


#: Actions that leave the packet as it is, or write constants into it.
_CLEAR: Final = frozenset({
    a.Output, a.OutputReg, a.OutputTrunc, a.Controller, a.Enqueue, a.Group, a.SetField, a.SetQueue,
    a.PopQueue, a.Resubmit, a.Clone, a.Note, a.Conjunction, a.Exit, a.Learn, a.FinTimeout,
    a.Conntrack, a.Nat, a.CtClear, a.DebugSlow, a.DebugRecirc, a.UnrollXlate, a.Meter,
    a.ClearActions, a.WriteActions, a.WriteMetadata, a.GotoTable, a.Sample, a.Push,
})  # fmt: skip


def _blur(context: Context, action: a.Action) -> None:
    """This action makes the packet one that its key says nothing of, but if all that it writes is
    metadata."""
    if not (isinstance(action, a.Move | a.Pop) and not action.destination.field.mask & PACKET_MASK):
        context.blur()


def translated_actions() -> frozenset[type[a.Action]]:
    """The classes of actions that flows may have."""
    return frozenset(_HANDLERS)


def unsupported(action: a.Action) -> a.Action | None:
    """The action in `action` (itself, or one nested in it) that cannot be translated, if any.

    What has no handler is one: an action that this table does not know never gets into a flow."""
    if type(action) not in _HANDLERS:
        return action
    nested = action.actions if isinstance(action, a.WriteActions | a.Clone | a.Conntrack) else ()
    return next((found for found in map(unsupported, nested) if found is not None), None)


# Fields


def _set_field(context: Context, action: a.SetField) -> None:
    field = action.field
    if not (_has_legacy(context, field) if action.legacy else _has(context, field)):
        if not action.legacy:
            context.warn(f"unmet prerequisites for {field.name}, set_field ignored")
        return
    # A key has not all of some fields' bits (ARP's operation).
    in_place = (action.mask & (1 << 8 * field.n_bytes) - 1) << field.shift & field.mask
    if not (field.dynamic or in_place & TUNNEL_MASK):
        # Of a tunnel's fields only those that are read count: all of its header is told anyway.
        context.mask |= in_place
    if field.prerequisite in _NETWORK and (field.name != "ip_dscp" or action.as_load):
        # Whether there is a header to write to is known by the protocol in it.
        context.mask |= _NW_PROTO.mask
    key = context.key & ~in_place | action.value << field.shift & in_place
    context.key = completed(key | field.implied, field)


def _has_legacy(context: Context, field: Field) -> bool:
    """The actions of OpenFlow 1.0 that set ports do so for every protocol over IP."""
    if field.slot not in _PORT_SLOTS:
        return _has(context, field)
    if _DL_TYPE.get(context.key) not in _IP_TYPES or context.is_later_fragment:
        return False
    context.mask |= _NW_PROTO.mask | field.slot.mask
    return True


def _move(context: Context, action: a.Move) -> None:
    source, destination = action.source, action.destination
    to_shift = destination.field.shift + destination.offset
    to_bits = _bits(destination)
    if _has(context, destination.field) and _has(context, source.field):
        from_bits = _bits(source)
        context.mask |= from_bits | to_bits | presence(source) | presence(destination)
        value = (context.key & from_bits) >> source.field.shift + source.offset
        key = context.key & ~to_bits | value << to_shift & to_bits
        context.key = completed(key, destination.field)
    if context.recorder is not None:
        shown = _format_value(destination, (context.key & to_bits) >> to_shift)
        context.detail(f"{format_subfield(destination)} is now {shown}")


def _bits(part: a.Subfield) -> int:
    """The bits of `part` in a key, which has not all bits of some fields (ARP's operation)."""
    field = part.field
    return ((1 << part.n_bits) - 1) << field.shift + part.offset & field.mask


def _format_value(part: a.Subfield, value: int) -> str:
    if part.n_bits == part.field.width:
        return format_field_value(part.field, value, part.field.ones)
    return hex(value) if value else "0"


def _push(context: Context, action: a.Push) -> None:
    source = action.source
    bits = _bits(source)
    context.mask |= bits
    value = (context.key & bits) >> source.field.shift + source.offset
    context.stack.append((value, source.n_bits))


def _pop(context: Context, action: a.Pop) -> None:
    if not context.stack:
        context.report_error("stack underflow")
        return
    target = action.destination
    bits = _bits(target)
    value, _ = context.stack.pop()
    context.mask |= bits
    in_place = value << target.field.shift + target.offset & bits
    context.key = completed(context.key & ~bits | in_place, target.field)
    if context.recorder is not None:
        value &= (1 << target.n_bits) - 1
        context.detail(f"{format_subfield(target)} is now {_format_value(target, value)}")


# VLAN tags


def _set_vlan_vid(context: Context, action: a.SetVlanVid) -> None:
    context.mask |= (0xFFF | VLAN_CFI) << _TCI.shift
    if not (action.push or _TCI.get(context.key) & VLAN_CFI):
        return
    tci = _TCI.get(context.key) & ~0xFFF | action.vid | VLAN_CFI
    context.key = with_tpid(_TCI.put(context.key, tci))


def _set_vlan_pcp(context: Context, action: a.SetVlanPcp) -> None:
    context.mask |= (0xE000 | VLAN_CFI) << _TCI.shift
    if not (action.push or _TCI.get(context.key) & VLAN_CFI):
        return
    tci = _TCI.get(context.key) & ~0xE000 | action.pcp << 13 | VLAN_CFI
    context.key = with_tpid(_TCI.put(context.key, tci))


def _strip_vlan(context: Context, action: a.StripVlan) -> None:
    tags = tags_of(context.key)
    if len(tags) > 1:
        context.mask |= _TAG1_MASK
    elif tags and context.bridge.backer.dpif.vlan_limit > 1:
        # That there is no other tag is what is looked at from here on.
        context.mask |= VLAN_CFI << _TCI1.shift
    context.key = with_tags(context.key, tags[1:])


def _push_vlan(context: Context, action: a.PushVlan) -> None:
    tags = tags_of(context.key)
    if tags:
        context.mask |= _TAG_MASK
    if len(tags) > 1:
        context.mask |= _TAG1_MASK
    context.key = with_tags(context.key, [(action.ethertype, VLAN_CFI), *tags])


# IP


def _dec_ttl(context: Context, action: a.DecTtl) -> bool:
    """True: the packet expires, which ends this list of actions."""
    dl_type = _DL_TYPE.get(context.key)
    # Also where there is none, as in buckets of groups.
    context.mask |= _NW_TTL.mask | _NW_PROTO.mask
    if dl_type not in _IP_TYPES:
        return False
    ttl = _NW_TTL.get(context.key)
    if ttl > 1:
        context.key = _NW_TTL.put(context.key, ttl - 1)
        return False
    for controller_id in action.controller_ids or (0,):
        to_controller(context, 0xFFFF, m.OFPR_INVALID_TTL, controller_id)
    family = "IPv4" if dl_type == 0x0800 else "IPv6"
    context.warn(f"{family} decrement TTL exception")
    return True


def _set_tunnel_id(context: Context, action: a.SetTunnelId) -> None:
    context.key = _TUN_ID.put(context.key, action.tunnel_id)


# Flow of control


def _output_action(context: Context, action: a.Output) -> None:
    output(context, action.port, action.max_len)


def _output_reg(context: Context, action: a.OutputReg) -> None:
    source = action.source
    ones = (1 << source.n_bits) - 1
    shift = source.field.shift + source.offset
    context.mask |= ones << shift
    number = context.key >> shift & ones
    if number > 0xFFFF:
        context.warn(f"output port {number} is out of range")
        return
    # Fields hold numbers as OpenFlow 1.0 has them.
    context.detail(f"output port is {number}")
    output(context, port_from_of10(number), action.max_len)


def _controller(context: Context, action: a.Controller) -> None:
    if action.pause:
        freeze.trigger_freeze(context, resumes_behind=True, pause=action)
        return
    to_controller(
        context, action.max_len, action.reason, action.controller_id, action.userdata,
        action.meter_id,
    )  # fmt: skip


def _resubmit(context: Context, action: a.Resubmit) -> None:
    in_port = None if action.in_port == _IN_PORT_UNCHANGED else action.in_port
    table_id = context.table_id if action.table_id == 255 else action.table_id
    context.walk.enter_table(
        context, table_id, in_port, may_packet_in=False, with_ct=action.with_ct
    )


def _goto_table(context: Context, action: a.GotoTable) -> None:
    context.walk.enter_table(context, action.table_id)


def _exit(context: Context, action: a.Exit) -> None:
    context.done = True


def _note(context: Context, action: a.Note) -> None:
    """For people; nothing happens."""


def _conjunction(context: Context, action: a.Conjunction) -> None:
    """What the classifier is told; a rule with it never runs, but a packet-out may."""
    context.report_error("executing no-op conjunction action")


def _write_metadata(context: Context, action: a.WriteMetadata) -> None:
    old = _METADATA.get(context.key)
    context.key = _METADATA.put(context.key, old & ~action.mask | action.value & action.mask)


def _tell_action_set(context: Context, verb: str) -> None:
    actions = execution_order(context.action_set)
    said = f"{verb}: {format_actions(actions)}" if actions else f"{verb} empty"
    context.detail(f"action set {said}")


def _write_actions(context: Context, action: a.WriteActions) -> None:
    context.action_set = [*context.action_set, *action.actions]
    ports = [written.port for written in action.actions if isinstance(written, a.Output)]
    if any(isinstance(written, a.Group) for written in context.action_set):
        # The group takes the place of an output.
        context.key = _ACTSET_OUTPUT.put(context.key, UNSET)
    elif ports:
        context.key = _ACTSET_OUTPUT.put(context.key, ports[-1])
    if context.recorder is not None:
        _tell_action_set(context, "is")


def _clear_actions(context: Context, action: a.ClearActions) -> None:
    if context.recorder is not None:
        _tell_action_set(context, "was")
    context.action_set = []
    context.key = _ACTSET_OUTPUT.put(context.key, UNSET)


def run_action_set(context: Context) -> None:
    """At the end of the pipeline: the actions that were written, in the set's own order; the
    output last, without which the packet goes nowhere."""
    actions, context.action_set = execution_order(context.action_set), []
    if not actions or context.error:
        return
    context.done = False
    context.in_action_set = True
    if context.recorder is not None:
        context.recorder.enter("table", "--. Executing action set:")
    run_actions(context, actions)
    context.end()
    context.in_action_set = False


_HANDLERS: dict[type[a.Action], Callable[[Context, Any], bool | None]] = {
    a.Output: _output_action,
    a.OutputReg: _output_reg,
    a.Controller: _controller,
    a.SetField: _set_field,
    a.DeleteField: small.delete_field,
    a.Move: _move,
    a.Push: _push,
    a.Pop: _pop,
    a.SetVlanVid: _set_vlan_vid,
    a.SetVlanPcp: _set_vlan_pcp,
    a.StripVlan: _strip_vlan,
    a.PushVlan: _push_vlan,
    a.DecTtl: _dec_ttl,
    a.SetTunnelId: _set_tunnel_id,
    a.Resubmit: _resubmit,
    a.GotoTable: _goto_table,
    a.Clone: clone.clone,
    a.Exit: _exit,
    a.Note: _note,
    a.Conjunction: _conjunction,
    a.WriteMetadata: _write_metadata,
    a.WriteActions: _write_actions,
    a.ClearActions: _clear_actions,
    a.Learn: learn.learn,
    a.Sample: sampling.sample,
    a.SetQueue: small.set_queue,
    a.PopQueue: small.pop_queue,
    a.Enqueue: small.enqueue,
    a.OutputTrunc: small.output_trunc,
    a.Meter: small.meter,
    a.FinTimeout: small.fin_timeout,
    a.DebugSlow: small.debug_slow,
    a.CheckPktLarger: packet_length.check_pkt_larger,
    a.Group: groups.group,
    a.Conntrack: ct.conntrack,
    a.Nat: ct.nat,
    a.CtClear: ct.ct_clear,
    a.Multipath: choice.multipath,
    a.Bundle: choice.bundle,
    a.PushMpls: mpls.push_mpls,
    a.PopMpls: mpls.pop_mpls,
    a.SetMplsLabel: mpls.set_mpls_label,
    a.SetMplsTc: mpls.set_mpls_tc,
    a.SetMplsTtl: mpls.set_mpls_ttl,
    a.DecMplsTtl: mpls.dec_mpls_ttl,
    a.Encap: encap.encap,
    a.Decap: encap.decap,
    a.DecNshTtl: encap.dec_nsh_ttl,
    a.DebugRecirc: freeze.debug_recirc,
    a.UnrollXlate: freeze.unroll_xlate,
}
