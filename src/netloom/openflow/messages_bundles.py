"""Messages of bundles: changes that are collected and then made all together or not at all.

OpenFlow 1.4 and later, and ONF's extension 230 of 1.3.
"""

from __future__ import annotations

from netloom.openflow.flow_mod import BundleAdd as BundleAdd
from netloom.openflow.messages import MessageRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

OFPBCT_OPEN_REQUEST: Final = 0
OFPBCT_OPEN_REPLY: Final = 1
OFPBCT_CLOSE_REQUEST: Final = 2
OFPBCT_CLOSE_REPLY: Final = 3
OFPBCT_COMMIT_REQUEST: Final = 4
OFPBCT_COMMIT_REPLY: Final = 5
OFPBCT_DISCARD_REQUEST: Final = 6
OFPBCT_DISCARD_REPLY: Final = 7

OFPBF_ATOMIC: Final = 1
OFPBF_ORDERED: Final = 2


class BundleControl(MessageRecord):
    bundle_id: int
    type: int
    flags: int = 0
