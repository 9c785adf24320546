"""The file of a server of a cluster (ovsdb(5), "Clustered Format"): the records of
`netloom.ovsdb.raft.state`, each guarded by its checksum as in `log_file`.

A server may have promised to others whatever is in its file. So only what a crash explains is
forgiven: a last record that was cut short, which is dropped. Damage before good records is an
error, and so is a record that cannot follow the ones before it: such a server has to leave its
cluster and join it anew.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.log_file import CLUSTER_MAGIC, LogFile, create_file
from netloom.ovsdb.raft.state import read_header, read_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from netloom.ovsdb.raft.state import State

    Encode = Callable[[Any], bytes]
    Decode = Callable[[bytes], Any]

log = get_logger("raft")


def read_member(path: str, decode: Decode) -> State:
    """What the first record of a file says of its server; raises `OvsdbError`. Its `cid` is None
    until the server has joined, unless its file was made with the cluster's id."""
    file = LogFile(path, decode, writable=False, magic=CLUSTER_MAGIC)
    try:
        record = file.read()
    finally:
        file.close()
    if record is None:
        raise file.damage or OvsdbError("ovsdb error", f"{path}: unexpected file format")
    return read_header(record)


def records_of(file: LogFile) -> Iterator[dict[str, Any]]:
    """The records of a file; raises what is wrong with it, but for an end that was cut short."""
    while (record := file.read()) is not None:
        yield record
    if file.damage is not None and file.goes_on:
        raise file.damage


def read_file(path: str, decode: Decode) -> State:
    """What a whole file says; raises `OvsdbError`."""
    file = LogFile(path, decode, writable=False, magic=CLUSTER_MAGIC)
    try:
        return read_state(records_of(file))
    finally:
        file.close()


def create_cluster_file(path: str, state: State, encode: Encode) -> None:
    """Make the file of a new server."""
    create_file(path, [encode(record) for record in state.records()], CLUSTER_MAGIC)


class ClusterFile:
    """A file that a running server has: a `Disk` (`netloom.ovsdb.raft.state`)."""

    def __init__(self, path: str, decode: Decode, encode: Encode) -> None:
        self._encode = encode
        self.log = LogFile(path, decode, writable=True, magic=CLUSTER_MAGIC)
        try:
            self.state = read_state(records_of(self.log))
            if self.log.damage is not None:
                log.warn("%s", self.log.damage)
            self.log.base_size = self.log.offset
            self.log.start_writing()
        except OvsdbError:
            self.log.close()
            raise

    def append(self, record: dict[str, Any]) -> None:
        self.log.append(self._encode(record))

    def sync(self) -> None:
        self.log.sync()

    def replace(self, records: list[dict[str, Any]]) -> None:
        self.log.replace([self._encode(record) for record in records])

    def close(self) -> None:
        self.log.close()
