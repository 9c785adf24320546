"""unixctl: how `ovs-appctl` tells a running daemon what to do.

It is JSON-RPC over a Unix socket: the method is the command, the parameters are its arguments (all
strings), the reply or the error is a text for the user's terminal.

A daemon fills a `CommandRegistry` with handlers and gives each connection a `UnixctlSession`.
A handler takes the arguments and returns the text, or raises `CommandError`, or returns a
`Deferred` that is answered later (`time/warp`, `exit`). A session runs one command at a time:
requests that arrive while one is deferred wait for it.

`set-options --format json` (Open vSwitch 3.4 and later) changes what one connection gets: a command
that has a JSON form returns that, every other one its text wrapped in an object.
"""

from __future__ import annotations

from netloom.base.errors import CommandError, NetloomError, ProtocolError
from netloom.base.getopt import REQUIRED, Getopt, Option, UsageError
from netloom.base.log import get_logger

from .jsonrpc import Error, JsonRpc, Notify, Reply, Request
from .jsonrpc import log as _jsonrpc_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .json_codec import Codec

    #: What a command does: its arguments to its output.
    Handler = Callable[[list[str]], "str | Deferred | None"]
    #: The same as a JSON value.
    JsonHandler = Callable[[list[str]], Any]

TEXT, JSON = "text", "json"

log = get_logger("unixctl")


class Deferred:
    """The answer to a command, to be given later, exactly once."""

    __slots__ = ("_answer", "_deliver")

    def __init__(self) -> None:
        self._answer: tuple[bool, str] | None = None
        self._deliver: Callable[[bool, str], None] | None = None

    @property
    def answered(self) -> bool:
        return self._answer is not None

    def reply(self, text: str = "") -> None:
        self._settle(True, text)

    def fail(self, text: str) -> None:
        self._settle(False, text)

    def _settle(self, success: bool, text: str) -> None:
        assert self._answer is None, "answered twice"
        self._answer = (success, text)
        if self._deliver is not None:
            self._deliver(success, text)

    def bind(self, deliver: Callable[[bool, str], None]) -> None:
        """Have the answer handed to `deliver(success, text)`, now or when it is there."""
        self._deliver = deliver
        if self._answer is not None:
            deliver(*self._answer)


class Command:
    """One command; `max_args` None is no limit."""

    __slots__ = ("as_json", "handler", "max_args", "min_args", "name", "usage")

    def __init__(
        self,
        name: str,
        usage: str,
        min_args: int,
        max_args: int | None,
        handler: Handler,
        as_json: JsonHandler | None = None,
    ) -> None:
        self.name = name
        self.usage = usage
        self.min_args = min_args
        self.max_args = max_args
        self.handler = handler
        self.as_json = as_json


class CommandRegistry:
    """The commands of a daemon; has `list-commands`, and `version` if a version is given.

    `set-options` is listed here, too, but is the session's own business.
    """

    def __init__(self, version: str = "") -> None:
        self._commands: dict[str, Command] = {}
        self._aliases: dict[str, str] = {}
        #: Requests that came, and those that were answered.
        self.n_received = self.n_replied = 0
        self.register("list-commands", "", 0, 0, self._list, self._list_json)
        self.register("set-options", "[--format text|json]", 1, 2, lambda args: "")
        if version:
            self.register("version", "", 0, 0, lambda args: version)

    def register(
        self,
        name: str,
        usage: str,
        min_args: int,
        max_args: int | None,
        handler: Handler,
        as_json: JsonHandler | None = None,
    ) -> None:
        """Add a command. `usage` is shown by `list-commands`; `as_json` answers `--format json`."""
        assert name not in self._commands, f"{name} is registered already"
        self._commands[name] = Command(name, usage, min_args, max_args, handler, as_json)

    def add_alias(self, alias: str, name: str) -> None:
        """Take the command `name` by an older name, too, which is not listed."""
        self._aliases[alias] = name

    def unregister(self, name: str) -> None:
        self._commands.pop(name, None)

    def __iter__(self) -> Iterator[Command]:
        return iter(sorted(self._commands.values(), key=lambda command: command.name))

    def find(self, name: str, args: list[Any]) -> Command:
        """The command, if these arguments may be given to it; otherwise `CommandError`."""
        command = self._commands.get(self._aliases.get(name, name))
        if command is None:
            raise CommandError(
                f'"{name}" is not a valid command '
                '(use "list-commands" to see a list of valid commands)'
            )
        if len(args) < command.min_args:
            raise CommandError(f'"{name}" command requires at least {command.min_args} arguments')
        if command.max_args is not None and len(args) > command.max_args:
            raise CommandError(f'"{name}" command takes at most {command.max_args} arguments')
        if not all(isinstance(arg, str) for arg in args):
            raise CommandError(f'"{name}" command has non-string argument')
        return command

    def _list(self, args: list[str]) -> str:
        lines = [f"  {command.name:<23} {command.usage}\n" for command in self]
        return "The available commands are:\n" + "".join(lines)

    def _list_json(self, args: list[str]) -> dict[str, str]:
        return {command.name: command.usage for command in self}


def _line(text: str) -> str:
    """`text` with a line end, unless it is empty."""
    return text if not text or text.endswith("\n") else text + "\n"


_FORMAT_OPTION = (Option("format", REQUIRED, "f"),)


def parse_format(args: list[str]) -> str:
    """The format that the arguments of `set-options` ask for."""
    chosen = TEXT
    try:
        for _, value in Getopt("set-options", args, _FORMAT_OPTION):
            chosen = (value or "").lower()
    except UsageError as error:
        raise CommandError(str(error)) from None
    if chosen not in (TEXT, JSON):
        raise CommandError(f"option format has invalid value {chosen}")
    return chosen


class UnixctlSession:
    """The daemon's end of one control connection: a machine without events of its own."""

    def __init__(self, registry: CommandRegistry, codec: Codec, name: str = "unixctl") -> None:
        self._registry = registry
        self._rpc = JsonRpc(codec, answer_echo=False, name=name)
        self._name = name
        self._format = TEXT
        self._busy = False
        #: A deferred answer was given, so that the requests behind it can be run.
        self._resume = False

    def receive_data(self, data: bytes) -> None:
        self._rpc.receive_data(data)

    def next_event(self) -> None:
        """Runs the commands that have arrived."""
        while not self._busy:
            try:
                message = self._rpc.next_event()
            except ProtocolError as error:
                _jsonrpc_log.warn_rl("%s: %s", self._name, _bad_message(error))
                raise
            if message is None:
                return
            if not isinstance(message, Request):
                kind = "notification" if isinstance(message, Notify) else "reply"
                kind = "error" if isinstance(message, Error) else kind
                log.warn_rl("%s: received unexpected %s message", self._name, kind)
                raise ProtocolError(f"received unexpected {kind} message")
            self._run(message)

    def _run(self, request: Request) -> None:
        name, args = request.method, request.params
        self._registry.n_received += 1
        if log.is_dbg_enabled:
            log.dbg("received request %s[%s], id=%s", name, ", ".join(map(repr, args)), request.id)
        try:
            command = self._registry.find(name, args)
            if name == "set-options":
                self._format = parse_format(args)
                self._registry.n_replied += 1
                self._rpc.reply(request.id, "")
                return
            if self._format == JSON and command.as_json is not None:
                self._registry.n_replied += 1
                self._rpc.reply(request.id, command.as_json(args))
                return
            answer = command.handler(args)
        except NetloomError as error:
            # Whatever a handler finds wrong is its user's to read, and nobody else's end.
            self._answer(request.id, False, str(error))
            return
        if isinstance(answer, Deferred):
            self._busy = True
            answer.bind(lambda success, text: self._finish(request.id, success, text))
        else:
            self._answer(request.id, True, answer or "")

    def _finish(self, request_id: Any, success: bool, text: str) -> None:
        self._answer(request_id, success, text)
        self._busy = False
        self._resume = True

    def _answer(self, request_id: Any, success: bool, text: str) -> None:
        self._registry.n_replied += 1
        outcome = "success" if success else "error"
        log.dbg('replying with %s, id=%s: "%s"', outcome, request_id, text)
        if not success:
            self._rpc.error(request_id, _line(text))
        elif self._format == JSON:
            self._rpc.reply(request_id, {"reply-format": "plain", "reply": text})
        else:
            # Clients since 3.4 would end the line themselves; older ones print what they get.
            self._rpc.reply(request_id, _line(text))

    def data_to_send(self) -> bytes:
        return self._rpc.data_to_send()

    def deadline(self) -> int | None:
        return 0 if self._resume else None

    def advance(self, now_ms: int) -> None:
        self._resume = False


def _bad_message(error: ProtocolError) -> str:
    text = str(error)
    parsing = text.startswith("error parsing stream")
    return text if parsing else f"received bad JSON-RPC message: {text}"


class UnixctlClient:
    """The tool's end: `call` a command, feed bytes, and `next_event` is its Reply or Error."""

    def __init__(self, codec: Codec, name: str = "unixctl") -> None:
        self._rpc = JsonRpc(codec, name=name)

    def call(self, command: str, args: list[str]) -> None:
        self._rpc.request(command, args)

    def receive_data(self, data: bytes) -> None:
        self._rpc.receive_data(data)

    @property
    def closed(self) -> bool:
        return self._rpc.closed

    def next_event(self) -> Reply | Error | None:
        message = self._rpc.next_event()
        if message is None or isinstance(message, Reply | Error):
            return message
        raise ProtocolError("received unexpected message")

    def data_to_send(self) -> bytes:
        return self._rpc.data_to_send()

    def deadline(self) -> int | None:
        return None

    def advance(self, now_ms: int) -> None:
        del now_ms
