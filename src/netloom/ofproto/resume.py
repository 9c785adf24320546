"""NXT_RESUME: a packet that `controller(pause)` stopped goes on where it was.

All that is needed comes back with it: the switch keeps nothing of a paused packet. What the
controller changed of the packet and its metadata holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.datapath.dpif_log import execute
from netloom.flow.extract import extract_key
from netloom.flow.fields import FIELD, SLOT, TUN_OPTIONS_MASK
from netloom.flow.key import METADATA_ALL_MASK
from netloom.ofproto.recirculations import FrozenState
from netloom.ofproto.tlv_table import with_options_present
from netloom.ofproto.translate import translate
from netloom.ofproto.translate.freeze import FROZEN_MASK
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow.continuations import decode_continuation
from netloom.openflow.errors import OpenFlowError

if TYPE_CHECKING:
    from netloom.ofproto.backer import Backer

_IN_PORT = SLOT["in_port"]
_METADATA = (METADATA_ALL_MASK | TUN_OPTIONS_MASK) & ~_IN_PORT.mask


def resume_packet(backer: Backer, message: m.PacketIn, version: int, now_ms: int) -> None:
    """Go on with the packet of `message`; raises OpenFlowError if its bridge is gone."""
    rest = decode_continuation(message.continuation, version)
    found = [bridge for bridge in backer.bridges.values() if bridge.uuid == rest.bridge]
    if not found:
        raise OpenFlowError("NXR_STALE")
    bridge = found[0]
    in_port = FIELD["in_port_oxm"].get(message.match.value)
    metadata = with_options_present(message.match) & _METADATA
    key = extract_key(message.packet, in_port, metadata, backer.dpif.vlan_limit)
    state = FrozenState(
        bridge.name,
        0,
        key & FROZEN_MASK,
        rest.conntracked,
        rest.stack,
        bridge.mirrors.of_bits(bridge.name, rest.mirrors),
        # With nothing left to do it would begin anew.
        rest.actions or (a.Note(b""),),
        rest.action_set,
    )
    result = translate(bridge, key, now_ms, state=state)
    for target in result.credits:
        target.credit(1, len(message.packet), now_ms)
    if result.actions:
        base = _IN_PORT.put(key, rest.odp_port)
        execute(backer.dpif, message.packet, base, result.actions)
    backer.recirculations.release(result.recirc_ids, now_ms)
