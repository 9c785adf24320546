"""Ethernet addresses and datapath ids as the configuration writes them, and the default ones."""

from __future__ import annotations

_HEX = frozenset("0123456789abcdefABCDEF")
#: Unicast addresses that belong to protocols, not to devices: EDP and EAPS.
RESERVED = frozenset(
    bytes.fromhex(text) for text in ("00e02b000000", "00e02b000004", "00e02b000006")
)


def parse_mac(text: str) -> bytes | None:
    """The six bytes of `xx:xx:xx:xx:xx:xx`, or None."""
    parts = text.split(":")
    if len(parts) != 6 or not all(1 <= len(part) <= 2 and _HEX.issuperset(part) for part in parts):
        return None
    return bytes(int(part, 16) for part in parts)


def is_lendable(mac: bytes) -> bool:
    """Whether a bridge may take over this address of a port: a real, universally administered
    unicast address."""
    return not mac[0] & 3 and mac not in RESERVED and any(mac)


def bridge_default_mac(uuid: str) -> str:
    """The address of a bridge without lendable ones: made from its row's UUID, so that it is
    stable; the first six bytes as a little-endian machine stores the UUID's words."""
    digits = uuid.replace("-", "")
    words = int(digits[:8], 16).to_bytes(4, "little") + int(digits[8:16], 16).to_bytes(4, "little")
    return bytes([words[0] & ~1 | 2, *words[1:6]]).hex(":")


def parse_datapath_id(text: str) -> int:
    """A datapath id: 16 hex digits, or up to 16 after `0x`; 0 if it is none."""
    digits = text[2:] if text.startswith(("0x", "0X")) else text if len(text) == 16 else ""
    if not 1 <= len(digits) <= 16 or not _HEX.issuperset(digits):
        return 0
    return int(digits, 16)
