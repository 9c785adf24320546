"""Telling other switches, after a bond changed its active member, where addresses are now.

For each address that the bridge learned elsewhere, a packet that seems to come from there is sent
out of the bond: a reverse ARP that asks for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.base.log import get_logger
from netloom.packet import build

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.bundle import Bundle

log = get_logger("bond")

_RARP = 0x8035
_REVERSE_REQUEST = 3
_BROADCAST = b"\xff" * 6


def announce_addresses(bridge: Ofproto, bundle: Bundle, now_ms: int) -> None:
    """Send the packets, each by the member that carries its address."""
    n_sent = 0
    members = {port.name: port for port in bundle.members}
    for entry in list(bridge.macs):
        chosen = bundle.bond.choose(entry.mac, entry.vlan) if bundle.bond is not None else None
        if entry.bundle is bundle or chosen is None or chosen[0] not in members:
            continue
        mac = entry.mac.to_bytes(6, "big")
        body = build.arp(_REVERSE_REQUEST, mac, bytes(4), mac, bytes(4))
        frame = build.ethernet(_BROADCAST, mac, _RARP, body)
        if entry.vlan and bundle.settings.vlan_mode != "access":
            frame = frame[:12] + b"\x81\x00" + entry.vlan.to_bytes(2, "big") + frame[12:]
        bridge.send_packet(members[chosen[0]], frame, now_ms)
        n_sent += 1
    if n_sent:
        log.dbg("bond %s: sent %d gratuitous learning packets", bundle.name, n_sent)
