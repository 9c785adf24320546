"""Messages as text, as `ovs-ofctl` prints them.

    print(format_message(data), end="")

The first line names the message, the version (if not 1.0) and the transaction; what follows is the
business of the module that `_FORMATS` names for its class, imported when such a message is
printed. A message that cannot be decoded is printed in hexadecimal with the name of the error.
"""

from __future__ import annotations

from struct import error as StructError

from netloom.base.log import get_logger
from netloom.openflow.codec import decoder_of
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import (
    MORE,
    OFPT_VENDOR,
    Frame,
    is_multipart_type,
    read_frame,
    read_headers,
)
from netloom.openflow.protocol import P_OF10_TID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from netloom.openflow.messages import Message

    #: (message, its frame, style) -> what follows the first line's colon.
    Formatter = Callable[[Message, Frame, "Style"], str]

log = get_logger("ofp_msgs")


#: The verbosity from which on a message is shown in hexadecimal too.
_WITH_BYTES = 5
#: The version from which on requests may have parts, too.
_REQUESTS_HAVE_PARTS = 4


class Style:
    """How to print: `verbosity` (0: one line, 1: what commands print, 2: packets and payloads, 3:
    packets also in hexadecimal, 5: whole messages so), names to show for ports and tables."""

    __slots__ = ("port_names", "protocol", "table_names", "verbosity")

    def __init__(
        self,
        verbosity: int = 1,
        port_names: Mapping[int, str] | None = None,
        table_names: Mapping[int, str] | None = None,
        protocol: int = P_OF10_TID,
    ) -> None:
        self.verbosity = verbosity
        self.port_names = port_names
        self.table_names = table_names
        self.protocol = protocol


PLAIN = Style()

#: Class of a message -> module of its formatter, `text_NAME.format_CLASS`.
_MODULES = {
    "connection": (
        "Hello Error EchoRequest EchoReply SetConfig GetConfigReply SetFlowFormat FlowModTableId "
        "SetPacketInFormat SetControllerId RoleRequest RoleReply RoleStatus GetAsyncReply "
        "SetAsync DescReply"
    ),
    "ports": (
        "FeaturesReply PortStatus PortMod PortDescReply PortDescRequest PortStatsRequest "
        "PortStatsReply QueueGetConfigRequest QueueGetConfigReply QueueStatsRequest "
        "QueueStatsReply"
    ),
    "flows": (
        "FlowMod FlowRemoved FlowStatsRequest FlowStatsReply AggregateRequest AggregateReply"
    ),
    "packets": "PacketIn PacketOut Resume",
    "tables": (
        "TableMod TableStatsReply TableFeaturesRequest TableFeaturesReply TableDescReply "
        "TableStatus RequestForward"
    ),
    "nx": "TlvTableMod TlvTableReply CtFlushZone CtFlush IpfixStatsReply",
    "monitor": "FlowMonitorRequest FlowMonitorReply FlowMonitorCancel",
    "groups": (
        "GroupMod GroupStatsRequest GroupStatsReply GroupDescRequest GroupDescReply "
        "GroupFeaturesReply"
    ),
    "meters": (
        "MeterMod MeterStatsRequest MeterStatsReply MeterConfigRequest MeterConfigReply "
        "MeterFeaturesReply"
    ),
    "bundles": "BundleControl BundleAdd",
}


def _formatter(name: str) -> Formatter | None:
    for module, classes in _MODULES.items():
        if name in classes.split():
            found = __import__(f"netloom.openflow.text_{module}", fromlist=["x"])
            snake = "".join("_" + c.lower() if c.isupper() else c for c in name)
            return getattr(found, f"format{snake}")  # type: ignore[no-any-return]
    return None


def header_text(frame: Frame) -> str:
    """`OFPST_FLOW reply (OF1.3) (xid=0x2):`"""
    name = frame.row.name
    if frame.row.multipart:
        name += " reply" if frame.reply else " request"
    version = "" if frame.version == 1 else f" (OF1.{frame.version - 1})"
    if frame.version > 6:
        version = f" (OF 0x{frame.version:02x})"
    return f"{name}{version} (xid={frame.xid:#x}):{_flags_text(frame)}"


def _flags_text(frame: Frame) -> str:
    """The flags of a multipart message."""
    flags = int.from_bytes(frame.data[10:12], "big") if frame.row.multipart else 0
    if not flags:
        return ""
    text = " flags="
    if flags & MORE and (frame.reply or frame.version >= _REQUESTS_HAVE_PARTS):
        text += "[more]"
        flags &= ~MORE
    return text + f"[***unknown flags {flags:#06x}***]" if flags else text


def format_message(data: bytes, style: Style = PLAIN) -> str:
    """The text of the message in `data`, with a newline at its end."""
    if not data:
        return "OpenFlow message is empty\n"
    if len(data) < 8:
        text = f"OpenFlow packet too short (only {len(data)} bytes):\n"
        return text + hex_dump(data)
    length = int.from_bytes(data[2:4], "big")
    if length > len(data):
        text = f"(***truncated to {len(data)} bytes from {length}***)\n"
        return _header_of_part(data) + text + hex_dump(data)
    if length < len(data):
        text = f"(***only uses {length} bytes out of {len(data)}***)\n"
        return text + hex_dump(data)
    try:
        frame = read_frame(data)
    except OpenFlowError as error:
        _log_unknown(data, error)
        return f"***decode error: {error.name}***\n" + hex_dump(data)
    frame.printed = True
    text = (header_text(frame) + _body_text(frame, style)).rstrip(" ")
    if frame.error:
        after = "" if text[-1] == "\n" else " " if text[-1] == ":" else "\n"
        return f"{text}{after}***decode error: {frame.error}***\n{hex_dump(data)}"
    if not text.endswith("\n"):
        text += "\n"
    return text + hex_dump(data) if style.verbosity >= _WITH_BYTES else text


def _header_of_part(data: bytes) -> str:
    """The first line of a message that is not whole, if there is enough of it."""
    try:
        return header_text(read_headers(data)) + "\n"
    except OpenFlowError:
        return ""


def _log_unknown(data: bytes, error: OpenFlowError) -> None:
    version, kind = data[0], data[1]
    if error.name == "OFPBRC_BAD_VENDOR":
        body = 8 if kind == OFPT_VENDOR else 12 if version == 1 else 16
        vendor = int.from_bytes(data[body : body + 4], "big")
        log.warn_rl("OpenFlow message has unknown vendor 0x%x", vendor)
        return
    if error.name == "OFPBRC_BAD_LEN":
        return
    what = ""
    if kind == OFPT_VENDOR:
        vendor, subtype = (int.from_bytes(data[n : n + 4], "big") for n in (8, 12))
        what = f", vendor {vendor:#x}, subtype {subtype}"
    elif is_multipart_type(version, kind):
        what = f", stat {int.from_bytes(data[8:10], 'big')}"
    log.warn_rl("unknown OpenFlow message (version %d, type %d%s)", version, kind, what)


def _body_text(frame: Frame, style: Style) -> str:
    try:
        message = decoder_of(frame)(frame, style.protocol)
        function = _formatter(type(message).__name__)
        return function(message, frame, style) if function else ""
    except OpenFlowError as error:
        frame.error = error.name
    except (StructError, IndexError):
        frame.error = "OFPBRC_BAD_LEN"
    return ""


def bit_names(bits: int, names: Iterable[tuple[int, str]]) -> str:
    """The names of the bits that are set, then those without a name as a number; 0 for none."""
    words = []
    for bit, name in names:
        if bits & bit:
            words.append(name)
            bits &= ~bit
    if bits or not words:
        words.append(hex_text(bits))
    return " ".join(words)


def hex_text(number: int) -> str:
    """As C's %#x: no prefix before zero."""
    return f"{number:#x}" if number else "0"


def hex_dump(data: bytes, ascii_too: bool = True) -> str:
    """Lines of 16 bytes, with what they are in ASCII."""
    lines = []
    for at in range(0, len(data), 16):
        part = data[at : at + 16]
        cells = "".join(f"{byte:02x}" + ("-" if n == 7 else " ") for n, byte in enumerate(part))
        line = f"{at:08x}  {cells}"
        if ascii_too:
            shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
            lines.append(f"{line:<58}|{shown:<16}|\n")
        else:
            lines.append(line.rstrip(" ") + "\n")
    return "".join(lines)


def bare_hex_dump(data: bytes) -> str:
    """As `hex_dump` without ASCII, but for lines of eight bytes, which end with the last of them:
    what commands print by themselves."""
    return hex_dump(data, ascii_too=False).replace("-\n", "\n")
