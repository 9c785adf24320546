"""A replica of the service's documents, kept up to date by the watch.

What must hold: a replica that loaded a snapshot of revision N and applied every line after N equals
the snapshot of the newest revision. Lines may come again (after a reconnection): applying one twice
changes nothing. The order of revisions is the order of commits.

    replica.load(snapshot)           # {"revision": N, "kinds": {kind: [documents]}}
    for delta in replica.apply(line):  # {"revision": N, "changes": [...]}
        ...                          # kind, id, before, after: what an agent's plan has to look at

Documents are those of the API, all attributes included, plus the keys with a leading underscore
(`_segments` of networks, `_segment` of ports: the id of the bound one). Kinds are those of the
resource table, and `network_schedule` and `router_schedule`: `{"id", "agents", "hosts"}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from netloom.base.errors import ProtocolError
from netloom.network.document import Document

#: kind -> attributes by which documents are found.
INDEXES: dict[str, tuple[str, ...]] = {
    "port": ("network_id", "binding:host_id", "device_id"),
    "subnet": ("network_id",),
    "security_group_rule": ("security_group_id", "remote_group_id"),
    "port_forwarding": ("floatingip_id", "internal_port_id"),
    "floatingip": ("router_id", "port_id"),
    "agent": ("host",),
}
#: Ports are also found by each security group that they are in.
MEMBERS = "security_groups"


class Delta(NamedTuple):
    """One change of the replica; `before` or `after` is None if the thing is new or gone."""

    kind: str
    id: str
    before: Document | None
    after: Document | None


class Expired(Exception):
    """The service no longer has what follows: load a snapshot."""


class Replica:
    """Documents by kind and id, with indexes."""

    def __init__(self) -> None:
        self.revision = 0
        self._documents: dict[str, dict[str, Document]] = {}
        self._index: dict[tuple[str, str, str], set[str]] = {}

    def load(self, snapshot: Mapping[str, Any]) -> list[Delta]:
        """Become what the snapshot says; what that changes."""
        fresh = {
            kind: {document["id"]: document for document in documents}
            for kind, documents in snapshot["kinds"].items()
        }
        deltas: list[Delta] = []
        for kind in sorted(self._documents.keys() | fresh.keys()):
            old, new = self._documents.get(kind, {}), fresh.get(kind, {})
            deltas += [Delta(kind, key, old[key], None) for key in sorted(old.keys() - new.keys())]
            deltas += [
                Delta(kind, key, old.get(key), document)
                for key, document in new.items()
                if old.get(key) != document
            ]
        for delta in deltas:
            self._put(delta)
        self.revision = int(snapshot["revision"])
        return deltas

    def apply(self, line: Mapping[str, Any]) -> list[Delta]:
        """Take in one line of the watch; what that changes. Raises `Expired`."""
        if line.get("error") == "expired":
            raise Expired
        revision = line.get("revision")
        if not isinstance(revision, int):
            raise ProtocolError(f"a line of the watch without a revision: {line}")
        if revision <= self.revision:
            return []
        deltas = []
        for change in line.get("changes", ()):
            kind, key = change["kind"], change["id"]
            before = self.get(kind, key)
            after = None if change["op"] == "delete" else change["body"]
            if before != after:
                delta = Delta(kind, key, before, after)
                self._put(delta)
                deltas.append(delta)
        self.revision = revision
        return deltas

    def get(self, kind: str, key: str) -> Document | None:
        """The document with this id."""
        return self._documents.get(kind, {}).get(key)

    def all(self, kind: str) -> list[Document]:
        """Every document of a kind."""
        return list(self._documents.get(kind, {}).values())

    def find(self, kind: str, attribute: str, value: str) -> list[Document]:
        """The documents whose indexed attribute has this value, by id."""
        documents = self._documents.get(kind, {})
        return [documents[key] for key in sorted(self._index.get((kind, attribute, value), ()))]

    def _put(self, delta: Delta) -> None:
        documents = self._documents.setdefault(delta.kind, {})
        if delta.before is not None:
            for place in _places(delta.kind, delta.before):
                self._index[place].discard(delta.id)
                if not self._index[place]:
                    del self._index[place]
            del documents[delta.id]
        if delta.after is not None:
            documents[delta.id] = delta.after
            for place in _places(delta.kind, delta.after):
                self._index.setdefault(place, set()).add(delta.id)


def _places(kind: str, document: Document) -> Iterable[tuple[str, str, str]]:
    for attribute in INDEXES.get(kind, ()):
        value = document.get(attribute)
        if value:
            yield kind, attribute, value
    if kind == "port":
        for group in document.get(MEMBERS) or ():
            yield kind, MEMBERS, group


class Lines:
    """Bytes of the watch in, lines as values out."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The lines that these bytes complete."""
        *whole, self._left = (self._left + data).split(b"\n")
        try:
            return [msgspec.json.decode(line) for line in whole if line]
        except msgspec.DecodeError as error:
            raise ProtocolError(f"a line of the watch is no JSON: {error}") from None
