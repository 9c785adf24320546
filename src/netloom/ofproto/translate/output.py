"""Sending a packet: to a port, through a patch port, to many ports, to controllers."""

from __future__ import annotations

from netloom.datapath import actions as dp
from netloom.flow import ports as reserved
from netloom.flow.key import METADATA_ALL_MASK
from netloom.ofproto.ports import OfPort, PatchCrossing
from netloom.ofproto.translate.commit import commit
from netloom.ofproto.translate.context import MAX_DEPTH, Context
from netloom.openflow import messages as m

#: The id of the frozen state that a packet-in could be resumed from. Nothing is resumed in this
#: version, so all packet-ins share one.
RECIRC_ID = 1


def output_to(context: Context, number: int) -> None:
    """Output to one OpenFlow port, whichever it is (in_port too)."""
    port = context.bridge.ports_by_number.get(number)
    if port is None:
        context.detail("Nonexistent output port")
    elif port.config & m.OFPPC_NO_FWD:
        context.detail("OFPPC_NO_FWD set, skipping output")
    elif port.config & m.OFPPC_PORT_DOWN:
        context.detail("OFPPC_PORT_DOWN set, skipping output")
    elif port.is_patch:
        _cross(context, port)
    else:
        commit(context)
        context.emit(dp.Output(port.dp_port))


def _cross(context: Context, port: OfPort) -> None:
    """Go on in the bridge at the other end of a patch port, and come back."""
    peer = context.bridge.peer_of(port)
    if peer is None:
        context.detail("Nonexistent output port")
        return
    if context.depth >= MAX_DEPTH:
        context.fail("Recursion too deep", f"over max translation depth {MAX_DEPTH}")
        return
    saved = (context.bridge, context.key, context.table_id, context.rule, context.action_set,
             context.stack, context.done)  # fmt: skip
    context.credits.append(PatchCrossing(port, peer))
    context.enter_bridge(peer.bridge, peer.number)
    context.action_set, context.stack, context.done = [], [], False
    context.depth += 1
    context.begin_bridge(peer.bridge)
    if not peer.config & (m.OFPPC_NO_RECV | m.OFPPC_PORT_DOWN):
        context.walk.enter_table(context, 0)
        context.walk.run_action_set(context)
    context.end()
    context.depth -= 1
    (context.bridge, context.key, context.table_id, context.rule, context.action_set,
     context.stack, context.done) = saved  # fmt: skip
    context.done = context.done or bool(context.error)


def flood(context: Context, everywhere: bool) -> None:
    """FLOOD (ports without OFPPC_NO_FLOOD) or ALL: not the port that the packet came from."""
    for port in list(context.bridge.ports_by_number.values()):
        if port.number != context.in_port and (everywhere or not port.config & m.OFPPC_NO_FLOOD):
            output_to(context, port.number)


def to_controller(
    context: Context, max_len: int, reason: int, controller_id: int, userdata: bytes = b""
) -> None:
    """Have the packet, as it is now, sent to controllers."""
    commit(context)
    rule = context.rule
    context.emit(
        dp.Userspace(
            "controller",
            (
                reason,
                1,
                0,
                RECIRC_ID,
                rule.cookie if rule is not None else 0xFFFFFFFFFFFFFFFF,
                controller_id,
                max_len,
                context.bridge.name,
                context.table_id,
                context.key & METADATA_ALL_MASK,
                userdata,
            ),
        )
    )


def output(context: Context, number: int, max_len: int) -> None:
    """The output action of OpenFlow, with its reserved ports."""
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
    elif number == reserved.NONE:
        return
    elif number == context.in_port:
        context.warn("skipping output to input port")
    else:
        output_to(context, number)


def _reason(context: Context) -> int:
    """Why a plain output to CONTROLLER sends: a table-miss flow is a miss."""
    rule = context.rule
    if rule is None:
        return m.OFPR_PACKET_OUT
    is_miss = rule.priority == 0 and not rule.match.mask
    return m.OFPR_EXPLICIT_MISS if is_miss else m.OFPR_ACTION
