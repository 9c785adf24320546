"""Lists of NXM and OXM entries as text: `NXM_OF_IN_PORT(0001), NXM_NX_REG0_W(01/ff)`."""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.flow.fields import BY_CODE, CodePoint
from netloom.openflow.oxm import COOKIE_HEADER, COOKIE_HEADER_W

_GAP = ", "
_HEX_DIGITS = "0123456789abcdefABCDEF"
_COOKIES = {
    "NXM_NX_COOKIE": (COOKIE_HEADER, 8, False),
    "NXM_NX_COOKIE_W": (COOKIE_HEADER_W, 8, True),
}


def _codes() -> dict[str, CodePoint]:
    """Names, with _W for those of fields that take a mask too."""
    codes = {code.name: code for _, code in BY_CODE.values()}
    return codes | {f"{code.name}_W": code for field, code in BY_CODE.values() if field.maskable}


def parse_entries(text: str) -> bytes:
    """The bytes of the entries that `text` lists. A header may also be a hexadecimal number."""
    codes = _codes()
    if text == "<any>":
        return b""
    out = b""
    rest = text.lstrip(_GAP)
    while rest:
        name, paren, rest = rest.partition("(")
        if not paren:
            raise ConfigError(f"{text}: missing ( at end of nx_match")
        header, n_bytes, masked = _header(name, codes, text)
        value, rest = _hex(rest, n_bytes)
        mask = b""
        if masked:
            rest = rest.lstrip(" ")
            if not rest.startswith("/"):
                raise ConfigError(f"{text}: missing / in masked field {name}")
            mask, rest = _hex(rest[1:], n_bytes)
        rest = rest.lstrip(" ")
        if not rest.startswith(")"):
            raise ConfigError(f"{text}: missing ) following field {name}")
        out += header + value + mask
        rest = rest[1:].lstrip(_GAP)
    return out


def _header(name: str, codes: dict[str, CodePoint], text: str) -> tuple[bytes, int, bool]:
    """The bytes of a header, how many bytes its value has, and whether a mask follows."""
    if name in _COOKIES:
        header, n_bytes, masked = _COOKIES[name]
        return header.to_bytes(4, "big"), n_bytes, masked
    code = codes.get(name)
    if code is not None:
        masked = name.endswith("_W")
        vendor = code.vendor.to_bytes(4, "big") if code.vendor else b""
        return code.header(masked).to_bytes(4, "big") + vendor, code.n_bytes, masked
    try:
        digits = bytes.fromhex(name) if len(name) in (8, 16) else b""
    except ValueError:
        digits = b""
    if not any(digits):
        raise ConfigError(f"{text}: unknown field `{name}'")
    masked = bool(digits[2] & 1)
    n_bytes = digits[3] - len(digits) + 4
    return digits, n_bytes // 2 if masked else n_bytes, masked


def _hex(text: str, n_bytes: int) -> tuple[bytes, str]:
    """The bytes at the start of `text`, of which there must be `n_bytes`, and what follows."""
    out = bytearray()
    while True:
        text = text.lstrip(" \t\r\n")
        pair = text[:2]
        if len(pair) < 2 or pair.strip(_HEX_DIGITS):
            break
        out.append(int(pair, 16))
        text = text[2:]
    if len(out) != n_bytes:
        raise ConfigError(f"expected to read {n_bytes} bytes but got {len(out)}")
    return bytes(out), text


def format_entries(data: bytes) -> str:
    """The entries in `data`; none are `<any>`."""
    words = []
    pos = 0
    while pos + 4 <= len(data):
        header = int.from_bytes(data[pos : pos + 4], "big")
        size = header & 0xFF
        vendor = int.from_bytes(data[pos + 4 : pos + 8], "big") if header >> 16 == 0xFFFF else 0
        start = pos + (8 if vendor else 4)
        body = data[start : pos + 4 + size]
        words.append(_format_entry(header, vendor, body))
        pos += 4 + size
    return ", ".join(words) or "<any>"


def _format_entry(header: int, vendor: int, body: bytes) -> str:
    masked = bool(header & 0x100)
    if header in (COOKIE_HEADER, COOKIE_HEADER_W):
        name = "NXM_NX_COOKIE"
    else:
        found = BY_CODE.get((header >> 16, vendor, header >> 9 & 0x7F))
        name = found[1].name if found else f"{header >> 16:d}:{header >> 9 & 0x7F:d}"
    if not masked:
        return f"{name}({body.hex()})"
    half = len(body) // 2
    return f"{name}_W({body[:half].hex()}/{body[half:].hex()})"
