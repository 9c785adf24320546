"""What the log tells of what is asked of a data path, for those who set `dpif` to DBG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.base.log import DBG, WARN, get_logger
from netloom.datapath.action_text import format_actions
from netloom.datapath.dpif import full_name
from netloom.datapath.flow_text import format_flow_stats, format_ufid
from netloom.datapath.ufid import flow_ufid
from netloom.flow.fields import SLOT
from netloom.flow.odp_text import format_odp_flow
from netloom.openflow.text_packets import packet_text

if TYPE_CHECKING:
    from netloom.datapath.actions import DpActions
    from netloom.datapath.dpif import Dpif, FlowStats
    from netloom.packet.offload import Offload

log: Final = get_logger("dpif")

_PRIORITY: Final = SLOT["skb_priority"]
_MARK: Final = SLOT["pkt_mark"]
_PACKET_TYPE: Final = SLOT["packet_type"]

#: Open vSwitch's limit for messages about requests to a data path.
MESSAGES_PER_MINUTE: Final = 600
BURST: Final = 600
#: The same about requests that failed.
ERRORS_PER_MINUTE: Final = 60
ERROR_BURST: Final = 5


def is_told() -> bool:
    """Is there anybody who wants to know?"""
    return log.threshold >= DBG


def log_flow(
    dpif: Dpif,
    operation: str,
    key: int,
    mask: int,
    actions: DpActions,
    stats: FlowStats | None = None,
    now_ms: int = 0,
) -> None:
    """`dummy@ovs-dummy: put[modify] ufid:... in_port(1)..., actions:2`"""
    if not log.admits(DBG, "flows", MESSAGES_PER_MINUTE, BURST):
        return
    words = [_head(dpif, operation, key, mask)]
    if stats is not None:
        words.append(format_flow_stats(stats, now_ms))
    words.append(f"actions:{format_actions(actions)}")
    log.dbg("%s", ", ".join(words))


def log_deletion(dpif: Dpif, key: int, mask: int, stats: FlowStats, now_ms: int) -> None:
    """`dummy@ovs-dummy: flow_del ufid:... , packets:...`; the id says which flow it was."""
    if log.admits(DBG, "flows", MESSAGES_PER_MINUTE, BURST):
        ufid = format_ufid(flow_ufid(key & mask, mask))
        log.dbg("%s: flow_del %s , %s", full_name(dpif), ufid, format_flow_stats(stats, now_ms))


def log_missing(dpif: Dpif, operation: str, key: int, mask: int, actions: DpActions) -> None:
    """A request that failed, as somebody else had taken the flow out of the data path."""
    if log.admits(WARN, "errors", ERRORS_PER_MINUTE, ERROR_BURST):
        failed = f"failed to {operation} (No such file or directory)"
        head = _head(dpif, failed, key, mask)
        log.warn("%s, actions:%s", head, format_actions(actions))


def log_operation(dpif: Dpif, text: str) -> None:
    """What was done to a data path besides: `dummy@ovs-dummy: port_del(1)`."""
    if log.admits(DBG, "flows", MESSAGES_PER_MINUTE, BURST):
        log.dbg("%s: %s", full_name(dpif), text)


def execute(
    dpif: Dpif, packet: bytes, key: int, actions: DpActions, offload: Offload | None = None
) -> None:
    """Have a packet executed that is no miss, and tell of it."""
    if log.admits(DBG, "flows", MESSAGES_PER_MINUTE, BURST):
        priority, mark = _PRIORITY.get(key), _MARK.get(key)
        metadata = f"skb_priority({_number(priority)}),skb_mark({_number(mark)})"
        text = packet_text(packet, _PACKET_TYPE.get(key))
        log.dbg("%s: execute %s on packet %s with metadata %s mtu 0", full_name(dpif),
                format_actions(actions), text, metadata)  # fmt: skip
    dpif.execute(packet, key, actions, offload)


def _number(value: int) -> str:
    return f"{value:#x}" if value else "0"


def _head(dpif: Dpif, operation: str, key: int, mask: int) -> str:
    match = format_odp_flow(key, mask, None, True, dpif.vlan_limit, dpif.in_kernel)
    return f"{full_name(dpif)}: {operation} {format_ufid(flow_ufid(key & mask, mask))} {match}"


def log_dump(dpif: Dpif, now_ms: int) -> None:
    """All flows with what they counted."""
    for flow in dpif.flow_dump():
        log_flow(dpif, "flow_dump", flow.key, flow.mask, flow.actions, flow.stats, now_ms)
