"""Splits the operands of a command line into commands, and checks each against the command table.

    [OPTIONS] COMMAND [ARG...] [-- [OPTIONS] COMMAND [ARG...]]...

The texts of the complaints are Open vSwitch's.
"""

from __future__ import annotations

from netloom.base.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class CommandSpec:
    """One row of the command table.

    `arguments` and `options` are the forms that `--commands` prints; `options` also says which
    options the command takes: names separated by commas, with `=` where a value is required.
    `where` is the module that has the command's functions (`Program.module`) and `function` their
    common name:
    `run_FUNCTION(context)`, and `need_FUNCTION(needs, command)` unless `needs_model`.
    """

    __slots__ = (
        "arguments", "function", "max_args", "min_args", "name", "needs_model", "options", "where",
        "writes",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        counts: tuple[int, int | None],
        arguments: str,
        options: str,
        where: str,
        *,
        writes: bool = False,
        needs_model: bool = False,
    ) -> None:
        self.name = name
        self.min_args, self.max_args = counts
        self.arguments = arguments
        self.options = tuple(options.split(",")) if options else ()
        self.where = where
        self.function = name.replace("-", "_")
        self.writes = writes
        self.needs_model = needs_model


SETTING = "COLUMN[:KEY]=VALUE"

#: Commands that all tools have.
SHOW = CommandSpec("show", (0, 0), "", "--filter=", "db_ctl.show")
ANY_TABLE = (
    CommandSpec("list", (1, None), "TABLE [RECORD]...", "--if-exists,--columns=",
                "db_ctl.database"),
    CommandSpec("find", (1, None), f"TABLE [{SETTING}]...", "--columns=", "db_ctl.database"),
    CommandSpec("get", (2, None), "TABLE RECORD [COLUMN[:KEY]]...", "--if-exists,--id=",
                "db_ctl.database"),
    CommandSpec("set", (3, None), f"TABLE RECORD {SETTING}...", "--if-exists", "db_ctl.changes",
                writes=True),
    CommandSpec("add", (4, None), "TABLE RECORD COLUMN [KEY=]VALUE...", "--if-exists",
                "db_ctl.changes", writes=True),
    CommandSpec("remove", (4, None), "TABLE RECORD COLUMN KEY|VALUE|KEY=VALUE...", "--if-exists",
                "db_ctl.changes", writes=True),
    CommandSpec("clear", (3, None), "TABLE RECORD COLUMN...", "--if-exists", "db_ctl.changes",
                writes=True),
    CommandSpec("create", (2, None), f"TABLE {SETTING}...", "--id=", "db_ctl.changes",
                writes=True),
    CommandSpec("destroy", (1, None), "TABLE [RECORD]...", "--if-exists,--all", "db_ctl.changes",
                writes=True),
    CommandSpec("wait-until", (2, None), f"TABLE RECORD [{SETTING}]...", "", "db_ctl.database"),
    CommandSpec("comment", (0, None), "[ARG]...", "", "db_ctl.comment"),
)  # fmt: skip


class Command:
    """One command of this run: `args` are what follows its name; `options` maps `--name` to its
    value, or to None if it takes none."""

    __slots__ = ("args", "options", "spec")

    def __init__(self, spec: CommandSpec, args: list[str], options: dict[str, str | None]) -> None:
        self.spec = spec
        self.args = args
        self.options = options


def parse_commands(
    words: Sequence[str],
    local_options: dict[str, str | None],
    table: Mapping[str, CommandSpec],
) -> list[Command]:
    """The commands in `words`; `local_options`, given among the global ones, go to the first."""
    commands: list[Command] = []
    group: list[str] = []
    for word in [*words, "--"]:
        if word != "--":
            group.append(word)
        elif group:
            commands.append(_parse_command(group, local_options, table))
            group, local_options = [], {}
        elif local_options:
            raise CommandError("missing command name (use --help for help)")
    if not commands:
        raise CommandError("missing command name (use --help for help)")
    return commands


def _parse_command(
    group: list[str], options: dict[str, str | None], table: Mapping[str, CommandSpec]
) -> Command:
    at = 0
    while at < len(group) and group[at].startswith("-"):
        name, equals, value = group[at].partition("=")
        if name in options:
            raise CommandError(f"'{name}' option specified multiple times")
        options[name] = value if equals else None
        at += 1
    if at == len(group):
        raise CommandError("missing command name (use --help for help)")
    name, args = group[at], group[at + 1 :]
    spec = table.get(name)
    if spec is None:
        raise CommandError(f"unknown command '{name}'; use --help for help")
    _check_options(spec, options)
    _check_count(spec, args)
    return Command(spec, args, options)


def _check_options(spec: CommandSpec, options: dict[str, str | None]) -> None:
    for option, value in options.items():
        if option in spec.options:
            if value is not None:
                raise CommandError(
                    f"'{option}' option on '{spec.name}' does not accept an argument"
                )
        elif option + "=" in spec.options:
            if value is None:
                raise CommandError(
                    f"missing argument to '{option}' option on '{spec.name}' command"
                )
        else:
            raise CommandError(f"'{spec.name}' command has no '{option}' option")


def _check_count(spec: CommandSpec, args: list[str]) -> None:
    if len(args) < spec.min_args:
        raise CommandError(f"'{spec.name}' command requires at least {spec.min_args} arguments")
    if spec.max_args is not None and len(args) > spec.max_args:
        message = f"'{spec.name}' command takes at most {spec.max_args} arguments"
        if any(arg.startswith("-") for arg in args[spec.min_args :]):
            message += ' (note that options must precede command names and follow a "--" argument)'
        raise CommandError(message)
