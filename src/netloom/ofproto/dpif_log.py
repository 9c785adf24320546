"""What the log tells of what is asked of a data path, for those who set `dpif` to DBG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.base.log import DBG, get_logger
from netloom.datapath.action_text import format_actions
from netloom.datapath.dpctl import full_name
from netloom.datapath.flow_text import format_flow_stats, format_ufid
from netloom.datapath.ufid import flow_ufid
from netloom.flow.odp_text import format_odp_flow

if TYPE_CHECKING:
    from netloom.datapath.actions import DpActions
    from netloom.datapath.dpif import Dpif, FlowStats

log: Final = get_logger("dpif")

#: Open vSwitch's limit for messages about requests to a data path.
MESSAGES_PER_MINUTE: Final = 600
BURST: Final = 600


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
    match = format_odp_flow(key, mask, None, True, dpif.vlan_limit, dpif.in_kernel)
    words = [f"{full_name(dpif)}: {operation} {format_ufid(flow_ufid(key & mask, mask))} {match}"]
    if stats is not None:
        words.append(format_flow_stats(stats, now_ms))
    words.append(f"actions:{format_actions(actions)}")
    log.dbg("%s", ", ".join(words))


def log_dump(dpif: Dpif, now_ms: int) -> None:
    """All flows with what they counted."""
    for flow in dpif.flow_dump():
        log_flow(dpif, "flow_dump", flow.key, flow.mask, flow.actions, flow.stats, now_ms)
