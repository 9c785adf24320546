"""Who a bridge is: its Ethernet address, and from it the datapath id.

A bridge has the address of `other_config:hwaddr`, else the smallest universally administered
unicast address among its ports (not the local one, which is to get the result; a port lends the
address of Port.mac, else of its first interface), else one made from the UUID of its row. The
datapath id is the configured one, else the address as a number.
"""

from __future__ import annotations

from collections.abc import Mapping

from netloom.vswitchd.addresses import is_lendable, parse_mac
from netloom.vswitchd.wish import BridgeWish, PortWish

#: The address of each open device, by interface name; empty or missing if it has none.
Macs = Mapping[str, str]


def bridge_mac(bridge: BridgeWish, macs: Macs) -> str:
    """The address that the bridge's local port is to have."""
    if bridge.hwaddr:
        return bridge.hwaddr
    return _smallest(bridge, bridge.ports, macs)


def fake_bridge_mac(bridge: BridgeWish, fake: PortWish, macs: Macs) -> str:
    """The address of a fake bridge's port: as of a bridge with the ports that have its tag."""
    ports = tuple(port for port in bridge.ports if port.bundle.tag == fake.bundle.tag)
    return _smallest(bridge, ports, macs)


def _smallest(bridge: BridgeWish, ports: tuple[PortWish, ...], macs: Macs) -> str:
    lendable = [mac for port in ports if (mac := _lent_by(bridge.name, port, macs)) is not None]
    return min(lendable).hex(":") if lendable else bridge.default_mac


def _lent_by(bridge: str, port: PortWish, macs: Macs) -> bytes | None:
    if port.fake_bridge:
        return None
    names = sorted(wish.name for wish in port.interfaces if wish.error is None)
    if not names or names[0] == bridge:
        return None
    mac = parse_mac(port.mac or macs.get(names[0], ""))
    return mac if mac is not None and is_lendable(mac) else None


def datapath_id(bridge: BridgeWish, mac: str) -> int:
    """The bridge's datapath id, given its address."""
    return bridge.datapath_id or int(mac.replace(":", ""), 16)
