"""Connections of a router that outlive their translation, and how they end.

The kernel asks the rules only about the first packet of a connection; all others are translated as
that one was. So when a floating address or a forwarding is taken away, what it had carried would go
on. `is_stale` judges a connection by what the router translates now, not by what has changed: an
agent that starts again ends those as well that lost their translation while none looked. A
connection that was not translated is nobody's business here.

What is forgotten in mid-stream: from outside it no longer finds a way in; from inside it gets the
router's own address, which the other end does not know.
"""

from __future__ import annotations

from typing import NamedTuple

from pyroute2 import NFCTSocket
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

from netloom.base.log import get_logger
from netloom.network.agents.l3.wish import Router, Translation
from netloom.network.agents.rooms import work_in
from netloom.network.secgroup.protocols import protocol_number

log = get_logger("l3_agent")


class End(NamedTuple):
    """Addresses and ports of one direction's packets; ports are 0 where there are none."""

    source: str
    target: str
    source_port: int = 0
    target_port: int = 0


class Connection(NamedTuple):
    """A connection as its first packet was, and as answers are."""

    protocol: int
    original: End
    answer: End


def is_stale(connection: Connection, router: Router) -> bool:
    """Whether the connection is translated as the router no longer does."""
    original, answer = connection.original, connection.answer
    if original.target != answer.source:
        return not any(_leads_in(one, connection) for one in router.translations)
    if original.source != answer.target:
        if answer.target == router.source:
            return False
        return not any(
            not one.protocol and (one.inside, one.outside) == (original.source, answer.target)
            for one in router.translations
        )
    return False


def _leads_in(one: Translation, connection: Connection) -> bool:
    original, answer = connection.original, connection.answer
    if (one.outside, one.inside) != (original.target, answer.source):
        return False
    if not one.protocol:
        return True
    return (
        protocol_number(one.protocol) == connection.protocol
        and _within(original.target_port, one.ports)
        and _within(answer.source_port, one.inside_ports)
    )


def _within(port: int, span: str) -> bool:
    low, _, high = span.partition("-")
    return int(low) <= port <= int(high or low)


def end_stale(router: Router) -> int:
    """End the stale connections of a router; how many there were."""
    return work_in(router.room.name, lambda: _end_stale(router))


def _end_stale(router: Router) -> int:
    with NFCTSocket() as tracker:
        stale = []
        for entry in tracker.dump():
            original = entry.get_attr("CTA_TUPLE_ORIG")
            answer = entry.get_attr("CTA_TUPLE_REPLY")
            protocol = original.get_attr("CTA_TUPLE_PROTO").get_attr("CTA_PROTO_NUM")
            if is_stale(Connection(protocol, _end(original), _end(answer)), router):
                one = NFCTAttrTuple.from_netlink(entry["nfgen_family"], original)
                end = _end(original)
                if end.source_port:
                    # Of SCTP as well, which the library does not know to have ports.
                    one.sport, one.dport = end.source_port, end.target_port
                stale.append(one)
        for one in stale:
            try:
                tracker.entry("del", tuple_orig=one)
            except OSError as error:
                # It may have ended meanwhile.
                log.dbg("%s: %s: %s", router.room.name, one, error)
    return len(stale)


def _end(told: NFCTAttrTuple) -> End:
    addresses, numbers = told.get_attr("CTA_TUPLE_IP"), told.get_attr("CTA_TUPLE_PROTO")
    return End(
        addresses.get_attr("CTA_IP_V4_SRC"),
        addresses.get_attr("CTA_IP_V4_DST"),
        numbers.get_attr("CTA_PROTO_SRC_PORT") or 0,
        numbers.get_attr("CTA_PROTO_DST_PORT") or 0,
    )
