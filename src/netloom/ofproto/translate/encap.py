"""`encap`, `decap`, `dec_nsh_ttl`: outer headers on and off, by packet type.

A packet has a type (`packet_type`): an Ethernet frame, or what starts with a header of a later
layer: IP, NSH (RFC 8300), MPLS. `encap` puts a header in front and `decap` takes the first one
off; the data path's action for it is emitted by the next commit, for which the context remembers
that a header is `pending`. What stands behind a header of NSH or a last label is not known before
the packet has come back from the data path: `decap` of these freezes.
"""

from __future__ import annotations

from netloom.flow.fields import SLOT
from netloom.ofproto.translate import mpls
from netloom.ofproto.translate.commit import FRAME_MASK, commit
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.freeze import trigger_freeze
from netloom.ofproto.translate.output import to_controller
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow.action_encap import CLASS_NSH, NSH_MD_TYPE, NSH_TLV
from netloom.packet.headers import NSH_MD_TYPE1, NSH_MD_TYPE2, VLAN_CFI
from netloom.packet.types import (
    PT_ETHERNET,
    PT_MPLS,
    PT_MPLS_MC,
    PT_NSH,
    nsh_protocol_of,
    packet_type_of,
    type_of_nsh_protocol,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

UNSUPPORTED: Final = "Unsupported packet type"

_PACKET_TYPE: Final = SLOT["packet_type"]
_DL_TYPE: Final = SLOT["dl_type"]
_TCI: Final = SLOT["vlan_tci"]
_ADDRESSES: Final = SLOT["dl_src"].mask | SLOT["dl_dst"].mask
_TTL: Final = SLOT["nsh_ttl"]
_MD_TYPE: Final = SLOT["nsh_mdtype"]
_NP: Final = SLOT["nsh_np"]
_PATH: Final = SLOT["nsh_path"]
_FIRST_TTL: Final = 63
_FIRST_PATH: Final = 255
#: Bytes that the context headers of one NSH header may have.
_MAX_CONTEXT: Final = 248


def encap(context: Context, action: a.Encap) -> None:
    """Put the header `action.packet_type` in front."""
    commit(context)
    wanted = action.packet_type
    data = b""
    if wanted == PT_ETHERNET:
        _encap_ethernet(context)
    elif wanted == PT_NSH:
        data = _encap_nsh(context, action)
    else:
        mpls.encap(context, wanted)
    if not context.error:
        context.pending_encap, context.encap_data = True, data


def _refuse(context: Context, reason: str) -> None:
    context.explain(reason)
    context.error = UNSUPPORTED
    context.done = True


def _encap_ethernet(context: Context) -> None:
    context.mask |= _PACKET_TYPE.mask
    packet_type = _PACKET_TYPE.get(context.key)
    if packet_type >> 16 != 1:
        _refuse(context, "Dropping packet as encap(ethernet) is not supported for packet type "
                "ethernet.")  # fmt: skip
        return
    key = context.key & ~(_PACKET_TYPE.mask | _ADDRESSES)
    context.key = _DL_TYPE.put(key, packet_type & 0xFFFF)


def _encap_nsh(context: Context, action: a.Encap) -> bytes:
    """Returns the variable-length context headers (MD type 2)."""
    md_type, options = NSH_MD_TYPE1, b""
    for klass, kind, data in action.properties:
        if klass == CLASS_NSH and kind == NSH_MD_TYPE:
            md_type = data[0]
        elif klass == CLASS_NSH and kind == NSH_TLV:
            options += data + bytes(-len(data) % 4)
    packet_type = _PACKET_TYPE.get(context.key)
    protocol = nsh_protocol_of(packet_type)
    if protocol is None:
        _refuse(context, "Dropping packet as encap(nsh) is not supported for packet type "
                f"({packet_type >> 16},{packet_type & 0xFFFF:#x})")  # fmt: skip
        return b""
    context.mask |= _PACKET_TYPE.mask
    key = _PACKET_TYPE.put(context.key & ~FRAME_MASK, PT_NSH)
    key = _DL_TYPE.put(key, PT_NSH & 0xFFFF)
    key |= _FIRST_TTL << _TTL.shift | protocol << _NP.shift | _FIRST_PATH << _PATH.shift
    context.key = key | md_type << _MD_TYPE.shift
    return options if md_type == NSH_MD_TYPE2 and len(options) <= _MAX_CONTEXT else b""


def decap(context: Context, action: a.Decap) -> None:
    """Take the first header off."""
    commit(context)
    packet_type = _PACKET_TYPE.get(context.key)
    if packet_type == PT_ETHERNET:
        _decap_ethernet(context)
    elif packet_type == PT_NSH:
        _decap_nsh(context)
    elif packet_type in (PT_MPLS, PT_MPLS_MC):
        mpls.decap(context, action.packet_type)
    else:
        _refuse(context, "Dropping packet as the decap() does not support packet type "
                f"({packet_type >> 16},{packet_type & 0xFFFF:#x})")  # fmt: skip


def _decap_ethernet(context: Context) -> None:
    if _TCI.get(context.key) & VLAN_CFI:
        _refuse(context, "Dropping packet, cannot decap Ethernet if VLAN is present.")
        return
    context.mask |= _DL_TYPE.mask
    context.key = _PACKET_TYPE.put(context.key, packet_type_of(_DL_TYPE.get(context.key)))


def _decap_nsh(context: Context) -> None:
    protocol = _NP.get(context.key)
    packet_type = type_of_nsh_protocol(protocol)
    if packet_type is None:
        _refuse(context, f"Dropping packet as NSH next protocol {protocol} is not supported")
        return
    context.key = _PACKET_TYPE.put(context.key, packet_type)
    context.mask |= _NP.mask
    context.pending_decap = True
    trigger_freeze(context, resumes_behind=True)


def dec_nsh_ttl(context: Context, action: a.DecNshTtl) -> bool:
    """True: the packet expires, which ends this list of actions."""
    if PT_NSH in (_PACKET_TYPE.get(context.key), packet_type_of(_DL_TYPE.get(context.key))):
        context.mask |= _TTL.mask
        ttl = _TTL.get(context.key)
        if ttl > 1:
            context.key = _TTL.put(context.key, ttl - 1)
            return False
        to_controller(context, 0xFFFF, m.OFPR_INVALID_TTL, 0)
    context.warn("NSH decrement TTL exception")
    return True
