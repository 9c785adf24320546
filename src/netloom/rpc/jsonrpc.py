"""JSON-RPC 1.0 over a byte stream, as OVSDB (RFC 7047) and unixctl speak it.

A stream is JSON objects one after the other, with nothing between them but optional white space.
`JsonRpc` is a machine (`netloom.base.machine`): bytes in, messages out, messages in, bytes out.

    rpc = JsonRpc(LightJson())
    request_id = rpc.request("get_schema", ["Open_vSwitch"])
    ...
    match rpc.next_event():
        case Reply(id=i, result=r) if i == request_id: ...

Framing. Most reads hold exactly one message, so the whole buffer is tried first and the bytes are
walked only once, by the decoder. Otherwise `_Splitter` finds where the first object ends; it looks
at each byte once however the stream is cut, and skips whole reads in which no object can end.

Echo. Both sides of OVSDB answer `echo` requests, and probe an idle peer with one. The machine does
so by itself: an incoming `echo` is answered and not reported, and the answer to `send_echo` is
swallowed (any bytes at all prove that the peer lives). With `answer_echo=False`, as in unixctl,
`echo` is a request like any other.

Limits. A message longer than JSON_MESSAGE_BYTES or nested deeper than JSON_DEPTH is refused before
it is decoded. After a `ProtocolError` the machine is dead: it repeats the error.
"""

from __future__ import annotations

from itertools import accumulate

from netloom.base.errors import ProtocolError
from netloom.base.limits import JSON_DEPTH, JSON_MESSAGE_BYTES
from netloom.base.log import get_logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .json_codec import Codec

log = get_logger("jsonrpc")

#: The id of probes of our own; ids of requests are numbers.
ECHO_ID = "echo"


class _Message:
    __slots__: tuple[str, ...] = ()

    def _key(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._key() == self._key()

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self._key()!r}"


class Request(_Message):
    """A call that wants an answer with the same `id` (any JSON value but null)."""

    __slots__ = __match_args__ = ("method", "params", "id")

    def __init__(self, method: str, params: list[Any], id: Any) -> None:
        self.method = method
        self.params = params
        self.id = id


class Notify(_Message):
    """A call that wants none."""

    __slots__ = __match_args__ = ("method", "params")

    def __init__(self, method: str, params: list[Any]) -> None:
        self.method = method
        self.params = params


class Reply(_Message):
    """The successful answer to the request `id`."""

    __slots__ = __match_args__ = ("result", "id")

    def __init__(self, result: Any, id: Any) -> None:
        self.result = result
        self.id = id


class Error(_Message):
    """The failed answer to the request `id`."""

    __slots__ = __match_args__ = ("error", "id")

    def __init__(self, error: Any, id: Any) -> None:
        self.error = error
        self.id = id


Message = Request | Notify | Reply | Error


def _message_type(obj: dict[str, Any]) -> str:
    """Which of the four kinds the members that are not null make of `obj`."""
    if obj.get("method") is not None:
        return "notification" if obj.get("id") is None else "request"
    return "reply" if obj.get("error") is None else "error"


#: Which of (method, params, result, error, id) a kind of message must and must not have.
_MEMBERS = ("method", "params", "result", "error", "id")
_WANTED = {
    "request": (True, True, False, False, True),
    "notification": (True, True, False, False, False),
    "reply": (False, False, True, False, True),
    "error": (False, False, False, True, True),
}


def parse_message(obj: object) -> Message:
    """The message that a decoded JSON document is; `ProtocolError` if it is none."""
    if not isinstance(obj, dict):
        raise ProtocolError("message is not a JSON object")
    method = obj.get("method")
    if method is not None and not isinstance(method, str):
        raise ProtocolError("method is not a JSON string")
    kind = _message_type(obj)
    for name, wanted in zip(_MEMBERS, _WANTED[kind]):
        # `null` is a result like any other: only its absence from a message without error counts.
        present = obj.get(name) is not None or (name == "result" and wanted and name in obj)
        if present != wanted:
            verb = "must" if wanted else "must not"
            raise ProtocolError(f'{kind} {verb} have "{name}"')
    extra = [name for name in obj if name not in _MEMBERS]
    if extra:
        raise ProtocolError(f'message has unexpected member "{extra[0]}"')
    if kind in ("request", "notification"):
        params = obj["params"]
        if not isinstance(params, list):
            raise ProtocolError('"params" must be JSON array')
        if kind == "request":
            return Request(obj["method"], params, obj["id"])
        return Notify(obj["method"], params)
    if kind == "reply":
        return Reply(obj["result"], obj["id"])
    return Error(obj["error"], obj["id"])


def format_message(message: Message) -> dict[str, Any]:
    """The JSON object of a message, ready to be encoded."""
    if isinstance(message, Request):
        return {"id": message.id, "method": message.method, "params": message.params}
    if isinstance(message, Notify):
        return {"id": None, "method": message.method, "params": message.params}
    if isinstance(message, Reply):
        return {"id": message.id, "result": message.result, "error": None}
    return {"id": message.id, "error": message.error}


_BRACKETS = b"{}[]"
_NOT_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
#: What may not be in a string as it is.
_CONTROL = bytes(range(0x20))
#: The effect of each bracket on the depth, by its byte.
_DELTA = [0] * 256
_DELTA[ord("{")] = _DELTA[ord("[")] = 1
_DELTA[ord("}")] = _DELTA[ord("]")] = -1


def _may_be_deep(data: bytearray) -> bool:
    """Whether `data` might nest deeper than JSON_DEPTH (brackets in strings count, too)."""
    if data.count(b"[") + data.count(b"{") <= JSON_DEPTH:
        return False
    brackets = data.translate(None, _NOT_BRACKETS)
    return max(accumulate(_DELTA[b] for b in brackets)) > JSON_DEPTH


#: A message's first bytes are walked string by string, since most messages are short; what
#: follows is looked at in blocks.
_WALK_BYTES = 1024
_BLOCK_BYTES = 8192


class _Unparsable(Exception):
    """What comes cannot become JSON, whatever follows."""


def _bad_stream(data: bytes | bytearray, reason: str) -> ProtocolError:
    """The error of a stream with such a message, in Open vSwitch's words if it has any."""
    from .json_errors import syntax_error

    found = syntax_error(data, is_whole=False) or syntax_error(data) or reason
    return ProtocolError(f"error parsing stream: {found}")


class _Splitter:
    """Finds the end of the first JSON object or array of a buffer, each byte seen once."""

    __slots__ = ("_depth", "_in_string", "_position")

    def __init__(self) -> None:
        self._position = 0
        self._depth = 0
        self._in_string = False

    @property
    def started(self) -> bool:
        return self._position > 0

    def find_end(self, buffer: bytearray) -> int:
        """The length of the first object, or -1 if it is not complete. Call again, with the same
        buffer grown at its end, after -1; take a new splitter otherwise."""
        while self._position < len(buffer):
            if self._position >= _WALK_BYTES and self._skip_block(buffer):
                continue
            if self._in_string:
                if not self._skip_string(buffer):
                    return -1
                continue
            quote = buffer.find(b'"', self._position)
            stop = len(buffer) if quote < 0 else quote
            end = self._walk(buffer, stop)
            if end >= 0:
                return end
            self._position = stop
            if quote >= 0:
                self._position += 1
                self._in_string = True
        return -1

    def _skip_block(self, buffer: bytearray) -> bool:
        """Go past the next block if the object cannot end in it."""
        block = bytes(buffer[self._position : self._position + _BLOCK_BYTES])
        if len(block) < _BLOCK_BYTES:
            return False
        # Without escaped characters, every quote begins or ends a string.
        plain = block.replace(b"\\\\", b"").replace(b'\\"', b"")
        cut_escape = plain.endswith(b"\\")
        parts = plain.split(b'"')
        outside = b"".join(parts[self._in_string :: 2])
        brackets = outside.translate(None, _NOT_BRACKETS)
        depths = list(accumulate((_DELTA[b] for b in brackets), initial=self._depth))
        if min(depths) <= 0 or max(depths) > JSON_DEPTH:
            return False
        self._depth = depths[-1]
        self._in_string ^= len(parts) % 2 == 0
        self._position += len(block) - cut_escape
        return True

    def _skip_string(self, buffer: bytearray) -> bool:
        """Go to behind the string's closing quote; False if it is not there yet."""
        start = self._position
        while True:
            quote = buffer.find(b'"', start)
            escape = buffer.find(b"\\", start, quote if quote >= 0 else len(buffer))
            if escape >= 0:
                if escape + 1 >= len(buffer):
                    self._position = escape
                    return False
                start = escape + 2
                continue
            end = len(buffer) if quote < 0 else quote
            text = buffer[self._position : end]
            if len(text.translate(None, _CONTROL)) < len(text):
                # It could never become a string; do not wait for more of it.
                raise _Unparsable("invalid control character in string")
            self._position = len(buffer) if quote < 0 else quote + 1
            self._in_string = quote < 0
            return quote >= 0

    def _walk(self, buffer: bytearray, stop: int) -> int:
        """Follow the brackets up to `stop`; where the depth returned to zero, or -1."""
        text = buffer[self._position : stop]
        brackets = text.translate(None, _NOT_BRACKETS)
        if not brackets:
            return -1
        depths = list(accumulate((_DELTA[b] for b in brackets), initial=self._depth))
        if max(depths) > JSON_DEPTH:
            raise _Unparsable(f"input exceeds maximum nesting depth {JSON_DEPTH}")
        if min(depths[1:]) > 0:
            self._depth = depths[-1]
            return -1
        depth = self._depth
        for offset, byte in enumerate(text):
            depth += _DELTA[byte]
            if depth <= 0 and _DELTA[byte] < 0:
                return self._position + offset + 1
        return -1


_WHITESPACE = b" \t\r\n"


class JsonRpc:
    """One end of a JSON-RPC connection."""

    def __init__(self, codec: Codec, *, answer_echo: bool = True, name: str = "") -> None:
        self._codec = codec
        self._name = name
        self._answer_echo = answer_echo
        self._buffer = bytearray()
        self._splitter = _Splitter()
        #: No attempt was made yet to decode the buffer as a whole.
        self._fresh = False
        self._out: list[bytes] = []
        self._next_id = 0
        self._error: ProtocolError | None = None
        #: The peer has closed its side.
        self.closed = False

    # Incoming.

    def receive_data(self, data: bytes) -> None:
        if data:
            self._fresh = not self._buffer
            self._buffer += data
        else:
            self.closed = True

    def next_event(self) -> Message | None:
        while True:
            message = self._next_message()
            if message is None or not self._consume_echo(message):
                return message

    def _consume_echo(self, message: Message) -> bool:
        if not self._answer_echo:
            return False
        if isinstance(message, Request) and message.method == "echo":
            self.reply(message.id, message.params)
            return True
        return isinstance(message, Reply) and message.id == ECHO_ID

    def _next_message(self) -> Message | None:
        if self._error is not None:
            raise self._error
        try:
            document = self._take_document()
            if document is None:
                return None
            message = parse_message(document[0])
            if log.is_dbg_enabled:
                log.dbg("%s: received %s", self._name, self._describe(message))
            return message
        except ProtocolError as error:
            self._error = error
            self._buffer.clear()
            raise

    def _take_document(self) -> tuple[Any] | None:
        """The next whole JSON document (in a tuple, since it may be null), or None."""
        buffer = self._buffer
        splitter = self._splitter
        if not splitter.started:
            if buffer and buffer[0] in _WHITESPACE:
                buffer = self._buffer = buffer.lstrip(_WHITESPACE)
            if not buffer:
                return None
            if buffer[0] not in b"{[":
                raise _bad_stream(buffer, "syntax error at beginning of input")
            if self._fresh and buffer.endswith((b"}", b"}\n")) and not _may_be_deep(buffer):
                self._fresh = False
                whole = self._try_whole()
                if whole is not None:
                    return whole
        try:
            end = splitter.find_end(buffer)
        except _Unparsable as error:
            raise _bad_stream(buffer, str(error)) from None
        if end < 0:
            if len(buffer) > JSON_MESSAGE_BYTES:
                raise ProtocolError(f"message is longer than {JSON_MESSAGE_BYTES} bytes")
            return None
        data = bytes(buffer[:end])
        del buffer[:end]
        self._splitter = _Splitter()
        try:
            return (self._codec.decode(data),)
        except (ValueError, RecursionError) as error:
            raise _bad_stream(data, str(error)) from None

    def _try_whole(self) -> tuple[Any] | None:
        """Take the whole buffer for one document; None if it is not."""
        try:
            value = self._codec.decode(bytes(self._buffer))
        except (ValueError, RecursionError):
            # Two documents, half a document or garbage: the splitter tells which.
            return None
        self._buffer.clear()
        return (value,)

    # Outgoing.

    def _describe(self, message: Message) -> str:
        """A message as the debug log shows it."""
        obj = format_message(message)
        kind = type(message).__name__.lower().replace("notify", "notification")
        shown = [
            f"{name}={self._codec.encode(obj[name]).decode('utf-8', 'replace')}"
            for name in ("method", "params", "result", "error", "id")
            if obj.get(name) is not None
        ]
        return f"{kind}, {', '.join(shown)}"

    def send(self, message: Message) -> None:
        if log.is_dbg_enabled:
            # An error that is sent has always been logged as the reply that it is.
            text = self._describe(message)
            text = "reply" + text.removeprefix("error") if isinstance(message, Error) else text
            log.dbg("%s: send %s", self._name, text)
        self._out.append(self._codec.encode(format_message(message)))

    def send_encoded(self, data: bytes) -> None:
        """Send a message that is encoded already, as when many peers get the same one."""
        self._out.append(data)

    def request(self, method: str, params: Sequence[Any]) -> int:
        """Send a request; its id, which the reply will bear."""
        request_id = self._next_id
        self._next_id += 1
        self.send(Request(method, list(params), request_id))
        return request_id

    def notify(self, method: str, params: Sequence[Any]) -> None:
        self.send(Notify(method, list(params)))

    def reply(self, request_id: Any, result: Any) -> None:
        self.send(Reply(result, request_id))

    def error(self, request_id: Any, error: Any) -> None:
        self.send(Error(error, request_id))

    def send_echo(self) -> None:
        """Probe the peer; its answer is not reported."""
        self.send(Request("echo", [], ECHO_ID))

    def data_to_send(self) -> bytes:
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        return data

    # Time: probes are the business of `netloom.rpc.reconnect`, not of the stream.

    def deadline(self) -> int | None:
        return None

    def advance(self, now_ms: int) -> None:
        del now_ms
