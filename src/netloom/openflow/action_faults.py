"""What the log says of actions whose bytes are wrong: why, where, and all of the list.

Looked at only when a list has been refused, so that reading good ones costs nothing more.
"""

from __future__ import annotations

from struct import unpack_from

from netloom.base.log import get_logger
from netloom.openflow import action_table as t
from netloom.openflow.messages import NX_VENDOR_ID, ONF_VENDOR_ID
from netloom.openflow.protocol import VERSION_NAMES

log = get_logger("ofp_actions")

_HIGHEST = 65528
#: Least and greatest length, where that is not 8 (16 for experimenter actions).
_SIZES = {
    "SET_DL_SRC": (16, 16), "SET_DL_DST": (16, 16), "ENQUEUE": (16, 16), "SET_FIELD": (8, _HIGHEST),
    "BUNDLE": (32, _HIGHEST), "BUNDLE_LOAD": (32, _HIGHEST), "CHECK_PKT_LARGER": (24, _HIGHEST),
    "DELETE_FIELD": (24, 24), "LEARN": (32, _HIGHEST), "LEARN2": (40, _HIGHEST),
    "MULTIPATH": (32, 32), "OUTPUT_REG": (24, 24), "OUTPUT_REG2": (24, 24), "REG_LOAD": (24, 24),
    "SAMPLE": (24, 24), "SAMPLE2": (32, 32), "SAMPLE3": (32, 32), "SET_TUNNEL64": (24, 24),
    "STACK_POP": (24, 24), "STACK_PUSH": (24, 24), "WRITE_METADATA": (32, 32),
    "CLONE": (16, _HIGHEST), "CT": (24, _HIGHEST), "NAT": (16, _HIGHEST), "NOTE": (16, _HIGHEST),
    "CONTROLLER2": (16, _HIGHEST), "DEC_TTL_CNT_IDS": (16, _HIGHEST), "REG_MOVE": (24, _HIGHEST),
    "REG_LOAD2": (16, _HIGHEST), "ENCAP": (16, _HIGHEST), "DECAP": (16, 16),
    "SAMPLE4": (32, _HIGHEST),
}  # fmt: skip
_STANDARD = frozenset(
    name for name, numbers in t.NUMBERS.items()
    if any(number is not None and not number[0] for number in numbers)
)  # fmt: skip
_DEBUG = ("DEBUG_SLOW", "DEBUG_RECIRC")


def _size_range(name: str, version: int, vendor: int) -> tuple[int, int]:
    if name == "OUTPUT":
        return (8, 8) if version == 1 else (16, 16)
    if name == "COPY_FIELD":
        return (24 if vendor else 16), _HIGHEST
    least = 16 if vendor else 8
    return _SIZES.get(name, (least, least))


def _title(name: str, version: int, vendor: int) -> str:
    """The action's name in the protocol."""
    if name == "STRIP_VLAN" and version > 1:
        name = "POP_VLAN"
    if vendor == ONF_VENDOR_ID:
        return f"ONFACT_{name}"
    return f"OFPAT_{name}" if name in _STANDARD or name == "POP_VLAN" else f"NXAST_{name}"


def log_bad_action(data: bytes, pos: int, version: int, error: str) -> None:
    """Logs that `data` is refused with `error` because of the action at `pos`."""
    _log_cause(data, pos, version)
    from netloom.openflow.message_text import hex_dump

    log.warn_rl(
        "bad action at offset %d (%s):\n%s",
        pos,
        error,
        hex_dump(data, ascii_too=False).rstrip("\n"),
    )


def _log_cause(data: bytes, pos: int, version: int) -> None:
    """What is wrong with type or length, if that is it."""
    kind, size = unpack_from(">HH", data, pos)
    vendor = 0
    if kind == t.OFPAT_EXPERIMENTER:
        if len(data) - pos < 16:
            return
        vendor, kind = unpack_from(">IH", data, pos + 4)
        if vendor not in (NX_VENDOR_ID, ONF_VENDOR_ID):
            log.warn_rl("OpenFlow action has unknown vendor %#x", vendor)
            return
    name = t.NAMES.get((version, vendor, kind))
    if name is None:
        text = f"{vendor:#x}" if vendor else "0"
        log.warn_rl(
            "unknown %s action for vendor %s and type %d", VERSION_NAMES[version], text, kind
        )
        return
    least, most = _size_range(name, version, vendor)
    title = _title(name, version, vendor)
    if size > len(data) - pos:
        log.warn_rl(
            "OpenFlow action %s length %d exceeds action buffer length %d",
            title, size, len(data) - pos,
        )  # fmt: skip
    elif not least <= size <= most:
        log.warn_rl(
            "OpenFlow action %s length %d not in valid range [%d,%d]", title, size, least, most
        )
    elif size % 8:
        log.warn_rl("OpenFlow action %s length %d is not a multiple of 8", title, size)
