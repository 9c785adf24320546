"""`mdb/*`: the multicast groups that bridges have snooped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netloom.base.errors import CommandError
from netloom.flow import ports as reserved
from netloom.flow.address import format_ipv4, format_ipv6

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.bundle import Bundle
    from netloom.protocols.mcast_snooping import McastTable

_MAPPED = 0xFFFF
_DISABLED = "multicast snooping is disabled"


def show(bridge: Ofproto) -> str:
    """`mdb/show`: members with the protocol of the latest report, then routers."""
    table = _table(bridge)
    now_ms = bridge.backer.clock.now_ms()
    lines = [" port  VLAN  protocol  GROUP                Age\n"]
    for group in table.groups():
        address = group.address
        text = (
            format_ipv4(address & 0xFFFFFFFF) if address >> 32 == _MAPPED else format_ipv6(address)
        )
        for bundle, used_ms in group.used_ms.items():
            age_s = (now_ms - used_ms) // 1_000
            lines.append(
                f"{_port(bundle):>5}  {group.vlan:4d}  {group.protocol:<8}  {text}         "
                f"{age_s:3d}\n"
            )
    for bundle, vlan, used_ms in table.routers():
        age_s = (now_ms - used_ms) // 1_000
        lines.append(f"{_port(bundle):>5}  {vlan:4d}  UNKNOWN   querier             {age_s:3d}\n")
    return "".join(lines)


def flush(bridges: list[Ofproto], is_named: bool) -> str:
    """`mdb/flush`: of one bridge, or of all that snoop."""
    for bridge in bridges:
        if bridge.mcast is not None:
            bridge.mcast.flush()
        elif is_named:
            raise CommandError(_DISABLED)
    return "table successfully flushed"


def commands(
    find: Callable[[str], Ofproto], everyone: Callable[[], list[Ofproto]]
) -> list[tuple[str, str, int, int, Callable[[list[str]], str]]]:
    """Name, usage, least and most arguments, handler."""

    def flush_some(args: list[str]) -> str:
        return flush([find(args[0])] if args else everyone(), bool(args))

    def show_one(args: list[str]) -> str:
        return show(find(args[0]))

    return [
        ("mdb/flush", "[bridge]", 0, 1, flush_some),
        ("mdb/show", "bridge", 1, 1, show_one),
    ]


def _table(bridge: Ofproto) -> McastTable[Bundle]:
    if bridge.mcast is None:
        raise CommandError(_DISABLED)
    return bridge.mcast


def _port(bundle: Bundle) -> str:
    if not bundle.members:
        return bundle.name
    number = bundle.members[0].number
    return "LOCAL" if number == reserved.LOCAL else str(number)
