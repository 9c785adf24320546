"""One entry of the log: a transaction, a set of servers, a new election timer, or just a term.

An entry has the same form on the wire and on disk, where its index is added. `data` is
`[schema or null, transaction or null]` (ovsdb(5)); the id of an entry (`eid`) belongs to its data,
and is what the next transaction names as its prerequisite.
"""

from __future__ import annotations

from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.members import ANY, INTEGER, OBJECT, STRING, Members
from netloom.ovsdb.uuids import ZERO_UUID, parse_uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.ovsdb.uuids import Uuid

    #: The members of a cluster: their addresses by id.
    Servers = dict[Uuid, str]

#: How long a follower waits for its leader, in ms, where nothing else was decided; and what may be.
DEFAULT_ELECTION_TIMER_MS = 1000
MIN_ELECTION_TIMER_MS = 100
MAX_ELECTION_TIMER_MS = 600_000


class Entry:
    """What happened at one place of the log; never changed."""

    __slots__ = ("data", "eid", "election_timer", "servers", "term")

    def __init__(
        self,
        term: int,
        data: Any = None,
        eid: Uuid = ZERO_UUID,
        servers: Servers | None = None,
        election_timer: int = 0,
    ) -> None:
        self.term = term
        self.data = data
        self.eid = eid
        self.servers = servers
        #: The new election timer in ms; 0 if it stays.
        self.election_timer = election_timer

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.term, self.eid))

    def to_json(self) -> dict[str, Any]:
        """The entry as in a message; on disk there is an "index", too."""
        json: dict[str, Any] = {"term": self.term}
        if self.data is not None:
            json["data"] = self.data
            json["eid"] = self.eid
        if self.servers is not None:
            json["servers"] = self.servers
        if self.election_timer:
            json["election_timer"] = self.election_timer
        return json

    @staticmethod
    def from_json(json: Any) -> Entry:
        """The entry of a message; raises `OvsdbError`."""
        parser = Members(json, "raft log entry")
        term = parser.get("term", INTEGER)
        entry = parse_contents(parser, term or 0)
        parser.finish()
        return entry


def get_uuid(parser: Members, name: str, optional: bool = False) -> Uuid | None:
    """A member that is a UUID."""
    text = parser.get(name, STRING, optional=optional)
    if text is None:
        return None
    uuid = parse_uuid(text)
    if uuid is None:
        parser.fail(f"'{name}' is not a valid UUID")
    return uuid


def parse_contents(parser: Members, term: int) -> Entry:
    """The entry of that term whose other members the parser has."""
    data = parser.get("data", ANY, optional=True)
    eid_text = parser.get("eid", STRING, optional=True)
    servers_json = parser.get("servers", OBJECT, optional=True)
    timer = parser.get("election_timer", INTEGER, optional=True) or 0
    eid = ZERO_UUID if eid_text is None else parse_uuid(eid_text)
    if eid is None:
        parser.fail("'eid' is not a valid UUID")
        eid = ZERO_UUID
    if (data is None) != (eid_text is None):
        parser.fail("'data' and 'eid' must be present both or not at all")
    servers = None if servers_json is None else parse_servers(servers_json)
    return Entry(term, data, eid, servers, timer)


def parse_servers(json: Any) -> Servers:
    """A `<servers>` object; raises `OvsdbError`."""
    servers: Servers = {}
    if type(json) is not dict or not json:
        raise OvsdbError("syntax error", "servers must be an object with one or more members")
    for text, address in json.items():
        sid = parse_uuid(text)
        if sid is None or type(address) is not str:
            raise OvsdbError("syntax error", f"server {text} must be a UUID with an address")
        servers[sid] = address
    return servers


class Snapshot:
    """The state that the log begins after: everything up to and including `index`."""

    __slots__ = ("data", "eid", "election_timer", "index", "servers", "term")

    def __init__(
        self,
        index: int,
        term: int,
        servers: Servers,
        data: Any,
        eid: Uuid,
        election_timer: int = DEFAULT_ELECTION_TIMER_MS,
    ) -> None:
        self.index = index
        self.term = term
        self.servers = servers
        self.data = data
        self.eid = eid
        self.election_timer = election_timer
