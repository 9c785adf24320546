"""OpenFlow messages to bytes and back, in every version.

    data = encode_message(FlowMod(OFPFC_ADD, ...), xid, P_OF13)
    message, xid = decode_message(data)

`message_table` says which numbers a message has in which version; the modules that it names
(`codec_flows`, `codec_ports` ...) have one decoder and one encoder per value class and are imported
when first needed, so that a tool that sends one flow mod loads one of them.

Decoding takes one whole message (see `connection` for framing). Whatever the bytes, it returns a
message or raises `OpenFlowError` (which names what to answer with OFPT_ERROR) or, if there is no
message to speak of, `ProtocolError`. Encoding a multipart reply splits it where it would not fit
into 64 KiB; the parts are returned in one string.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError

from netloom.base.errors import ProtocolError
from netloom.openflow import messages as m
from netloom.openflow import protocol as p
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import (
    OFPT_VENDOR,
    PLAIN_NUMBERS,
    ROWS,
    Frame,
    head,
    read_frame,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from netloom.openflow.instruction_memo import InstructionMemo

    Decoder = Callable[[Frame, int], m.Message]
    Encoder = Callable[[m.Message, int, int], tuple[str, bytes | list[bytes]]]

#: A message's parts must fit into 16 bits of length; keep some room as OVS does.
MAX_PART: Final = 60000

_MODULE_OF: dict[str, str] = {
    name: row.module for row in ROWS.values() for name in (row.request, row.reply) if name
}
_MODULE_OF["Experimenter"] = "basic"
_MODULE_OF["FlowRowsReply"] = _MODULE_OF["FlowPartsReply"] = "flow_rows"


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name)


_HEADER: Final = Struct(">BBHI")
_MAX_BODY: Final = 0xFFFF - _HEADER.size
#: OFPT_FLOW_MOD, and the bytes that it has at least from OpenFlow 1.1 on.
_FLOW_MOD: Final = 14
_FLOW_MOD_BYTES: Final = 56
#: OFPT_BUNDLE_ADD_MESSAGE, and what ONF's experimenter message has behind its header.
_BUNDLE_ADD: Final = 34
_ONF_BUNDLE_ADD: Final = m.ONF_VENDOR_ID.to_bytes(4, "big") + (2301).to_bytes(4, "big")
#: Decoders and encoders by direction and class, found at first use.
_FUNCTIONS: dict[tuple[str, str], object] = {}
_DECODERS: dict[str, Decoder] = {}


def _function(direction: str, name: str) -> object:
    found = _FUNCTIONS.get((direction, name))
    if found is None:
        found = _FUNCTIONS[direction, name] = _load(direction, name)
    return found


def _load(direction: str, name: str) -> object:
    module = __import__(f"netloom.openflow.codec_{_MODULE_OF[name]}", fromlist=["x"])
    return getattr(module, direction + _snake(name))


def decoder_of(frame: Frame) -> Decoder:
    """What reads the body of the message."""
    name = frame.row.reply if frame.reply else frame.row.request
    if name not in _DECODERS:
        _DECODERS[name] = _function("decode", name)  # type: ignore[assignment]
    return _DECODERS[name]


def _read_flow_mod() -> Callable[[bytes, int, InstructionMemo | None], m.FlowMod]:
    return _function("read", "FlowMod")  # type: ignore[return-value]


def _read_bundle_add() -> Callable[[bytes, int], m.Message]:
    return _function("read", "BundleAdd")  # type: ignore[return-value]


def _bundle_add_body(data: bytes) -> int:
    """Where the body starts of a message for a bundle, of which a bundle has many; 0 for others."""
    if data[1] == OFPT_VENDOR:
        is_one = data[0] == m.OFP13_VERSION and data[8:16] == _ONF_BUNDLE_ADD
        return _HEADER.size + len(_ONF_BUNDLE_ADD) if is_one else 0
    return _HEADER.size if data[1] == _BUNDLE_ADD and 5 <= data[0] <= 6 else 0


def decode_message(
    data: bytes, protocol: int = 0, memo: InstructionMemo | None = None
) -> tuple[m.Message, int]:
    """The message in `data` (exactly one) and its transaction id.

    `protocol`: that of the connection; says whether flow mods of OpenFlow 1.0 carry table
    numbers. `memo` lets flow mods with equal instructions share them."""
    size = len(data)
    if size < 8 or data[2] << 8 | data[3] != size:
        raise ProtocolError("OpenFlow message has a wrong length")
    if memo is not None and memo.shape is not None:
        mod = memo.shape.read(data)
        if mod is not None:
            return mod, int.from_bytes(data[4:8], "big")
    if data[1] == _FLOW_MOD and 1 < data[0] <= 6 and size >= _FLOW_MOD_BYTES and not size & 7:
        # Most messages of a busy connection: there is nothing to be learned from their headers.
        try:
            return _read_flow_mod()(data, data[0], memo), int.from_bytes(data[4:8], "big")
        except (StructError, IndexError):
            raise OpenFlowError("OFPBRC_BAD_LEN") from None
    body = _bundle_add_body(data)
    if body and size >= body + 8:
        return _read_bundle_add()(data, body), int.from_bytes(data[4:8], "big")
    try:
        frame = read_frame(data)
    except OpenFlowError as error:
        if error.name in ("OFPBRC_BAD_VENDOR", "OFPBRC_BAD_SUBTYPE") and data[1] == OFPT_VENDOR:
            vendor, subtype = (int.from_bytes(data[n : n + 4], "big") for n in (8, 12))
            raise UnknownExperimenter(error.name, m.Experimenter(vendor, subtype, data[16:])) \
                from None  # fmt: skip
        raise
    frame.memo = memo
    try:
        return decoder_of(frame)(frame, protocol), frame.xid
    except (StructError, IndexError):
        # A structure that claims more than the message has.
        raise OpenFlowError("OFPBRC_BAD_LEN") from None


class UnknownExperimenter(OpenFlowError):
    """An experimenter message that nothing here understands; `message` has its parts."""

    def __init__(self, name: str, message: m.Experimenter) -> None:
        super().__init__(name)
        self.message = message


def encode_message(message: m.Message, xid: int = 0, protocol: int = p.P_OF10) -> bytes:
    """The bytes of `message` in the version of `protocol`.

    Raises `OpenFlowError` or `action_encode.Unencodable` if the protocol cannot express it."""
    version = p.VERSION[protocol]
    encode: Encoder = _function("encode", type(message).__name__)  # type: ignore[assignment]
    try:
        name, body = encode(message, version, protocol)
    except StructError:
        # A list is longer than lengths can say.
        raise OpenFlowError("OFPBRC_BAD_LEN") from None
    if isinstance(message, m.Experimenter):
        out = bytearray((version, OFPT_VENDOR, 0, 0, 0, 0, 0, 0)) + bytes(body)  # type: ignore[arg-type]
        return finish(out, xid)
    number = PLAIN_NUMBERS.get((name, version))
    if number is not None and type(body) is bytes and len(body) <= _MAX_BODY:
        return _HEADER.pack(version, number, 8 + len(body), xid) + body
    reply = name.endswith("+")
    name = name.rstrip("+")
    more = bool(getattr(message, "more", False))
    if isinstance(body, list):
        return _split(name, version, body, xid, more)
    return finish(head(name, version, reply, more) + body, xid)


def _split(name: str, version: int, entries: list[bytes], xid: int, more: bool) -> bytes:
    """A multipart reply of `entries` as one message or several."""
    parts: list[list[bytes]] = [[]]
    size = 0
    for entry in entries:
        if size + len(entry) > MAX_PART:
            parts.append([])
            size = 0
        parts[-1].append(entry)
        size += len(entry)
    out: list[bytes] = []
    last = parts[-1]
    for part in parts:
        start = head(name, version, True, more or part is not last)
        _set_header(start, len(start) + sum(map(len, part)), xid)
        out.append(bytes(start))
        out += part
    return b"".join(out)


def _set_header(start: bytearray, size: int, xid: int) -> None:
    if size > 0xFFFF:
        raise OpenFlowError("OFPBRC_BAD_LEN")
    start[2:4] = size.to_bytes(2, "big")
    start[4:8] = xid.to_bytes(4, "big")


def finish(message: bytearray, xid: int) -> bytes:
    """A message with its length and transaction id."""
    _set_header(message, len(message), xid)
    return bytes(message)
