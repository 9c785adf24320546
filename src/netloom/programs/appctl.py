"""`ovs-appctl`: gives a running daemon a command and prints its answer (ovs-appctl(8))."""

from __future__ import annotations

import sys

from netloom import OVS_VERSION
from netloom.base.errors import CommandError, ProtocolError
from netloom.base.getopt import NO, REQUIRED, Getopt, Option, format_options, time_limit
from netloom.base.log import get_logger, vlog
from netloom.base.paths import rundir
from netloom.ovsdb import json_text
from netloom.programs.outcome import Fatal, outcome
from netloom.rpc.json_codec import LightJson
from netloom.rpc.jsonrpc import Error, Reply
from netloom.rpc.unixctl import JSON, TEXT, UnixctlClient
from netloom.transport import pidfile as pidfiles
from netloom.transport.address import Address
from netloom.transport.log_options import LOG_OPTIONS, apply_log_option
from netloom.transport.signals import FatalSignals, set_timeout
from netloom.transport.sync import Deadline, Dialogue, connect

PROGRAM = "ovs-appctl"

OPTIONS = (
    Option("target", REQUIRED, "t"),
    Option("execute", NO, "e"),
    Option("help", NO, "h"),
    Option("option", NO, "o"),
    Option("version", NO, "V"),
    Option("timeout", REQUIRED, "T"),
    Option("format", REQUIRED, "f"),
    Option("pretty"),
    *LOG_OPTIONS,
)

HELP = """\
ovs-appctl, for querying and controlling Open vSwitch daemon
usage: ovs-appctl [TARGET] COMMAND [ARG...]
Targets:
  -t, --target=TARGET  pidfile or socket to contact
Common commands:
  list-commands      List commands supported by the target
  version            Print version of the target
  vlog/list          List current logging levels
  vlog/list-pattern  List logging patterns for each destination.
  vlog/set [SPEC]
      Set log levels as detailed in SPEC, which may include:
      A valid module name (all modules, by default)
      'syslog', 'console', 'file' (all destinations, by default))
      'off', 'emer', 'err', 'warn', 'info', or 'dbg' ('dbg', bydefault)
  vlog/reopen        Make the program reopen its log file
Other options:
  --timeout=SECS     wait at most SECS seconds for a response
  -f, --format=FMT   Output format. One of: 'json', or 'text'
                     ('text', by default)
  --pretty           Format the output in a more readable fashion.
                     Requires: --format json.
  -h, --help         Print this helpful information
  -V, --version      Display ovs-appctl version information
"""

log = get_logger("unixctl")


class Arguments:
    """What the command line says."""

    __slots__ = ("command", "execute", "format", "pretty", "target", "timeout_s")

    def __init__(self) -> None:
        self.target = "ovs-vswitchd"
        self.format = TEXT
        self.pretty = False
        self.timeout_s = 0
        self.execute = False
        self.command: list[str] = []


def parse_timeout(text: str, spelling: str = "-T or --timeout") -> int:
    """The seconds of a time-out option."""
    seconds = time_limit(text)
    if seconds is None:
        raise Fatal(f"value {text} on {spelling} is invalid")
    return seconds


def _parse_arguments(argv: list[str]) -> Arguments | None:
    """The arguments; None if an option already did all there was to do."""
    parsed = Arguments()
    options = Getopt(PROGRAM, argv, OPTIONS, stop_at_operand=True)
    for option, value in options:
        if option == "target":
            parsed.target = value or ""
        elif option == "timeout":
            parsed.timeout_s = parse_timeout(value or "")
        elif option == "format":
            if value not in (TEXT, JSON):
                raise Fatal(f"value {value} on -f or --format is invalid")
            parsed.format = value
        elif option == "pretty":
            parsed.pretty = True
        elif option in ("help", "option", "version"):
            texts = {
                "help": HELP,
                "option": format_options(OPTIONS),
                "version": f"{PROGRAM} (Open vSwitch) {OVS_VERSION}\n",
            }
            sys.stdout.write(texts[option])
            return None
        elif option == "execute":
            # From a time when the command was its argument; now it means nothing.
            if parsed.execute:
                raise Fatal("-e or --execute may be speciifed only once")
            parsed.execute = True
        else:
            apply_log_option(vlog, option, value)
    parsed.command = options.operands
    if not parsed.command:
        raise Fatal("at least one non-option argument is required (use --help for help)")
    if parsed.pretty and parsed.format != JSON:
        raise Fatal("--pretty is supported with --format json only")
    return parsed


def control_socket(target: str) -> str:
    """The control socket of `target`: a path, or a program's name to be looked up by its pid
    file in the run directory."""
    if target.startswith("/"):
        return target
    pidfile = f"{rundir()}/{target}.pid"
    try:
        pid = pidfiles.read_pidfile(pidfile)
    except OSError as error:
        raise Fatal(f'cannot read pidfile "{pidfile}" ({error.strerror})') from None
    return f"{rundir()}/{target}.{pid}.ctl"


def open_target(target: str) -> Dialogue[Reply | Error]:
    """A connection to the daemon `target`."""
    path = control_socket(target)
    name = f"unix:{path}"
    try:
        stream = connect(Address(name, "unix", False, path=path), Deadline())
    except OSError as error:
        log.warn("failed to connect to %s", path)
        raise Fatal(f'cannot connect to "{path}" ({error.strerror})') from None
    client = UnixctlClient(LightJson(), name)
    return Dialogue(stream, client)


def transact(
    dialogue: Dialogue[Reply | Error], target: str, command: str, args: list[str]
) -> object:
    """The daemon's answer; `CommandError` with its text if it refuses."""
    client = dialogue.machine
    assert isinstance(client, UnixctlClient)
    client.call(command, args)
    try:
        answer = dialogue.next_event(Deadline())
    except (EOFError, OSError, ProtocolError) as error:
        reason = "Protocol error" if isinstance(error, ProtocolError) else "End of file"
        reason = (error.strerror or reason) if isinstance(error, OSError) else reason
        log.warn("error communicating with %s: %s", dialogue.name, reason)
        raise Fatal(f"{target}: transaction error ({reason})") from None
    if isinstance(answer, Error):
        text = answer.error
        raise CommandError(text if isinstance(text, str) else json_text.format_json(text) + "\n")
    return answer.result


def _format_result(result: object, arguments: Arguments) -> str:
    if arguments.format == JSON:
        write = json_text.format_pretty if arguments.pretty else json_text.format_json
        return write(result) + "\n"
    if not isinstance(result, str):
        kind = "null" if result is None else type(result).__name__
        raise Fatal(f"Unexpected reply type in JSON rpc reply: {kind}")
    return _as_lines(result)


def _as_lines(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _run(argv: list[str]) -> int:
    arguments = _parse_arguments(argv)
    if arguments is None:
        return 0
    set_timeout(FatalSignals(), arguments.timeout_s)
    dialogue = open_target(arguments.target)
    try:
        if arguments.format != TEXT:
            set_format = ["--format", arguments.format]
            transact(dialogue, arguments.target, "set-options", set_format)
        command, *args = arguments.command
        result = transact(dialogue, arguments.target, command, args)
    except CommandError as error:
        sys.stderr.write(_as_lines(str(error)))
        sys.stderr.write(f"{PROGRAM}: {arguments.target}: server returned an error\n")
        return 2
    finally:
        dialogue.close()
    sys.stdout.write(_format_result(result, arguments))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); the exit status."""
    return outcome(PROGRAM, _run, argv)


if __name__ == "__main__":
    sys.exit(main())
