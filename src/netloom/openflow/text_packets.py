"""Text of packet-in and packet-out."""

from __future__ import annotations

from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT
from netloom.flow.key import MAX_VLANS
from netloom.flow.match import Match
from netloom.flow.print import format_flow, format_match
from netloom.openflow import messages as m
from netloom.openflow import names
from netloom.openflow.action_format import format_actions
from netloom.openflow.message_table import Frame
from netloom.openflow.message_text import Style, hex_dump, hex_text
from netloom.packet.parse import parse

_PACKET_TYPE = SLOT["packet_type"]
#: Protocol -> name, offset and length of the checksum, length of the header.
_CHECKSUMS = {
    6: ("tcp", 16, 2, 20), 17: ("udp", 6, 2, 8), 132: ("sctp", 8, 4, 12), 1: ("icmp", 2, 2, 8),
    58: ("icmp6", 2, 2, 4),
}  # fmt: skip
#: Reasons that a message should not have, as a switch tells them as the usual miss.
_MISSES = (m.OFPR_EXPLICIT_MISS, m.OFPR_IMPLICIT_MISS)


def _checksum_text(packet: bytes, packet_type: int) -> str:
    """` tcp_csum:1f2e`, or nothing where there is no whole transport header."""
    headers = parse(packet, packet_type)
    if headers.l4 < 0 or headers.frag & 2 or headers.proto not in _CHECKSUMS:
        return ""
    name, offset, size, whole = _CHECKSUMS[headers.proto]
    if headers.end - headers.l4 < whole:
        return ""
    at = headers.l4 + offset
    return f" {name}_csum:{int.from_bytes(packet[at : at + size], 'big'):x}"


def packet_text(packet: bytes, packet_type: int = 0) -> str:
    """The fields of `packet` and the checksum of its transport header."""
    if len(packet) < 14 and not packet_type:
        return format_flow(0) + "\n"
    key = extract_key(packet, 0, _PACKET_TYPE.put(0, packet_type), MAX_VLANS)
    key &= ~SLOT["in_port"].mask
    return format_flow(key) + _checksum_text(packet, packet_type) + "\n"


def _tail(packet: bytes, match: Match, style: Style) -> str:
    if style.verbosity < 1:
        return ""
    out = packet_text(packet, _PACKET_TYPE.get(match.value))
    return out + hex_dump(packet, ascii_too=False) if style.verbosity > 2 else out


def _metadata(match: Match, style: Style) -> str:
    return format_match(match, style.port_names)


def format_packet_in(message: m.PacketIn, frame: Frame, style: Style) -> str:
    return _packet_in(message, style, frame.version)


def _packet_in(p: m.PacketIn, style: Style, version: int) -> str:
    out = ""
    if p.table_id:
        out += f" table_id={p.table_id}"
    if p.cookie is not None:
        out += f" cookie={p.cookie:#x}"
    out += f" total_len={p.total_len} {_metadata(p.match, style)}"
    reason = "" if p.reason in _MISSES else names.REASONS.get(p.reason, str(p.reason))
    out += f" (via {reason}) data_len={len(p.packet)}"
    out += " (unbuffered)" if p.buffer_id == m.NO_BUFFER else f" buffer=0x{p.buffer_id:08x}"
    if p.buffer_id == m.NO_BUFFER and p.total_len != len(p.packet):
        out += " (***total_len != data_len***)"
    elif p.total_len < len(p.packet):
        out += " (***total_len < data_len***)"
    out += "\n"
    if p.userdata:
        out += f" userdata={p.userdata.hex('.')}\n"
    if p.continuation:
        out += _continuation_text(p.continuation, version, style)
    return out + _tail(p.packet, p.match, style)


def _continuation_text(data: bytes, version: int, style: Style) -> str:
    from netloom.openflow.continuations import decode_continuation

    rest = decode_continuation(data, version, printed=True)
    bridge = rest.bridge.to_bytes(16, "big").hex()
    parts = [bridge[:8], bridge[8:12], bridge[12:16], bridge[16:20], bridge[20:]]
    words = {"bridge": "-".join(parts) if rest.bridge else ""}
    if rest.stack:
        values = [hex_text(value) for value, _ in reversed(rest.stack)]
        words["stack"] = f"(top) {' '.join(values)} (bottom)"
    words["mirrors"] = f"{rest.mirrors:#x}" if rest.mirrors else ""
    words["conntracked"] = "true" if rest.conntracked else ""
    for name, actions in (("actions", rest.actions), ("action_set", rest.action_set)):
        words[name] = format_actions(actions, style.port_names) if actions else ""
    words["odp_port"] = str(rest.odp_port) if rest.odp_port else ""
    return "".join(f" continuation.{name}={text}\n" for name, text in words.items() if text)


def format_resume(message: m.Resume, frame: Frame, style: Style) -> str:
    return _packet_in(message.packet_in, style, frame.version)


def format_packet_out(message: m.PacketOut, frame: Frame, style: Style) -> str:
    where = _metadata(message.match, style)
    out = f" {where} actions={format_actions(message.actions, style.port_names)}"
    if message.buffer_id != m.NO_BUFFER:
        return f"{out} buffer=0x{message.buffer_id:08x}\n"
    out += f" data_len={len(message.packet)}\n"
    return out + _tail(message.packet, message.match, style) if message.packet else out
