"""`ovs-ofctl`: watch and change OpenFlow switches (ovs-ofctl(8)).

    options    the command line
    commands   the table of commands
    switch     a connection to a switch
    names      names of ports and tables
    dumps, flows, ports, compare, monitor, echo, debug    the commands

A module is imported when its command runs: most invocations last a few milliseconds.
"""

from __future__ import annotations

import sys

from netloom import OVS_VERSION
from netloom.base.getopt import format_options
from netloom.base.log import vlog
from netloom.programs.ofctl.commands import Command, find_command
from netloom.programs.ofctl.options import OPTIONS, PROGRAM, Arguments, Fatal, parse_arguments
from netloom.programs.outcome import outcome
from netloom.transport.signals import FatalSignals, set_timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from netloom.openflow.connection import Xids


class Context:
    """What a command gets: its arguments, the options, and what to tidy up after a signal."""

    __slots__ = ("_xids", "args", "operands", "ports", "signals", "tables")

    def __init__(self, args: Arguments, operands: list[str], signals: FatalSignals) -> None:
        self.args = args
        self.operands = operands
        self.signals = signals
        self._xids: Xids | None = None
        #: What the switches with these names said of their ports and tables.
        self.ports: dict[str, list[tuple[str, int]]] = {}
        self.tables: dict[str, dict[int, str]] = {}

    @property
    def xids(self) -> Xids:
        """What numbers the requests of all connections."""
        if self._xids is None:
            from netloom.openflow.connection import Xids

            self._xids = Xids()
        return self._xids

    def operand(self, index: int, default: str = "") -> str:
        return self.operands[index] if index < len(self.operands) else default

    @property
    def switch(self) -> str:
        """The first operand, which most commands want to be a switch."""
        return self.operands[0]


def _function(command: Command) -> Callable[[Context], int | None]:
    module, _, name = command.function.partition(".")
    found = __import__(f"netloom.programs.ofctl.{module}", fromlist=["x"])
    return getattr(found, name)  # type: ignore[no-any-return]


def _command(args: Arguments) -> Command:
    if not args.command:
        raise Fatal("missing command name; use --help for help")
    name, *operands = args.command
    command = find_command(name)
    if command is None:
        raise Fatal(f"unknown command '{name}'; use --help for help")
    if len(operands) < command.least:
        raise Fatal(f"'{name}' command requires at least {command.least} arguments")
    if 0 <= command.most < len(operands):
        raise Fatal(f"'{name}' command takes at most {command.most} arguments")
    if args.read_only and command.writes:
        raise Fatal(f"'{name}' command does not work in read only mode")
    return command


def _print_text(args: Arguments) -> None:
    if args.print == "help":
        from netloom.base.paths import logdir, rundir
        from netloom.programs.ofctl.help import help_text

        sys.stdout.write(help_text(rundir(), logdir()))
    elif args.print == "option":
        sys.stdout.write(format_options(OPTIONS))
    else:
        sys.stdout.write(f"{PROGRAM} (Open vSwitch) {OVS_VERSION}\nOpenFlow versions 0x1:0x6\n")


def _run(argv: list[str]) -> int:
    args = parse_arguments(argv, vlog)
    if args.print:
        _print_text(args)
        return 0
    command = _command(args)
    signals = FatalSignals()
    set_timeout(signals, args.timeout_s)
    return _function(command)(Context(args, args.command[1:], signals)) or 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); the exit status."""
    return outcome(PROGRAM, _run, argv)
