"""Packets that a switch makes itself: those of protocols that watch its links or build its trees.

They leave by a port whatever flows say, but as ports do: with tags, into tunnels, over patch ports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.datapath.dpif_log import execute
from netloom.flow import ports as reserved
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT
from netloom.flow.numbers import TUN_FLAGS_PUBLIC
from netloom.ofproto.translate import translate
from netloom.ofproto.translate.small import credit_all
from netloom.openflow.actions import Output

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.ports import OfPort

_IN_PORT: Final = SLOT["in_port"]
_TUN_FLAGS: Final = SLOT["tun_flags"]


def send_own(bridge: Ofproto, port: OfPort, frame: bytes, now_ms: int, is_oam: bool) -> None:
    """Send `frame` out of `port`; `is_oam`: into a tunnel as operation and maintenance."""
    backer = bridge.backer
    backer.events.extracted.add()
    key = extract_key(frame, reserved.NONE, 0, backer.dpif.vlan_limit)
    if is_oam:
        key = _TUN_FLAGS.put(key, TUN_FLAGS_PUBLIC)
    actions = (Output(port.number, 0),)
    result = translate(bridge, key, now_ms, actions=actions, packet=frame)
    credit_all(result.credits, 1, len(frame), now_ms, 0)
    if result.actions:
        execute(backer.dpif, frame, _IN_PORT.put(key, _IN_PORT.ones), result.actions)
    backer.recirculations.release(result.recirc_ids, now_ms)
