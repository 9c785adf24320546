"""The databases of ovsdb-server and their service models: opened, changed and closed as the
configuration, or a command of ovsdb-server(1), says.

A server that was configured by its command line has one active server for all of its databases,
which `ovs-appctl` changes; one with `--config-file` has a source for each database, and is only
changed by reading the file again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.base.log import get_logger
from netloom.base.record import replace
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.server_config import (
    ACTIVE_BACKUP,
    RELAY,
    SOURCE_PROBE_INTERVAL_MS,
    STANDALONE,
    DatabaseConfig,
    can_become,
    source_of,
    split_names,
    tables_of,
)
from netloom.programs.ovsdb_relays import Relays
from netloom.programs.ovsdb_standby import Standby

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from netloom.ovsdb.server import Server
    from netloom.transport.loop import MainLoop
    from netloom.transport.tls import TlsSettings

log = get_logger("ovsdb_server")
_RELAY_PREFIX = "relay:"


class CommonSource:
    """What the command line and the commands say of all databases."""

    def __init__(self) -> None:
        #: The active server, if one was named.
        self.active: str | None = None
        #: The tables that are not copied, as they were given.
        self.excluded = ""
        self.is_backup = False
        self.probe_interval_ms = SOURCE_PROBE_INTERVAL_MS
        self.relay_probe_interval_ms = SOURCE_PROBE_INTERVAL_MS

    def of_argument(self, argument: str) -> tuple[str, DatabaseConfig]:
        """The name and the configuration of a database that the command line, or `add-db`, names:
        a file or `relay:DB:REMOTE[,REMOTE]...`; raises `OvsdbError`."""
        if not argument.startswith(_RELAY_PREFIX):
            config = DatabaseConfig() if self.active is None else self.of_pair(self.active)
            return argument, config
        name, colon, remotes = argument[len(_RELAY_PREFIX) :].partition(":")
        if not colon:
            raise OvsdbError("ovsdb error", f"{argument}: invalid syntax")
        return name, DatabaseConfig(RELAY, source_of(remotes, self.relay_probe_interval_ms))

    def of_pair(self, active: str) -> DatabaseConfig:
        """The configuration of a database that is one of a pair with that active server's."""
        source = source_of(active, self.probe_interval_ms)
        return DatabaseConfig(ACTIVE_BACKUP, source, self.is_backup, split_names(self.excluded))


class _Entry:
    """A database that is served: its own name, and its configuration as it is now."""

    def __init__(self, name: str, config: DatabaseConfig) -> None:
        self.name = name
        self.config = config


class Databases:
    """All databases but the server's own, by what the configuration calls them."""

    def __init__(
        self,
        loop: MainLoop,
        server: Server,
        tls: TlsSettings,
        open_file: Callable[[str], str],
        forget: Callable[[str], None],
    ) -> None:
        """`open_file(path)` serves the database of a file and returns its name, or raises
        `OvsdbError`; `forget(name)` lets go what else belongs to one that was removed."""
        self._server = server
        self._open_file = open_file
        self._forget = forget
        self._entries: dict[str, _Entry] = {}
        self._relays = Relays(loop, server, tls)
        self._standby = Standby(loop, server, tls, self._failed)
        self.common = CommonSource()
        #: Whether each database has a source of its own.
        self.has_own_sources = False

    # -- one database --------------------------------------------------------------------

    def open(self, key: str, config: DatabaseConfig) -> None:
        """Serve one more database; raises `OvsdbError`."""
        if config.model == RELAY:
            assert config.source is not None
            self._relays.add(key, config.source)
            self._entries[key] = _Entry(key, config)
            return
        name = self._open_file(key)
        model = self._server.served[name].model
        needed = STANDALONE if config.model == ACTIVE_BACKUP else config.model
        if needed not in (None, model):
            self._forget(name)
            self._server.remove_database(name)
            raise OvsdbError("ovsdb error", f"{key}: database is {model} and not {config.model}")
        self._entries[key] = entry = _Entry(name, replace(config, model=config.model or model))
        self._take_role(entry)

    def _take_role(self, entry: _Entry) -> None:
        config = entry.config
        source = config.follows
        if source is None:
            self._standby.leave(entry.name)
        else:
            self._standby.follow(entry.name, source, tables_of(config.excluded, entry.name))

    def _change(self, entry: _Entry, config: DatabaseConfig) -> None:
        """Serve a database in another manner, without closing it."""
        entry.config = replace(config, model=config.model or entry.config.model)
        if config.model == RELAY:
            assert config.source is not None
            self._relays.set_source(entry.name, config.source)
        else:
            self._take_role(entry)

    def remove(self, name: str, reason: str) -> None:
        """Serve a database no longer."""
        self._standby.leave(name)
        # A cluster hears the last of this server while its file is still open.
        self._forget(name)
        self._server.remove_database(name, reason)
        self._relays.forget(name)
        self._entries = {key: entry for key, entry in self._entries.items() if entry.name != name}

    def _failed(self, name: str) -> None:
        """A database cannot follow its active server: it has the active role now, and so have, if
        they have that server in common, all others."""
        if self.has_own_sources:
            for entry in self._entries.values():
                if entry.name == name:
                    entry.config = replace(entry.config, is_backup=False)
        else:
            self.disconnect()

    # -- all databases -------------------------------------------------------------------

    def reconfigure(self, wanted: Mapping[str, DatabaseConfig]) -> bool:
        """Open, change and close databases until they are what is wished; what cannot be opened
        is logged, and makes the answer False. Those that stay are not disturbed."""
        for key, entry in list(self._entries.items()):
            config = wanted.get(key)
            if config is None:
                self.remove(entry.name, f"database {entry.name} removed from configuration")
            elif not can_become(entry.config.model or STANDALONE, config):
                self.remove(entry.name, f"service model changed for database {entry.name}")
            else:
                self._change(entry, config)
        is_good = True
        for key, config in wanted.items():
            if key in self._entries:
                continue
            try:
                self.open(key, config)
            except OvsdbError as error:
                log.warn("failed to open database '%s': %s", key, error)
                is_good = False
        return is_good

    def connect(self) -> bool:
        """Make all standalone and active databases backups of the active server that was named;
        False if none was."""
        if self.common.active is None:
            return False
        self.common.is_backup = True
        config = self.common.of_pair(self.common.active)
        for entry in self._entries.values():
            if entry.config.model in (STANDALONE, ACTIVE_BACKUP):
                self._change(entry, config)
        return True

    def disconnect(self) -> None:
        """Follow nobody: let all backups take the active role."""
        self.common.is_backup = False
        for entry in self._pairs():
            self._change(entry, replace(entry.config, is_backup=False))

    def exclude(self, tables: str) -> None:
        """Leave other tables out; backups begin anew."""
        self.common.excluded = tables
        for entry in self._pairs():
            self._change(entry, replace(entry.config, excluded=split_names(tables)))

    def set_active_probe_interval(self, interval_ms: int) -> None:
        """How long the active server may be silent until it is probed."""
        self.common.probe_interval_ms = interval_ms
        self._set_probe_interval(ACTIVE_BACKUP, interval_ms)

    def set_relay_probe_interval(self, interval_ms: int) -> None:
        """How long every source, of these relays and later ones, may be silent."""
        self.common.relay_probe_interval_ms = interval_ms
        self._set_probe_interval(RELAY, interval_ms)

    def _set_probe_interval(self, model: str, interval_ms: int) -> None:
        for entry in self._entries.values():
            config = entry.config
            if config.model == model and config.source is not None:
                source = source_of(config.source.target, interval_ms)
                self._change(entry, replace(config, source=source))

    def configured(self) -> Iterator[tuple[str, DatabaseConfig]]:
        """All databases by their own names, and how they are served."""
        for entry in self._entries.values():
            yield entry.name, entry.config

    def _pairs(self) -> Iterator[_Entry]:
        for entry in self._entries.values():
            if entry.config.model == ACTIVE_BACKUP:
                yield entry

    def status(self) -> str:
        """The text of `ovsdb-server/sync-status`."""
        pairs = {entry.name for entry in self._pairs()}
        names = sorted(self._server.served)
        text = ""
        for name in names:
            if name in pairs:
                status = self._standby.status(name)
                role = "state: active\n" if status is None else f"state: backup\n{status}"
                text += f"database: {name}\n{role}"
                # A blank line follows all but the last database that is served, of any model.
                text += "" if name == names[-1] else "\n"
        return text or "state: active\n"

    def close(self) -> None:
        self._standby.close()
        self._relays.close()
