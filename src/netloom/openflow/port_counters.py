"""Counters of ports beyond those of OpenFlow: properties of a vendor in OpenFlow 1.4 and later.

Open vSwitch tells two kinds: the packets by size and kind of RFC 2819 (RMON), and whatever else a
device counts, as names and numbers.
"""

from __future__ import annotations

from struct import error as StructError
from struct import pack, unpack_from

from netloom.openflow import messages as m
from netloom.openflow.errors import OpenFlowError

#: OFPPSPT_EXPERIMENTER, and whose the two properties are.
EXPERIMENTER = 0xFFFF
_VENDOR = 0x0000AA01
_RFC2819, _CUSTOM = 1, 2

_SIZES = ("1_to_64", "65_to_127", "128_to_255", "256_to_511", "512_to_1023", "1024_to_1522",
          "1523_to_max")  # fmt: skip
#: (direction, name) of each counter, as they stand in the property.
RFC2819 = (
    *(("rx", f"{size}_packets") for size in _SIZES),
    *(("tx", f"{size}_packets") for size in _SIZES),
    ("tx", "multicast_packets"), ("rx", "broadcast_packets"), ("tx", "broadcast_packets"),
    ("rx", "undersized_errors"), ("rx", "oversize_errors"), ("rx", "rx_fragmented_errors"),
    ("rx", "rx_jabber_errors"),
)  # fmt: skip
_ALL = f">{len(RFC2819)}Q"
_PER_LINE = 3


def encode_counters(stats: m.PortStats) -> bytes:
    """Both properties; the first also when nothing of it is known."""
    known = stats.rfc2819 or (m.UNKNOWN,) * len(RFC2819)
    out = _property(_RFC2819, bytes(4) + pack(_ALL, *known))
    if stats.custom:
        entries = b"".join(
            bytes((len(name),)) + name.encode() + value.to_bytes(8, "big")
            for name, value in stats.custom
        )
        out += _property(_CUSTOM, pack(">2xH", len(stats.custom)) + entries)
    return out


def _property(kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return pack(">HHII", EXPERIMENTER, size, _VENDOR, kind) + body + bytes(-size % 8)


def decode_counters(data: bytes) -> tuple[tuple[int, ...], tuple[tuple[str, int], ...]]:
    """(RFC 2819, custom) of one experimenter property, `data` with its header."""
    if len(data) < 12:
        raise OpenFlowError("OFPBPC_BAD_LEN")
    vendor, kind = unpack_from(">II", data, 4)
    if vendor != _VENDOR:
        return (), ()
    if kind == _RFC2819:
        if len(data) != 16 + 8 * len(RFC2819):
            raise OpenFlowError("OFPBPC_BAD_LEN")
        counters = unpack_from(_ALL, data, 16)
        return (counters if any(each != m.UNKNOWN for each in counters) else ()), ()
    if kind == _CUSTOM:
        try:
            return (), _decode_custom(data)
        except (StructError, IndexError):
            raise OpenFlowError("OFPBPC_BAD_LEN") from None
    return (), ()


def _decode_custom(data: bytes) -> tuple[tuple[str, int], ...]:
    found = []
    (n_counters,) = unpack_from(">H", data, 14)
    pos = 16
    for _ in range(n_counters):
        end = pos + 1 + data[pos]
        (value,) = unpack_from(">Q", data, end)
        found.append((data[pos + 1 : end].decode("utf-8", "replace"), value))
        pos = end + 8
    return tuple(found)


def format_counters(stats: m.PortStats) -> str:
    """The lines below the usual counters; none if there is nothing to tell."""
    out = ""
    if stats.rfc2819:
        for way in ("rx", "tx"):
            told = [
                f"{name}={value}, "
                for (direction, name), value in zip(RFC2819, stats.rfc2819, strict=True)
                if direction == way and value != m.UNKNOWN
            ]
            if told:
                out += f"           {way} rfc2819 {''.join(told)}\n"
    if stats.custom:
        out += "           CUSTOM Statistics"
        for number, (name, value) in enumerate(stats.custom):
            start = " " if number % _PER_LINE else "\n" + " " * 22
            out += f"{start}{name}={value},"
        out += "\n"
    return out
