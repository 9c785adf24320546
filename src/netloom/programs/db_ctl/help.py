"""The answers to `--help`, `--commands`, `--options` and `--version`."""

from __future__ import annotations

from netloom.base.paths import logdir
from netloom.ovsdb.hash_order import table_order, text_hash
from netloom.programs import tool
from netloom.programs.help_text import (
    CONNECTION_HELP,
    LOG_HELP,
    TABLE_HELP,
    TLS_HELP,
    version_text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.db_ctl.run import Program

DATABASE_HELP = """\

Database commands:
  list TBL [REC]              list RECord (or all records) in TBL
  find TBL CONDITION...       list records satisfying CONDITION in TBL
  get TBL REC COL[:KEY]       print values of COLumns in RECord in TBL
  set TBL REC COL[:KEY]=VALUE set COLumn values in RECord in TBL
  add TBL REC COL [KEY=]VALUE add (KEY=)VALUE to COLumn in RECord in TBL
  remove TBL REC COL [KEY=]VALUE  remove (KEY=)VALUE from COLumn
  clear TBL REC COL           clear values from COLumn in RECord in TBL
  create TBL COL[:KEY]=VALUE  create and initialize new record
  destroy TBL REC             delete RECord from TBL
  wait-until TBL REC [COL[:KEY]=VALUE]  wait until condition is true
Potentially unsafe database commands require --force option.
Database commands may reference a row in each table in the following ways:
"""

OPTION_HELP = """\

Options:
  --db=DATABASE               connect to DATABASE
                              (default: {db})
{own}  --dry-run                   do not commit changes to database
  --oneline                   print exactly one line of output per command

{table}
{log}  --no-syslog             equivalent to --verbose={log_name}:syslog:warn

{connection}{tls}
Other options:
  -h, --help                  display this help message
  -V, --version               display version information
"""


def answer(program: Program, question: str) -> str:
    """What the run prints for that option."""
    if question == "version":
        return f"{version_text(program.name)}DB Schema {program.schema_version}\n"
    if question == "options":
        return tool.list_options(program.options)
    if question == "commands":
        return _commands(program)
    own = program.module("help")
    options = OPTION_HELP.format(
        db=tool.default_remote(),
        own=own.OPTIONS,
        table=TABLE_HELP,
        log=LOG_HELP.format(log_file=f"{logdir()}/{program.name}.log"),
        log_name=program.log_name,
        connection=CONNECTION_HELP.format(what="database "),
        tls=TLS_HELP,
    )
    return f"{own.COMMANDS}{DATABASE_HELP}{_row_ids(program)}{options}"


def _row_ids(program: Program) -> str:
    from netloom.programs.db_ctl.schema_file import load_schema

    lines = []
    for table in load_schema(program.schema).tables:
        lines += [f"  {table}:", "    by UUID"]
        row_id = program.row_ids.get(table)
        if row_id is None:
            continue
        if not row_id.name:
            lines.append('    as "."')
        elif row_id.via:
            lines.append(f'    via "{row_id.via}" of {row_id.table} with matching "{row_id.name}"')
        else:
            lines.append(f'    by "{row_id.name}"')
    return "".join([line + "\n" for line in lines])


def _marked(form: str) -> str:
    """An argument form with each argument's number as a sign: `!` one, `?` up to one, `+` and `*`
    at least one and none."""
    words = []
    for word in form.split():
        optional = word.startswith("[")
        repeated = word.endswith("...")
        bare = word.removesuffix("...")
        if optional and bare.endswith("]"):
            bare = bare[1:-1]
        else:
            optional = False
        sign = ("*" if repeated else "?") if optional else ("+" if repeated else "!")
        words.append(sign + bare.replace("[:KEY]", "?:KEY").replace("[KEY=]", "?KEY="))
    return " ".join(words)


#: Of the modules that are not among a program's `RANKS`.
_MIDDLE_RANK = 3


def _registered(program: Program) -> list[str]:
    """The commands in the order in which Open vSwitch enters them into its table."""
    given = program.module("help").RANKS
    ranks = {spec.name: given.get(spec.where, _MIDDLE_RANK) for spec in program.specs.values()}
    return sorted(ranks, key=ranks.__getitem__)


def _commands(program: Program) -> str:
    """The commands in the order of Open vSwitch's hash table of them."""
    lines = {}
    for spec in program.specs.values():
        options = " ".join([f"[{option}]" for option in spec.options])
        lines[spec.name] = f"{options + ' ' if options else ''},{spec.name},"
        lines[spec.name] += f"{_marked(spec.arguments)}\n"
    order = table_order((text_hash(name), name) for name in _registered(program))
    return "".join([lines[name] for name in order])
