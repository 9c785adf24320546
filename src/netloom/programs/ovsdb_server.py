"""ovsdb-server: the Open vSwitch database server (ovsdb-server(1))."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.resources import files

from netloom.base import paths
from netloom.base.clock import WarpClock
from netloom.base.counters import Counters
from netloom.base.errors import CommandError, ConfigError
from netloom.base.getopt import NO, REQUIRED, Getopt, Option
from netloom.base.log import get_logger, vlog
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.file_store import FileStore
from netloom.ovsdb.log_file import file_kind
from netloom.ovsdb.remote_config import (
    default_options,
    find_column,
    is_db_name,
    is_pending,
    read_text,
)
from netloom.ovsdb.schema import DatabaseSchema
from netloom.ovsdb.server import Server
from netloom.ovsdb.server_config import ServerConfig, parse_config
from netloom.ovsdb.uuids import UuidSource
from netloom.programs.control import Control, make_registry
from netloom.programs.coverage_events import declare_server_events
from netloom.programs.daemon_life import live
from netloom.programs.help_text import (
    CONNECTION_HELP,
    DAEMON_HELP,
    LOG_HELP,
    TLS_HELP,
    version_text,
)
from netloom.programs.outcome import Fatal, outcome
from netloom.programs.ovsdb_cluster_commands import register_cluster_commands
from netloom.programs.ovsdb_clusters import Clusters
from netloom.programs.ovsdb_commands import register_commands
from netloom.programs.ovsdb_databases import Databases
from netloom.programs.ovsdb_kept import KeptArguments
from netloom.programs.ovsdb_remotes import Remotes
from netloom.rpc.fast_json import FastJson
from netloom.rpc.json_codec import decode_document
from netloom.transport.daemon import Daemon, describe_status
from netloom.transport.daemon_options import DAEMON_OPTIONS
from netloom.transport.log_options import LOG_OPTIONS, apply_log_option
from netloom.transport.loop import MainLoop, freeze_garbage
from netloom.transport.signals import FatalSignals
from netloom.transport.tapes import TAPE_HELP, TAPE_OPTIONS, Tapes
from netloom.transport.tls import TLS_OPTIONS, TlsSettings

PROGRAM = "ovsdb-server"
log = get_logger("ovsdb_server")

_OWN_OPTIONS = (
    Option("remote", REQUIRED),
    Option("unixctl", REQUIRED),
    Option("run", REQUIRED),
    Option("no-dbs", NO),
    Option("config-file", REQUIRED),
    Option("disable-file-column-diff", NO),
    Option("sync-from", REQUIRED),
    Option("sync-exclude-tables", REQUIRED),
    Option("active", NO),
    Option("help", NO, "h"),
    Option("version", NO, "V"),
)
OPTIONS = (*_OWN_OPTIONS, *TAPE_OPTIONS, *DAEMON_OPTIONS, *LOG_OPTIONS, *TLS_OPTIONS)

USAGE = """\
{program}: Open vSwitch database server
usage: {program} [OPTIONS] [DATABASE...]
where each DATABASE is a database file in ovsdb format.
The default DATABASE, if none is given, is
{dbdir}/conf.db.

JSON-RPC options (may be specified any number of times):
  --remote=REMOTE         connect or listen to REMOTE

{connection}{tls}
Configuration file:
  --config-file PATH      Use configuration file as a source of
                          database and JSON-RPC configuration.
                          Mutually exclusive with the DATABASE,
                          JSON-RPC and Syncing options.
                          Assumes --no-dbs.

{daemon}
{log}
Syncing options:
  --sync-from=SERVER      sync DATABASE from active SERVER and start in
                          backup mode (except with --active)
  --sync-exclude-tables=DB:TABLE,...
                          exclude the TABLE in DB from syncing
  --active                with --sync-from, start in active mode

{tape}
Other options:
  --run COMMAND           run COMMAND as subprocess then exit
  --unixctl=SOCKET        override default control socket name
  --no-dbs                do not add default database
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
        tape=TAPE_HELP,
    )


class Arguments:
    """The command line."""

    def __init__(self) -> None:
        self.databases: list[str] = []
        self.remotes: set[str] = set()
        self.unixctl: str | None = None
        self.run: str | None = None
        self.config_file: str | None = None
        self.use_diff = True
        self.no_dbs = False
        self.sync_from: str | None = None
        self.sync_exclude = ""
        self.is_active = False
        self.tapes = Tapes()
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
        if key in tls_names:
            arguments.tls[key] = _from_anywhere(key, value or "")
        elif not (
            arguments.tapes.apply(key, value)
            or daemon.apply(key, value)
            or apply_log_option(vlog, key, value)
        ):
            _apply_own(arguments, key, value or "")
    arguments.databases = options.operands
    if arguments.config_file is not None:
        _check_exclusive(arguments)
    elif not arguments.databases and not arguments.no_dbs:
        arguments.databases = [f"{paths.dbdir()}/conf.db"]
    return arguments


def _check_exclusive(arguments: Arguments) -> None:
    """A configuration file tells all about databases and remotes; nothing else may."""
    if arguments.sync_from or arguments.sync_exclude or arguments.is_active:
        raise Fatal(
            "--config-file is mutually exclusive with --sync-from, --sync-exclude and --active"
        )
    if arguments.remotes:
        raise Fatal("--config-file is mutually exclusive with --remote")
    if arguments.databases:
        raise Fatal("Databases should be specified in a config file")


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
        case "config-file":
            arguments.config_file = paths.absolute(paths.dbdir(), value)
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

    def __init__(
        self, arguments: Arguments, daemon: Daemon, signals: FatalSignals, kept: KeptArguments
    ) -> None:
        self._daemon = daemon
        self.kept = kept
        self.counters = Counters()
        self.arguments = arguments
        self.codec = FastJson()
        self.clock = WarpClock()
        tapes = arguments.tapes
        self.loop = MainLoop(self.clock, tapes.recorder, tapes.player)
        schema = files("netloom.ovsdb").joinpath("schemas/_server.ovsschema").read_bytes()
        server_schema = DatabaseSchema.from_json(self.codec.decode(schema))
        self.server = Server(
            server_schema,
            self.clock,
            self.codec.encode,
            new_uuid=UuidSource(tapes.read_random or os.urandom),
            decode=self.codec.decode,
        )
        self.tls = TlsSettings()
        self.remotes = Remotes(self.loop, self.server, self.tls, signals)
        self.clusters = Clusters(self.loop, self.server, self.tls, self._left_cluster)
        self.databases = Databases(
            self.loop, self.server, self.tls, self.open_file, self.clusters.forget
        )
        self.control = Control(PROGRAM, self.loop, make_registry(PROGRAM), signals)
        self.exit_status = 0
        # The daemon changes its directory, and then what a file names is still looked for here.
        self._directory = os.getcwd()
        self._child: subprocess.Popen[bytes] | None = None
        self._child_fd = -1

    def open_file(self, path: str) -> str:
        """Serve the database of a file, by any name of it; the database's name. Raises
        `OvsdbError`."""
        if self.arguments.config_file is not None:
            path = os.path.join(self._directory, path)
        if os.path.realpath(path) in self._open_files():
            raise OvsdbError("ovsdb error", f"{path}: already open")
        if file_kind(path) == "clustered":
            # The daemon changes its directory; compaction needs the file's place all the same.
            name = self.clusters.add(os.path.realpath(path), self.codec)
            self.counters.counter("lockfile_lock").add()
            return name
        store = FileStore.open(
            path, self.codec.decode, self.codec.encode, new_version=self.server.new_uuid
        )
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
        return store.database.name

    def _open_files(self) -> set[str]:
        served = self.server.served.values()
        return {s.store.log.path for s in served if s.store is not None} | {
            s.cluster.path for s in served if s.cluster is not None
        }

    def _left_cluster(self, name: str) -> None:
        """This server is a member of that cluster no longer."""
        self.databases.remove(
            name, f"removing database {name} because storage disconnected permanently"
        )

    def configure_tls(self) -> list[str]:
        """Take over the TLS options, and what they point to in databases; what was wrong."""
        errors = []
        for key, value in self.arguments.tls.items():
            try:
                text = read_text(self.server, value)
            except CommandError as error:
                errors.append(str(error))
                continue
            if text:
                self.tls.apply(key, text)
        return errors

    def start(self) -> None:
        if self.arguments.config_file is None:
            self._follow_arguments()
        elif not self.load_config_file():
            raise Fatal("server configuration failed")
        self.server.watchers.append(self._database_changed)
        declare_server_events(self.counters)
        self.control.register_standard(vlog, self.counters, register_commands(self))
        register_cluster_commands(self.control.registry, self.clusters, self.clock)
        self.control.register_exit()
        self.control.open(self.arguments.unixctl)
        freeze_garbage()
        self._start_child()
        self._daemon.complete()
        if self.arguments.run is None:
            # With a command to run, this is a tool rather than a daemon.
            log.info("%s", version_text(PROGRAM).rstrip())

    def _follow_arguments(self) -> None:
        """Do what the command line says."""
        arguments, common = self.arguments, self.databases.common
        common.active, common.excluded = arguments.sync_from, arguments.sync_exclude
        common.is_backup = arguments.sync_from is not None and not arguments.is_active
        for argument in arguments.databases:
            self.add_database(argument)
        remotes = {remote: default_options(remote) for remote in arguments.remotes}
        errors = self._remote_errors(remotes)
        if errors:
            raise Fatal(errors[0])
        for text in self.configure_tls():
            log.err_rl("%s", text)
        self.remotes.wanted = remotes
        self.remotes.reconfigure()

    def add_database(self, argument: str) -> None:
        """Serve one more database, as the command line names them; raises `OvsdbError`."""
        self.databases.open(*self.databases.common.of_argument(argument))

    def _remote_errors(self, remotes: Iterable[str]) -> list[str]:
        """What is wrong with the remotes that point into databases."""
        errors = []
        for remote in sorted(remotes):
            if is_db_name(remote) and not is_pending(self.server, remote):
                try:
                    find_column(self.server, remote)
                except CommandError as error:
                    errors.append(str(error))
        return errors

    def load_config_file(self) -> bool:
        """Do what the configuration file says now; what is wrong with it is logged, and makes the
        answer False. One that cannot be understood changes nothing."""
        path = self.arguments.config_file
        assert path is not None
        try:
            config = self._read_config(path)
        except OSError as error:
            log.err("failed to open configuration file '%s': %s", path, error.strerror)
            return False
        except ConfigError as error:
            for line in str(error).split("\n"):
                log.warn("%s", line)
            log.warn("failed to load configuration from %s", path)
            return False
        self.databases.has_own_sources = True
        is_good = self.databases.reconfigure(config.databases)
        if not is_good:
            log.warn("failed to configure databases")
        self.remotes.wanted = config.remotes
        for what, errors in (
            ("remotes", self._remote_errors(config.remotes)),
            ("SSL/TLS", self.configure_tls()),
        ):
            if errors:
                log.warn("failed to configure %s: %s", what, "; ".join(errors))
                is_good = False
        self.remotes.reconfigure()
        return is_good

    def _read_config(self, path: str) -> ServerConfig:
        """The configuration in a file; raises `OSError` or `ConfigError`."""
        with open(path, "rb") as file:
            data = file.read()
        log.info("loading configuration from '%s'", path)
        try:
            json = decode_document(self.codec, data)
        except ValueError as error:
            raise ConfigError(f"config: reading JSON failed ({error})") from error
        return parse_config(json)

    def _database_changed(self, name: str, changes: object) -> None:
        if any(value.startswith(f"db:{name},") for value in self.arguments.tls.values()):
            for text in self.configure_tls():
                log.err_rl("%s", text)

    def _start_child(self) -> None:
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
        self.databases.close()
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
    kept = KeptArguments()
    daemon.start()
    kept.restore(arguments)
    return live(daemon, Program(arguments, daemon, signals, kept))


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); the exit status."""
    return outcome(PROGRAM, run, argv)


if __name__ == "__main__":
    sys.exit(main())
