"""NORMAL on a bridge that snoops: where packets to a group address go (RFC 4541, 2.1).

Reports go to routers (and to bundles flagged for them), queries everywhere; each of these packets
is seen by the switch, which learns from it. Others go to the members of their group, to bundles
that are flagged to get all, and to routers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.flow.address import format_ipv4
from netloom.flow.fields import SLOT
from netloom.ofproto.bundle import Bundle, Tags
from netloom.ofproto.translate.context import Context
from netloom.protocols import mcast_messages as msg
from netloom.protocols.mcast_snooping import Change, McastTable, mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    #: Sends to a bundle.
    Send = Callable[[Context, Bundle, Tags], None]
    Flood = Callable[[Context, Bundle, Tags], None]

_DL_TYPE: Final = SLOT["dl_type"]
_DL_DST: Final = SLOT["dl_dst"]
_NW_PROTO: Final = SLOT["nw_proto"]
_NW_SRC: Final = SLOT["nw_src"]
_NW_DST: Final = SLOT["nw_dst"]
_IPV6_SRC: Final = SLOT["ipv6_src"]
_IPV6_DST: Final = SLOT["ipv6_dst"]
_TP_SRC: Final = SLOT["tp_src"]
_GROUP_BIT: Final = 1 << 40
_BROADCAST: Final = 0xFFFFFFFFFFFF
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_IGMP: Final = 2
_ICMPV6: Final = 58
_ALL_HOSTS_V6: Final = 0xFF02 << 112 | 1


def concerns(key: int) -> bool:
    """Is this an IP packet to a group address?"""
    destination = _DL_DST.get(key)
    return (
        bool(destination & _GROUP_BIT)
        and destination != _BROADCAST
        and _DL_TYPE.get(key) in (_IPV4, _IPV6)
    )


def forward(
    context: Context,
    table: McastTable[Bundle],
    source: Bundle,
    inside: Tags,
    flood: Flood,
    send: Send,
) -> None:
    """Learn from the packet, if it is one to learn from, and send it on."""
    sender = _Sender(context, table, source, inside, send)
    key = context.key
    if _is_igmp(context):
        context.slow.add("action")
        # No flow of a data path tells types of IGMP apart: each packet comes up anyway.
        kind = _TP_SRC.get(key)
        if kind in msg.IGMP_REPORTS or kind == msg.IGMP_QUERY:
            _snoop_igmp(context, table, source, inside[0].vid, kind)
        if kind in msg.IGMP_REPORTS:
            sender.to_routers()
            sender.report_to_flagged()
        else:
            context.detail("multicast traffic, flooding")
            flood(context, source, inside)
        return
    if _is_mld(context):
        context.slow.add("action")
        kind = _TP_SRC.get(key)
        _snoop_mld(context, table, source, inside[0].vid, kind)
        if kind in msg.MLD_REPORTS:
            sender.to_routers()
            sender.report_to_flagged()
        else:
            context.detail("MLD query, flooding")
            flood(context, source, inside)
        return
    if _is_local(context):
        context.detail("RFC4541: section 2.1.2, item 2, flooding")
        flood(context, source, inside)
        return
    _forward_data(context, table, source, inside, flood, sender)


def _forward_data(
    context: Context,
    table: McastTable[Bundle],
    source: Bundle,
    inside: Tags,
    flood: Flood,
    sender: _Sender,
) -> None:
    key = context.key
    is_ipv4 = _DL_TYPE.get(key) == _IPV4
    address = mapped(_NW_DST.get(key)) if is_ipv4 else _IPV6_DST.get(key)
    group = table.lookup(address, inside[0].vid)
    if group is not None:
        sender.to_members(group.used_ms)
        sender.to_flagged()
        sender.to_routers()
    elif table.floods_unregistered:
        context.detail("unregistered multicast, flooding")
        flood(context, source, inside)
    else:
        sender.to_routers()
        sender.to_flagged()


def _is_igmp(context: Context) -> bool:
    if _DL_TYPE.get(context.key) != _IPV4:
        return False
    context.mask |= _NW_PROTO.mask
    return _NW_PROTO.get(context.key) == _IGMP


def _is_mld(context: Context) -> bool:
    if _DL_TYPE.get(context.key) != _IPV6:
        return False
    context.mask |= _NW_PROTO.mask
    if _NW_PROTO.get(context.key) != _ICMPV6:
        return False
    context.mask |= _TP_SRC.mask
    return _TP_SRC.get(context.key) in msg.MLD_TYPES


def _is_local(context: Context) -> bool:
    """Is the group one of a link, whose packets go everywhere?"""
    key = context.key
    if _DL_TYPE.get(key) == _IPV4:
        context.mask |= _NW_DST.mask
        return _NW_DST.get(key) >> 8 == 0xE00000
    context.mask |= _IPV6_DST.mask
    return _IPV6_DST.get(key) == _ALL_HOSTS_V6


class _Sender:
    """Sends one packet to some bundles, and says so in a trace."""

    def __init__(
        self, context: Context, table: McastTable[Bundle], source: Bundle, inside: Tags, send: Send
    ) -> None:
        self._context = context
        self._table = table
        self._source = source
        self._inside = inside
        self._send = send

    def _to(self, bundles: Iterable[Bundle], sent: str, not_back: str) -> None:
        for bundle in bundles:
            if bundle is self._source:
                self._context.detail(not_back)
            else:
                self._context.detail(sent)
                self._send(self._context, bundle, self._inside)

    def to_members(self, bundles: Iterable[Bundle]) -> None:
        self._to(
            bundles,
            "forwarding to mcast group port",
            "mcast group port is input port, dropping",
        )

    def to_flagged(self) -> None:
        self._to(
            self._table.floods,
            "forwarding to mcast flood port",
            "mcast flood port is input port, dropping",
        )

    def report_to_flagged(self) -> None:
        self._to(
            self._table.floods_reports,
            "forwarding report to mcast flagged port",
            "mcast port is input port, dropping the Report",
        )

    def to_routers(self) -> None:
        for bundle, vlan, _ in self._table.routers():
            if bundle is not self._source and vlan != self._inside[0].vid:
                self._context.detail("mcast router is on another vlan, dropping")
            else:
                self._to(
                    (bundle,),
                    "forwarding to mcast router port",
                    "mcast router port is input port, dropping",
                )


# -- learning -----------------------------------------------------------------------------------


def _snoop_igmp(
    context: Context, table: McastTable[Bundle], source: Bundle, vlan: int, kind: int
) -> None:
    if not context.side_effects or not context.packet:
        return
    changes = msg.read_igmp(context.packet)
    place = f"on port {source.name} in VLAN {vlan}"
    if changes is None:
        context.detail(f"multicast snooping received bad IGMP checksum {place}")
        return
    if kind == msg.IGMP_QUERY:
        querier = _NW_SRC.get(context.key)
        if querier and table.add_router(vlan, source, context.now_ms):
            context.detail(f"multicast snooping query from {format_ipv4(querier)} is {place}")
        return
    n_changed = table.apply(changes, vlan, source, context.now_ms)
    if kind == msg.IGMP_REPORT_V3:
        _report_processed(context, n_changed, place)
    elif n_changed:
        what = "leaving" if kind == msg.IGMP_LEAVE else "learned that"
        group = format_ipv4(changes[0].address & 0xFFFFFFFF)
        context.detail(f"multicast snooping {what} {group} is {place}")


def _snoop_mld(
    context: Context, table: McastTable[Bundle], source: Bundle, vlan: int, kind: int
) -> None:
    if not context.side_effects or not context.packet:
        return
    changes: list[Change] | None = msg.read_mld(context.packet)
    place = f"on port {source.name} in VLAN {vlan}"
    if changes is None:
        context.detail(f"multicast snooping received bad MLD checksum {place}")
    elif kind == msg.MLD_QUERY:
        if _IPV6_SRC.get(context.key) and table.add_router(vlan, source, context.now_ms):
            context.detail(f"multicast snooping query {place}")
    else:
        _report_processed(context, table.apply(changes, vlan, source, context.now_ms), place)


def _report_processed(context: Context, n_changed: int, place: str) -> None:
    if n_changed:
        context.detail(f"multicast snooping processed {n_changed} addresses {place}")
