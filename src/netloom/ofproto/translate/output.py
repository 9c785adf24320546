"""Sending a packet: to a port, through a patch port, to many ports, to controllers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.datapath import actions as dp
from netloom.flow import ports as reserved
from netloom.flow.fields import SLOT, TUN_OPTIONS_MASK
from netloom.flow.key import CT_STATE_MASK, DL_TYPE_MASK, METADATA_ALL_MASK
from netloom.netdev.tunnel_config import LEGACY_L2
from netloom.ofproto.ports import OfPort
from netloom.ofproto.queues import mark, restore
from netloom.ofproto.recirculations import FrozenState
from netloom.ofproto.translate import tunnel, underlay
from netloom.ofproto.translate.commit import commit
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.crossing import cross
from netloom.ofproto.translate.entry import skips_output
from netloom.ofproto.translate.sample_leaving import sample_leaving
from netloom.openflow import messages as m
from netloom.openflow.messages_meters import OFPM_CONTROLLER
from netloom.telemetry.netflow import FLOOD

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto

_PACKET_TYPE: Final = SLOT["packet_type"]
#: Copies that may have so many bytes are not cut off.
LONGEST_COPY: Final = 0xFFFF
_ACTSET_OUTPUT: Final = SLOT["actset_output"]


def _is_protected(context: Context, port: OfPort) -> bool:
    """Are both this port and the one that the packet has come in by protected?"""
    if port.bundle is None or not port.bundle.settings.protected:
        return False
    source = context.bridge.ports_by_number.get(context.in_port)
    return source is not None and source.bundle is not None and source.bundle.settings.protected


def output_to(context: Context, number: int, is_cut: bool = False) -> None:
    """Output to one OpenFlow port, whichever it is (in_port too). `is_cut`: what leaves is shorter
    than the packet."""
    port = context.bridge.ports_by_number.get(number)
    if port is None:
        context.warn("Nonexistent output port")
    elif port.config & m.OFPPC_NO_FWD:
        context.detail("OFPPC_NO_FWD set, skipping output")
    elif context.snaplen and port.is_patch:
        context.warn("Mirror truncate to ODPP_NONE, skipping output")
    elif _is_protected(context, port):
        context.warn("Flow is between protected ports, skipping output.")
    elif _is_restricted(port) and skips_output(context, port):
        return
    elif port.is_patch:
        cross(context, port)
    elif _PACKET_TYPE.get(context.key) and _takes_frames_only(port):
        context.warn("Trying to send non-Ethernet packet through legacy L2 port. Dropping packet.")
    else:
        before = context.key
        if port.marks:
            _mark(context, port)
        if port.tunnel is not None:
            sampling = context.sampling
            n_outputs = sampling.n_outputs if sampling is not None else 0
            was_sent = tunnel.output_to_tunnel(context, port, port.tunnel, is_cut)
            if was_sent and sampling is not None:
                # Whichever way it takes below, it is one output.
                sampling.n_outputs = n_outputs
                sampling.note(port)
        else:
            was_sent = True
            _emit_output(context, port)
        if port.marks:
            context.key = restore(context.key, before)
        if was_sent and context.bridge.mirrors and port.bundle is not None:
            context.walk.mirror(context, port.bundle, entering=False)


def _mark(context: Context, port: OfPort) -> None:
    """Give a packet the DSCP of the queue that it leaves by."""
    if context.log is not None:
        # What the next packet is marked with may be another.
        context.log.give_up()
    context.key, context.mask = mark(port.marks, context.key, context.mask)


def _is_restricted(port: OfPort) -> bool:
    """Does what leaves here depend on what it is?"""
    return not port.forwards or not port.relays_bpdus or port.is_watched


def _takes_frames_only(port: OfPort) -> bool:
    return port.tunnel is None or port.tunnel.config.pt_mode == LEGACY_L2


def _emit_output(context: Context, port: OfPort) -> None:
    commit(context)
    number = underlay.terminate(context, port)
    if number is not None:
        context.emit(dp.TunnelPop(number))
    else:
        if context.bridge.exporters is not None:
            sample_leaving(context, port)
        if 0 < context.snaplen < LONGEST_COPY:
            context.emit(dp.Trunc(context.snaplen))
        context.emit(dp.Output(port.dp_port))
    if context.sampling is not None:
        context.sampling.note(port)


def is_alive(context: Context, number: int) -> bool:
    """Is there such a port, and can it carry packets?"""
    return context.bridge.is_port_live(number)


def flood(context: Context, everywhere: bool) -> None:
    """FLOOD (ports without OFPPC_NO_FLOOD) or ALL: not the port that the packet came from."""
    for port in list(context.bridge.ports_by_number.values()):
        if port.number != context.in_port and (everywhere or not port.config & m.OFPPC_NO_FLOOD):
            output_to(context, port.number)
    if context.sampling is not None:
        context.sampling.output = FLOOD


def to_controller(
    context: Context,
    max_len: int,
    reason: int,
    controller_id: int,
    userdata: bytes = b"",
    meter_id: int = 0,
) -> None:
    """Have the packet, as it is now, sent to controllers."""
    context.cannot_repeat()
    commit(context)
    if reason == m.OFPR_ACTION and _is_table_miss(context):
        reason = m.OFPR_EXPLICIT_MISS
    bridge = context.bridge
    state = FrozenState(bridge.name, context.table_id, context.key & METADATA_ALL_MASK)
    number = bridge.backer.recirculations.acquire(state)
    context.recirc_ids.append(number)
    emit_to_controller(context, number, reason, controller_id, max_len, userdata, meter_id)


def emit_to_controller(
    context: Context,
    recirc_id: int,
    reason: int,
    controller_id: int,
    max_len: int,
    userdata: bytes,
    meter_id: int,
    *,
    is_pause: bool = False,
) -> None:
    """The data path's action for it; `recirc_id` is that of the frozen state to go on with. A meter
    that is not there is as if none was named."""
    is_trial = context.recorder is not None and not context.side_effects
    upcall = dp.Userspace(
        "controller",
        (
            reason,
            int(is_trial),
            int(is_pause),
            recirc_id,
            context.cookie,
            controller_id,
            max_len,
            context.bridge.name,
            context.table_id,
            _metadata(context.key),
            userdata,
        ),
    )
    named = context.bridge.meters.get(meter_id) is not None
    context.emit(metered(upcall, context.bridge, meter_id if named else OFPM_CONTROLLER))


def metered(upcall: dp.Userspace, bridge: Ofproto, meter_id: int) -> dp.DpAction:
    """Have a meter, if there is that one, see what goes up."""
    meter = bridge.meters.get(meter_id)
    if meter is None:
        return upcall
    return dp.Sample(0xFFFFFFFF, (dp.Meter(meter.dp_meter), upcall))


#: Bits of a key that controllers are told of, whatever the packet is.
_TOLD: Final = METADATA_ALL_MASK & ~_ACTSET_OUTPUT.mask | TUN_OPTIONS_MASK


def _metadata(key: int) -> int:
    """What is known of a packet besides its bytes and its action set, tunnel options among it; of a
    tracked one its Ethernet type too, without which nobody reads the addresses of its
    connection."""
    bits = _TOLD
    if key & CT_STATE_MASK:
        bits |= DL_TYPE_MASK
    return key & bits


def output(context: Context, number: int, max_len: int) -> None:
    """The output action of OpenFlow, with its reserved ports."""
    sampling = context.sampling
    before = sampling.begin_output() if sampling is not None else 0
    if number == reserved.IN_PORT:
        output_to(context, context.in_port)
    elif number == reserved.TABLE:
        context.walk.enter_table(context, 0)
    elif number == reserved.NORMAL:
        context.walk.normal(context)
    elif number in (reserved.FLOOD, reserved.ALL):
        flood(context, everywhere=number == reserved.ALL)
    elif number == reserved.CONTROLLER:
        to_controller(context, max_len, _reason(context), 0)
    elif number == context.in_port:
        if number != reserved.NONE:
            context.warn("skipping output to input port")
    elif number != reserved.NONE:
        output_to(context, number)
    if sampling is not None:
        sampling.end_output(before)


def _reason(context: Context) -> int:
    """Why a plain output to CONTROLLER sends."""
    if context.in_packet_out:
        return m.OFPR_PACKET_OUT
    if context.in_bucket:
        return m.OFPR_GROUP
    return m.OFPR_ACTION_SET if context.in_action_set else m.OFPR_ACTION


def _is_table_miss(context: Context) -> bool:
    """Does a rule run that catches what no other rule of its table does?"""
    rule = context.rule
    return rule is not None and rule.priority == 0 and not rule.match.mask
