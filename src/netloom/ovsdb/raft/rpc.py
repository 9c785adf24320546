"""What the servers of a cluster say to one another.

Every message is a JSON-RPC notification whose only parameter is an object. Some members are in all
of them (`from`, `to`, `cluster`, `comment`), the others are the kind's: one table says which, and
of what kind, for reading and for writing.

    rpc = Rpc("vote_reply", {"term": 3, "vote": sid}, to=candidate)
    rpc = parse_rpc("vote_reply", params)           # raises OvsdbError
"""

from __future__ import annotations

from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.members import ANY, ARRAY, BOOLEAN, INTEGER, OBJECT, STRING, Members
from netloom.ovsdb.raft.entry import Entry, get_uuid, parse_servers
from netloom.ovsdb.uuids import ZERO_UUID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.ovsdb.uuids import Uuid

#: A member that is a UUID.
UUID = "U"
#: Whether the member may be missing.
_REQUIRED, _OPTIONAL = False, True
#: The members of each kind of message: name, kinds of value, whether it may be missing.
KINDS: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "hello_request": (("address", STRING, _REQUIRED),),
    "append_request": (
        ("term", INTEGER, _REQUIRED),
        ("prev_log_index", INTEGER, _REQUIRED),
        ("prev_log_term", INTEGER, _REQUIRED),
        ("leader_commit", INTEGER, _REQUIRED),
        ("log", ARRAY, _REQUIRED),
    ),
    "append_reply": (
        ("term", INTEGER, _REQUIRED),
        ("log_end", INTEGER, _REQUIRED),
        ("prev_log_index", INTEGER, _REQUIRED),
        ("prev_log_term", INTEGER, _REQUIRED),
        ("n_entries", INTEGER, _REQUIRED),
        ("result", STRING, _REQUIRED),
    ),
    "vote_request": (
        ("term", INTEGER, _REQUIRED),
        ("last_log_index", INTEGER, _REQUIRED),
        ("last_log_term", INTEGER, _REQUIRED),
        ("leadership_transfer", BOOLEAN, _OPTIONAL),
        ("is_prevote", BOOLEAN, _OPTIONAL),
    ),
    "vote_reply": (
        ("term", INTEGER, _REQUIRED),
        ("vote", UUID, _REQUIRED),
        ("is_prevote", BOOLEAN, _OPTIONAL),
    ),
    "add_server_request": (("address", STRING, _REQUIRED),),
    "add_server_reply": (
        ("success", BOOLEAN, _REQUIRED),
        ("remote_addresses", ARRAY, _OPTIONAL),
    ),
    "remove_server_request": (("server_id", UUID, _REQUIRED),),
    "remove_server_reply": (
        ("success", BOOLEAN, _REQUIRED),
        ("target_server", UUID, _OPTIONAL),
    ),
    "install_snapshot_request": (
        ("term", INTEGER, _REQUIRED),
        ("last_index", INTEGER, _REQUIRED),
        ("last_term", INTEGER, _REQUIRED),
        ("last_servers", OBJECT, _REQUIRED),
        ("last_eid", UUID, _REQUIRED),
        ("data", ANY, _REQUIRED),
        ("election_timer", INTEGER, _OPTIONAL),
    ),
    "install_snapshot_reply": (
        ("term", INTEGER, _REQUIRED),
        ("last_index", INTEGER, _REQUIRED),
        ("last_term", INTEGER, _REQUIRED),
    ),
    "become_leader": (("term", INTEGER, _REQUIRED),),
    "execute_command_request": (
        ("data", ANY, _REQUIRED),
        ("prereq", UUID, _REQUIRED),
        ("result", UUID, _REQUIRED),
    ),
    "execute_command_reply": (
        ("result", UUID, _REQUIRED),
        ("status", STRING, _REQUIRED),
        ("commit_index", INTEGER, _OPTIONAL),
    ),
}

#: How a follower answers an append_request.
OK, INCONSISTENT, IO_ERROR = "OK", "inconsistency", "I/O error"


class Rpc:
    """One message. `to` is None for all servers that are connected, and in what a server says that
    does not know yet whom it talks to. `body` has the members of the kind that are present."""

    __slots__ = ("body", "cluster", "comment", "kind", "sender", "to")

    def __init__(
        self,
        kind: str,
        body: dict[str, Any],
        to: Uuid | None = None,
        comment: str = "",
        sender: Uuid = ZERO_UUID,
        cluster: Uuid | None = None,
    ) -> None:
        self.kind = kind
        self.body = body
        self.to = to
        self.comment = comment
        self.sender = sender
        self.cluster = cluster

    def params(self) -> list[Any]:
        """The parameters of the notification."""
        json: dict[str, Any] = {"from": self.sender, **self.body}
        if self.to is not None:
            json["to"] = self.to
        if self.cluster is not None:
            json["cluster"] = self.cluster
        if self.comment:
            json["comment"] = self.comment
        if self.kind == "append_request":
            json["log"] = [entry.to_json() for entry in self.body["log"]]
        return [json]


def parse_rpc(kind: str, params: list[Any]) -> Rpc:
    """The message that a notification is; raises `OvsdbError` if it is none."""
    if kind not in KINDS:
        raise OvsdbError("syntax error", f"unknown method {kind}")
    if len(params) != 1:
        raise OvsdbError("syntax error", f"{kind} must have one parameter")
    parser = Members(params[0], f"raft {kind} RPC")
    sender = get_uuid(parser, "from", optional=False)
    to = get_uuid(parser, "to", optional=True)
    cluster = get_uuid(parser, "cluster", optional=True)
    comment = parser.get("comment", STRING, optional=True) or ""
    body: dict[str, Any] = {}
    for name, kinds, optional in KINDS[kind]:
        value = (
            get_uuid(parser, name, optional)
            if kinds == UUID
            else parser.get(name, kinds, optional=optional)
        )
        if value is not None or kinds == ANY:
            body[name] = value
    parser.finish()
    assert sender is not None
    _read_nested(kind, body)
    return Rpc(kind, body, to, comment, sender, cluster)


def _read_nested(kind: str, body: dict[str, Any]) -> None:
    """Turn the members that are structures into what they stand for."""
    if kind == "append_request":
        body["log"] = [Entry.from_json(json) for json in body["log"]]
    elif kind == "install_snapshot_request":
        body["last_servers"] = parse_servers(body["last_servers"])
    elif kind == "add_server_reply":
        addresses = body.setdefault("remote_addresses", [])
        if not all(type(address) is str for address in addresses):
            raise OvsdbError("syntax error", "remote_addresses must be strings")
    for name, value in body.items():
        if type(value) is int and value < 0:
            raise OvsdbError("syntax error", f"{name} must not be negative")
