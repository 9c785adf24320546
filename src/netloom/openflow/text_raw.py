"""Messages of groups, meters and others that this version recognises but does not read."""

from __future__ import annotations

from netloom.openflow import messages as m
from netloom.openflow.message_table import Frame
from netloom.openflow.message_text import Style, hex_dump


def _dump(frame: Frame) -> str:
    return "\n" + hex_dump(frame.data)


def format_opaque_request(message: m.OpaqueRequest, frame: Frame, style: Style) -> str:
    return _dump(frame)


def format_opaque_reply(message: m.OpaqueReply, frame: Frame, style: Style) -> str:
    return _dump(frame)


def format_table_features_request(
    message: m.TableFeaturesRequest, frame: Frame, style: Style
) -> str:
    return _dump(frame) if message.body else ""
