"""Flows and statistics of a data path as text: the lines of `dpctl/dump-flows` (ovs-dpctl(8))."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from netloom.datapath.action_text import format_actions
from netloom.datapath.dpif import Flow, FlowStats
from netloom.flow.key import MAX_VLANS
from netloom.flow.odp_text import format_odp_flow

#: Bit 0 upwards: FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, NS and three bits without a name.
_TCP_FLAGS = ("F", "S", "R", "P", ".", "U", "E", "C", "N", "[200]", "[400]", "[800]")


def format_tcp_flags(flags: int) -> str:
    """`S.` for SYN and ACK."""
    return "".join([letter for bit, letter in enumerate(_TCP_FLAGS) if flags >> bit & 1])


def format_flow_stats(stats: FlowStats, now_ms: int) -> str:
    """`packets:2, bytes:108, used:0.003s, flags:S.`"""
    used = f"{(now_ms - stats.used_ms) / 1000:.3f}s" if stats.used_ms else "never"
    text = f"packets:{stats.packets}, bytes:{stats.bytes}, used:{used}"
    return f"{text}, flags:{format_tcp_flags(stats.tcp_flags)}" if stats.tcp_flags else text


def format_ufid(ufid: int) -> str:
    """`ufid:5ff4dc0a-aa99-4b96-b609-f9b7894a3881`"""
    digits = f"{ufid:032x}"
    ends = (0, 8, 12, 16, 20, 32)
    return "ufid:" + "-".join(digits[a:b] for a, b in pairwise(ends))


def parse_ufid(text: str) -> int | None:
    """The number of `ufid:...`, with or without hyphens; None if `text` is something else."""
    digits = text.removeprefix("ufid:").replace("-", "")
    if not text.startswith("ufid:") or len(digits) != 32:
        return None
    try:
        return int(digits, 16)
    except ValueError:
        return None


def format_flow(
    flow: Flow,
    now_ms: int,
    port_names: Mapping[int, str] | None = None,
    verbose: bool = False,
    vlan_limit: int = MAX_VLANS,
    in_kernel: bool = False,
) -> str:
    """What a flow matches, counted and does; `verbose` (-m) shows all that is wildcarded too."""
    key = format_odp_flow(flow.key, flow.mask, port_names, verbose, vlan_limit, in_kernel)
    stats = format_flow_stats(flow.stats, now_ms)
    return f"{key}, {stats}, actions:{format_actions(flow.actions, port_names)}"
