"""`encap`, `decap`: headers pushed and popped by their packet type (namespace and number)."""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.base.errors import ConfigError
from netloom.flow.scan import scan_number
from netloom.flow.words import split_words
from netloom.openflow import actions as a
from netloom.openflow.action_fields import expect_size
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.number_text import to_u8, to_u16
from netloom.openflow.protocol import P_OF13, P_OF14, P_OF15

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.openflow.action_encode import Writer
    from netloom.openflow.action_format import TextNames
    from netloom.openflow.action_parse import ActionReader

#: Headers by name: namespace and type.
HEADERS = {"ethernet": 0, "nsh": 0x1_894F, "mpls": 0x1_8847, "mpls_mc": 0x1_8848}
_NAMES = {number: name for name, number in HEADERS.items()}
CLASS_NSH = 4
NSH_MD_TYPE, NSH_TLV = 1, 2
#: What follows is known from the header that is popped.
_USE_NEXT = 0xFFFE
_MAX_NS = 7

_HEX = "0123456789abcdefABCDEF"


def read_encap(action: bytes, body: int, version: int) -> a.Action:
    """`encap` from its bytes."""
    header_size, packet_type = unpack_from(">HI", action, body)
    if packet_type not in _NAMES:
        raise OpenFlowError("NXBAC_BAD_HEADER_TYPE")
    properties = []
    pos = 16
    while pos < len(action):
        if pos + 4 > len(action):
            raise OpenFlowError("OFPBAC_BAD_LEN")
        klass, kind, size = unpack_from(">HBB", action, pos)
        if size < 4 or pos + size > len(action):
            raise OpenFlowError("OFPBAC_BAD_LEN")
        properties.append(_property(klass, kind, action[pos + 4 : pos + size]))
        pos += size + 7 & ~7
    return a.Encap(packet_type, header_size, tuple(properties))


def _property(klass: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
    if klass != CLASS_NSH or kind not in (NSH_MD_TYPE, NSH_TLV):
        raise OpenFlowError("NXBAC_UNKNOWN_ED_PROP")
    if kind == NSH_MD_TYPE and (len(data) != 1 or data[0] not in (1, 2)):
        raise OpenFlowError("NXBAC_BAD_ED_PROP")
    if kind == NSH_TLV:
        if len(data) < 4 or data[3] > len(data) - 4:
            raise OpenFlowError("NXBAC_BAD_ED_PROP")
        data = data[: 4 + data[3]]
    return klass, kind, data


def write_encap(w: Writer, action: a.Encap) -> None:
    """`encap` to bytes."""
    out = pack(">HI", action.header_size, action.packet_type)
    for klass, kind, data in action.properties:
        # The length of an option counts its padding, that of other properties does not.
        size = 4 + len(data) if kind != NSH_TLV else 4 + len(data) + 7 & ~7
        out += pack(">HBB", klass, kind, size) + data + bytes(-(4 + len(data)) % 8)
    w.put("ENCAP", out)


def read_decap(action: bytes, body: int, version: int) -> a.Action:
    """`decap` from its bytes."""
    expect_size(action, 16)
    (packet_type,) = unpack_from(">I", action, body + 2)
    return a.Decap(packet_type)


# Text


def parse_encap(r: ActionReader, text: str) -> a.Action:
    """`encap` from its arguments."""
    r.protocols &= P_OF13 | P_OF14 | P_OF15
    words = list(split_words(text))
    if not words:
        raise ConfigError(f"Missing encap hdr: {text}")
    name, value = words[0]
    if name not in HEADERS:
        raise ConfigError(f"Encap hdr not supported: {value}")
    return a.Encap(
        HEADERS[name], 0, tuple(_parse_property(name, *word) for word in split_words(value))
    )


def _parse_property(header: str, name: str, value: str) -> tuple[int, int, bytes]:
    if header != "nsh" or name not in ("md_type", "tlv"):
        raise ConfigError(f"Invalid property: {name}")
    if not value:
        raise ConfigError("Value missing for encap property")
    if name == "md_type":
        number = to_u8(value, "md_type")
        if number not in (1, 2):
            raise ConfigError("invalid md_type")
        return CLASS_NSH, NSH_MD_TYPE, bytes([number])
    return CLASS_NSH, NSH_TLV, _nsh_tlv(value)


def _nsh_tlv(text: str) -> bytes:
    """`0xCLASS,TYPE,0xDATA` as a header; what follows it does not matter."""
    number = scan_number(text[2:], 16) if text.startswith("0x") else None
    kind = scan_number(number[1][1:]) if number is not None and number[1][:1] == "," else None
    if number is None or kind is None or not kind[1].startswith(",0x"):
        raise ConfigError(f"Invalid NSH TLV header: {text}")
    digits = kind[1][3:]
    # Whole bytes count; a digit that is left over does not, nor does what is none.
    end = next((at for at, char in enumerate(digits) if char not in _HEX), len(digits))
    data = bytes.fromhex(digits[: end & ~1])
    if not data:
        raise ConfigError(f"Invalid NSH TLV header: {text}")
    return pack(">HBB", number[0] & 0xFFFF, kind[0] & 0xFF, len(data)) + data


def parse_decap(r: ActionReader, text: str) -> a.Action:
    """`decap` from its arguments."""
    words = list(split_words(text))
    if not words:
        return a.Decap(_USE_NEXT)
    name, value = words[0]
    if name != "packet_type":
        raise ConfigError(f"Invalid decap argument: {name}")
    found: dict[str, int] = {}
    for key, number in split_words(value):
        if key not in ("ns", "type"):
            # Open vSwitch passes over other words.
            continue
        found[key] = to_u16(number, key)
        if key == "ns" and found[key] >= _MAX_NS:
            raise ConfigError(f"Unsupported ns value: {found[key]}")
    for key in ("ns", "type"):
        if key not in found:
            raise ConfigError(f"Missing packet_type attribute {key}")
    return a.Decap(found["ns"] << 16 | found["type"])


def format_encap(action: a.Encap, names: TextNames) -> str:
    """`encap` as text."""
    words = []
    for _, kind, data in action.properties:
        if kind == NSH_MD_TYPE:
            words.append(f"md_type={data[0]}")
        else:
            number = int.from_bytes(data[:2], "big")
            value = data[4:].hex().lstrip("0") or "0"
            words.append(f"tlv({number:#06x},{data[2]},0x{value})")
    name = _NAMES[action.packet_type]
    return f"encap({name}({','.join(words)}))" if words else f"encap({name})"


def format_decap(action: a.Decap, names: TextNames) -> str:
    """`decap` as text."""
    if action.packet_type == _USE_NEXT:
        return "decap()"
    kind = action.packet_type & 0xFFFF
    shown = f"{kind:#x}" if kind else "0"
    return f"decap(packet_type(ns={action.packet_type >> 16},type={shown}))"
