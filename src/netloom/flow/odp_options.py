"""Geneve options in the text of data-path flows: `geneve({class=0xffff,type=0x80,len=4,0xa})`.

A data path's key has options raw: from the start of the slot `tun_opts`, `tun_opt_present` bytes.
"""

from __future__ import annotations

from netloom.flow.fields import SLOT
from netloom.flow.numbers import format_hex

_OPTIONS, _LENGTH = SLOT["tun_opts"], SLOT["tun_opt_present"]
_HEADER_BYTES = 4


def format_options(key: int, mask: int) -> str:
    """The options of `key` that `mask` looks at; "" if it looks at none."""
    length = _LENGTH.get(key)
    if not length or not _LENGTH.get(mask):
        return ""
    data = _OPTIONS.get(key).to_bytes(_OPTIONS.n_bytes, "big")[:length]
    bits = _OPTIONS.get(mask).to_bytes(_OPTIONS.n_bytes, "big")
    words = []
    at = 0
    while at + _HEADER_BYTES <= length:
        size = (data[at + 3] & 0x1F) * 4
        start = at + _HEADER_BYTES
        option_class = int.from_bytes(data[at : at + 2], "big")
        text = f"class={format_hex(option_class)},type={format_hex(data[at + 2])}"
        text += f",len={size}"
        if size:
            value = int.from_bytes(data[start : start + size], "big")
            wanted = int.from_bytes(bits[start : start + size], "big")
            text += f",{value:#x}" + ("" if wanted == (1 << 8 * size) - 1 else f"/{wanted:#x}")
        words.append(f"{{{text}}}")
        at = start + size
    return f"geneve({''.join(words)})"


def parse_options(text: str) -> tuple[int, int]:
    """Key and mask bits of what `format_options` prints, less the word; raises ValueError."""
    data = bits = b""
    for option in text.removeprefix("{").removesuffix("}").split("}{"):
        words = option.split(",")
        named = dict(word.split("=", 1) for word in words if "=" in word)
        plain = [word for word in words if "=" not in word]
        size = int(named["len"], 0)
        if size % 4 or not 0 <= size <= 124 or len(plain) > 1:
            raise ValueError(text)
        value, slash, mask = (plain[0] if plain else "0").partition("/")
        head = int(named["class"], 0).to_bytes(2, "big")
        head += bytes((int(named["type"], 0), size // 4))
        ones = (1 << 8 * size) - 1
        data += head + int(value, 0).to_bytes(size, "big")
        bits += b"\xff" * 4 + (int(mask, 0) if slash else ones).to_bytes(size, "big")
    if len(data) > _OPTIONS.n_bytes:
        raise ValueError(text)
    key = _LENGTH.put(0, len(data)) | _OPTIONS.put(0, _left(data))
    return key, _LENGTH.mask | _OPTIONS.put(0, _left(bits))


def _left(data: bytes) -> int:
    return int.from_bytes(data.ljust(_OPTIONS.n_bytes, b"\0"), "big")
