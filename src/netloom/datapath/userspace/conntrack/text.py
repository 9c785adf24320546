"""Connections as text: the lines of `dpctl/dump-conntrack`, and the sums of `ct-stats-show`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from netloom.datapath.userspace.conntrack.connection import Connection
from netloom.datapath.userspace.conntrack.expected import Expected
from netloom.datapath.userspace.conntrack.tcp import UNKNOWN_SCALE, Side, TcpState
from netloom.datapath.userspace.conntrack.tuples import Tuple, is_icmp
from netloom.flow.address import format_ipv4, format_ipv6
from netloom.packet.headers import ETH_TYPE_IP

PROTOCOLS = {
    1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 58: "icmpv6", 132: "sctp",
    136: "udplite",
}  # fmt: skip
#: What Linux, which has one state of both sides, would call a state.
_KERNEL_STATES = {
    TcpState.SYN_RECV: TcpState.ESTABLISHED, TcpState.FIN_WAIT_2: TcpState.TIME_WAIT,
}  # fmt: skip
#: The groups of `ct-stats-show`, in its order. ICMPv6 is in none of them, and no other either.
GROUPS = ("tcp", "udp", "udplite", "sctp", "icmp", "dccp", "igmp")


def format_connection(
    connection: Connection, now_ms: int, verbose: bool = False, with_times: bool = False
) -> str:
    """One line; `verbose` shows both sides of TCP, `with_times` the seconds left."""
    key = connection.key
    words = [
        PROTOCOLS.get(key.proto, str(key.proto)),
        f"orig=({_format_tuple(key)})",
        f"reply=({_format_tuple(connection.reverse)})",
    ]
    if verbose:
        words.append("id=0")
    if key.zone:
        words.append(f"zone={key.zone}")
    if verbose:
        words.append("status=0")
    if with_times:
        words.append(f"timeout={max(0, connection.expires_ms - now_ms) // 1000}")
    if connection.mark:
        words.append(f"mark={connection.mark}")
    if connection.label:
        words.append(f"labels={connection.label:#x}")
    if connection.tcp is not None:
        words.append(_format_states(connection.tcp.sides, verbose))
    if connection.helper:
        words.append(f"helper={connection.helper}")
    if verbose and connection.parent is not None:
        words.append(f"parent=({_format_tuple(connection.parent)})")
    return ",".join(words)


def format_expected(key: Tuple, expected: Expected) -> str:
    """One line: the connection that is expected, and the one that has announced it."""
    words = [PROTOCOLS.get(key.proto, str(key.proto)), f"orig=({_format_tuple(key)})"]
    words += [f"zone={key.zone}"] if key.zone else []
    words += [f"mark={expected.mark}"] if expected.mark else []
    words += [f"labels={expected.label:#x}"] if expected.label else []
    return ",".join([*words, f"parent=({_format_tuple(expected.parent)})"])


def _format_tuple(key: Tuple) -> str:
    form = format_ipv4 if key.dl_type == ETH_TYPE_IP else format_ipv6
    text = f"src={form(key.src)},dst={form(key.dst)}"
    if is_icmp(key):
        return f"{text},id={key.sport >> 16},type={key.sport >> 8 & 0xFF},code={key.sport & 0xFF}"
    return f"{text},sport={key.sport},dport={key.dport}"


def _format_states(sides: tuple[Side, Side], verbose: bool) -> str:
    first, second = sides
    if not verbose:
        return f"protoinfo=(state={_state_name(sides)})"
    scales = []
    if max(first.scale, second.scale) > 0:
        scales = [f"wscale_orig={max(first.scale, 0)}", f"wscale_reply={max(second.scale, 0)}"]
    states = f"state_orig={first.state.name},state_reply={second.state.name}"
    words = [states, *scales, f"flags_orig={_flags(first)}", f"flags_reply={_flags(second)}"]
    return f"protoinfo=({','.join(words)})"


def _state_name(sides: tuple[Side, Side]) -> str:
    state = max(sides[0].state, sides[1].state)
    return _KERNEL_STATES.get(state, state).name


def _flags(side: Side) -> str:
    if side.scale == UNKNOWN_SCALE:
        return "BE_LIBERAL"
    return "WINDOW_SCALE" if side.scale >= 0 else "0"


def format_stats(connections: Iterable[Connection], verbose: bool) -> str:
    """How many connections there are, by protocol; with `verbose`, TCP's by state."""
    groups: Counter[str] = Counter()
    states: Counter[str] = Counter()
    total = 0
    for connection in connections:
        total += 1
        name = PROTOCOLS.get(connection.key.proto, "")
        groups[name if name in GROUPS or name == "icmpv6" else "other"] += 1
        if connection.tcp is not None:
            states[_state_name(connection.tcp.sides)] += 1
    lines = ["Connections Stats:", f"    Total: {total}"]
    for group in GROUPS:
        if groups[group]:
            lines.append(f"  {group.upper()}: {groups[group]}")
        if group == "tcp" and verbose and groups[group]:
            lines.append("    Conn per TCP states:")
            lines += [f"\t  [{name}]={count}" for name, count in states.items()]
    if groups["other"]:
        lines.append(f"  Other: {groups['other']}")
    return "\n".join(lines) + "\n"
