"""Messages of bundles: changes that are collected and then made all together or not at all.

OpenFlow 1.4 and later, and ONF's extension 230 of 1.3.
"""

from __future__ import annotations

from netloom.openflow.messages import Message

OFPBCT_OPEN_REQUEST = 0
OFPBCT_OPEN_REPLY = 1
OFPBCT_CLOSE_REQUEST = 2
OFPBCT_CLOSE_REPLY = 3
OFPBCT_COMMIT_REQUEST = 4
OFPBCT_COMMIT_REPLY = 5
OFPBCT_DISCARD_REQUEST = 6
OFPBCT_DISCARD_REPLY = 7

OFPBF_ATOMIC = 1
OFPBF_ORDERED = 2


class BundleControl(Message):
    bundle_id: int
    type: int
    flags: int = 0


class BundleAdd(Message):
    """`data`: a whole message, of the same version and transaction."""

    bundle_id: int
    flags: int
    data: bytes
