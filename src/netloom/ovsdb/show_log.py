"""The text of a database file's history, as `ovsdb-tool show-log` prints it."""

from __future__ import annotations

from netloom.ovsdb.datum import parse_datum
from netloom.ovsdb.datum_text import format_datum
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.json_text import format_json
from netloom.ovsdb.log_file import CLUSTER_MAGIC, LogFile
from netloom.ovsdb.raft.entry import parse_servers
from netloom.ovsdb.raft.state import read_header
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.types import diff_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from netloom.ovsdb.raft.entry import Servers
    from netloom.ovsdb.schema import TableSchema

#: Dates below this are in seconds, as old versions wrote them.
_SECONDS_LIMIT = 1 << 32
_DAY_S = 86_400


def format_date(date: int) -> str:
    """A `_date` as UTC, "YYYY-MM-DD HH:MM:SS.mmm"."""
    ms = date * 1000 if date < _SECONDS_LIMIT else date
    seconds, ms = divmod(ms, 1000)
    days, seconds = divmod(seconds, _DAY_S)
    year, month, day = _civil(days)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}"


def _civil(days: int) -> tuple[int, int, int]:
    """The date so many days after 1970-01-01, in the Gregorian calendar.

    Counted in eras of 400 years that begin on a 1st of March, so that leap days come last."""
    shifted = days + 719_468
    era, day_of_era = divmod(shifted, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_index = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_index + 2) // 5 + 1
    month = month_index + 3 if month_index < 10 else month_index - 9
    return era * 400 + year_of_era + (month <= 2), month, day


class _LogPrinter:
    """Prints records one after the other; knows the names of rows seen before."""

    def __init__(self, more: int, write: Callable[[str], object]) -> None:
        self._more = more
        self._write = write
        self._schema: DatabaseSchema | None = None
        self._names: dict[tuple[str, str], str] = {}

    def schema(self, json: dict[str, Any], text: str = ' "{}" schema') -> None:
        schema = self._schema = DatabaseSchema.from_json(json)
        name = text.format(schema.name)
        self._write(f'{name}, version="{schema.version}", cksum="{schema.cksum}"\n')

    def record(self, json: dict[str, Any]) -> None:
        date = json.get("_date")
        if type(date) is int:
            self._write(f" {format_date(date)}")
        comment = json.get("_comment")
        if type(comment) is str:
            self._write(f' "{comment}"')
        self._write("\n")
        if not self._more:
            return
        is_diff = json.get("_is_diff") is True
        for table, rows in json.items():
            if not table.startswith("_") and type(rows) is dict:
                for uuid, row in rows.items():
                    self._row(table, uuid, row, is_diff)
        self._write("\n")

    def _row(self, table: str, uuid: str, row: Any, is_diff: bool) -> None:
        short, key = uuid[:8], (table, uuid)
        known = self._names.get(key)
        name = row.get("name") if type(row) is dict else None
        named = f'"{name}"' if type(name) is str and name else known or short
        self._names[key] = named
        self._write(f"  table {table}")
        if known is None:
            text = named
            self._write(f" insert row {text}" + ("" if text is short else f" ({short})") + ":\n")
        else:
            note = " diff" if is_diff else ""
            self._write(f" row {known} ({short}){note}:\n")
        if row is None:
            self._write("    delete row\n")
            self._names.pop(key, None)
        elif self._more > 1 and type(row) is dict:
            for column, json in row.items():
                self._write(f"    {column}={self._value(table, column, json)}\n")

    def _value(self, table: str, column: str, json: Any) -> str:
        tables = {} if self._schema is None else self._schema.tables
        schema: TableSchema | None = tables.get(table)
        if schema is None or column not in schema.columns:
            return format_json(json)
        column_type = diff_type(schema.columns[column].type)
        try:
            return format_datum(column_type, parse_datum(column_type, json))
        except OvsdbError:
            return format_json(json)


def show_log(
    path: str, decode: Callable[[bytes], Any], more: int, write: Callable[[str], object]
) -> None:
    """Print all records of a database file; raises what is wrong with the file at its place."""
    log = LogFile(path, decode, writable=False)
    try:
        printer = _LogPrinter(more, write)
        number = 0
        while (json := log.read()) is not None:
            write(f"record {number}:")
            if number == 0:
                printer.schema(json)
                write("\n")
            else:
                printer.record(json)
            number += 1
        if log.damage is not None:
            raise log.damage
    finally:
        log.close()


class _ClusterPrinter(_LogPrinter):
    """Prints the records of a cluster's file."""

    def header(self, json: dict[str, Any]) -> None:
        state = read_header(json)
        write = self._write
        # The second quotation mark is as in Open vSwitch.
        write(f' name: "{state.name}\'\n local address: "{state.local_address}"\n')
        write(f" server_id: {state.sid[:4]}\n")
        if state.cid is not None:
            write(f" cluster_id: {state.cid[:4]}\n")
        if state.is_joining:
            write(f" remote_addresses: {' '.join(state.remote_addresses)}\n\n")
            return
        snapshot = state.snapshot
        write(f" prev_index: {snapshot.index}\n prev_term: {snapshot.term}\n")
        write(f" prev_servers: {_servers(snapshot.servers)}\n prev_eid: {snapshot.eid[:4]}\n")
        self._data(snapshot.data, "prev_")

    def member(self, json: dict[str, Any]) -> None:
        write = self._write
        write("\n")
        if "comment" in json:
            write(f' comment: "{json["comment"]}"\n')
        for name in ("term", "index"):
            if name in json:
                write(f" {name}: {json[name]}\n")
        if "servers" in json:
            write(f" servers: {_servers(parse_servers(json['servers']))}\n")
        for name in ("eid", "vote", "leader"):
            if name in json:
                write(f" {name}: {str(json[name])[:4]}\n")
        if "note" in json:
            write(f' note: "{json["note"]}"\n')
        if "commit_index" in json:
            write(f" commit_index: {json['commit_index']}\n")
        self._data(json.get("data"), "")

    def _data(self, data: Any, prefix: str) -> None:
        schema, record = data if type(data) is list and len(data) == 2 else (None, None)
        if type(schema) is dict:
            self.schema(schema, f' {prefix}schema: "{{}}"')
        if type(record) is dict and record:
            self.record(record)
        else:
            self._write("\n")


def _servers(servers: Servers) -> str:
    return ", ".join([f'{sid[:4]}("{servers[sid]}")' for sid in sorted(servers)])


def show_cluster_log(
    path: str, decode: Callable[[bytes], Any], more: int, write: Callable[[str], object]
) -> None:
    """The same for the file of a cluster's server."""
    log = LogFile(path, decode, writable=False, magic=CLUSTER_MAGIC)
    try:
        printer = _ClusterPrinter(more, write)
        number = 0
        while (json := log.read()) is not None:
            write(f"record {number}:")
            if number == 0:
                write("\n")
                printer.header(json)
            else:
                printer.member(json)
            number += 1
        if log.damage is not None:
            raise log.damage
    finally:
        log.close()
