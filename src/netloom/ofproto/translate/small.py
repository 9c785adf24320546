"""Actions of a few lines each: queues, truncation, meters, timeouts, the slow path for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.base.log import get_logger
from netloom.datapath import actions as dp
from netloom.flow import ports as reserved
from netloom.flow.fields import SLOT, option_present
from netloom.flow.key import NW_PROTO_MASK
from netloom.flow.ports import format_port
from netloom.ofproto.export_netflow import NetflowCredit
from netloom.ofproto.translate.context import Context, Credit
from netloom.ofproto.translate.output import output_to
from netloom.openflow import actions as a

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.rules import Rule

log: Final = get_logger("dpif")

_PRIORITY: Final = SLOT["skb_priority"]
TCP_FLAGS: Final = SLOT["tcp_flags"]
_FIN_OR_RST: Final = 0x05
_NOT_TRUNCATED: Final = frozenset({
    reserved.TABLE, reserved.NORMAL, reserved.FLOOD, reserved.ALL, reserved.CONTROLLER,
    reserved.NONE,
})  # fmt: skip


def delete_field(context: Context, action: a.DeleteField) -> None:
    """Take an option out of the tunnel's metadata: what is sent has it not, even if it came so. Who
    reads it still finds its value."""
    field = action.field
    context.key &= ~option_present(field)
    context.detail(f"delete {field.name}")


def set_queue(context: Context, action: a.SetQueue) -> None:
    """Choose a queue for what is sent from here on: the packet's priority names it."""
    context.mask |= _PRIORITY.mask
    priority = _priority_of(context, action.queue)
    if priority is not None:
        context.key = _PRIORITY.put(context.key, priority)


def _priority_of(context: Context, queue: int) -> int | None:
    """What stands for a queue in keys; None if the data path has no such queues."""
    dpif = context.bridge.backer.dpif
    priority = dpif.queue_priority(queue)
    if priority is None:
        log.warn_rl("%s: failed to queue_to_priority %d (Invalid argument)", dpif.name, queue)
    return priority


def pop_queue(context: Context, action: a.PopQueue) -> None:
    """Have the priority that the packet came with."""
    context.mask |= _PRIORITY.mask
    original = _PRIORITY.get(context.first_key)
    if _PRIORITY.get(context.key) != original:
        context.key = _PRIORITY.put(context.key, original)
        context.detail(f"queue = {original:#x}" if original else "queue = 0")


def enqueue(context: Context, action: a.Enqueue) -> None:
    """Send through a queue of a port."""
    context.mask |= _PRIORITY.mask
    number = action.port
    if number == reserved.IN_PORT:
        number = context.in_port
    elif number == context.in_port:
        return
    saved = _PRIORITY.get(context.key)
    priority = _priority_of(context, action.queue)
    if priority is not None:
        context.key = _PRIORITY.put(context.key, priority)
    output_to(context, number)
    context.key = _PRIORITY.put(context.key, saved)


def output_trunc(context: Context, action: a.OutputTrunc) -> None:
    """Send a packet cut to a length; only to ports that have a device."""
    number = action.port
    if number in _NOT_TRUNCATED:
        context.report_error(f"output_trunc does not support port: {format_port(number)}")
        return
    if number == context.in_port:
        context.warn("skipping output to input port")
        return
    port = context.bridge.ports_by_number.get(number)
    if port is None or port.dp_port < 0:
        context.report_error(f"output_trunc does not support patch port {format_port(number)}")
        return
    if not context.bridge.backer.features.has("trunc"):
        context.slow.add("action")
    context.emit(dp.Trunc(action.max_len))
    output_to(context, number, is_cut=True)


def meter(context: Context, action: a.Meter) -> None:
    """Have the data path's meter see the packet."""
    found = context.bridge.meters.get(action.meter_id)
    if found is not None:
        context.emit(dp.Meter(found.dp_meter))


def debug_slow(context: Context, action: a.DebugSlow) -> None:
    """Pretend that the data path could not do it."""
    context.slow.add("action")


class FinCredit:
    """Shortens the timeouts of a rule when a connection ends; `credit` has nothing to count."""

    __slots__ = ("action", "bridge", "rule")

    def __init__(self, bridge: Ofproto, rule: Rule, action: a.FinTimeout) -> None:
        self.bridge = bridge
        self.rule = rule
        self.action = action

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        """Packets alone end no connection."""

    def end_connection(self) -> None:
        """A FIN or RST was among the packets."""
        rule, action = self.rule, self.action
        if rule.removed or not (action.idle_timeout or action.hard_timeout):
            return
        rule.idle_timeout_s = _shorter(rule.idle_timeout_s, action.idle_timeout)
        rule.hard_timeout_s = _shorter(rule.hard_timeout_s, action.hard_timeout)
        self.bridge.tables.reschedule(rule)


def _shorter(timeout_s: int, limit_s: int) -> int:
    """0 is none, of both."""
    return limit_s if limit_s and (not timeout_s or timeout_s > limit_s) else timeout_s


def fin_timeout(context: Context, action: a.FinTimeout) -> None:
    """Have the rule expire sooner once TCP ends the connection."""
    context.mask |= NW_PROTO_MASK
    if context.rule is not None:
        context.credits.append(FinCredit(context.bridge, context.rule, action))


def credit_all(
    credits_: list[Credit], n_packets: int, n_bytes: int, used_ms: int, tcp_flags: int
) -> None:
    """Credit packets, whose TCP flags together are `tcp_flags`, to everybody."""
    if tcp_flags and credits_ and type(credits_[0]) is NetflowCredit:
        credits_[0].tcp_flags = tcp_flags
    for target in credits_:
        target.credit(n_packets, n_bytes, used_ms)
    if tcp_flags & _FIN_OR_RST:
        for target in credits_:
            if isinstance(target, FinCredit):
                target.end_connection()
