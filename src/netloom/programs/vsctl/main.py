"""The program `ovs-vsctl`."""

from __future__ import annotations

import posix
import sys

from netloom.base.errors import NetloomError
from netloom.base.getopt import UsageError
from netloom.base.log import DBG, INFO, WARN, get_logger, vlog
from netloom.ovsdb import json_text
from netloom.programs import tool
from netloom.programs.vsctl import context as run_context
from netloom.programs.vsctl.command_line import Command, parse_commands
from netloom.programs.vsctl.commands import TABLE
from netloom.programs.vsctl.options import PROGRAM, Settings, parse_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


#: Exit status if the database has the change but the switch could not follow it.
RECONFIGURATION_FAILED = 65


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); its exit status."""
    argv = sys.argv if argv is None else argv
    tool.set_up(PROGRAM)
    vlog.set_level(WARN, "reconnect")
    try:
        settings = parse_options(argv[1:])
        if settings.ask:
            from netloom.programs.vsctl.help import answer

            sys.stdout.write(answer(settings.ask))
            return 0
        return _run(settings, argv)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except NetloomError as error:
        return tool.fatal(PROGRAM, str(error), "vsctl")
    except run_context.ExitNow as leave:
        return leave.status


def _run(settings: Settings, argv: Sequence[str]) -> int:
    commands = parse_commands(settings.words, settings.local, TABLE)
    called = _quoted([PROGRAM, *argv[1:]])
    writes = any(command.spec.writes for command in commands)
    get_logger("vsctl").log(INFO if writes else DBG, "Called as %s", called)
    if settings.timeout:
        tool.set_alarm(settings.timeout)
    from netloom.programs.vsctl.schema_file import load_schema
    from netloom.programs.vsctl.session import Session, load

    schema = load_schema()
    needs = run_context.Needs(schema)
    needs.columns("Open_vSwitch", "next_cfg", "cur_cfg")
    for command in commands:
        add_needs(needs, command, load(command))
    session = Session(settings, schema, needs)
    run, contexts = session.run(commands, f"ovs-vsctl{_invoker()}: {called}")
    for context in contexts:
        if context.created is not None:
            context.output = [f"{run.txn.real_uuid(context.created.uuid)}\n"]
    _print_output(settings, contexts)
    session.wait_for_switch(run)
    return _report_failures(session.failed_interfaces(run))


def add_needs(needs: run_context.Needs, command: Command, module: object) -> None:
    """Add to `needs` what `command`, whose functions are in `module`, will read and write."""
    if command.spec.needs_model:
        from netloom.programs.vsctl.model import need_model

        need_model(needs)
    function = getattr(module, "need_" + command.spec.function, None)
    if function is not None:
        function(needs, command)


_UNSAFE = frozenset(" \t\r\n\v\\'\"")


def _quoted(words: Sequence[str]) -> str:
    """The command line as one text, words with special characters quoted."""
    text = " ".join(
        [word if word and _UNSAFE.isdisjoint(word) else json_text.quote(word) for word in words]
    )
    # Bytes that are not UTF-8 would not pass the database or the system log.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _invoker() -> str:
    """` (invoked by NAME)`, where NAME is how the parent process calls itself."""
    parent = posix.getppid()
    try:
        with open(f"/proc/{parent}/cmdline", "rb", buffering=0) as file:
            name = file.read(4096).split(b"\0")[0].decode(errors="replace")
    except OSError:
        return ""
    return f" (invoked by {name})" if name else ""


def _print_output(settings: Settings, contexts: list[run_context.Context]) -> None:
    printer = None
    for context in contexts:
        if context.table is not None:
            if printer is None:
                from netloom.ovsdb.table_text import TablePrinter

                printer = TablePrinter(settings.style)
            text = printer.format(context.table)
        else:
            text = "".join(context.output)
            if settings.oneline:
                text = text.removesuffix("\n").replace("\\", "\\\\").replace("\n", "\\n") + "\n"
        sys.stdout.write(text)
    sys.stdout.flush()


def _report_failures(failures: list[tuple[str, str]]) -> int:
    if not failures:
        return 0
    from netloom.base.paths import logdir

    for name, reason in failures:
        because = f": {reason}" if reason else ""
        tool.print_error(
            PROGRAM,
            f"Error detected while setting up '{name}'{because}.  "
            "See ovs-vswitchd log for details.",
        )
    tool.print_error(PROGRAM, f'The default log directory is "{logdir()}".')
    return RECONFIGURATION_FAILED
