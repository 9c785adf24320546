"""Lists of NXM and OXM entries as text: `NXM_OF_IN_PORT(0001), NXM_NX_REG0_W(01/ff)`."""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.flow.fields import BY_CODE, CodePoint
from netloom.openflow.oxm import COOKIE_HEADER, COOKIE_HEADER_W

_COOKIES = {
    "NXM_NX_COOKIE": (COOKIE_HEADER, 8, False),
    "NXM_NX_COOKIE_W": (COOKIE_HEADER_W, 8, True),
}


def _codes() -> dict[str, CodePoint]:
    return {code.name: code for _, code in BY_CODE.values()}


def parse_entries(text: str) -> bytes:
    """The bytes of the entries that `text` lists. A header may also be a hexadecimal number."""
    codes = _codes()
    text = text.strip(" \t,")
    if text == "<any>":
        return b""
    out = b""
    while text:
        name, paren, rest = text.partition("(")
        if not paren:
            raise ConfigError(f"{text}: missing ( at end of field name")
        value_text, _, text = rest.partition(")")
        text = text.strip(" \t,")
        out += _entry(name.strip(), value_text, codes, f"{name}({value_text})")
    return out


def _entry(name: str, values: str, codes: dict[str, CodePoint], whole: str) -> bytes:
    masked = name.endswith("_W")
    vendor = b""
    if name in _COOKIES:
        header, n_bytes, masked = _COOKIES[name]
    elif (code := codes.get(name.removesuffix("_W"))) is not None:
        header, n_bytes = code.header(masked), code.n_bytes
        vendor = code.vendor.to_bytes(4, "big") if code.vendor else b""
    else:
        try:
            header = int(name, 16)
        except ValueError:
            raise ConfigError(f"{whole}: unknown field `{name}'") from None
        masked = bool(header & 0x100)
        n_bytes = (header & 0xFF) // (2 if masked else 1)
    value_text, _, mask_text = values.partition("/")
    body = _hex(value_text, n_bytes)
    if masked:
        body += _hex(mask_text, n_bytes)
    return header.to_bytes(4, "big") + vendor + body


def _hex(text: str, n_bytes: int) -> bytes:
    digits = "".join(text.split())
    if digits.startswith("0x"):
        digits = digits[2:].rjust(2 * n_bytes, "0")
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        raise ConfigError(f"{text}: invalid hexadecimal digits") from None
    if len(data) != n_bytes:
        raise ConfigError(f"expected to read {n_bytes} bytes but got {len(data)}")
    return data


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
