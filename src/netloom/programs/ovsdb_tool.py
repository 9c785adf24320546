"""ovsdb-tool: database files without a server (ovsdb-tool(1))."""

from __future__ import annotations

import os
import sys

from netloom import OVS_VERSION
from netloom.base import paths
from netloom.base.clock import SystemClock
from netloom.base.errors import CommandError
from netloom.base.getopt import REQUIRED, Getopt, Option, format_options
from netloom.base.log import vlog
from netloom.ovsdb.errors import OvsdbError, syntax_error
from netloom.ovsdb.file_store import (
    FileStore,
    convert_database,
    create_database,
    snapshot_records,
)
from netloom.ovsdb.json_text import format_json
from netloom.ovsdb.log_file import FileLock, file_kind, overwrite_file
from netloom.ovsdb.rbac import Rbac
from netloom.ovsdb.schema import DatabaseSchema, is_version
from netloom.ovsdb.transact import Context, execute
from netloom.ovsdb.uuids import UuidSource
from netloom.programs.help_text import LOG_HELP, version_text
from netloom.programs.outcome import outcome
from netloom.rpc.json_codec import LightJson, decode_document
from netloom.transport.log_options import LOG_OPTIONS, apply_log_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PROGRAM = "ovsdb-tool"
OPTIONS = (
    Option("more", short="m"),
    Option("rbac-role", REQUIRED),
    Option("cid", REQUIRED),
    Option("election-timer", REQUIRED),
    *LOG_OPTIONS,
    Option("help", short="h"),
    Option("option", short="o"),
    Option("version", short="V"),
)

USAGE = """\
{program}: Open vSwitch database management utility
usage: {program} [OPTIONS] COMMAND [ARG...]
  create [DB [SCHEMA]]    create DB with the given SCHEMA
  [--election-timer=ms] create-cluster DB CONTENTS LOCAL
    create clustered DB with given CONTENTS and LOCAL address
  [--cid=UUID] join-cluster DB NAME LOCAL REMOTE...
    join clustered DB with given NAME and LOCAL and REMOTE addrs
  compact [DB [DST]]      compact DB in-place (or to DST)
  convert [DB [SCHEMA [DST]]]   convert DB to SCHEMA (to DST)
  db-name [DB]            report name of schema used by DB
  db-version [DB]         report version of schema used by DB
  db-cksum [DB]           report checksum of schema used by DB
  db-cid DB               report cluster ID of clustered DB
  db-sid DB               report server ID of clustered DB
  db-local-address DB     report local address of clustered DB
  db-is-clustered DB      test whether DB is clustered
  db-is-standalone DB     test whether DB is standalone
  schema-name [SCHEMA]    report SCHEMA's name
  schema-version [SCHEMA] report SCHEMA's schema version
  schema-cksum [SCHEMA]   report SCHEMA's checksum
  compare-versions A OP B  compare OVSDB schema version numbers
  query [DB] TRNS         execute read-only transaction on DB
  transact [DB] TRNS      execute read/write transaction on DB
  cluster-to-standalone DB DB    Convert clustered DB to
      standalone DB when cluster is down and cannot be
        revived
  [-m]... show-log [DB]   print DB's log entries
The default DB is {database}.
The default SCHEMA is {schema}.

{log}
Other options:
  -m, --more                  increase show-log verbosity
  -h, --help                  display this help message
  -V, --version               display version information
"""


def default_database() -> str:
    return f"{paths.dbdir()}/conf.db"


def default_schema() -> str:
    """The installed schema; the one in this package where none is installed."""
    path = f"{paths.pkgdatadir()}/vswitch.ovsschema"
    if os.path.exists(path):
        return path
    from netloom.ovsdb import schemas_directory

    return f"{schemas_directory()}/vswitch.ovsschema"


def read_schema(path: str) -> DatabaseSchema:
    """The schema in a JSON file; raises `CommandError`."""
    try:
        with open(path, "rb") as file:
            json = decode_document(LightJson(), file.read())
    except OSError as error:
        why = f'error opening "{path}": {error.strerror}'
        raise CommandError(
            f'failed to read schema: "{path}" could not be read as JSON ({why})'
        ) from error
    except ValueError as error:
        raise CommandError(
            f'failed to read schema: "{path}" could not be read as JSON ({error})'
        ) from error
    try:
        return DatabaseSchema.from_json(json)
    except OvsdbError as error:
        raise CommandError(f'failed to parse "{path}" as ovsdb schema ({error})') from error


def open_store(path: str, writable: bool, schema: DatabaseSchema | None = None) -> FileStore:
    """Load a database file; damage to it is an error here."""
    if file_kind(path) == "clustered":
        raise OvsdbError(
            "ovsdb error", f"{path}: cannot apply this operation to clustered database file"
        )
    codec = LightJson()
    store = FileStore.open(
        path, codec.decode, codec.encode, writable, UuidSource(), lenient_schema=schema
    )
    if store.log.damage is not None:
        store.close()
        raise store.log.damage
    return store


def file_schema(path: str) -> DatabaseSchema:
    """The schema embedded in a database file."""
    store = open_store(path, writable=False)
    store.close()
    return store.database.schema


def _is_database(path: str) -> bool:
    """Whether a file that may be a schema or a database is the latter."""
    try:
        file_kind(path)
    except OvsdbError:
        return False
    return True


def check_lock(path: str) -> None:
    """Fail, before a file is rewritten in its place, if somebody else has it."""
    try:
        FileLock(path).release()
    except OvsdbError as error:
        raise CommandError(str(error).removeprefix("I/O error: ")) from error


class Tool:
    """The commands; each prints its output and returns the exit status."""

    def __init__(self) -> None:
        self.more = 0
        #: What role transactions have; "" for one that may do everything.
        self.role = ""
        #: Of a cluster that is to be made or joined.
        self.election_timer: int | None = None
        self.cid: str | None = None
        self.clock = SystemClock()
        self.codec = LightJson()

    def create(self, args: list[str]) -> int:
        path = args[0] if args else default_database()
        schema = read_schema(args[1] if len(args) > 1 else default_schema())
        create_database(path, schema, self.codec.encode)
        return 0

    def compact(self, args: list[str]) -> int:
        path = args[0] if args else default_database()
        if len(args) < 2:
            check_lock(path)
        store = open_store(path, writable=len(args) < 2)
        self._rewrite(store, args[1] if len(args) > 1 else None, "compacted")
        return 0

    def convert(self, args: list[str]) -> int:
        target = args[2] if len(args) > 2 else None
        schema = read_schema(args[1] if len(args) > 1 else default_schema())
        path = args[0] if args else default_database()
        if target is None:
            check_lock(path)
        store = open_store(path, writable=target is None)
        store.database = convert_database(store.database, schema)
        self._rewrite(store, target, "converted")
        return 0

    def _rewrite(self, store: FileStore, target: str | None, verb: str) -> None:
        """Write a store's database as a whole, to `target` or in its place."""
        comment = f"{verb} by {PROGRAM} {OVS_VERSION}"
        now_ms = self.clock.wall_ms()
        try:
            if target is None:
                store.compact(comment, now_ms)
            else:
                encode = self.codec.encode
                overwrite_file(target, snapshot_records(store.database, encode, comment, now_ms))
        finally:
            store.close()

    def db_name(self, args: list[str]) -> int:
        path = args[0] if args else default_database()
        if file_kind(path) == "clustered":
            from netloom.ovsdb.cluster_file import read_member

            print(read_member(path, self.codec.decode).name)
        else:
            print(file_schema(path).name)
        return 0

    def db_version(self, args: list[str]) -> int:
        print(file_schema(args[0] if args else default_database()).version)
        return 0

    def db_cksum(self, args: list[str]) -> int:
        print(file_schema(args[0] if args else default_database()).cksum)
        return 0

    def schema_name(self, args: list[str]) -> int:
        print(read_schema(args[0] if args else default_schema()).name)
        return 0

    def schema_version(self, args: list[str]) -> int:
        print(read_schema(args[0] if args else default_schema()).version)
        return 0

    def schema_cksum(self, args: list[str]) -> int:
        print(read_schema(args[0] if args else default_schema()).cksum)
        return 0

    def needs_conversion(self, args: list[str]) -> int:
        in_file = file_schema(args[0] if args else default_database())
        wanted = read_schema(args[1] if len(args) > 1 else default_schema())
        print("no" if in_file.to_json() == wanted.to_json() else "yes")
        return 0

    def db_is_clustered(self, args: list[str]) -> int:
        return 0 if file_kind(args[0]) == "clustered" else 2

    def db_is_standalone(self, args: list[str]) -> int:
        return 0 if file_kind(args[0]) == "standalone" else 2

    def _print_member(self, path: str, what: str) -> int:
        from netloom.programs.ovsdb_tool_clusters import print_member

        return print_member(path, what, self.codec)

    def db_cid(self, args: list[str]) -> int:
        return self._print_member(args[0], "cid")

    def db_sid(self, args: list[str]) -> int:
        return self._print_member(args[0], "sid")

    def db_local_address(self, args: list[str]) -> int:
        return self._print_member(args[0], "address")

    # -- clusters ------------------------------------------------------------------------

    def create_cluster(self, args: list[str]) -> int:
        from netloom.programs.ovsdb_tool_clusters import create_cluster, read_contents

        path, source, address = args
        schema = None if _is_database(source) else read_schema(source)
        contents = read_contents(source, schema, self.codec, self.clock.wall_ms())
        create_cluster(path, contents, address, self.election_timer, self.codec)
        return 0

    def join_cluster(self, args: list[str]) -> int:
        from netloom.programs.ovsdb_tool_clusters import join_cluster

        join_cluster(args[0], args[1], args[2:], self.cid, self.codec)
        return 0

    def check_cluster(self, args: list[str]) -> int:
        from netloom.programs.ovsdb_tool_clusters import check_cluster

        check_cluster(args, self.codec)
        return 0

    def cluster_to_standalone(self, args: list[str]) -> int:
        from netloom.programs.ovsdb_tool_clusters import cluster_to_standalone

        cluster_to_standalone(args[0], args[1], self.codec)
        return 0

    def compare_versions(self, args: list[str]) -> int:
        left, operator, right = args
        for version in (left, right):
            if not is_version(version):
                raise CommandError(f"{version}: not an OVSDB version number in format x.y.z")
        a, b = ([int(part) for part in version.split(".")] for version in (left, right))
        outcomes = {
            "<": a < b,
            "<=": a <= b,
            "==": a == b,
            ">=": a >= b,
            ">": a > b,
            "!=": a != b,
        }
        if operator not in outcomes:
            raise CommandError(f"{operator}: not a relational operator")
        return 0 if outcomes[operator] else 2

    def query(self, args: list[str]) -> int:
        return self._run_transaction(args, writable=False)

    def transact(self, args: list[str]) -> int:
        return self._run_transaction(args, writable=True)

    def _run_transaction(self, args: list[str], writable: bool) -> int:
        path = args[0] if len(args) > 1 else default_database()
        request = self._parse_json(args[-1])
        store = open_store(path, writable)
        try:
            print(format_json(self._results(store, request, writable)))
        finally:
            store.close()
        return 0

    def _parse_json(self, text: str) -> Any:
        try:
            return decode_document(self.codec, os.fsencode(text))
        except ValueError as error:
            raise CommandError(f'"{text}": {error}') from error

    def _results(self, store: FileStore, request: Any, writable: bool) -> Any:
        if type(request) is not list:
            return syntax_error(request, "array expected").to_json()
        if not request or request[0] != store.database.name:
            return syntax_error(request, "database name expected as first parameter").to_json()
        context = Context(UuidSource(), lambda name: False, may_wait=False)
        if self.role:
            context.rbac = Rbac(self.role, None)
        outcome = execute(store.database, request[1:], context)
        assert outcome.results is not None
        if writable and outcome.changes:
            store.start_writing()
            try:
                now_ms = self.clock.wall_ms()
                store.record(outcome.changes, outcome.comment, now_ms, outcome.durable)
            except OvsdbError as error:
                outcome.results.append(error.to_json())
        return outcome.results

    def show_log(self, args: list[str]) -> int:
        from netloom.ovsdb.show_log import show_cluster_log, show_log

        path = args[0] if args else default_database()
        show = show_cluster_log if file_kind(path) == "clustered" else show_log
        show(path, self.codec.decode, self.more, sys.stdout.write)
        return 0

    def help(self, args: list[str]) -> int:
        del args
        print_usage()
        return 0

    def list_commands(self, args: list[str]) -> int:
        del args
        print("The available commands are:")
        for name, (usage, *_rest) in COMMANDS.items():
            print(f"  {name:<23} {usage}")
        return 0


#: Commands: usage, least and greatest number of arguments (None: any), handler.
COMMANDS: dict[str, tuple[str, int, int | None, Callable[[Tool, list[str]], int]]] = {
    "create": ("[db [schema]]", 0, 2, Tool.create),
    "create-cluster": ("db contents local", 3, 3, Tool.create_cluster),
    "join-cluster": ("db name local remote...", 4, None, Tool.join_cluster),
    "compact": ("[db [dst]]", 0, 2, Tool.compact),
    "convert": ("[db [schema [dst]]]", 0, 3, Tool.convert),
    "needs-conversion": ("", 0, 2, Tool.needs_conversion),
    "db-name": ("[db]", 0, 1, Tool.db_name),
    "db-version": ("[db]", 0, 1, Tool.db_version),
    "db-cksum": ("[db]", 0, 1, Tool.db_cksum),
    "db-cid": ("db", 1, 1, Tool.db_cid),
    "db-sid": ("db", 1, 1, Tool.db_sid),
    "db-local-address": ("db", 1, 1, Tool.db_local_address),
    "db-is-clustered": ("db", 1, 1, Tool.db_is_clustered),
    "db-is-standalone": ("db", 1, 1, Tool.db_is_standalone),
    "schema-name": ("[schema]", 0, 1, Tool.schema_name),
    "schema-version": ("[schema]", 0, 1, Tool.schema_version),
    "schema-cksum": ("[schema]", 0, 1, Tool.schema_cksum),
    "query": ("[db] trns", 1, 2, Tool.query),
    "transact": ("[db] trns", 1, 2, Tool.transact),
    "show-log": ("[db]", 0, 1, Tool.show_log),
    "check-cluster": ("db...", 1, None, Tool.check_cluster),
    "compare-versions": ("a op b", 3, 3, Tool.compare_versions),
    "help": ("", 0, None, Tool.help),
    "list-commands": ("", 0, None, Tool.list_commands),
    "cluster-to-standalone": ("db clusterdb", 2, 2, Tool.cluster_to_standalone),
}


def print_usage() -> None:
    sys.stdout.write(
        USAGE.format(
            program=PROGRAM,
            database=default_database(),
            schema=default_schema(),
            log=LOG_HELP.format(log_file=f"{paths.logdir()}/{PROGRAM}.log"),
        )
    )


def run(argv: list[str]) -> int:
    """Run the command line; raises what `main` prints."""
    tool = Tool()
    options = Getopt(PROGRAM, argv, OPTIONS)
    for key, value in options:
        if apply_log_option(vlog, key, value):
            continue
        match key:
            case "more":
                tool.more += 1
            case "rbac-role":
                tool.role = value or ""
            case "cid":
                tool.cid = value
            case "election-timer":
                if not (value or "").isdigit():
                    raise CommandError(f"--election-timer={value}: not a number of ms")
                tool.election_timer = int(value or "")
            case "help":
                print_usage()
                return 0
            case "option":
                sys.stdout.write(format_options(OPTIONS))
                return 0
            case "version":
                sys.stdout.write(version_text(PROGRAM))
                return 0
    if not options.operands:
        raise CommandError("missing command name; use --help for help")
    name, args = options.operands[0], options.operands[1:]
    if name not in COMMANDS:
        raise CommandError(f"unknown command '{name}'; use --help for help")
    _usage, least, most, handler = COMMANDS[name]
    if len(args) < least:
        raise CommandError(f"'{name}' command requires at least {least} arguments")
    if most is not None and len(args) > most:
        raise CommandError(f"'{name}' command takes at most {most} arguments")
    return handler(tool, args)


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); the exit status."""
    return outcome(PROGRAM, run, argv)


if __name__ == "__main__":
    sys.exit(main())
