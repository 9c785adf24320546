"""A cluster in one process: servers with disks that lose what was not synchronized, and a network
that delays, reorders, repeats and loses what it carries. What Raft promises is checked after each
step."""

from __future__ import annotations

import json
import random
from typing import Any

from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.raft.commands import SUCCESS
from netloom.ovsdb.raft.entry import Entry, Snapshot
from netloom.ovsdb.raft.machine import Raft
from netloom.ovsdb.raft.rpc import Rpc, parse_rpc
from netloom.ovsdb.raft.state import State, Store, read_state
from netloom.ovsdb.uuids import Uuid

CLUSTER = Uuid("cccccccc-0000-4000-8000-000000000000")
FIRST_EID = Uuid("eeeeeeee-0000-4000-8000-000000000000")


def server_id(number: int) -> Uuid:
    return Uuid(f"{number:08x}-1111-4111-8111-111111111111")


def address_of(number: int) -> str:
    return f"unix:s{number}.raft"


def founder(numbers: list[int], number: int) -> State:
    """The file of a server of a cluster that begins with these."""
    state = State("D", server_id(number), address_of(number), CLUSTER)
    servers = {server_id(n): address_of(n) for n in numbers}
    state.snapshot = Snapshot(1, 1, servers, ["start"], FIRST_EID)
    state.term = 1
    state.commit_index = 1
    return state


def joiner(number: int, remotes: list[str]) -> State:
    state = State("D", server_id(number), address_of(number), None)
    state.remote_addresses = remotes
    return state


class MemoryDisk:
    """Records that reach the disk when they are synchronized, or by chance."""

    def __init__(self, state: State) -> None:
        self.safe: list[str] = [json.dumps(record) for record in state.records()]
        self.pending: list[str] = []
        #: How many more records there is room for; None for any number.
        self.room: int | None = None
        self.sync_fails = False

    def append(self, record: dict[str, Any]) -> None:
        if self.room is not None:
            if self.room <= 0:
                raise OvsdbError("I/O error", "disk: write failed", io_error="No space left")
            self.room -= 1
        self.pending.append(json.dumps(record))

    def sync(self) -> None:
        if self.sync_fails:
            raise OvsdbError("I/O error", "disk: fsync failed")
        self.safe += self.pending
        self.pending.clear()

    def replace(self, records: list[dict[str, Any]]) -> None:
        if self.room is not None and self.room <= 0:
            raise OvsdbError("I/O error", "disk: write failed", io_error="No space left")
        self.safe = [json.dumps(record) for record in records]
        self.pending.clear()

    def after_crash(self, kept: int) -> State:
        """What is read back: all that was synchronized, and `kept` of the records that were not."""
        self.safe += self.pending[:kept]
        self.pending.clear()
        return read_state(json.loads(line) for line in self.safe)


class OldRaft(Raft):
    """A server that asks for no prevotes."""

    def _campaign(self, now_ms: int) -> None:
        self._start_election(now_ms, "timeout")


class Member:
    """One server with what it applied."""

    def __init__(self, world: World, number: int, disk: MemoryDisk, state: State) -> None:
        self.world = world
        self.number = number
        self.disk = disk
        machine = OldRaft if number in world.old else Raft
        self.raft = machine(Store(state, disk), world.now_ms, world.random_ms)
        #: What the database of this server holds: the ids of all data, in order.
        self.contents: list[Any] = list(state.snapshot.data or [])
        self.results: dict[Uuid, str] = {}

    def deadline(self) -> int | None:
        return self.raft.deadline()

    def advance(self) -> None:
        """Do what is due."""
        self.raft.advance(self.world.now_ms)
        self.run()

    def run(self) -> None:
        """What the owner of a machine does after each event."""
        raft = self.raft
        early = raft.take_early()
        for rpc in early:
            self.world.post(self, rpc)
        if early and self.world.random.random() < self.world.dying_early:
            # Whatever it had to put on its disk did not get there.
            self.world.crash(raft.id)
            return
        for rpc in raft.flush(self.world.now_ms):
            self.world.post(self, rpc)
        if raft.restored:
            raft.restored = False
            self.contents = list(raft.state.snapshot.data)
        while (news := raft.next_committed()) is not None:
            index, entry = news
            self.world.check_applied(index, entry)
            if entry.data is not None:
                self.contents.append(entry.eid)
        for eid, status in raft.commands.results:
            self.results[eid] = status
            if status == SUCCESS:
                self.world.succeeded.add(eid)
        raft.commands.results.clear()


class World:
    """All servers, and the messages between them."""

    def __init__(self, seed: int, founders: int, old: frozenset[int] = frozenset()) -> None:
        """`old`: the numbers of servers of a release that knows no prevotes."""
        self.old = old
        self.random = random.Random(seed)
        self.now_ms = 1000
        self.members: dict[Uuid, Member] = {}
        self.down: dict[Uuid, MemoryDisk] = {}
        self.in_flight: list[tuple[Uuid, Rpc]] = []
        self.leaders: dict[int, Uuid] = {}
        self.applied: dict[int, Entry] = {}
        self.succeeded: set[Uuid] = set()
        #: How often a leader dies between sending its entries and having them on its disk.
        self.dying_early = 0.0
        #: Pairs of servers that cannot reach each other.
        self.cut: set[frozenset[Uuid]] = set()
        self._n_eids = 0
        numbers = list(range(1, founders + 1))
        for number in numbers:
            self.start(number, self.initial(numbers, number))

    def random_ms(self, limit_ms: int) -> int:
        return self.random.randrange(limit_ms)

    def new_eid(self) -> Uuid:
        self._n_eids += 1
        return Uuid(f"{self._n_eids:08x}-2222-4222-8222-222222222222")

    def start(self, number: int, state: State) -> Member:
        disk = MemoryDisk(state)
        return self.put(self.make(number, disk, state))

    def initial(self, numbers: list[int], number: int) -> State:
        """What a founder's file says."""
        return founder(numbers, number)

    def make(self, number: int, disk: MemoryDisk, state: State) -> Member:
        return Member(self, number, disk, state)

    def put(self, member: Member) -> Member:
        self.members[member.raft.id] = member
        kind, body = member.raft.membership.greeting()
        if member.raft.membership.is_joining:
            member.raft.send(kind, None, body)
        member.run()
        return member

    # -- the network ---------------------------------------------------------------------

    def post(self, member: Member, rpc: Rpc) -> None:
        wire = json.loads(json.dumps(rpc.params()))
        targets = [rpc.to] if rpc.to is not None else list(self.members)
        for target in targets:
            if target != member.raft.id:
                self.in_flight.append((target, parse_rpc(rpc.kind, wire)))

    def deliver(self, place: int, *, keep: bool = False) -> None:
        """Have a message arrive; it may do so once more if it is kept."""
        target, rpc = self.in_flight[place] if keep else self.in_flight.pop(place)
        member = self.members.get(target)
        if member is None or frozenset((target, rpc.sender)) in self.cut:
            self.lost(target, rpc.sender)
            return
        if member.number in self.old and rpc.body.get("is_prevote"):
            return
        member.raft.receive(rpc, self.now_ms)
        member.run()
        self.check(member)

    def lose(self, place: int) -> None:
        target, rpc = self.in_flight.pop(place)
        self.lost(target, rpc.sender)

    def lost(self, target: Uuid, sender: Uuid) -> None:
        """A message is lost with its connection, which its sender hears of."""
        member = self.members.get(sender)
        if member is not None:
            member.raft.replication.lost_connection(target)

    def settle(self, rounds: int = 10_000) -> None:
        """Deliver everything in order, until nobody says anything more."""
        for _ in range(rounds):
            if not self.in_flight:
                return
            self.deliver(0)

    # -- time and chance -----------------------------------------------------------------

    def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        for member in list(self.members.values()):
            due_ms = member.deadline()
            if due_ms is not None and due_ms <= self.now_ms:
                member.advance()
                self.check(member)

    def run_calmly(self, ms: int) -> None:
        """Let time pass with a network that works."""
        for _ in range(ms // 50):
            self.pass_time(50)
            self.settle()

    def crash(self, sid: Uuid) -> None:
        """End a server; some of what it had not synchronized may be there later all the same."""
        member = self.members.pop(sid)
        self.down[sid] = member.disk

    def restart(self, sid: Uuid) -> Member:
        disk = self.down.pop(sid)
        state = disk.after_crash(self.random.randrange(len(disk.pending) + 1))
        number = int(sid[:8], 16)
        for other in self.members.values():
            other.raft.replication.lost_connection(sid)
        return self.put(self.make(number, disk, state))

    def propose(self, member: Member) -> Uuid:
        """Have a server try a transaction upon what it has applied."""
        eid = self.new_eid()
        raft = member.raft
        raft.commands.execute(
            [None, {"by": member.number}], self.eid_applied(member), eid, self.now_ms
        )
        member.run()
        return eid

    def eid_applied(self, member: Member) -> Uuid:
        return Uuid(member.contents[-1]) if len(member.contents) > 1 else FIRST_EID

    def compact(self, member: Member) -> None:
        if not member.raft.membership.is_joining and not member.raft.has_left:
            member.raft.compact(list(member.contents))
            member.run()

    @property
    def leader(self) -> Member | None:
        found = [m for m in self.members.values() if m.raft.is_leader]
        return max(found, key=lambda m: m.raft.state.term) if found else None

    # -- what must hold ------------------------------------------------------------------

    def check_applied(self, index: int, entry: Entry) -> None:
        """State machine safety: at one index all servers apply the same."""
        known = self.applied.setdefault(index, entry)
        assert known == entry, f"two entries at index {index}"

    def check(self, member: Member) -> None:
        raft = member.raft
        if raft.is_leader:
            leader = self.leaders.setdefault(raft.state.term, raft.id)
            assert leader == raft.id, f"two leaders in term {raft.state.term}"

    def check_logs(self) -> None:
        """Log matching: logs that agree on the term of an entry agree on all before it."""
        states = [member.raft.state for member in self.members.values()]
        for one in states:
            for two in states:
                first = max(one.log_start, two.log_start)
                last = min(one.log_end, two.log_end) - 1
                same = False
                for index in range(last, first - 1, -1):
                    same = same or one.term_at(index) == two.term_at(index)
                    if same:
                        assert one.entry(index) == two.entry(index), f"logs differ at {index}"

    def check_agreement(self) -> None:
        """After a calm time: all servers hold the same, with all that was said to be done."""
        contents = {tuple(map(str, m.contents)) for m in self.members.values()}
        assert len(contents) == 1
        (order,) = contents
        assert len(set(order)) == len(order)
        assert self.succeeded <= set(order)
