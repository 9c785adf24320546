"""Options of tunnels (`tun_metadata0` to 63) in matches: entries of any length."""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.flow.fields import TUN_METADATA, option_present
from netloom.openflow.errors import OpenFlowError

log = get_logger("nx_match")

#: The fields of tunnel options by their number in NXM.
OPTIONS = {field.codes[0].number: field for field in TUN_METADATA}


def log_wildcards(header: int) -> None:
    vendor = header & 0xFFFFFFFF if header >> 32 else 0
    header = header >> 32 or header
    log.warn_rl(
        "Rejecting NXM/OXM entry %d:%d:%d:%d:%d with 1-bits in value for bits wildcarded by "
        "the mask.", vendor, header >> 16, header >> 9 & 0x7F, header >> 8 & 1, header & 0xFF,
    )  # fmt: skip


def decode_option(data: bytes, pos: int, header: int) -> tuple[int, int]:
    """Value and mask of a tunnel option, which is as long as its entry says, maybe nothing. A byte
    that is left over does not count."""
    field = OPTIONS[header >> 9 & 0x7F]
    size = header & 0xFF
    n_bytes = size // 2 if header & 0x100 else size
    if n_bytes > field.n_bytes:
        raise OpenFlowError("OFPBMC_BAD_LEN")
    value = int.from_bytes(data[pos + 4 : pos + 4 + n_bytes], "big")
    mask = field.ones
    if header & 0x100:
        mask = int.from_bytes(data[pos + 4 + n_bytes : pos + 4 + 2 * n_bytes], "big")
        if value & ~mask:
            log_wildcards(header)
            raise OpenFlowError("OFPBMC_BAD_WILDCARDS")
    present = option_present(field)
    return value << field.shift | present, mask << field.shift | present


def encode_options(value: int, mask: int) -> bytes:
    """Options in a match: an exact value is as long as it has to be, as is a masked one; all bits
    of some words are an exact value, too."""
    found = b""
    for field in TUN_METADATA:
        bits = mask >> field.shift & field.ones
        wanted = value >> field.shift & bits
        if bits == field.ones:
            n_bytes, is_exact = (wanted.bit_length() + 7) // 8, True
        else:
            n_bytes = (bits.bit_length() + 7) // 8
            is_exact = n_bytes > 0 and n_bytes % 4 == 0 and bits == (1 << 8 * n_bytes) - 1
        if bits or mask & option_present(field):
            body = wanted.to_bytes(n_bytes, "big")
            body += b"" if is_exact else bits.to_bytes(n_bytes, "big")
            head = field.codes[0].header(not is_exact) & ~0xFF | len(body)
            found += head.to_bytes(4, "big") + body
    return found
