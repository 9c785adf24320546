"""The long part of monitor and snoop: printing messages until somebody says `exit`.

The program is a daemon then: it has a control socket, and with --detach goes into the background
once everything is set up. Messages go to the standard error, which stays open for that, or to the
file that `ofctl/set-output-file` names. `ofctl/block` stops reading from the switch.
"""

from __future__ import annotations

import os
import sys
import time

from netloom.base.counters import Counters
from netloom.base.errors import CommandError, ConfigError, ProtocolError
from netloom.base.log import vlog
from netloom.openflow import messages as m
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_text import Style, format_message
from netloom.programs.control import Control, make_registry
from netloom.programs.ofctl.options import PROGRAM, Fatal
from netloom.programs.ofctl.switch import failure_text
from netloom.rpc.daemon_commands import register_coverage_commands, register_vlog_commands
from netloom.rpc.unixctl import Deferred
from netloom.transport.daemon import Daemon
from netloom.transport.loop import MainLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.openflow.flow_colors import Painter
    from netloom.openflow.flow_text import Names
    from netloom.programs.ofctl import Context
    from netloom.programs.ofctl.switch import Switch

_ECHO_REQUEST = 2
_BARRIER_REPLY = {1: 19}


def _timestamp() -> str:
    now = time.time()
    milliseconds = int(now * 1000) % 1000
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now)) + f".{milliseconds:03d}: "


class Watch:
    """Prints what comes from an open switch, and does what the control socket says."""

    def __init__(
        self,
        switch: Switch,
        style: Style,
        paint: Painter | None,
        *,
        answer_echo: bool = False,
        resume: bool = False,
    ) -> None:
        self.switch = switch
        self._painter = paint
        self.failure: Fatal | None = None
        self.timestamps = False
        self.loop: MainLoop
        self._style = style
        self._answer_echo = answer_echo
        self._resume = resume
        self._blocked = False
        self._barrier: Deferred | None = None
        self._names: Names | None = None

    # Messages

    def start(self) -> None:
        self.loop.watch(self.switch.fileno(), self._read)
        # Some messages may have come along with what was asked before.
        self.loop.aio.call_soon(self._read)

    def _read(self) -> None:
        try:
            while not self._blocked:
                data = self.switch.receive_ready()
                if data is None:
                    return
                self._print(data)
        except (EOFError, ProtocolError, OSError) as error:
            self._end(Fatal(f"vconn_recv ({failure_text(error)})"))
        except Fatal as error:
            self._end(error)

    def _end(self, failure: Fatal) -> None:
        self.failure = failure
        self.loop.unwatch(self.switch.fileno())
        self.loop.stop(1)

    def _text(self, data: bytes, style: Style) -> str:
        text = format_message(data, style)
        return text if self._painter is None else self._painter.message(text)

    def _print(self, data: bytes) -> None:
        stamp = _timestamp() if self.timestamps else ""
        sys.stderr.write(stamp + self._text(data, self._style))
        sys.stderr.flush()
        if data[1] == _BARRIER_REPLY.get(data[0], 21):
            if self._barrier is not None:
                self._barrier.reply()
                self._barrier = None
        elif data[1] == _ECHO_REQUEST:
            if self._answer_echo:
                xid = int.from_bytes(data[4:8], "big")
                self.switch.send(self.switch.encode(m.EchoReply(data[8:]), xid))
        elif self._resume:
            self._resume_packet(data)

    def _resume_packet(self, data: bytes) -> None:
        """Has a packet that was paused go on."""
        from netloom.openflow.codec import decode_message

        try:
            message, _ = decode_message(data, self.switch.protocol)
        except OpenFlowError as error:
            sys.stderr.write(f"decoding packet-in failed: {error.name}")
            return
        if not isinstance(message, m.PacketIn) or not message.continuation:
            return
        reply = self.switch.encode(m.Resume(message), 0)
        sys.stderr.write("send: " + self._text(reply, self._style))
        sys.stderr.flush()
        self.switch.send(reply)

    # Commands

    def register(self, control: Control, context: Context) -> None:
        add = control.registry.register
        plain = Style(context.args.verbosity)

        def send(args: list[str]) -> str:
            return self._send(args, plain)

        add("ofctl/send", "OFMSG...", 1, None, send)
        add(
            "ofctl/packet-out",
            '"in_port=<port> packet=<hex data> actions=..."',
            1,
            1,
            lambda args: self._packet_out(args[0], plain, context),
        )
        add("ofctl/barrier", "", 0, 0, self._send_barrier)
        add("ofctl/set-output-file", "FILE", 1, 1, self._set_output_file)
        add("ofctl/block", "", 0, 0, self._block)
        add("ofctl/unblock", "", 0, 0, self._unblock)

    def _send(self, args: list[str], style: Style) -> str:
        """Each argument is a message in hexadecimal digits."""
        answers = []
        failed = False
        for text in args:
            try:
                message = _message_bytes(text)
                sys.stderr.write("send: " + self._text(message, style))
                self.switch.send(message)
                answers.append("sent\n")
            except (CommandError, Fatal) as error:
                failed = True
                answers.append(f"{error}\n")
        if failed:
            raise CommandError("".join(answers))
        return "".join(answers)

    def _packet_out(self, text: str, style: Style, context: Context) -> str:
        from netloom.openflow.flow_text import parse_packet_out
        from netloom.programs.ofctl.names import accepted_names

        if self._names is None:
            self._names = accepted_names(context, context.switch, ports_first=True)
        try:
            message, usable = parse_packet_out(text, self._names)
        except ConfigError as error:
            raise CommandError(f"{error}\n") from None
        if not usable & self.switch.protocol:
            raise CommandError(
                "PACKET_OUT actions are incompatible with the OpenFlow connection.\n"
            )
        data = self.switch.encode(message)
        sys.stderr.write(self._text(data, style))
        self.switch.send(data)
        return ""

    def _send_barrier(self, args: list[str]) -> Deferred:
        if self._barrier is not None:
            raise CommandError("already waiting for barrier reply")
        self.switch.send(self.switch.encode(m.BarrierRequest()))
        self._barrier = Deferred()
        return self._barrier

    def _set_output_file(self, args: list[str]) -> str:
        try:
            fd = os.open(args[0], os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o666)
        except OSError as error:
            raise CommandError(error.strerror or str(error)) from None
        sys.stderr.flush()
        os.dup2(fd, 2)
        os.close(fd)
        return ""

    def _block(self, args: list[str]) -> str:
        if self._blocked:
            return "already blocking"
        self._blocked = True
        self.loop.unwatch(self.switch.fileno())
        return ""

    def _unblock(self, args: list[str]) -> str:
        if not self._blocked:
            return "already unblocked"
        self._blocked = False
        self.start()
        return ""


def _message_bytes(text: str) -> bytes:
    try:
        data = bytes.fromhex("".join(text.split()))
    except ValueError:
        raise CommandError("Trailing garbage in hex data") from None
    if len(data) < 8:
        raise CommandError("Message too short for OpenFlow")
    if int.from_bytes(data[2:4], "big") != len(data):
        raise CommandError("Message size does not match length in OpenFlow header")
    return data


def _events(switch: Switch) -> Counters:
    """What `coverage/show` counts in this program; there is one greeting in each direction."""
    events = Counters()
    events.counter("vconn_open").add()
    events.counter("vconn_received").follow(lambda: switch.received + 1)
    events.counter("vconn_sent").follow(lambda: switch.sent + 1)
    return events


def watch(context: Context, work: Watch) -> int:
    """Runs until `exit` or until the switch goes away; the exit status."""
    work.timestamps = context.args.timestamp
    daemon = Daemon(PROGRAM, vlog, context.signals, keep_stderr=True)
    for option, value in context.args.daemon:
        daemon.apply(option, value)
    daemon.start()
    # The loop's descriptors belong to one process: it is made after the forks.
    work.loop = MainLoop()
    control = Control(PROGRAM, work.loop, make_registry(PROGRAM), context.signals)
    register_vlog_commands(control.registry, vlog)
    register_coverage_commands(control.registry, _events(work.switch))
    control.register_exit()
    work.register(control, context)
    control.open(context.args.unixctl)
    daemon.complete()
    work.start()
    status = work.loop.run()
    control.close()
    daemon.close()
    if work.failure is not None:
        raise work.failure
    work.switch.close()
    return status
