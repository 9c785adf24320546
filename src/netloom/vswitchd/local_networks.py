"""What the columns `local_ip`, `local_netmask` and `local_gateway` of a Controller row ask for: an
address for the bridge's own port, so that a switch can reach its controller through itself.
ovs-vswitchd.conf.db(5), "Additional In-Band Configuration".
"""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.flow.address import format_ipv4, parse_ipv4
from netloom.netdev.device import Device
from netloom.ovsdb.row import Row
from netloom.vswitchd.wish import HostStack, LocalNetwork

log = get_logger("bridge")


def read_local_network(row: Row) -> LocalNetwork | None:
    """What a Controller row asks for; None without an address."""
    address = parse_ipv4(row.opt_text("local_ip") or "")
    if not address:
        return None
    mask = parse_ipv4(row.opt_text("local_netmask") or "")
    if mask is None:
        mask = _mask_of_class(address)
    return LocalNetwork(address, mask, parse_ipv4(row.opt_text("local_gateway") or "") or 0)


def _mask_of_class(address: int) -> int:
    """The mask of the old class A, B or C that an address is in; 0 for others."""
    if not address >> 31:
        return 0xFF000000
    if address >> 30 == 0b10:
        return 0xFFFF0000
    return 0xFFFFFF00 if address >> 29 == 0b110 else 0


def configure_local_port(
    bridge: str, device: Device, wanted: LocalNetwork, stack: HostStack
) -> None:
    """Bring a bridge's own device up and give it what is asked for; failures are only logged."""
    try:
        device.set_admin_up(True)
    except ConfigError as error:
        log.warn_rl("bridge %s: %s", bridge, error)
    try:
        stack.set_ipv4(bridge, wanted.address, wanted.mask)
    except OSError:
        return
    address, mask = format_ipv4(wanted.address), format_ipv4(wanted.mask)
    log.info("bridge %s: configured IP address %s, netmask %s", bridge, address, mask)
    if not wanted.gateway:
        return
    try:
        stack.add_router(wanted.gateway)
    except OSError as error:
        get_logger("netdev_linux").warn("ioctl(SIOCADDRT): %s", error.strerror)
        return
    log.info("bridge %s: configured gateway %s", bridge, format_ipv4(wanted.gateway))
