"""One side of an OpenFlow connection, without I/O.

    connection = Connection("br0<->tcp:127.0.0.1:6653", versions=(1, 4), now_ms=now)
    connection.receive_data(data)
    while (event := connection.next_event()) is not None: ...
    connection.send(message); stream.write(connection.data_to_send())

What it does: splits the stream into messages by their length field; exchanges hellos and settles
on a version (the highest that both speak, from the bitmaps of 1.3 if both sent one); answers echo
requests; sends an echo request after `probe_interval_ms` of silence and declares the peer dead
after as long again; numbers requests. Every other message is an event, decoded or, for programs
that print what they get, raw.

What must hold: nothing but a hello is accepted before the version is settled, and every later
message has that version (hellos, errors and echoes may have another; anything else is answered with
OFPBRC_BAD_VERSION). A peer that breaks the framing or the handshake gets `ProtocolError` from
`next_event`, after which the connection sends what is queued (OFPHFC_INCOMPATIBLE with a text, if
it can) and is of no more use. A message that is well framed but wrong becomes a `Refused` event;
`reply_error` answers it.

`flow protocol`: a switch changes `protocol` when the peer asks for NXM or table numbers in flow
mods; both sides then read and write flow mods accordingly. Standards: OpenFlow 1.0-1.5, "Connection
Setup".
"""

from __future__ import annotations

from netloom.base.errors import ProtocolError
from netloom.base.log import DBG, RateLimit, get_logger
from netloom.base.record import Record
from netloom.openflow import messages as m
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.instruction_memo import InstructionMemo
from netloom.openflow.message_table import has_length_of_its_kind, read_headers
from netloom.openflow.protocol import INITIAL

OFP_HEADER_BYTES: Final = 8
_HELLO: Final = 0
_ERROR: Final = 1
_ECHO_REQUEST: Final = 2
_ECHO_REPLY: Final = 3
#: As much of a failed request as an error carries back: all that fits behind its 12 bytes.
_ERROR_DATA_BYTES: Final = 0xFFFF - 12
#: Messages of a connection that the log shows at level `dbg`: as many as Open vSwitch.
LOGGED_PER_MINUTE: Final = 600

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

log: Final = get_logger("vconn")
stream_log: Final = get_logger("vconn_stream")


class Received:
    """A message of the peer; `data` are its bytes."""

    __slots__ = ("data", "message", "xid")

    def __init__(self, message: m.Message, xid: int, data: bytes) -> None:
        self.message = message
        self.xid = xid
        self.data = data

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Received):
            return False
        mine, others = (self.message, self.xid), (other.message, other.xid)
        return mine == others and self.data == other.data

    def __hash__(self) -> int:
        return hash((self.message, self.xid, self.data))


class Refused(Record):
    """A message that cannot be carried out, and why."""

    error: str
    xid: int
    data: bytes


class Negotiated(Record):
    """The version is settled; first event of every connection."""

    version: int


class RawMessage(Record):
    """A message as it came (of a connection with `raw=True`)."""

    xid: int
    data: bytes


Event = Received | Refused | Negotiated | RawMessage


def version_text(version: int) -> str:
    """`0x04` as in the messages about hellos."""
    return f"0x{version:02x}"


def versions_text(versions: tuple[int, ...]) -> str:
    """`version 0x01` or `versions 0x01, 0x04`."""
    listed = ", ".join(version_text(version) for version in versions)
    return f"version{'s' if len(versions) > 1 else ''} {listed}"


def supported_text(versions: tuple[int, ...]) -> str:
    """Versions in a log: `version 0x04 and earlier` if there is no gap."""
    if not versions:
        return "no versions"
    if len(versions) > 1 and versions == tuple(range(1, len(versions) + 1)):
        return f"version {version_text(versions[-1])} and earlier"
    return versions_text(versions)


def _split(data: bytes) -> Iterator[bytes]:
    """The messages that follow each other in `data`, as those of a long reply do."""
    pos = 0
    while pos < len(data):
        size = int.from_bytes(data[pos + 2 : pos + 4], "big") or len(data)
        yield data[pos : pos + size]
        pos += size


def _text(data: bytes) -> str:
    """A message as logs show it."""
    from netloom.openflow.message_text import Style, format_message

    return format_message(data, Style(1)).rstrip("\n")


class Xids:
    """Gives out transaction ids; several connections of one program may share it."""

    __slots__ = ("_next",)

    def __init__(self, first: int = 1) -> None:
        self._next = first

    def new(self) -> int:
        xid = self._next
        # 0 is for probes.
        self._next = xid + 1 & 0xFFFFFFFF or 1
        return xid


class Connection:
    """See the module. `now_ms` is monotonic time; `probe_interval_ms` 0 sends no probes. With
    `any_version` messages of other versions than the one agreed upon are let through: somebody
    else's, on a connection for snooping."""

    def __init__(
        self,
        name: str,
        versions: tuple[int, ...] = (1, 4),
        now_ms: int = 0,
        probe_interval_ms: int = 0,
        *,
        raw: bool = False,
        any_version: bool = False,
        xids: Xids | None = None,
    ) -> None:
        self.name = name
        #: Logs of `vconn` name the stream alone, without the bridge in front.
        self._stream_name = name.rpartition("<->")[2]
        self.versions = versions
        self.version = 0
        #: A `protocol.P_*`; changes with the peer's wishes in OpenFlow 1.0.
        self.protocol = 0
        #: Instructions of flow mods that came lately.
        self.memo = InstructionMemo()
        #: Bytes of the peer's hello, for programs that print it.
        self.peer_hello = b""
        #: Bytes that the stream has taken and not sent; its owner may set it.
        self.unsent: Callable[[], int] = _none
        #: Connections that get a copy of every message, either way, once both are settled.
        self.taps: list[Connection] = []
        self._raw = raw
        self._any_version = any_version
        #: Bytes that came, of which those before `_pos` are done with.
        self._buffer = b""
        self._pos = 0
        self._out: list[bytes] = []
        self._xids = xids or Xids()
        self._failure: ProtocolError | None = None
        self._log_limit = RateLimit(LOGGED_PER_MINUTE, LOGGED_PER_MINUTE)
        self._probe_interval_ms = probe_interval_ms
        self._quiet_since_ms = now_ms
        self._heard = False
        self._probe_sent = False
        hello = m.Hello(versions)
        self._out.append(encode_message(hello, self.new_xid(), INITIAL[versions[-1]]))

    # Sending

    def new_xid(self) -> int:
        return self._xids.new()

    def send(self, message: m.Message, xid: int | None = None) -> int:
        """Queues `message`, with a new transaction id unless given; returns the id."""
        if xid is None:
            xid = self.new_xid()
        data = encode_message(message, xid, self.protocol or INITIAL[self.versions[-1]])
        self._out.append(data)
        if self.taps:
            self._copy(data)
        return xid

    def send_bytes(self, data: bytes) -> None:
        """Queues a message that is encoded already."""
        self._out.append(data)
        if self.taps:
            self._copy(data)

    def _copy(self, data: bytes) -> None:
        """Give a message to who listens."""
        for tap in self.taps:
            if self.version and tap.version:
                tap.send_bytes(data)

    def reply_error(self, name: str, request: bytes) -> None:
        """Answers the request in `request` with an OFPT_ERROR, in the version that it has."""
        xid = int.from_bytes(request[4:8], "big")
        protocol = INITIAL.get(request[0], self.protocol)
        self.send_bytes(encode_message(m.Error(name, request[:_ERROR_DATA_BYTES]), xid, protocol))

    @property
    def is_quiet(self) -> bool:
        """Has all that came been handed out, all that was said been sent, and is nobody to be
        shown what comes and goes?"""
        idle = self._pos >= len(self._buffer) and not self._out
        return idle and not self.taps and not log.is_dbg_enabled

    def backlog(self) -> int:
        """Bytes that wait to be sent, here and (as far as the owner says) in the stream."""
        return sum(map(len, self._out)) + self.unsent()

    def data_to_send(self) -> bytes:
        """What to write to the stream; it is forgotten here."""
        if log.is_dbg_enabled:
            for messages in self._out:
                for message in _split(messages):
                    self._log_message("sent (Success)", message)
        data = b"".join(self._out)
        self._out.clear()
        return data

    # Receiving

    def receive_data(self, data: bytes) -> None:
        """Takes bytes of the stream; b"" is the peer's close."""
        if self._failure is not None:
            return
        self._heard = True
        rest = self._buffer[self._pos :] if self._pos < len(self._buffer) else b""
        self._buffer = rest + data if rest else data
        self._pos = 0
        if not data and _ends_inside(rest):
            stream_log.err_rl("connection dropped mid-packet")
            self._failure = ProtocolError("OpenFlow stream that ends in a message")

    @property
    def has_failed(self) -> bool:
        """Did the peer break the protocol?"""
        return self._failure is not None

    def next_event(self) -> Event | None:
        """The next event; ProtocolError once the peer broke the protocol.

        A message is not read before those that came earlier were handed out, for these may change
        what it means."""
        if self._failure is not None:
            self._give_up(self._failure)
            return None
        buffer, pos = self._buffer, self._pos
        while len(buffer) - pos >= OFP_HEADER_BYTES:
            end = pos + (buffer[pos + 2] << 8 | buffer[pos + 3])
            if end > len(buffer):
                break
            self._pos = end
            try:
                if end - pos < OFP_HEADER_BYTES:
                    stream_log.err_rl("received too-short ofp_header (%d bytes)", end - pos)
                    raise ProtocolError("OpenFlow message shorter than its header")
                event = self._take(buffer[pos:end])
            except ProtocolError as error:
                self._failure = error
                self._give_up(error)
                return None
            if event is not None:
                return event
            self._kept()
            pos = end
        return None

    def _kept(self) -> None:
        """A message was the connection's business only."""

    def _give_up(self, failure: ProtocolError) -> None:
        """What becomes of a peer that broke the protocol."""
        raise failure

    def _take(self, data: bytes) -> Event | None:
        """What a message means to the owner; None if it is only the connection's business."""
        if log.threshold >= DBG:
            self._log_message("received", data)
        if not self.version:
            return self._take_hello(data)
        if self.taps:
            self._copy(data)
        if data[0] != self.version and not self._any_version and self._is_foreign(data):
            return None
        xid = int.from_bytes(data[4:8], "big")
        if self._raw:
            return RawMessage(xid, data)
        kind = data[1]
        if kind == _ECHO_REQUEST:
            self.send(m.EchoReply(data[OFP_HEADER_BYTES:]), xid)
            return None
        if kind == _ECHO_REPLY and xid == 0:
            # The answer to a probe; that it came is all that matters.
            return None
        try:
            message = decode_message(data, self.protocol, self.memo)[0]
        except OpenFlowError as error:
            return Refused(error.name, xid, data)
        return Received(message, xid, data)

    def _is_foreign(self, data: bytes) -> bool:
        """Deal with a message of another version, unless it is a kind that may have one."""
        version, kind = data[0], data[1]
        xid = int.from_bytes(data[4:8], "big")
        if version in INITIAL:
            if kind in (_HELLO, _ERROR, _ECHO_REPLY) and _is_whole(data):
                return False
            if kind == _ECHO_REQUEST:
                reply = m.EchoReply(data[OFP_HEADER_BYTES:])
                self.send_bytes(encode_message(reply, xid, INITIAL[version]))
                return True
        log.err_rl(
            "%s: received OpenFlow version 0x%02x != expected %02x",
            self._stream_name, version, self.version,
        )  # fmt: skip
        error = m.Error("OFPBRC_BAD_VERSION", data[:_ERROR_DATA_BYTES])
        self.send_bytes(encode_message(error, xid, INITIAL.get(version, INITIAL[1])))
        return True

    # Version negotiation

    def _take_hello(self, data: bytes) -> Negotiated:
        if data[1] != _HELLO or data[0] not in range(1, 0x80):
            text = _text(data)
            log.warn_rl("%s: received message while expecting hello: %s", self._stream_name, text)
            raise ProtocolError("expected an OpenFlow hello")
        self.peer_hello = data
        theirs = hello_versions(data)
        if not _is_plain_hello(data):
            dump = _hex_dump(data)
            log.warn_rl("%s: unknown data in hello:\n%s", self._stream_name, dump)
        common = [version for version in self.versions if version in theirs]
        if not common:
            ours, wanted = supported_text(self.versions), supported_text(theirs)
            log.warn_rl(
                "%s: version negotiation failed (we support %s, peer supports %s)",
                self._stream_name, ours, wanted,
            )  # fmt: skip
            text = f"We support {ours}, you support {wanted}, no common versions."
            self._refuse_hello(text, max(theirs, default=1))
            raise ProtocolError("no OpenFlow version in common")
        self.version = max(common)
        self.protocol = INITIAL[self.version]
        if log.is_dbg_enabled:
            log.dbg(
                "%s: negotiated OpenFlow version %s (we support %s, peer supports %s)",
                self._stream_name, version_text(self.version),
                supported_text(self.versions), supported_text(theirs),
            )  # fmt: skip
        return Negotiated(self.version)

    def _refuse_hello(self, text: str, version: int) -> None:
        error = m.Error("OFPHFC_INCOMPATIBLE", text.encode())
        self._out.append(encode_message(error, 0, INITIAL.get(version, INITIAL[1])))

    def _log_message(self, what: str, data: bytes) -> None:
        log.log_rl(DBG, self._log_limit, "%s: %s: %s", self._stream_name, what, _text(data))

    # Probes

    def deadline(self) -> int | None:
        """When `advance` must be called at the latest."""
        if not self._probe_interval_ms or not self.version:
            return None
        periods = 2 if self._probe_sent else 1
        return self._quiet_since_ms + periods * self._probe_interval_ms

    def advance(self, now_ms: int) -> None:
        """Probes a silent peer; one that does not answer has broken the protocol."""
        deadline = self.deadline()
        if deadline is None or now_ms < deadline:
            return
        if self._heard:
            self._heard = False
            self._probe_sent = False
            self._quiet_since_ms = now_ms
            return
        if self._probe_sent:
            self._failure = ProtocolError("no response to inactivity probe")
            return
        self._probe_sent = True
        self.send(m.EchoRequest(), 0)


def _is_whole(data: bytes) -> bool:
    """Has a message the length of one of its kind?"""
    return has_length_of_its_kind(read_headers(data))


def _none() -> int:
    return 0


def _ends_inside(data: bytes) -> bool:
    """Is there a part of a message after the last whole one?"""
    pos = 0
    while pos + OFP_HEADER_BYTES <= len(data):
        size = data[pos + 2] << 8 | data[pos + 3]
        if size < OFP_HEADER_BYTES:
            # That is another fault, and is found when the message is read.
            return False
        pos += size
    return pos != len(data)


def _hex_dump(data: bytes) -> str:
    from netloom.openflow.message_text import hex_dump

    return hex_dump(data)


def _is_plain_hello(data: bytes) -> bool:
    """Is there nothing in a hello but bitmaps of versions?"""
    pos = OFP_HEADER_BYTES
    while pos < len(data):
        kind = int.from_bytes(data[pos : pos + 2], "big")
        size = int.from_bytes(data[pos + 2 : pos + 4], "big")
        if kind != 1 or size < 8:
            return False
        pos += size + 7 & ~7
    return True


def hello_versions(data: bytes) -> tuple[int, ...]:
    """The versions that a hello names: of its bitmap, else all up to its own."""
    pos = OFP_HEADER_BYTES
    while pos + 8 <= len(data):
        kind = int.from_bytes(data[pos : pos + 2], "big")
        size = int.from_bytes(data[pos + 2 : pos + 4], "big")
        if size < 4:
            break
        if kind == 1 and size >= 8:
            bitmap = int.from_bytes(data[pos + 4 : pos + 8], "big")
            return tuple(version for version in range(1, 32) if bitmap >> version & 1)
        pos += size + 7 & ~7
    return tuple(range(1, data[0] + 1))
