"""May a port carry packets? Its link says so, and whoever watches the way behind it: CFM or BFD (if
both do, one of them is enough) and LACP.

Buckets of groups that watch the port, members of bonds, RSTP and the LIVE state that controllers
see all go by this one answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netloom.ofproto.ports import OfPort


def is_watched_up(port: OfPort) -> bool:
    """Do CFM and BFD, where they are spoken, let packets use the port?"""
    bridge = port.bridge
    watchers = [watcher for watcher in (bridge.faults, bridge.monitoring) if watcher.watches(port)]
    return not watchers or any(watcher.is_up(port) for watcher in watchers)


def is_usable(port: OfPort, link_up: bool) -> bool:
    """May packets go out here, if the link is as given?"""
    return link_up and is_watched_up(port) and port.bridge.aggregation.may_enable(port)
