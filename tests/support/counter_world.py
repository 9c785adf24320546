"""Clusters in one process whose servers keep a database with one number, to which clients add."""

from __future__ import annotations

import json
from typing import Any

from tests.support.database_pair import Client, make_server
from tests.support.raft_world import Member, MemoryDisk, World, founder

from netloom.base.clock import ManualClock
from netloom.ovsdb.cluster import Cluster
from netloom.ovsdb.raft.state import State
from netloom.ovsdb.uuids import Uuid

SCHEMA: dict[str, Any] = {
    "name": "D",
    "version": "1.0.0",
    "tables": {"T": {"columns": {"n": {"type": "integer"}}, "isRoot": True}},
}
ROW = {"aaaaaaaa-0000-4000-8000-000000000000": {"n": 0}}
ADD = {"op": "mutate", "table": "T", "where": [], "mutations": [["n", "+=", 1]]}
READ = {"op": "select", "table": "T", "where": [], "columns": ["n"]}


class File:
    """What a `Cluster` asks of its file beyond the disk."""

    log = None

    def close(self) -> None:
        """Nothing is open."""


class DatabaseMember(Member):
    """A server with a whole database server upon its log, and a client."""

    def __init__(self, world: World, number: int, disk: MemoryDisk, state: State) -> None:
        super().__init__(world, number, disk, state)
        self.clock = ManualClock(world.now_ms, 1_700_000_000_000)
        self.server = make_server(self.clock)
        self.cluster = Cluster(self.server, self.raft, File())  # type: ignore[arg-type]
        self.server.add_database(self.cluster.first_database(), None, cluster=self.cluster)
        self.client = Client(self.server)
        self.n_asked = 0

    def deadline(self) -> int | None:
        return self.cluster.deadline()

    def advance(self) -> None:
        self.run()

    def run(self) -> None:
        self.clock.advance(self.world.now_ms - self.clock.now_ms())
        for rpcs in self.cluster.run(self.world.now_ms):
            for rpc in rpcs:
                self.world.post(self, rpc)

    def add(self) -> None:
        self.n_asked += 1
        self.client.call("transact", "D", ADD, request_id=self.n_asked)
        self.run()

    def value(self) -> int:
        (row,) = self.server.served["D"].database.tables["T"].rows.values()
        assert isinstance(row[0], int)
        return row[0]


class CounterWorld(World):
    def __init__(self, seed: int, founders: int) -> None:
        self.asked = 0
        super().__init__(seed, founders)
        self.confirmed = 0

    def make(self, number: int, disk: MemoryDisk, state: State) -> Member:
        return DatabaseMember(self, number, disk, state)

    def initial(self, numbers: list[int], number: int) -> State:
        state = founder(numbers, number)
        state.snapshot.data = [SCHEMA, {"T": ROW}]
        return state

    def propose(self, member: Member) -> Uuid:
        assert isinstance(member, DatabaseMember)
        self.asked += 1
        member.add()
        return Uuid("")

    def compact(self, member: Member) -> None:
        assert isinstance(member, DatabaseMember)
        member.cluster.compact()
        member.run()

    def crash(self, sid: Uuid) -> None:
        self.count(self.members[sid])
        super().crash(sid)

    def count(self, member: Member) -> None:
        """Count the confirmations that a member's client has got."""
        assert isinstance(member, DatabaseMember)
        for message in member.client.take():
            if message.get("result") == [{"count": 1}]:
                self.confirmed += 1
            else:
                assert "result" not in message, json.dumps(message)
