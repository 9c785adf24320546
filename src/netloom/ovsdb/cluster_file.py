"""What the file of a clustered database (ovsdb(5), "Clustered Format") says of its server.

Clusters are not served; but the first record of such a file, its header, is enough to tell whose
file it is."""

from __future__ import annotations

from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.log_file import CLUSTER_MAGIC, LogFile
from netloom.ovsdb.members import ID, STRING, Members
from netloom.ovsdb.uuids import parse_uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from netloom.ovsdb.uuids import Uuid


class ClusterMember:
    """One server of a cluster. `cluster_id` is None until the server has joined, unless its file
    was made with the cluster's id."""

    __slots__ = ("cluster_id", "local_address", "name", "server_id")

    def __init__(
        self, name: str, server_id: Uuid, local_address: str, cluster_id: Uuid | None
    ) -> None:
        self.name = name
        self.server_id = server_id
        self.local_address = local_address
        self.cluster_id = cluster_id


def read_member(path: str, decode: Callable[[bytes], Any]) -> ClusterMember:
    """The server whose file that is; raises `OvsdbError`."""
    log = LogFile(path, decode, writable=False, magic=CLUSTER_MAGIC)
    try:
        record = log.read()
    finally:
        log.close()
    if record is None:
        raise log.damage or OvsdbError("ovsdb error", f"{path}: unexpected file format")
    parser = Members(record, "raft header")
    server_id = _uuid(parser, "server_id")
    name = parser.get("name", ID)
    local_address = parser.get("local_address", STRING)
    cluster_id = _uuid(parser, "cluster_id", optional=True)
    if parser.failed or server_id is None:
        parser.finish()
        raise OvsdbError("syntax error", f"{path}: no server ID")
    return ClusterMember(name, server_id, local_address, cluster_id)


def _uuid(parser: Members, name: str, optional: bool = False) -> Uuid | None:
    text = parser.get(name, STRING, optional=optional)
    if text is None:
        return None
    uuid = parse_uuid(text)
    if uuid is None:
        parser.fail(f"{name} is not a valid UUID")
    return uuid
