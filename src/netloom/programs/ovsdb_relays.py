"""The connections of relayed databases to their sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.base.log import get_logger
from netloom.ovsdb.database import Database
from netloom.ovsdb.relay import Relay, empty_schema
from netloom.programs.ovsdb_source import SourceLink

if TYPE_CHECKING:
    from netloom.ovsdb.server import Server
    from netloom.ovsdb.server_config import Source
    from netloom.transport.loop import MainLoop
    from netloom.transport.tls import TlsSettings

log = get_logger("relay")


class Relays:
    """All relays of the server, by the names of their databases."""

    def __init__(self, loop: MainLoop, server: Server, tls: TlsSettings) -> None:
        self._loop = loop
        self._server = server
        self._tls = tls
        self._links: dict[str, tuple[Source, SourceLink]] = {}

    def add(self, name: str, source: Source) -> None:
        """Serve one more relayed database; raises `OvsdbError`."""
        self._server.add_database(Database(empty_schema(name)), None, Relay(self._server, name))
        self._connect(name, source)
        log.dbg("added database: %s, %s", name, source.target)

    def _connect(self, name: str, source: Source) -> None:
        relay = self._server.served[name].relay
        assert relay is not None
        link = SourceLink(self._loop, source, relay, self._tls, lambda: _judge(relay, link))
        self._links[name] = (source, link)

    def set_source(self, name: str, source: Source) -> None:
        """Follow another source, or the same one in another manner."""
        before, link = self._links[name]
        if before.target == source.target and before.options.dscp == source.options.dscp:
            link.set_options(source)
            self._links[name] = (source, link)
            return
        link.close()
        relay = self._server.served[name].relay
        assert relay is not None
        relay.disconnected()
        self._connect(name, source)

    def forget(self, name: str) -> None:
        """A database was removed: close its connection, if it had one."""
        if name in self._links:
            _source, link = self._links.pop(name)
            link.close()
            log.dbg("removed database: %s", name)

    def close(self) -> None:
        for _source, link in self._links.values():
            link.close()


def _judge(relay: Relay, link: SourceLink) -> None:
    """Leave a source that the relay has no use for."""
    if relay.unfit is not None:
        reason, relay.unfit = relay.unfit, None
        log.info_rl("%s: %s; trying another server", link.peer, reason)
        link.try_another()
