"""A connection of `ovs-ofctl` to a switch: find it, open it, ask it."""

from __future__ import annotations

import errno
import posix
import sys

from netloom.base.errors import ProtocolError
from netloom.base.log import get_logger
from netloom.base.paths import absolute, rundir
from netloom.openflow import messages as m
from netloom.openflow import protocol as p
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.connection import (
    Connection,
    Negotiated,
    RawMessage,
    Xids,
)
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import is_multipart_type
from netloom.programs.ofctl.options import Fatal, protocols_text
from netloom.transport.address import OPENFLOW_PORT, Address, parse_address
from netloom.transport.sync import Deadline, Dialogue, connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from netloom.openflow.connection import Event
    from netloom.programs.ofctl.options import Arguments
    from netloom.transport.sync import Stream

_ERROR = 1
_ECHO_REQUEST = 2
_BARRIER_REPLY = {1: 19}
_LATER_BARRIER_REPLY = 21
_FOREVER = Deadline()

log = get_logger("vconn")
_ofctl_log = get_logger("ofctl")


def find_switch(name: str, kind: str = "mgmt") -> Address | str:
    """Where the switch `name` listens: an address, or the text of one that is none."""
    if ":" in name:
        return name
    if not name:
        raise Fatal(f": failed to open socket ({posix.strerror(errno.ECONNREFUSED)})")
    bridge = name.rpartition("@")[2]
    for tried in (name, f"{rundir()}/{name}.{kind}", f"{rundir()}/{bridge}.{kind}"):
        path = absolute(rundir(), tried)
        if _exists(path):
            _ofctl_log.dbg("connecting to unix:%s", tried)
            return Address(f"unix:{tried}", "unix", False, path=path)
        get_logger("stream_unix").dbg(
            "%s: connection failed (%s)", path, posix.strerror(errno.ENOENT)
        )
    raise Fatal(f"{name} is not a bridge or a socket")


def _exists(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def _parse(text: str) -> Address:
    """The address that `text` names, with what the log says of the default port."""
    kind, _, rest = text.partition(":")
    over_tcp = kind in ("tcp", "ssl")
    if over_tcp and (not rest or rest.endswith("]") or ":" not in rest):
        text = f"{text}:{OPENFLOW_PORT}"
        get_logger("stream").warn_rl(
            "The default OpenFlow port number has changed from 6633 to %d", OPENFLOW_PORT
        )
    try:
        return parse_address(text, OPENFLOW_PORT)
    except OSError as error:
        if over_tcp:
            get_logger(f"stream_{kind}").err("%s: connect: %s", text, error.strerror)
        raise


class Switch:
    """An open connection. `xids` are shared by all connections of the program."""

    def __init__(
        self, name: str, args: Arguments, xids: Xids, kind: str = "mgmt", versions: object = None
    ) -> None:
        self.name = name
        self.args = args
        self.xids = xids
        target = find_switch(name, kind)
        text = target if isinstance(target, str) else target.text
        spoken = versions if isinstance(versions, tuple) else args.versions
        self.connection = Connection(text, spoken, raw=True, any_version=kind == "snoop", xids=xids)
        self.dialogue = self._open(name, target)
        self.protocol = self.connection.protocol
        #: Messages so far, but for the greetings.
        self.sent = self.received = 0

    @property
    def version(self) -> int:
        return self.connection.version

    def _open(self, name: str, target: Address | str) -> Dialogue[Event]:
        by_name = isinstance(target, Address)
        try:
            address = _parse(target) if isinstance(target, str) else target
            if address.passive:
                raise OSError(errno.EAFNOSUPPORT, posix.strerror(errno.EAFNOSUPPORT))
            stream = connect(address, _FOREVER, self.args.tls)
        except OSError as error:
            reason = error.strerror or str(error)
            if by_name:
                assert isinstance(target, Address)
                tried = target.text.removeprefix("unix:")
                raise Fatal(f"{tried}: failed to open socket ({reason})") from None
            raise Fatal(f"connecting to {name} ({reason})") from None
        dialogue: Dialogue[Event] = Dialogue(stream, self.connection)
        try:
            event = dialogue.next_event(_FOREVER)
        except (EOFError, ProtocolError, OSError) as error:
            reason = self._last_words(dialogue) or failure_text(error)
            raise Fatal(f"{name}: failed to connect to socket ({reason})") from None
        assert isinstance(event, Negotiated)
        return dialogue

    @staticmethod
    def _last_words(dialogue: Dialogue[Event]) -> str:
        """Tells the peer why; what went wrong if it does not listen any more."""
        try:
            dialogue.flush(Deadline(1))
        except OSError as error:
            return error.strerror or ""
        return ""

    def close(self) -> None:
        self.dialogue.close()

    # Messages

    def fileno(self) -> int:
        """What becomes readable when the switch has something to say."""
        return self.dialogue.fileno()

    def receive_ready(self) -> bytes | None:
        """The next message of the switch, or None if it is not there yet; EOFError, OSError and
        ProtocolError as they come."""
        event = self.dialogue.ready_event()
        if event is None:
            return None
        self.received += 1
        assert isinstance(event, RawMessage)
        return event.data

    def send(self, *messages: bytes) -> None:
        self.sent += len(messages)
        self.connection.send_bytes(b"".join(messages))
        try:
            self.dialogue.flush(_FOREVER)
        except OSError as error:
            raise Fatal(f"failed to send packet to switch ({error.strerror})") from None

    def encode(self, message: m.Message, xid: int | None = None) -> bytes:
        return encode_message(
            message, self.connection.new_xid() if xid is None else xid, self.protocol
        )

    def receive(self) -> bytes:
        """The next message of the switch."""
        try:
            event = self.dialogue.next_event(_FOREVER)
        except (EOFError, ProtocolError, OSError) as error:
            raise Fatal(f"OpenFlow receive failed ({failure_text(error)})") from None
        assert isinstance(event, RawMessage)
        return event.data

    def transact(self, request: bytes) -> bytes:
        """Sends `request` and returns the message that answers it."""
        self.send(request)
        return self.reply(request[4:8])

    def reply(self, xid: bytes) -> bytes:
        while True:
            data = self.receive()
            if data[4:8] == xid:
                return data
            log.dbg_rl(
                "%s: received reply with xid %08x != expected %08x", self.connection.name,
                int.from_bytes(data[4:8], "big"), int.from_bytes(xid, "big"),
            )  # fmt: skip

    def ask(self, request: m.Message) -> Iterator[bytes]:
        """Sends `request` and yields its replies, of which multipart ones are several."""
        data = self.encode(request)
        self.send(data)
        while True:
            reply = self.reply(data[4:8])
            yield reply
            if is_multipart_type(reply[0], reply[1]) != 2 or not reply[11] & 1:
                return

    def change(self, request: bytes) -> bytes | None:
        """Sends a message that has no reply, with a barrier; returns the error, if any."""
        barrier = self.encode(m.BarrierRequest())
        self.send(request, barrier)
        return self.until_barrier(barrier[4:8], request[4:8])

    def until_barrier(self, barrier_xid: bytes, request_xid: bytes) -> bytes | None:
        """Reads until the barrier with this id is answered; the error to the request, if any."""
        error: bytes | None = None
        kind = _BARRIER_REPLY.get(self.version, _LATER_BARRIER_REPLY)
        while True:
            data = self.receive()
            if data[4:8] == barrier_xid:
                if data[1] != kind:
                    raise Fatal("unexpected reply to barrier request")
                return error
            if data[1] == _ERROR and data[4:8] == request_xid:
                error = data

    def must_change(self, request: bytes) -> None:
        """As `change`; an error ends the program."""
        error = self.change(request)
        if error is not None:
            self.fail(error)

    def must_change_each(self, requests: Iterable[bytes]) -> None:
        """As `must_change` for each: the one after an error is not sent any more, so the switch
        must have answered one before the next goes out. The next is made meanwhile."""
        barrier = self.encode(m.BarrierRequest(), 0)[:4]
        done = bytes((self.version, _BARRIER_REPLY.get(self.version, _LATER_BARRIER_REPLY), 0, 8))
        connection = self.connection
        plain = self.dialogue.plain_stream()
        if plain is not None:
            plain.set_blocking(True)
        asked = xid = b""
        stream = plain
        try:
            for request in requests:
                if asked:
                    before, asked = asked, b""
                    self._must_be_done(stream, before, xid, done)
                xid = connection.new_xid().to_bytes(4, "big")
                stream = plain if connection.is_quiet else None
                self._send_past(stream, request, barrier + xid)
                asked = request[4:8]
        finally:
            # What is wrong with this one is said before what is wrong with the next.
            if asked:
                self._must_be_done(stream, asked, xid, done)
        if plain is not None:
            plain.set_blocking(False)

    def _send_past(self, stream: Stream | None, request: bytes, barrier: bytes) -> None:
        """Sends both: past the connection, if there is a `stream`."""
        if stream is None:
            self.send(request, barrier)
            return
        self.sent += 2
        try:
            stream.send(request + barrier, _FOREVER)
        except OSError as error:
            raise Fatal(f"failed to send packet to switch ({error.strerror})") from None

    def _must_be_done(self, stream: Stream | None, asked: bytes, xid: bytes, done: bytes) -> None:
        """Waits for the answer to a barrier, whose header is `done` and then `xid`. If nothing else
        comes of a `stream`, that is all; the connection takes all else. An error to what was
        `asked` ends the program."""
        if stream is not None:
            try:
                answer = stream.receive_next()
            except OSError as error:
                raise Fatal(f"OpenFlow receive failed ({failure_text(error)})") from None
            if answer == done + xid:
                return
            self.connection.receive_data(answer)
        refusal = self.until_barrier(xid, asked)
        if refusal is not None:
            self.fail(refusal)

    def fail(self, error: bytes) -> None:
        """Prints the switch's error and ends the program."""
        from netloom.openflow.message_text import Style, format_message

        sys.stderr.write(format_message(error, Style(self.args.verbosity + 1)))
        raise Fatal("")

    def decode(self, data: bytes) -> m.Message:
        """The message in `data`; an error of the switch ends the program."""
        if data[1] == _ERROR:
            self.fail(data)
        try:
            return decode_message(data, self.protocol)[0]
        except OpenFlowError as error:
            raise Fatal(f"received bad reply: {error.name}") from None

    def decode_flows(self, data: bytes) -> m.FlowStatsReply:
        """The flows in `data`; an error of the switch, or what cannot be read, ends the program."""
        if data[1] == _ERROR:
            self.fail(data)
        try:
            reply = decode_message(data, self.protocol)[0]
        except OpenFlowError as error:
            log.warn_rl("parse error in reply (%s)", error.name)
            raise Fatal(f"dump flows ({posix.strerror(errno.EPROTO)})") from None
        if not isinstance(reply, m.FlowStatsReply):
            raise Fatal(f"dump flows ({posix.strerror(errno.EPROTO)})")
        return reply

    # Protocol

    def try_protocol(self, wanted: int) -> bool:
        """Makes the connection use `wanted` (a P_*); False if the switch cannot."""
        if p.VERSION[wanted] != self.version:
            return False
        if bool(wanted & p.P_NXM_ANY) != bool(self.protocol & p.P_NXM_ANY):
            nxm = bool(wanted & p.P_NXM_ANY)
            message = m.SetFlowFormat(m.NXFF_NXM if nxm else m.NXFF_OPENFLOW10)
            if self.change(self.encode(message)) is not None:
                return False
            self.protocol = p.set_nxm(self.protocol, nxm)
        if bool(wanted & p.P_TID) != bool(self.protocol & p.P_TID):
            enable = bool(wanted & p.P_TID)
            if self.change(self.encode(m.FlowModTableId(enable))) is not None:
                return False
            self.protocol = p.set_table_id(self.protocol, enable)
        self.connection.protocol = self.protocol
        return True


def failure_text(error: Exception) -> str:
    """What ended a connection, in a few words."""
    if isinstance(error, EOFError):
        return "End of file"
    if isinstance(error, ProtocolError):
        # The C library's word for a connection that was broken on purpose.
        return posix.strerror(errno.EPROTO)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)


def open_for_flows(name: str, args: Arguments, xids: Xids, usable: int) -> Switch:
    """A connection that can express flows of the protocols `usable`. What version it speaks is left
    to the switch; if that is one which cannot, another is not tried."""
    allowed = args.allowed_protocols & usable
    if not usable:
        raise Fatal("no usable protocol")
    if not allowed:
        raise Fatal(
            f"none of the usable flow formats ({protocols_text(usable)}) is among the allowed "
            f"flow formats ({protocols_text(args.allowed_protocols)})"
        )
    switch = Switch(name, args, xids)
    if switch.protocol & allowed:
        return switch
    for bit in p.VERSION:
        if allowed & bit and switch.try_protocol(bit):
            return switch
    raise Fatal(
        f"switch does not support any of the usable flow formats ({protocols_text(usable)})"
    )
