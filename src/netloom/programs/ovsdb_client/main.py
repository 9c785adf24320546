"""The program `ovsdb-client`."""

from __future__ import annotations

import sys

from netloom.base.errors import CommandError, NetloomError
from netloom.base.getopt import NO, OPTIONAL, REQUIRED, Getopt, Option, UsageError
from netloom.base.log import INFO
from netloom.ovsdb.table_text import TABLE_OPTIONS, Style
from netloom.programs import tool
from netloom.programs.ovsdb_client.commands import DATABASE, TABLE, CommandSpec
from netloom.programs.ovsdb_link import Link, LinkError, open_link
from netloom.transport.address import is_address
from netloom.transport.log_options import LOG_OPTIONS
from netloom.transport.sync_stream import Deadline
from netloom.transport.tls_settings import TLS_OPTIONS, TlsSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from netloom.programs.ovsdb_client.client import Client
    from netloom.transport.signals import FatalSignals

PROGRAM = "ovsdb-client"
DEFAULT_DATABASE = "Open_vSwitch"

_DAEMON_OPTIONS = (
    Option("detach"),
    Option("no-chdir"),
    Option("pidfile", OPTIONAL),
    Option("overwrite-pidfile"),
    Option("monitor"),
    Option("no-self-confinement"),
    Option("user", REQUIRED),
)
OPTIONS = (
    Option("help", NO, "h"),
    tool.VERSION_OPTION,
    Option("timestamp"),
    Option("force"),
    Option("timeout", REQUIRED, "t"),
    Option("db-change-aware"),
    Option("no-db-change-aware"),
    Option("leader-only"),
    Option("no-leader-only"),
    Option("record", OPTIONAL),
    Option("replay", OPTIONAL),
    *LOG_OPTIONS,
    *_DAEMON_OPTIONS,
    *TABLE_OPTIONS,
    *TLS_OPTIONS,
)


class Settings:
    """What the options say."""

    def __init__(self) -> None:
        self.style = Style("table", "string")
        self.tls = TlsSettings()
        self.timestamp = False
        self.force = False
        self.leader_only = True
        #: None for the command's own choice.
        self.db_change_aware: bool | None = None
        self.ask = ""
        self.words: list[str] = []
        #: Daemon options, for the commands that stay.
        self.daemon: list[tuple[str, str | None]] = []
        self.signals: FatalSignals | None = None


_FLAGS = {
    "timestamp": ("timestamp", True),
    "force": ("force", True),
    "leader-only": ("leader_only", True),
    "no-leader-only": ("leader_only", False),
    "db-change-aware": ("db_change_aware", True),
    "no-db-change-aware": ("db_change_aware", False),
}


def parse_options(argv: Sequence[str]) -> Settings:
    """Read the options; raises UsageError or CommandError."""
    settings = Settings()
    daemon_names = {option.name for option in _DAEMON_OPTIONS}
    timeout = 0
    options = Getopt(PROGRAM, argv, OPTIONS)
    for key, value in options:
        if key in _FLAGS:
            setattr(settings, *_FLAGS[key])
        elif key in ("help", "version"):
            settings.ask = key
            return settings
        elif key == "timeout":
            timeout = tool.parse_timeout(value or "")
        elif key in ("record", "replay"):
            raise CommandError(f"--{key}: recording of connections is not supported")
        elif key in daemon_names:
            settings.daemon.append((key, value))
        elif not (settings.style.set_option(key, value) or settings.tls.apply(key, value or "")):
            tool.apply_log_option(key, value)
    settings.words = options.operands
    timeout = timeout or tool.default_timeout()
    if timeout:
        tool.set_alarm(timeout)
    return settings


def main(argv: Sequence[str]) -> int:
    """Run the program; its exit status."""
    signals = tool.set_up(PROGRAM, INFO)
    try:
        settings = parse_options(argv[1:])
        settings.signals = signals
        if settings.ask or settings.words[:1] == ["help"]:
            from netloom.programs.ovsdb_client.help import answer

            sys.stdout.write(answer(settings.ask))
            return 0
        return _run(settings)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except NetloomError as error:
        return tool.fatal(PROGRAM, str(error), "")


def _run(settings: Settings) -> int:
    if not settings.words:
        raise CommandError("missing command name; use --help for help")
    name, *words = settings.words
    spec = TABLE.get(name)
    if spec is None:
        raise CommandError(f"unknown command '{name}'; use --help for help")
    server = words.pop(0) if words and is_address(words[0]) else tool.default_remote()
    from netloom.programs.ovsdb_client.client import Client

    client = Client(settings, connect(settings, server), server)
    if spec.needs == DATABASE:
        client.database = _choose_database(client, spec, words)
    if len(words) < spec.min_args or (spec.max_args is not None and len(words) > spec.max_args):
        raise CommandError(f"invalid syntax for '{name}' (use --help for help)")
    client.args = words
    module = __import__(f"netloom.programs.ovsdb_client.{spec.where}", fromlist=["*"])
    getattr(module, spec.function)(client)
    return 0


def connect(settings: Settings, server: str) -> Link:
    """Connect to one of the comma-separated servers; CommandError if none answers."""
    reason = ""
    for remote in server.split(","):
        try:
            return open_link(remote, Deadline(), settings.tls)
        except LinkError as error:
            reason = str(error)
    raise CommandError(f'failed to connect to "{server}" ({reason})')


def _choose_database(client: Client, spec: CommandSpec, words: list[str]) -> str:
    """The database that the next word names, or the default one."""
    names = client.call("list_dbs", [])
    if len(words) > spec.min_args and words[0] in names:
        return words.pop(0)
    if DEFAULT_DATABASE in names:
        return DEFAULT_DATABASE
    own = [name for name in names if not name.startswith("_")]
    if len(own) != 1:
        raise CommandError("could not find a default database, please specify a database name")
    return str(own[0])
