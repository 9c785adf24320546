"""What tells one tool from another, and a run of it from its command line to its exit status."""

from __future__ import annotations

import posix
import sys

from netloom.base.errors import NetloomError
from netloom.base.getopt import UsageError
from netloom.base.log import DBG, INFO, WARN, get_logger, vlog
from netloom.ovsdb import json_text
from netloom.programs import tool
from netloom.programs.db_ctl import context as run_context
from netloom.programs.db_ctl.command_line import Command, parse_commands
from netloom.programs.db_ctl.options import Settings, parse_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from netloom.base.getopt import Option
    from netloom.programs.db_ctl.command_line import CommandSpec


#: Exit status if the database has the change but the switch could not follow it.
RECONFIGURATION_FAILED = 65


class RowId:
    """One way to name a row: by the value of column `name` of table `table`; if that is another
    table, column `via` there refers to the row meant. Without `name`, the word is `.`."""

    __slots__ = ("name", "table", "via")

    def __init__(self, table: str, name: str = "", via: str = "") -> None:
        self.table = table
        self.name = name
        self.via = via


class Program:
    """One tool.

    `package` is the folder of its own modules beside `db_ctl`: `model`, which says what of the
    database most commands read, `help`, and those that its commands name. `schema` is the file of
    its database's schema, whose version the tool says is `schema_version`; `root` the table whose
    one row all else hangs on. `shown` is what `show` prints of each table: the column that names a
    record, then others if they are not empty; a reference to a table that is there leads to its
    records. `follows_switch`: a daemon carries out what is changed, and the tool waits for it."""

    __slots__ = (
        "database", "follows_switch", "log_name", "name", "options", "package", "root", "row_ids",
        "schema", "schema_version", "shown", "specs",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        package: str,
        log_name: str,
        *,
        database: str,
        schema: str,
        schema_version: str,
        root: str,
        specs: Sequence[CommandSpec],
        options: Sequence[Option],
        row_ids: Mapping[str, RowId],
        shown: Mapping[str, Sequence[str]],
        follows_switch: bool = False,
    ) -> None:
        self.name = name
        self.package = package
        self.log_name = log_name
        self.database = database
        self.schema = schema
        self.schema_version = schema_version
        self.root = root
        self.specs = {spec.name: spec for spec in specs}
        self.options = options
        self.row_ids = row_ids
        self.shown = shown
        self.follows_switch = follows_switch

    def module(self, where: str) -> Any:
        """One of the tool's modules, or (with the name of its folder) one that all share."""
        path = where if "." in where else f"{self.package}.{where}"
        return __import__(f"netloom.programs.{path}", fromlist=["*"])


def run(program: Program, argv: list[str] | None) -> int:
    """Run the command line `argv` (the first word is the program's name); its exit status."""
    argv = sys.argv if argv is None else argv
    tool.set_up(program.name)
    vlog.set_level(WARN, "reconnect")
    try:
        settings = parse_options(program, argv[1:])
        if settings.ask:
            from netloom.programs.db_ctl.help import answer

            sys.stdout.write(answer(program, settings.ask))
            return 0
        return _run_commands(program, settings, argv)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except NetloomError as error:
        return tool.fatal(program.name, str(error), program.log_name)
    except run_context.ExitNow as leave:
        return leave.status


def _run_commands(program: Program, settings: Settings, argv: Sequence[str]) -> int:
    commands = parse_commands(settings.words, settings.local, program.specs)
    called = _quoted([program.name, *argv[1:]])
    writes = any(command.spec.writes for command in commands)
    get_logger(program.log_name).log(INFO if writes else DBG, "Called as %s", called)
    if settings.timeout:
        tool.set_alarm(settings.timeout)
    from netloom.programs.db_ctl.schema_file import load_schema
    from netloom.programs.db_ctl.session import Session

    needs = run_context.Needs(program, load_schema(program.schema))
    add_needs(needs, commands)
    session = Session(settings, needs)
    invoker = _invoker() if program.follows_switch else ""
    attempt, contexts = session.run(commands, f"{program.name}{invoker}: {called}")
    for context in contexts:
        if context.created is not None:
            context.output = [f"{attempt.txn.real_uuid(context.created.uuid)}\n"]
    _print_output(settings, contexts)
    session.wait_for_switch(attempt)
    return _report_failures(program, session.failed_interfaces(attempt))


def add_needs(needs: run_context.Needs, commands: Sequence[Command]) -> None:
    """Add to `needs` what the commands will read and write."""
    program = needs.program
    needs.table(program.root)
    if program.follows_switch:
        needs.columns(program.root, "next_cfg", "cur_cfg")
    for command in commands:
        if command.spec.needs_model:
            program.module("model").need_model(needs)
        module = program.module(command.spec.where)
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


def _report_failures(program: Program, failures: list[tuple[str, str]]) -> int:
    if not failures:
        return 0
    from netloom.base.paths import logdir

    for name, reason in failures:
        because = f": {reason}" if reason else ""
        tool.print_error(
            program.name,
            f"Error detected while setting up '{name}'{because}.  "
            "See ovs-vswitchd log for details.",
        )
    tool.print_error(program.name, f'The default log directory is "{logdir()}".')
    return RECONFIGURATION_FAILED
