"""A `ct` action as the short road of tracking wants it (`ConnTracker.track_key`).

What does not depend on a packet is worked out once, when the actions of a flow are compiled.
"""

from __future__ import annotations

from netloom.datapath.actions import Ct
from netloom.datapath.userspace.conntrack.connection import Connection
from netloom.datapath.userspace.conntrack.tuples import plain_bits
from netloom.flow.key import CT_LABEL_SHIFT, CT_MARK_SHIFT, CT_ZONE_SHIFT


class CtPlan:
    """An action as `track_key` wants it: looked through once, for all packets."""

    __slots__ = (
        "commit", "is_plain", "label", "label_mask", "mark", "mark_mask", "marks", "timeout",
        "zone", "zone_bits",
    )  # fmt: skip

    def __init__(self, ct: Ct) -> None:
        self.is_plain = is_plain_action(ct)
        self.commit = ct.commit
        self.zone = ct.zone
        self.zone_bits = ct.zone << CT_ZONE_SHIFT
        self.timeout = ct.timeout
        self.mark = ct.mark
        self.mark_mask = ct.mark_mask
        self.label = ct.label
        self.label_mask = ct.label_mask
        #: Does it change mark or label?
        self.marks = bool(ct.mark_mask or ct.label_mask)


def is_plain_action(ct: Ct) -> bool:
    """Can `track_key` do it?"""
    return ct.nat is None and not ct.force and not ct.helper


def mark_connection(connection: Connection, ct: CtPlan) -> None:
    """Change the mark and the label as `ct` says."""
    if ct.marks:
        connection.mark = connection.mark & ~ct.mark_mask | ct.mark & ct.mark_mask
        connection.label = connection.label & ~ct.label_mask | ct.label & ct.label_mask


def connection_bits(connection: Connection, ct: CtPlan) -> int:
    """What a key says of a connection, whose mark and label `ct` may change."""
    mark_connection(connection, ct)
    bits = connection.bits
    if bits < 0:
        bits = connection.bits = plain_bits(connection.ends)
    if connection.mark or connection.label:
        bits |= connection.mark << CT_MARK_SHIFT | connection.label << CT_LABEL_SHIFT
    return bits
