"""What the log tells of flows that come and change and of packets that come up, for those who set
`dpif_netdev` to DBG."""

from __future__ import annotations

from typing import Final

from netloom.base.log import DBG, Logger
from netloom.datapath.action_text import format_actions
from netloom.datapath.actions import DpActions
from netloom.datapath.dpif import Upcall
from netloom.datapath.flow_text import format_ufid
from netloom.datapath.ufid import flow_ufid
from netloom.flow.fields import KEY_MASK
from netloom.flow.key import MAX_VLANS, PACKET_TYPE_SHIFT
from netloom.flow.odp_text import format_odp_flow
from netloom.openflow.text_packets import packet_text

#: Open vSwitch's limit for messages about misses and their flows.
MESSAGES_PER_MINUTE: Final = 600
BURST: Final = 600


def log_flow(
    log: Logger,
    key: int,
    mask: int,
    actions: DpActions,
    old_actions: DpActions | None,
    vlan_limit: int = MAX_VLANS,
) -> None:
    """`flow_add: ...`, or `flow_mod: ...` of a flow that had `old_actions`."""
    if not log.admits(DBG, "flows", MESSAGES_PER_MINUTE, BURST):
        return
    ufid = format_ufid(flow_ufid(key & mask, mask))
    match = format_odp_flow(key, mask, None, False, vlan_limit)
    words = [f"{ufid} mega_{ufid} {match}"]
    if old_actions is not None:
        words.append(f"old_actions:{format_actions(old_actions)}")
    words.append(f"actions:{format_actions(actions)}")
    log.dbg("%s: %s", "flow_add" if old_actions is None else "flow_mod", ", ".join(words))


def log_upcall(log: Logger, name: str, upcall: Upcall, vlan_limit: int) -> None:
    """`ovs-dummy: miss upcall:`, then the packet's key and its headers in a line each."""
    if not log.admits(DBG, "upcalls", MESSAGES_PER_MINUTE, BURST):
        return
    kind = "miss" if upcall.kind == "miss" else "action"
    key = format_odp_flow(upcall.key, KEY_MASK, None, True, vlan_limit)
    text = packet_text(upcall.packet, upcall.key >> PACKET_TYPE_SHIFT & 0xFFFFFFFF)
    log.dbg("%s: %s upcall:\n%s\n%s", name.rpartition("@")[2], kind, key, text)
