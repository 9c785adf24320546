"""Which ports of a bridge can be in a spanning tree, and what its states mean for packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.base.log import get_logger
from netloom.flow.hashes import hash_bytes
from netloom.flow.turns import Turns

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.bundle import Bundle
    from netloom.ofproto.ports import OfPort

log = get_logger("bridge")

#: Speed of a port that does not tell.
_DEFAULT_MBPS = 10_000
_LLC = b"\x42\x42\x03"
_ETH_LEN = 14


def tree_bundles(bridge: Ofproto) -> list[Bundle]:
    """Bundles that may take part, in the order in which Open vSwitch numbers their ports: that of
    its hash table. Those that more than their settings keep out are not among them."""
    turns: Turns[Bundle] = Turns()
    for name, bundle in bridge.bundles.items():
        turns.add(hash_bytes(name.encode(), 0), bundle)
    return [bundle for bundle in turns if _is_possible(bridge, bundle)]


def _is_possible(bridge: Ofproto, bundle: Bundle) -> bool:
    if bundle.settings.name in bridge.mirrors.outputs:
        log.dbg("port %s: disable spanning tree on mirror ports", bundle.settings.name)
        return False
    if len(bundle.members) == 1 and bundle.members[0].settings.type == "internal":
        log.dbg("port %s: disable spanning tree on internal ports", bundle.settings.name)
        return False
    return bool(bundle.members)


def mbps_of(port: OfPort) -> int:
    """The speed of a port in Mbps."""
    speed = port.device.state().speed_bps if port.device is not None else 0
    return speed // 1_000_000 or _DEFAULT_MBPS


def bpdu_of(frame: bytes) -> bytes | None:
    """What is behind LLC in a frame to the group of bridges; None if that is no BPDU. Padding is
    cut off."""
    length = int.from_bytes(frame[12:14], "big")
    if frame[_ETH_LEN : _ETH_LEN + 3] != _LLC or not 3 <= length <= len(frame) - _ETH_LEN:
        return None
    return frame[_ETH_LEN + 3 : _ETH_LEN + length]


def bpdu_payload(bpdu: bytes) -> bytes:
    """A BPDU with LLC in front."""
    return _LLC + bpdu
