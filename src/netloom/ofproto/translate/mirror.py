"""Copies of packets for mirrors, made where a packet enters a bridge and where it leaves."""

from __future__ import annotations

from netloom.base.record import replace
from netloom.flow.fields import SLOT, VLAN_CFI
from netloom.ofproto.bundle import Bundle, Tags
from netloom.ofproto.mirrors import Mirror
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.normal import is_reserved, key_tags, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_DL_DST: Final = SLOT["dl_dst"]
_RESERVED_PORTS: Final = 0xFFFFFF00
_VLAN_LOOKED_AT: Final = (0xFFF | VLAN_CFI) << SLOT["vlan_tci"].shift


def mirror(context: Context, bundle: Bundle, entering: bool) -> None:
    """Copy the packet, as it is now, to the mirrors that select it for passing `bundle` (of a
    bridge that has mirrors)."""
    context.cannot_repeat()
    tags = key_tags(context.key)
    refusal = bundle.refusal(tags[0].vid)
    if refusal:
        context.report_error(refusal)
        return
    inside = bundle.input_tags(tags)
    for candidate in context.bridge.mirrors.candidates(bundle.name, entering):
        destination = (context.bridge.name, *candidate.destination)
        if destination in context.mirrored or not _selects(context, candidate, inside[0].vid):
            continue
        context.mirrored = context.mirrored | {destination}
        context.credits.append(candidate)
        saved = (context.snaplen, context.is_last)
        context.snaplen, context.is_last = candidate.settings.snaplen, False
        _copy(context, candidate, inside)
        context.snaplen, context.is_last = saved


def mirror_entering(context: Context) -> bool:
    """The packet has come in from outside, and its first rule is known: False if that must not
    run, since the port is for mirrors only."""
    bridge = context.bridge
    if not bridge.mirrors:
        return True
    port = bridge.ports_by_number.get(context.in_port)
    if port is None and context.in_port < _RESERVED_PORTS:
        context.report_error(f"received packet on unknown port {context.in_port}")
    if port is None or port.bundle is None:
        return True
    if port.bundle.name in bridge.mirrors.outputs:
        context.report_error(
            f"dropping packet received on port {port.bundle.name}, which is reserved exclusively "
            "for mirroring"
        )
        return False
    mirror(context, port.bundle, entering=True)
    return True


def _selects(context: Context, candidate: Mirror, vid: int) -> bool:
    settings = candidate.settings
    if settings.vlans:
        context.mask |= _VLAN_LOOKED_AT
        if vid not in settings.vlans:
            return False
    if settings.filter is not None:
        context.mask |= settings.filter.mask
        return settings.filter.matches(context.key)
    return True


def _copy(context: Context, candidate: Mirror, inside: Tags) -> None:
    bridge, settings = context.bridge, candidate.settings
    if settings.output_port:
        bundle = bridge.bundles.get(settings.output_port)
        if bundle is not None:
            send(context, bundle, inside)
    elif inside[0].vid != settings.output_vlan and not is_reserved(_DL_DST.get(context.key)):
        outside = (replace(inside[0], vid=settings.output_vlan), inside[1])
        for bundle in list(bridge.bundles.values()):
            if bundle.carries(outside) and bundle.name not in bridge.mirrors.outputs:
                send(context, bundle, outside)
