"""Text of bundles."""

from __future__ import annotations

from netloom.openflow import messages_bundles as b
from netloom.openflow.message_table import Frame
from netloom.openflow.message_text import Style, format_message, hex_text

_TYPES = (
    "OPEN_REQUEST", "OPEN_REPLY", "CLOSE_REQUEST", "CLOSE_REPLY", "COMMIT_REQUEST",
    "COMMIT_REPLY", "DISCARD_REQUEST", "DISCARD_REPLY",
)  # fmt: skip


def _flags_text(flags: int) -> str:
    words = [word for bit, word in ((1, "atomic"), (2, "ordered")) if flags & bit]
    if flags & ~3:
        words.append(f"{flags & ~3:#x}")
    return " ".join(words) or "0"


def format_bundle_control(message: b.BundleControl, frame: Frame, style: Style) -> str:
    kind = _TYPES[message.type] if message.type < len(_TYPES) else ""
    return (
        f"\n bundle_id={hex_text(message.bundle_id)} type={kind} flags={_flags_text(message.flags)}"
    )


def format_bundle_add(message: b.BundleAdd, frame: Frame, style: Style) -> str:
    head = f"\n bundle_id={hex_text(message.bundle_id)} flags={_flags_text(message.flags)}\n"
    return head + format_message(message.data, style)
