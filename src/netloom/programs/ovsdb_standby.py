"""The connections of databases in the backup role to their active servers.

`netloom.ovsdb.replication` copies a database; this module connects it. A database is a backup from
the moment it is told to follow a server, connected or not, until it is told to leave it or
replication ends for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.ovsdb.replication import Replication
from netloom.programs.ovsdb_source import SourceLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from netloom.ovsdb.server import Server
    from netloom.ovsdb.server_config import Source
    from netloom.transport.loop import MainLoop
    from netloom.transport.tls import TlsSettings


class _Copy:
    """One database that is a backup."""

    def __init__(self, source: Source, replication: Replication, link: SourceLink) -> None:
        self.source = source
        self.replication = replication
        self.link = link

    def is_of(self, source: Source, excluded: frozenset[str]) -> bool:
        """Whether that much is copied from there over such a connection."""
        return (
            self.source.target == source.target
            and self.source.options.dscp == source.options.dscp
            and self.replication.excluded == excluded
        )


class Standby:
    """The databases of the server that are backups, by their names."""

    def __init__(
        self, loop: MainLoop, server: Server, tls: TlsSettings, on_failure: Callable[[str], None]
    ) -> None:
        """`on_failure` gets the name of a database whose replication ended for good; it has the
        active role then."""
        self._loop = loop
        self._server = server
        self._tls = tls
        self._on_failure = on_failure
        self._copies: dict[str, _Copy] = {}

    def follow(self, name: str, source: Source, excluded: frozenset[str]) -> None:
        """Make a database the backup of the one that `source` has."""
        copy = self._copies.get(name)
        if copy is not None and copy.is_of(source, excluded):
            copy.link.set_options(source)
            copy.source = source
            return
        self.leave(name)
        self._server.served[name].is_backup = True
        replication = Replication(self._server, name, source.target, excluded)
        link = SourceLink(
            self._loop, source, replication, self._tls, lambda: self._judge(name, replication)
        )
        self._copies[name] = _Copy(source, replication, link)

    def _judge(self, name: str, replication: Replication) -> None:
        copy = self._copies.get(name)
        if replication.error is not None and copy is not None and copy.replication is replication:
            self.leave(name)
            self._on_failure(name)

    def leave(self, name: str) -> None:
        """Give a database the active role, if it is served and a backup."""
        copy = self._copies.pop(name, None)
        if copy is None:
            return
        copy.link.close()
        if name in self._server.served:
            self._server.served[name].is_backup = False

    def status(self, name: str) -> str | None:
        """How the copying of a database goes; None if it has the active role."""
        copy = self._copies.get(name)
        return None if copy is None else copy.replication.status()

    def close(self) -> None:
        """Close the connections; the roles stay, for the server ends."""
        for copy in self._copies.values():
            copy.link.close()
