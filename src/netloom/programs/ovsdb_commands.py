"""What `ovs-appctl -t ovsdb-server` can ask: the commands of ovsdb-server(1)."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from netloom.base.errors import CommandError
from netloom.base.log import get_logger
from netloom.base.numbers import decimal
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.remote_config import find_column, is_db_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netloom.ovsdb.server import Served
    from netloom.programs.ovsdb_server import Program
    from netloom.rpc.unixctl import CommandRegistry

log = get_logger("ovsdb_server")


class Commands:
    """The handlers; each takes its arguments and returns the text to print."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._server = program.server
        self._databases = program.databases
        self._trim = False
        self._logged: set[tuple[str, str]] = set()

    # -- remotes -------------------------------------------------------------------------

    def add_remote(self, args: list[str]) -> str:
        if is_db_name(args[0]):
            find_column(self._server, args[0])
        self._program.remotes.add(args[0])
        return ""

    def remove_remote(self, args: list[str]) -> str:
        if args[0] not in self._program.remotes.wanted:
            raise CommandError("no such remote")
        self._program.remotes.remove(args[0])
        return ""

    def list_remotes(self, args: list[str]) -> str:
        del args
        return "".join([f"{remote}\n" for remote in sorted(self._program.remotes.wanted)])

    def reconnect(self, args: list[str]) -> str:
        del args
        self._program.remotes.reconnect()
        return ""

    def reload(self, args: list[str]) -> str:
        del args
        if self._program.arguments.config_file is None:
            raise CommandError("Configuration file was not specified on command line")
        if not self._program.load_config_file():
            raise CommandError("Configuration failed.  See the log file for details.")
        return ""

    def disable_monitor_cond(self, args: list[str]) -> str:
        del args
        self._server.has_monitor_cond = False
        self._program.remotes.reconnect()
        return ""

    # -- databases -----------------------------------------------------------------------

    def add_db(self, args: list[str]) -> str:
        try:
            self._program.add_database(args[0])
        except OvsdbError as error:
            raise CommandError(str(error)) from error
        return ""

    def remove_db(self, args: list[str]) -> str:
        self._find(args[0])
        if args[0].startswith("_"):
            raise CommandError("Cannot remove reserved database.")
        reason = f"removing {args[0]} database by user request"
        log.info("%s", reason)
        self._databases.remove(args[0], reason)
        return ""

    def list_dbs(self, args: list[str]) -> str:
        del args
        return "".join([f"{name}\n" for name in sorted(self._server.served)])

    def storage_status(self, args: list[str]) -> str:
        cluster = self._find(args[0]).cluster
        if cluster is not None and cluster.raft.is_broken:
            return "status: the cluster's log cannot be written\n"
        return "status: ok\n"

    def _find(self, name: str) -> Served:
        served = self._server.served.get(name)
        if served is None:
            raise CommandError("Failed to find the database.")
        return served

    def compact(self, args: list[str]) -> str:
        if args and args[0] not in self._server.served:
            raise CommandError("no database by that name")
        if args and args[0].startswith("_"):
            raise CommandError("cannot compact built-in databases")
        errors: list[str] = []
        for name in args or sorted(self._server.served):
            served = self._server.served[name]
            if served.store is None and served.cluster is None:
                continue
            log.info("compacting %s database by user request", name)
            try:
                self._server.compact(served)
            except OvsdbError as error:
                errors.append(str(error))
        if errors:
            raise CommandError("\n".join(errors))
        if self._trim:
            gc.collect()
        return ""

    def memory_trim(self, args: list[str]) -> str:
        if args[0] not in ("on", "off"):
            raise CommandError("invalid argument")
        self._trim = args[0] == "on"
        word = "enabled" if self._trim else "disabled"
        log.info("memory trimming after compaction %s.", word)
        return ""

    # -- logging of transactions ---------------------------------------------------------

    def tlog_set(self, args: list[str]) -> str:
        database, colon, table = args[0].partition(":")
        if not colon:
            raise CommandError("invalid DB:TABLE argument")
        if args[1] not in ("on", "off"):
            raise CommandError("invalid command argument")
        served = self._server.served.get(database)
        if served is None:
            raise CommandError("no such database")
        if table not in served.database.tables:
            raise CommandError("no such table")
        if args[1] == "on":
            self._logged.add((database, table))
        else:
            self._logged.discard((database, table))
        return ""

    def tlog_list(self, args: list[str]) -> str:
        del args
        lines = [
            "database        table                       logging",
            "--------        -----                       -------",
        ]
        for name, served in sorted(self._server.served.items()):
            lines.append(f"{name:<16} ")
            for table in sorted(served.database.tables):
                state = "ON" if (name, table) in self._logged else "OFF"
                lines.append(f"                {table:<27} {state}")
        return "\n".join(lines) + "\n"

    def log_changes(self, database: str, changes: object) -> None:
        """Log the changed rows of the tables chosen by `tlog-set`."""
        if not self._logged:
            return
        transaction_log = get_logger("transaction")
        assert isinstance(changes, dict)
        for table, rows in changes.items():
            if (database, table.name) not in self._logged:
                continue
            for uuid, (old, new) in rows.items():
                kind = "inserted" if old is None else "deleted" if new is None else "updated"
                transaction_log.info("table:%s,op:%s,uuid:%s", table.name, kind, uuid)

    # -- active-backup -------------------------------------------------------------------

    def set_active(self, args: list[str]) -> str:
        self._databases.common.active = args[0]
        return ""

    def get_active(self, args: list[str]) -> str:
        del args
        return self._databases.common.active or ""

    def connect_active(self, args: list[str]) -> str:
        del args
        if not self._databases.connect():
            return "Unable to connect: active server is not specified.\n"
        return ""

    def disconnect_active(self, args: list[str]) -> str:
        del args
        self._databases.disconnect()
        return ""

    def set_active_probe(self, args: list[str]) -> str:
        self._databases.set_active_probe_interval(_interval(args[0]))
        return ""

    def set_relay_probe(self, args: list[str]) -> str:
        self._databases.set_relay_probe_interval(_interval(args[0]))
        return ""

    def set_excluded(self, args: list[str]) -> str:
        self._databases.exclude(args[0])
        return ""

    def get_excluded(self, args: list[str]) -> str:
        del args
        return self._databases.common.excluded

    def sync_status(self, args: list[str]) -> str:
        del args
        return self._databases.status()

    # -- state ---------------------------------------------------------------------------

    def memory(self) -> Mapping[str, int]:
        server = self._server
        clusters = [s.cluster for s in server.served.values() if s.cluster is not None]
        links = self._program.clusters.links.values()
        raft = {
            "raft-connections": sum(len(link.outgoing) + len(link.incoming) for link in links),
            "raft-log": sum(len(cluster.raft.state.entries) for cluster in clusters),
            "txn-history": sum(len(s.database.history) for s in server.served.values()),
        }
        databases = [served.database for served in server.served.values()]
        tables = [table for database in databases for table in database.tables.values()]
        # Each row has a UUID and a version besides.
        n_own = 2 * sum(len(table.rows) for table in tables)
        counts = {
            "atoms": n_own
            + sum(
                _n_atoms(datum)
                for table in tables
                for row in table.rows.values()
                for datum in row[: table.n_columns]
            ),
            "cells": n_own + sum(len(table.rows) * table.n_columns for table in tables),
            "monitors": sum(
                len({monitor.watched for monitor in served.monitors})
                for served in server.served.values()
            ),
            "n-weak-refs": sum(len(s) for table in tables for s in table.weak_sources.values()),
            **(raft if clusters else {}),
        }
        of_clients = {
            "sessions": len(server.sessions),
            "triggers": sum(len(served.triggers) for served in server.served.values()),
        }
        return counts | {name: count for name, count in of_clients.items() if count}


def _n_atoms(datum: object) -> int:
    """A map has keys and values."""
    if isinstance(datum, dict):
        return 2 * len(datum)
    return len(datum) if isinstance(datum, tuple) else 1


def register_commands(program: Program) -> Callable[[], Mapping[str, int]]:
    """Add the server's commands to the program's registry; what `memory/show` is to ask."""
    commands = Commands(program)
    program.server.watchers.append(commands.log_changes)
    registry = program.control.registry
    for word, usage, least, most, handler in (
        ("compact", "", 0, 1, commands.compact),
        ("memory-trim-on-compaction", "on|off", 1, 1, commands.memory_trim),
        ("reconnect", "", 0, 0, commands.reconnect),
        ("reload", "", 0, 0, commands.reload),
        ("disable-monitor-cond", "", 0, 0, commands.disable_monitor_cond),
        ("list-remotes", "", 0, 0, commands.list_remotes),
        ("list-dbs", "", 0, 0, commands.list_dbs),
        ("get-db-storage-status", "DB", 1, 1, commands.storage_status),
        ("tlog-set", "DB:TABLE on|off", 2, 2, commands.tlog_set),
        ("tlog-list", "", 0, 0, commands.tlog_list),
        ("get-active-ovsdb-server", "", 0, 0, commands.get_active),
        ("get-sync-exclude-tables", "", 0, 0, commands.get_excluded),
        ("sync-status", "", 0, 0, commands.sync_status),
    ):
        registry.register(f"ovsdb-server/{word}", usage, least, most, handler)
    for word, usage, least, most, handler in (
        ("add-remote", "REMOTE", 1, 1, commands.add_remote),
        ("remove-remote", "REMOTE", 1, 1, commands.remove_remote),
        ("add-db", "DB", 1, 1, commands.add_db),
        ("remove-db", "DB", 1, 1, commands.remove_db),
        ("set-active-ovsdb-server", "", 1, 1, commands.set_active),
        ("connect-active-ovsdb-server", "", 0, 0, commands.connect_active),
        ("disconnect-active-ovsdb-server", "", 0, 0, commands.disconnect_active),
        ("set-active-ovsdb-server-probe-interval", "", 1, 1, commands.set_active_probe),
        ("set-relay-source-probe-interval", "", 1, 1, commands.set_relay_probe),
        ("set-sync-exclude-tables", "", 1, 1, commands.set_excluded),
    ):
        name = f"ovsdb-server/{word}"
        registry.register(name, usage, least, most, _unless_from_file(program, handler))
    _register_constant(registry)
    return commands.memory


def _unless_from_file(
    program: Program, handler: Callable[[list[str]], str]
) -> Callable[[list[str]], str]:
    """A command that changes what the command line told, unless `--config-file` does."""

    def guarded(args: list[str]) -> str:
        path = program.arguments.config_file
        if path is not None:
            raise CommandError(f"Update the {path} and use ovsdb-server/reload instead")
        answer = handler(args)
        program.kept.keep(program)
        return answer

    return guarded


def _register_constant(registry: CommandRegistry) -> None:
    """Questions about what this version does not have, whose true answer is constant."""
    answers = {
        "perf-counters-show": "performance counter is not supported on this platform\n",
        "perf-counters-clear": "",
    }
    for name, answer in answers.items():
        registry.register(f"ovsdb-server/{name}", "", 0, 0, _constant(answer))


def _constant(answer: str) -> Callable[[list[str]], str]:
    return lambda args: answer


def _interval(text: str) -> int:
    if decimal(text.removeprefix("-")) is None:
        raise CommandError("Invalid probe interval, integer value expected")
    return int(text)
