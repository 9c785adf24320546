"""ovsdb-server: the Open vSwitch database server (ovsdb-server(1))."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files

from netloom.base import paths
from netloom.base.clock import WarpClock
from netloom.base.counters import Counters
from netloom.base.errors import CommandError, NetloomError
from netloom.base.getopt import NO, OPTIONAL, REQUIRED, Getopt, Option
from netloom.base.log import get_logger, vlog
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.file_store import FileStore
from netloom.ovsdb.log_file import file_kind
from netloom.ovsdb.remote_config import find_column, is_db_name, read_text
from netloom.ovsdb.replication import Excluded
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.server import Server
from netloom.programs.control import Control, make_registry
from netloom.programs.coverage_events import declare_server_events
from netloom.programs.help_text import (
    CONNECTION_HELP,
    DAEMON_HELP,
    LOG_HELP,
    TLS_HELP,
    version_text,
)
from netloom.programs.outcome import outcome
from netloom.programs.ovsdb_cluster_commands import register_cluster_commands
from netloom.programs.ovsdb_clusters import Clusters
from netloom.programs.ovsdb_commands import register_commands
from netloom.programs.ovsdb_relays import Relays, is_relay_name
from netloom.programs.ovsdb_remotes import Remotes
from netloom.programs.ovsdb_standby import Standby
from netloom.rpc.fast_json import FastJson
from netloom.transport.daemon import Daemon, describe_status
from netloom.transport.daemon_options import DAEMON_OPTIONS
from netloom.transport.log_options import LOG_OPTIONS, apply_log_option
from netloom.transport.loop import MainLoop, freeze_garbage
from netloom.transport.signals import FatalSignals
from netloom.transport.tls import TLS_OPTIONS, TlsSettings

PROGRAM = "ovsdb-server"
log = get_logger("ovsdb_server")

_OWN_OPTIONS = (
    Option("remote", REQUIRED),
    Option("unixctl", REQUIRED),
    Option("run", REQUIRED),
    Option("no-dbs", NO),
    Option("disable-file-column-diff", NO),
    Option("sync-from", REQUIRED),
    Option("sync-exclude-tables", REQUIRED),
    Option("active", NO),
    Option("help", NO, "h"),
    Option("version", NO, "V"),
)
#: Options of what this version does not have.
REFUSED_OPTIONS = (
    Option("record", OPTIONAL),
    Option("replay", OPTIONAL),
    Option("config-file", REQUIRED),
)
OPTIONS = (*_OWN_OPTIONS, *REFUSED_OPTIONS, *DAEMON_OPTIONS, *LOG_OPTIONS, *TLS_OPTIONS)

USAGE = """\
{program}: Open vSwitch database server
usage: {program} [OPTIONS] [DATABASE...]
where each DATABASE is a database file in ovsdb format.
The default DATABASE, if none is given, is
{dbdir}/conf.db.

JSON-RPC options (may be specified any number of times):
  --remote=REMOTE         connect or listen to REMOTE

{connection}{tls}
{daemon}
{log}
Syncing options:
  --sync-from=SERVER      sync DATABASE from active SERVER and start in
                          backup mode (except with --active)
  --sync-exclude-tables=DB:TABLE,...
                          exclude the TABLE in DB from syncing
  --active                with --sync-from, start in active mode

Other options:
  --run COMMAND           run COMMAND as subprocess then exit
  --unixctl=SOCKET        override default control socket name
  --disable-file-column-diff
                          don't use column diff in database file
  -h, --help              display this help message
  -V, --version           display version information
"""


def usage() -> str:
    """What `--help` prints."""
    return USAGE.format(
        program=PROGRAM,
        dbdir=paths.dbdir(),
        connection=CONNECTION_HELP.format(what="JSON-RPC "),
        tls=TLS_HELP,
        daemon=DAEMON_HELP.format(pidfile=f"{paths.rundir()}/{PROGRAM}.pid"),
        log=LOG_HELP.format(log_file=f"{paths.logdir()}/{PROGRAM}.log"),
    )


class Fatal(NetloomError):
    """The server cannot start or go on; the text goes to stderr and the exit status is 1."""


class Arguments:
    """The command line."""

    def __init__(self) -> None:
        self.databases: list[str] = []
        self.remotes: set[str] = set()
        self.unixctl: str | None = None
        self.run: str | None = None
        self.use_diff = True
        self.no_dbs = False
        self.sync_from: str | None = None
        self.sync_exclude = ""
        self.is_active = False
        #: TLS options as given; values may point into a database.
        self.tls: dict[str, str] = {}


def parse_arguments(argv: list[str], daemon: Daemon) -> Arguments | None:
    """The command line; None if it only asked for text, which was printed."""
    arguments = Arguments()
    tls_names = {option.key for option in TLS_OPTIONS}
    options = Getopt(PROGRAM, argv, OPTIONS)
    for key, value in options:
        if key == "help":
            sys.stdout.write(usage())
            return None
        if key == "version":
            sys.stdout.write(version_text(PROGRAM))
            return None
        if any(key == option.key for option in REFUSED_OPTIONS):
            raise Fatal(f"--{key}: not supported in this version")
        if key in tls_names:
            arguments.tls[key] = _from_anywhere(key, value or "")
        elif not (daemon.apply(key, value) or apply_log_option(vlog, key, value)):
            _apply_own(arguments, key, value or "")
    arguments.databases = options.operands
    if not arguments.databases and not arguments.no_dbs:
        arguments.databases = [f"{paths.dbdir()}/conf.db"]
    return arguments


def _from_anywhere(key: str, value: str) -> str:
    """A file of a TLS option by a name that a change of the working directory leaves valid."""
    names_file = not key.startswith("ssl-") and value not in ("", "none")
    return os.path.abspath(value) if names_file and not value.startswith("db:") else value


def _apply_own(arguments: Arguments, key: str, value: str) -> None:
    match key:
        case "remote":
            arguments.remotes.add(value)
        case "unixctl":
            arguments.unixctl = value
        case "run":
            arguments.run = value
        case "no-dbs":
            arguments.no_dbs = True
        case "disable-file-column-diff":
            arguments.use_diff = False
        case "sync-from":
            arguments.sync_from = value
        case "sync-exclude-tables":
            arguments.sync_exclude = value
        case "active":
            arguments.is_active = True


class Program:
    """The running server."""

    def __init__(self, arguments: Arguments, signals: FatalSignals) -> None:
        self.counters = Counters()
        self.arguments = arguments
        self.codec = FastJson()
        self.clock = WarpClock()
        self.loop = MainLoop(self.clock)
        schema = files("netloom.ovsdb").joinpath("schemas/_server.ovsschema").read_bytes()
        server_schema = DatabaseSchema.from_json(self.codec.decode(schema))
        self.server = Server(server_schema, self.clock, self.codec.encode, decode=self.codec.decode)
        self.tls = TlsSettings()
        self.remotes = Remotes(self.loop, self.server, self.tls, signals)
        self.relays = Relays(self.loop, self.server, self.tls)
        self.clusters = Clusters(self.loop, self.server, self.tls, self.remove_database)
        self.standby = Standby(self.loop, self.server, self.tls)
        self.control = Control(PROGRAM, self.loop, make_registry(PROGRAM), signals)
        self.exit_status = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._child_fd = -1

    def open_database(self, path: str) -> None:
        """Serve the database of a file, by any name of it, or a relay; raises `OvsdbError`."""
        if is_relay_name(path):
            self.relays.add(path)
            return
        if os.path.realpath(path) in self._open_files():
            raise OvsdbError("ovsdb error", f"{path}: already open")
        if file_kind(path) == "clustered":
            # The daemon changes its directory; compaction needs the file's place all the same.
            self.clusters.add(os.path.realpath(path), self.codec)
            self.counters.counter("lockfile_lock").add()
            return
        store = FileStore.open(path, self.codec.decode, self.codec.encode)
        self.counters.counter("lockfile_lock").add()
        if store.log.damage is not None:
            log.err("%s", store.log.damage)
        store.use_diff = self.arguments.use_diff
        try:
            store.start_writing()
            self.server.add_database(store.database, store)
        except OvsdbError:
            store.close()
            raise
        # The daemon changes its directory; compaction needs the file's place all the same.
        store.log.path = os.path.realpath(path)

    def _open_files(self) -> set[str]:
        served = self.server.served.values()
        return {s.store.log.path for s in served if s.store is not None} | {
            s.cluster.path for s in served if s.cluster is not None
        }

    def configure_tls(self) -> None:
        """Take over the TLS options, and what they point to in databases."""
        for key, value in self.arguments.tls.items():
            try:
                text = read_text(self.server, value)
            except CommandError as error:
                log.err_rl("%s", error)
                continue
            if text:
                self.tls.apply(key, text)

    def start(self) -> None:
        for path in self.arguments.databases:
            self.open_database(path)
        for remote in self.arguments.remotes:
            if is_db_name(remote):
                try:
                    find_column(self.server, remote)
                except CommandError as error:
                    raise Fatal(str(error)) from error
        self.configure_tls()
        self.server.watchers.append(self._database_changed)
        self.remotes.wanted = set(self.arguments.remotes)
        self.remotes.reconfigure()
        self._take_role()
        declare_server_events(self.counters)
        self.control.register_standard(vlog, self.counters, register_commands(self))
        register_cluster_commands(self.control.registry, self.clusters, self.clock)
        self.control.register_exit()
        self.control.open(self.arguments.unixctl)
        freeze_garbage()

    def _take_role(self) -> None:
        """Start as the backup of the server that the command line names, if it does."""
        self.standby.active = self.arguments.sync_from
        self.standby.excluded = Excluded.parse(self.arguments.sync_exclude)
        if not self.arguments.is_active:
            self.standby.connect()

    def add_database(self, path: str) -> None:
        """Serve one more database, which a backup copies, too; raises `OvsdbError`."""
        self.open_database(path)
        if self.server.is_backup:
            self.standby.connect()

    def remove_database(self, name: str) -> None:
        """Serve a database no longer."""
        # A cluster's last words go out before its file is closed.
        self.clusters.forget(name)
        self.server.remove_database(name)
        self.relays.forget(name)
        if self.server.is_backup:
            self.standby.connect()

    def _database_changed(self, name: str, changes: object) -> None:
        if any(value.startswith(f"db:{name},") for value in self.arguments.tls.values()):
            self.configure_tls()

    def start_child(self) -> None:
        """Run the `--run` command; the server ends with it."""
        if self.arguments.run is None:
            return
        self._child = subprocess.Popen(["/bin/sh", "-c", self.arguments.run])
        self._child_fd = os.pidfd_open(self._child.pid)
        self.loop.watch(self._child_fd, self._child_exited)

    def _child_exited(self) -> None:
        assert self._child is not None
        self.loop.unwatch(self._child_fd)
        os.close(self._child_fd)
        code = self._child.wait()
        if code:
            text = describe_status(code << 8 if code > 0 else -code)
            sys.stderr.write(f"{PROGRAM}: {self.arguments.run}: child exited, {text}\n")
            self.exit_status = 1
        self.loop.stop(self.exit_status)

    def close(self) -> None:
        self.remotes.close()
        self.standby.close()
        self.relays.close()
        self.clusters.close()
        for served in self.server.served.values():
            if served.store is not None:
                served.store.close()
        self.control.close()


def run(argv: list[str]) -> int:
    """The whole life of the daemon; its exit status."""
    signals = FatalSignals()
    daemon = Daemon(PROGRAM, vlog, signals)
    arguments = parse_arguments(argv, daemon)
    if arguments is None:
        return 0
    daemon.start()
    program = Program(arguments, signals)
    try:
        program.start()
        program.start_child()
        daemon.complete()
        log.info("%s", version_text(PROGRAM).rstrip())
        status = program.loop.run()
    except NetloomError:
        program.close()
        daemon.close()
        raise
    except Exception as error:  # noqa: BLE001 - reported as a crash, with its trace
        return daemon.crash(error)
    program.close()
    daemon.close()
    return status


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); the exit status."""
    return outcome(PROGRAM, run, argv)


if __name__ == "__main__":
    sys.exit(main())
