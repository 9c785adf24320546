"""Text of messages about the connection and the switch."""

from __future__ import annotations

from netloom.openflow import messages as m
from netloom.openflow import names
from netloom.openflow.message_table import Frame
from netloom.openflow.message_text import Style, format_message, hex_dump


def format_hello(message: m.Hello, frame: Frame, style: Style) -> str:
    versions = ", ".join(f"0x{version:02x}" for version in message.versions)
    text = f"\n version bitmap: {versions}\n"
    if message.understood:
        return text
    return f"{text} unknown data in hello:\n" + hex_dump(frame.data)


def format_error(message: m.Error, frame: Frame, style: Style) -> str:
    if not message.name:
        return " ***decode error: OFPBRC_BAD_LEN***\n" + hex_dump(frame.data)
    text = f" {message.name}\n"
    if message.name.startswith("OFPHFC"):
        return text + printable(message.data)
    return text + format_message(message.data, Style(1, style.port_names, style.table_names))


def printable(data: bytes) -> str:
    """`data` with what is not printable ASCII in octal, and so the two characters that are special
    in a string."""
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in data
    )


def _echo(data: bytes, style: Style) -> str:
    text = f" {len(data)} bytes of payload\n"
    return text + hex_dump(data) if style.verbosity > 1 else text


def format_echo_request(message: m.EchoRequest, frame: Frame, style: Style) -> str:
    return _echo(message.data, style)


def format_echo_reply(message: m.EchoReply, frame: Frame, style: Style) -> str:
    return _echo(message.data, style)


def _config(flags: int, miss_send_len: int, version: int) -> str:
    text = f" frags={names.FRAGMENTS[flags & m.OFPC_FRAG_MASK]}"
    if flags & m.OFPC_INVALID_TTL_TO_CONTROLLER and version < 4:
        text += " invalid_ttl_to_controller"
    return f"{text} miss_send_len={miss_send_len}\n"


def format_set_config(message: m.SetConfig, frame: Frame, style: Style) -> str:
    return _config(message.flags, message.miss_send_len, frame.version)


def format_get_config_reply(message: m.GetConfigReply, frame: Frame, style: Style) -> str:
    return _config(message.flags, message.miss_send_len, frame.version)


def format_set_flow_format(message: m.SetFlowFormat, frame: Frame, style: Style) -> str:
    known = {m.NXFF_OPENFLOW10: "openflow10", m.NXFF_NXM: "nxm"}
    return f" format={known.get(message.format, '(unknown)')}"


def format_flow_mod_table_id(message: m.FlowModTableId, frame: Frame, style: Style) -> str:
    return " enable" if message.enable else " disable"


def format_set_packet_in_format(message: m.SetPacketInFormat, frame: Frame, style: Style) -> str:
    return f" format={names.PACKET_IN_FORMATS[message.format]}"


def format_set_controller_id(message: m.SetControllerId, frame: Frame, style: Style) -> str:
    return f" id={message.controller_id}"


def _role(role: int, generation: int | None) -> str:
    text = f" role={names.ROLES[role]}"
    return text if generation is None else f"{text} generation_id={generation}"


def format_role_request(message: m.RoleRequest, frame: Frame, style: Style) -> str:
    generation = message.generation_id if message.role != m.OFPCR_ROLE_NOCHANGE else None
    return _role(message.role, generation)


def format_role_reply(message: m.RoleReply, frame: Frame, style: Style) -> str:
    return _role(message.role, message.generation_id)


def format_role_status(message: m.RoleStatus, frame: Frame, style: Style) -> str:
    reason = names.ROLE_REASONS.get(message.reason, "(unknown)")
    generation = None if message.generation_id == m.UNKNOWN else message.generation_id
    return f"{_role(message.role, generation)} reason={reason}"


def _async(config: m.AsyncConfig) -> str:
    out = "\n"
    for role, title in enumerate(("primary", "secondary")):
        out += f" {title}:\n"
        for name, pair, words in (
            ("PACKET_IN", config.packet_in, names.REASONS),
            ("PORT_STATUS", config.port_status, names.PORT_REASONS),
            ("FLOW_REMOVED", config.flow_removed, names.REMOVED),
            ("ROLE_STATUS", config.role_status, names.ROLE_REASONS),
            ("TABLE_STATUS", config.table_status, names.TABLE_REASONS),
            ("REQUESTFORWARD", config.requestforward, names.FORWARDED),
        ):
            mask = max(pair[role], 0)
            reasons = [word for bit, word in words.items() if mask >> bit & 1]
            out += f"{name:>16}: {' '.join(reasons) or '(off)'}\n"
        if not role:
            out += "\n"
    return out


def format_get_async_reply(message: m.GetAsyncReply, frame: Frame, style: Style) -> str:
    return _async(message.config)


def format_set_async(message: m.SetAsync, frame: Frame, style: Style) -> str:
    return _async(message.config)


def format_desc_reply(message: m.DescReply, frame: Frame, style: Style) -> str:
    return (
        f"\nManufacturer: {message.manufacturer}\nHardware: {message.hardware}\n"
        f"Software: {message.software}\nSerial Num: {message.serial}\n"
        f"DP Description: {message.datapath}\n"
    )
