"""What a database server is to serve and where: the JSON text of `--config-file`
(ovsdb-server(1)), or the same made of a command line.

    {"remotes": {"punix:db.sock": null, "ptcp:6640": {"inactivity-probe": 0, "read-only": true}},
     "databases": {
         "/var/lib/net.db": {"service-model": "standalone"},
         "/var/lib/copy.db": {"service-model": "active-backup", "backup": true,
                              "source": {"tcp:10.0.0.1:6640": null}, "exclude-tables": ["Own"]},
         "Net": {"service-model": "relay", "source": {"tcp:10.0.0.1:6640": {"max-backoff": 2000}}}}}

A database is named by its file, a relay by its schema. Without a service model, what is in the
file decides whether it is standalone or clustered.
"""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.base.record import Record
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.members import ARRAY, BOOLEAN, INTEGER, OBJECT, STRING, Members, kind_of
from netloom.ovsdb.remote_config import MAX_DSCP, RemoteOptions, default_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Parsed = TypeVar("Parsed")

log = get_logger("ovsdb_server")
STANDALONE = "standalone"
CLUSTERED = "clustered"
ACTIVE_BACKUP = "active-backup"
RELAY = "relay"
MODELS = (STANDALONE, CLUSTERED, ACTIVE_BACKUP, RELAY)

#: The server that is followed may have a whole database to send, to many, before it answers a
#: probe.
SOURCE_PROBE_INTERVAL_MS = 60_000


class Source(Record):
    """The server that a database is copied from, and how to connect to it."""

    #: Several remotes, with commas between, are tried in turn.
    target: str
    options: RemoteOptions

    @property
    def remotes(self) -> list[str]:
        return [remote.strip() for remote in self.target.split(",") if remote.strip()]


def source_of(target: str, probe_interval_ms: int = SOURCE_PROBE_INTERVAL_MS) -> Source:
    """A source of which nothing but the remotes is said."""
    options = default_options(target)
    options.probe_interval_ms = probe_interval_ms
    return Source(target, options)


class DatabaseConfig(Record):
    """How one database is served."""

    #: One of MODELS; None: standalone or clustered, as the file is.
    model: str | None = None
    #: Of a relay or a backup; an active one of a pair may have one, too.
    source: Source | None = None
    #: Whether one of a pair follows its source.
    is_backup: bool = False
    #: Tables that are not copied: `TABLE`, or `DB:TABLE`, which counts in that database only.
    excluded: tuple[str, ...] = ()

    @property
    def follows(self) -> Source | None:
        """What an active-backup database copies; None for one that is active."""
        return self.source if self.model == ACTIVE_BACKUP and self.is_backup else None


class ServerConfig(Record):
    """Remotes by their names, databases by their files or, if relayed, their schemas."""

    remotes: dict[str, RemoteOptions]
    databases: dict[str, DatabaseConfig]


def can_become(model: str, config: DatabaseConfig) -> bool:
    """Whether a database of that service model can be served as `config` says as it stands."""
    if config.model in (model, None):
        return config.model == model or model in (STANDALONE, CLUSTERED)
    return {model, config.model} == {STANDALONE, ACTIVE_BACKUP}


def split_names(text: str) -> tuple[str, ...]:
    """The items of a list with commas or spaces between."""
    return tuple(text.replace(",", " ").split())


def tables_of(names: tuple[str, ...], database: str) -> frozenset[str]:
    """Those of the names of tables that count in one database."""
    tables = set()
    for name in names:
        prefix, colon, table = name.partition(":")
        if not colon:
            tables.add(name)
        elif prefix == database and table:
            tables.add(table)
    return frozenset(tables)


# -- the file ----------------------------------------------------------------------------


def parse_config(json: Any) -> ServerConfig:
    """The configuration that a JSON value tells; raises `ConfigError`."""
    if type(json) is not dict:
        raise ConfigError("configuration in a file must be a JSON object")
    return ServerConfig(_parsed(json, "remotes", _remote), _parsed(json, "databases", _database))


def _parsed(
    json: dict[str, Any], name: str, parse: Callable[[str, Any], Parsed]
) -> dict[str, Parsed]:
    """What the members of a section mean; which section it was is a line of the error."""
    try:
        return {key: parse(key, value) for key, value in _section(json, name).items()}
    except ConfigError as error:
        raise ConfigError(f"{error}\nconfig: failed to parse '{name}'") from error


def _section(json: dict[str, Any], name: str) -> dict[str, Any]:
    if name not in json:
        raise ConfigError(f"config: '{name}' is missing")
    section = json[name]
    if section is not None and type(section) is not dict:
        raise ConfigError(f"config: '{name}' is not a JSON object or null")
    return section or {}


def _remote(target: str, json: Any) -> RemoteOptions:
    options = default_options(target)
    try:
        _set_options(options, target, json, is_remote=True)
    except OvsdbError as error:
        raise ConfigError(str(error)) from error
    return options


def _set_options(options: RemoteOptions, target: str, json: Any, *, is_remote: bool) -> None:
    """Change what the object says of a connection; a remote may also limit its clients. What
    nobody knows, or makes no sense, is logged and otherwise ignored."""
    if json is None:
        return
    if type(json) is not dict:
        text = f"{target}: JSON-RPC options are not a JSON object or null"
        raise OvsdbError("syntax error", text)
    members = Members(json, "JSON-RPC options")
    max_backoff_ms = members.get("max-backoff", INTEGER, optional=True)
    probe_interval_ms = members.get("inactivity-probe", INTEGER, optional=True)
    dscp = members.get("dscp", INTEGER, optional=True)
    if is_remote:
        options.read_only = bool(members.get("read-only", BOOLEAN, optional=True))
        options.role = members.get("role", STRING, optional=True) or ""
    if (value := _within(members, "max-backoff", max_backoff_ms)) is not None:
        options.max_backoff_ms = value
    if (value := _within(members, "inactivity-probe", probe_interval_ms)) is not None:
        options.probe_interval_ms = value
    if (value := _within(members, "dscp", dscp, MAX_DSCP)) is not None:
        options.dscp = value
    try:
        members.finish()
    except OvsdbError as error:
        log.warn("%s", error)


def _within(members: Members, name: str, value: int | None, most: int | None = None) -> int | None:
    """A value that may be; None if there is none."""
    if value is not None and (value < 0 or (most is not None and value > most)):
        members.fail(f"Value of '{name}' is out of range.")
        return None
    return value


def _database(name: str, json: Any) -> DatabaseConfig:
    if json is None:
        return DatabaseConfig()
    members = Members(json, f"database {name}")
    model = members.get("service-model", STRING, optional=True)
    if model is not None and model not in MODELS:
        log.warn("Unrecognized database service model: '%s'", model)
        members.fail(f"'{model}' is not a valid service model")
    is_backup = False
    excluded: tuple[Any, ...] = ()
    if model == ACTIVE_BACKUP:
        is_backup = bool(members.get("backup", BOOLEAN))
        excluded = tuple(members.get("exclude-tables", ARRAY, optional=True) or ())
        if any(kind_of(table) != STRING for table in excluded):
            members.fail("'exclude-tables' must contain strings")
    try:
        source = None
        if model in (ACTIVE_BACKUP, RELAY):
            source = _source(members, optional=model == ACTIVE_BACKUP and not is_backup)
        members.finish()
    except OvsdbError as error:
        raise ConfigError(str(error)) from error
    return DatabaseConfig(model, source, is_backup, excluded)


def _source(members: Members, *, optional: bool) -> Source | None:
    json = members.get("source", OBJECT, optional=optional)
    if json is None:
        return None
    if len(json) != 1:
        members.fail("'source' should be an object with exactly one element")
        return None
    ((target, options),) = json.items()
    source = source_of(target)
    _set_options(source.options, target, options, is_remote=False)
    return source
