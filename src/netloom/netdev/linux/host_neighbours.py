"""The kernel's ARP table, read when asked: who in-band control must let through.

/proc/net/arp has one line per entry: address, hardware type, flags, Ethernet address, mask, device.
A look-up reads all of it, so it is for those who ask seldom.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from netloom.flow.address import parse_ipv4, parse_mac

ARP_TABLE = Path("/proc/net/arp")
#: The entry has an address (ATF_COM of the kernel).
_COMPLETE = 0x2
_COLUMNS = 6


def find_neighbour(lines: Iterable[str], device: str, address: int) -> int | None:
    """The Ethernet address that the table in `lines` has for an IPv4 address on a device."""
    for line in lines:
        words = line.split()
        if len(words) != _COLUMNS or words[5] != device or parse_ipv4(words[0]) != address:
            continue
        if int(words[2], 16) & _COMPLETE:
            return parse_mac(words[3])
    return None


def host_neighbour(device: str, address: int) -> int | None:
    """What the kernel of this host knows; None where it has no such table."""
    try:
        lines = ARP_TABLE.read_text().splitlines()
    except OSError:
        return None
    return find_neighbour(lines, device, address)
