"""One server of a cluster, without sockets and files of its own: Raft as Open vSwitch runs it.

    raft = Raft(store, now_ms, random_ms)
    raft.receive(rpc, now_ms)               # a message of another server
    raft.advance(now_ms)                    # at `deadline()`
    raft.commands.execute(data, prereq, eid, now_ms)
    for rpc in raft.flush(now_ms): ...      # what is to be sent, and now may be
    while (news := raft.next_committed()) is not None: ...

What must hold (the Raft paper's figure 3): one leader per term; logs that agree on an entry agree
on all before it; what is committed stays so; all servers see the same entries in the same order.

How it holds across `kill -9` and power failures: nothing is sent but by `flush`, which first has
the disk synchronized, and by `take_early`. A server counts its own copy of an entry as one of the
majority only then. So however many transactions came in one turn of the loop, they cost one fsync.

If the disk cannot be written, that is an error of what was to be written (a transaction, an entry
of the leader's) and nothing else changes. If it cannot be synchronized, nobody knows what is on it:
the server falls silent for good (`is_broken`), and others take over.

Who misses the leader first asks whether the others would vote for it (prevotes, section 9.6 of
Ongaro's dissertation) and only if they would, enters a new term. So a server that was cut off does
not depose, by its higher term, the leader that the others have. Releases of Open vSwitch before 3.2
do not answer: who asks for votes without having asked for prevotes is taken for one of these, and
if it takes their votes to be elected, the election follows without.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.raft.commands import LOST_LEADERSHIP, SHUTDOWN, Commands
from netloom.ovsdb.raft.entry import (
    MAX_ELECTION_TIMER_MS,
    MIN_ELECTION_TIMER_MS,
    Entry,
    Snapshot,
)
from netloom.ovsdb.raft.membership import Membership
from netloom.ovsdb.raft.replication import Peer, Replication
from netloom.ovsdb.raft.rpc import Rpc
from netloom.ovsdb.raft.state import TRANSFER
from netloom.ovsdb.uuids import ZERO_UUID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from netloom.ovsdb.raft.entry import Servers
    from netloom.ovsdb.raft.state import State, Store
    from netloom.ovsdb.uuids import Uuid

log = get_logger("raft")
FOLLOWER, CANDIDATE, LEADER = "follower", "candidate", "leader"
#: Servers wait by so much longer than the election timer, each by chance, so that one is first.
ELECTION_RANGE_MS = 1000
#: Heartbeats in one election timer.
HEARTBEATS = 3


def nickname(sid: Uuid, servers: Servers) -> str:
    """What people call a server: the name of its socket's file, or its id's first digits."""
    address = servers.get(sid, "")
    if address.startswith("unix:"):
        return address.rpartition(":")[2].rpartition("/")[2].partition(".")[0]
    return sid[:4]


class Raft:
    """One server: who leads, and when. `replication` follows and leads logs, `commands` has
    transactions committed, `membership` changes the set of servers."""

    def __init__(self, store: Store, now_ms: int, random_ms: Callable[[int], int]) -> None:
        self.store = store
        self.random_ms = random_ms
        self.outbox: list[Rpc] = []
        self.role = FOLLOWER
        self.leader: Uuid | None = None
        #: The disk failed in a way that leaves unknown what is on it.
        self.is_broken = False
        self.had_leader = False
        #: An election of ours came to nothing: another has to follow before a leader was heard.
        self.is_retrying = False
        self._has_tried = False
        #: Waits longer than others for a leader, so that it hardly becomes one itself.
        self.is_slow = False
        self.last_applied = self.state.snapshot.index
        #: A snapshot came that is to take the place of what was applied.
        self.restored = False
        self.election_started_ms: int | None = None
        self.election_won_ms: int | None = None
        self.is_transfer = False
        self._votes: set[Uuid] = set()
        #: The votes that are, or were last, collected are prevotes.
        self._is_prevote = False
        #: Which servers know of prevotes, of those of whom that was seen.
        self._knows_prevotes: dict[Uuid, bool] = {}
        #: When each server was heard last, and when this one's leader was.
        self.heard: dict[Uuid, int] = {}
        self._heard_ms: int | None = None
        self._heartbeat_ms = 0
        #: The others have not been told yet what is committed.
        self._owes_beat = False
        self._check_ms = 0
        self.commands = Commands(self)
        self.replication = Replication(self)
        self.membership = Membership(self, now_ms)
        self._election_ms = 0
        self._wait_for_leader(now_ms)
        if list(self.servers) == [self.id] and not self.state.is_joining:
            self._campaign(now_ms)

    # -- what others ask -----------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.store.state

    @property
    def id(self) -> Uuid:
        return self.state.sid

    @property
    def servers(self) -> Servers:
        """The servers by the newest set that is in the log, committed or not."""
        return self.state.servers_at(self.state.log_end - 1)

    @property
    def others(self) -> list[Uuid]:
        return [sid for sid in self.servers if sid != self.id]

    @property
    def election_timer(self) -> int:
        """The timer in ms, once its change is committed."""
        return self.state.election_timer_at(self.state.commit_index)

    @property
    def is_connected(self) -> bool:
        """Whether this server can be expected to know what is committed."""
        member = self.membership
        away = self.is_broken or self.is_retrying or member.is_joining or member.is_leaving
        return self.had_leader and not away and not self.has_left

    @property
    def is_leader(self) -> bool:
        return self.role == LEADER and not self.is_broken

    @property
    def has_left(self) -> bool:
        return self.state.has_left

    @property
    def n_uncommitted(self) -> int:
        return self.state.log_end - 1 - self.state.commit_index

    def name_of(self, sid: Uuid) -> str:
        return nickname(sid, self.servers)

    # -- time ----------------------------------------------------------------------------

    def deadline(self) -> int | None:
        """When `advance` must be called next."""
        if self.is_broken or self.has_left:
            return None
        times = [*self.commands.deadlines(), *self.membership.deadlines()]
        if self.role == LEADER:
            if self._owes_beat:
                # Unless the next entry, which may be about to come, tells them.
                return 0
            times += [self._heartbeat_ms, self._check_ms]
        elif self.id in self.servers:
            times.append(self._election_ms)
        return min(times, default=None)

    def advance(self, now_ms: int) -> None:
        """Do what is due."""
        if self.is_broken or self.has_left:
            return
        self.commands.advance(now_ms)
        if self.role == LEADER:
            if now_ms >= self._check_ms:
                self._check_majority(now_ms)
            if self.role == LEADER and (self._owes_beat or now_ms >= self._heartbeat_ms):
                self._beat(now_ms)
        elif now_ms >= self._election_ms and self.id in self.servers:
            log.info("term %d: %d ms timeout expired", self.state.term, self.election_timer)
            self._campaign(now_ms)
        self.membership.advance(now_ms)

    def _wait_for_leader(self, now_ms: int) -> None:
        wait_ms = self.election_timer + self.random_ms(ELECTION_RANGE_MS)
        if self.is_slow:
            wait_ms += self.election_timer
        self._election_ms = now_ms + wait_ms

    def _beat(self, now_ms: int) -> None:
        self._owes_beat = False
        self._heartbeat_ms = now_ms + max(self.election_timer // HEARTBEATS, 1)
        self.replication.broadcast("heartbeat")

    def _check_majority(self, now_ms: int) -> None:
        """Step down if less than a majority has answered lately."""
        self._check_ms = now_ms + self.election_timer
        peers = self.replication.peers
        alive = (self.id in self.servers) + sum(
            peer.has_replied for sid, peer in peers.items() if sid in self.servers
        )
        for peer in peers.values():
            peer.has_replied = False
        if not self.is_majority(alive):
            log.info("disconnected from the cluster (election timeout)")
            self.step_down(now_ms)
            self.is_retrying = True

    def is_majority(self, n: int) -> bool:
        return n > len(self.servers) // 2

    # -- sending -------------------------------------------------------------------------

    def send(self, kind: str, to: Uuid | None, body: dict[str, Any], comment: str = "") -> None:
        """Have a message sent by the next `flush`."""
        self.outbox.append(Rpc(kind, body, to, comment, self.id, self.state.cid))

    def take_early(self) -> list[Rpc]:
        """What may be sent before the disk is synchronized: a leader's entries, which the others'
        disks can take meanwhile (section 10.2.1 of the dissertation). Nobody else leads in its
        term, and its own copy counts when it is safe."""
        store = self.store
        if self.role != LEADER or self.is_broken or not store.is_dirty or store.has_promised:
            return []
        early = [rpc for rpc in self.outbox if rpc.kind == "append_request"]
        self.outbox = [rpc for rpc in self.outbox if rpc.kind != "append_request"]
        return early

    def flush(self, now_ms: int) -> list[Rpc]:
        """Synchronize the disk, commit what that makes committed, and hand out the messages."""
        while not self.is_broken:
            try:
                self.store.sync()
            except OvsdbError as error:
                self.give_up(error)
                break
            before = self.state.commit_index
            if self.role == LEADER:
                self.replication.advance_commit()
            self._settle()
            self._owes_beat |= self.state.commit_index > before and self.role == LEADER
            if not self.store.is_dirty:
                break
        outbox, self.outbox = self.outbox, []
        return outbox

    def give_up(self, error: OvsdbError) -> None:
        """Nobody knows what is on the disk, or in the database: say nothing more."""
        log.err("%s; this server takes no further part in its cluster", error)
        self.outbox.clear()
        self.is_broken = True
        self.role = FOLLOWER
        self.leader = None
        self.commands.forget()

    def next_committed(self) -> tuple[int, Entry] | None:
        """The next entry that was committed and not applied yet, which is taken to be applied now.
        (If `restored` is set, the snapshot comes before it.)"""
        state = self.state
        if self.last_applied >= state.commit_index:
            return None
        self.last_applied += 1
        return self.last_applied, state.entry(self.last_applied)

    # -- receiving -----------------------------------------------------------------------

    def receive(self, rpc: Rpc, now_ms: int) -> None:
        """Take a message of another server."""
        state = self.state
        if self.is_broken or self.has_left or rpc.sender == self.id:
            return
        if rpc.to is not None and rpc.to != self.id:
            log.warn_rl("ignoring %s for server %s", rpc.kind, rpc.to[:4])
            return
        if rpc.cluster is not None and state.cid is not None and rpc.cluster != state.cid:
            log.warn_rl(
                "wrong cluster %s (expected %s) in %s", rpc.cluster[:4], state.cid[:4], rpc.kind
            )
            return
        self.heard[rpc.sender] = now_ms
        self._note_prevotes(rpc)
        handler = _HANDLERS[rpc.kind]
        term = rpc.body.get("term")
        try:
            if term is not None and not self._admits(rpc, term, now_ms):
                return
            handler(self, rpc, now_ms)
        except OvsdbError as error:
            # The disk is full, say: what was asked for did not happen, and is not answered.
            log.err_rl("%s: %s", rpc.kind, error)

    def _note_prevotes(self, rpc: Rpc) -> None:
        """See whether the sender knows of prevotes."""
        if rpc.body.get("is_prevote"):
            self._knows_prevotes[rpc.sender] = True
        elif rpc.kind == "vote_request" and not rpc.body.get("leadership_transfer"):
            self._knows_prevotes.setdefault(rpc.sender, False)

    def _admits(self, rpc: Rpc, term: int, now_ms: int) -> bool:
        """Compare terms: enter a newer one, refuse what comes from an older one."""
        if rpc.kind == "vote_request" and not self._hears_candidate(rpc, now_ms):
            return False
        if term > self.state.term:
            self.store.set_term(term, None)
            self.step_down(now_ms)
        elif term < self.state.term:
            if rpc.kind == "append_request":
                self.replication.refuse(rpc, "stale term")
            elif rpc.kind == "vote_request":
                self._answer_vote(rpc, self.state.vote or ZERO_UUID)
            return False
        return True

    def hear_leader(self, rpc: Rpc, now_ms: int) -> bool:
        """A message of the leader of this term came; False if this server believes to lead it."""
        if self.role == LEADER:
            log.err_rl("this server is leader but server %s claims to be", self.name_of(rpc.sender))
            return False
        if self.role == CANDIDATE:
            self.role = FOLLOWER
        self._is_prevote = False
        self._heard_ms = now_ms
        self._wait_for_leader(now_ms)
        if self.leader != rpc.sender:
            self.leader = rpc.sender
            log.info("server %s is leader for term %d", self.name_of(rpc.sender), self.state.term)
            self.store.remark({"leader": rpc.sender, "term": self.state.term})
        self.had_leader = True
        self.is_retrying = self._has_tried = False
        return True

    # -- elections -----------------------------------------------------------------------

    def delay_elections(self, now_ms: int) -> None:
        """From now on, leave elections to the others."""
        self.is_slow = True
        if self.role == FOLLOWER:
            self._wait_for_leader(now_ms)

    def force_election(self, now_ms: int) -> None:
        """Do not wait until the leader is missed."""
        if self.role != LEADER:
            self._campaign(now_ms)

    def _campaign(self, now_ms: int) -> None:
        """No leader is heard: ask for prevotes, or where that makes no sense, for votes."""
        old = {sid for sid in self.others if self._knows_prevotes.get(sid) is False}
        needs_old = not self.is_majority(len(self.others) + 1 - len(old))
        if self._is_prevote:
            # They were asked for before, and a leader was not heard since.
            needs_old |= self.is_majority(len(self._votes | old))
        if self.others and not needs_old:
            self._ask_votes(now_ms, is_prevote=True)
        else:
            self._start_election(now_ms, "timeout")

    def _start_election(self, now_ms: int, reason: str) -> None:
        try:
            self.store.set_term(self.state.term + 1, self.id)
        except OvsdbError as error:
            log.err_rl("cannot start an election: %s", error)
            self._wait_for_leader(now_ms)
            return
        self.is_transfer = reason != "timeout"
        self._ask_votes(now_ms, is_prevote=False)

    def _ask_votes(self, now_ms: int, *, is_prevote: bool) -> None:
        self._wait_for_leader(now_ms)
        has_passed = self.role == CANDIDATE and self._is_prevote
        if not (has_passed and self.is_majority(len(self._votes))):
            self.is_retrying |= self._has_tried
            self._has_tried = True
            self.election_started_ms = now_ms
            self.election_won_ms = None
        what = "pre-vote" if is_prevote else "vote"
        log.info("term %d: starting election (%s)", self.state.term, what)
        self.role = CANDIDATE
        self.leader = None
        self._is_prevote = is_prevote
        self._votes = {self.id}
        last = self.state.log_end - 1
        body = {
            "term": self.state.term,
            "last_log_index": last,
            "last_log_term": self.state.term_at(last),
        }
        if is_prevote:
            body["is_prevote"] = True
        elif self.is_transfer:
            body["leadership_transfer"] = True
        for sid in self.others:
            self.send("vote_request", sid, dict(body))
        self._count_votes(now_ms)

    def _hears_candidate(self, rpc: Rpc, now_ms: int) -> bool:
        """Whether a candidate is to be heard: not while a leader is there, unless that asked for
        the election."""
        if rpc.body.get("leadership_transfer"):
            return True
        if self.role == LEADER:
            log.dbg("ignoring vote request received as leader")
            return False
        if self.leader is not None and self._heard_ms is not None:
            since_ms = now_ms - self._heard_ms
            if since_ms < self.election_timer:
                log.dbg("ignoring vote request received after only %d ms", since_ms)
                return False
        return True

    def _vote_request(self, rpc: Rpc, now_ms: int) -> None:
        state = self.state
        last = state.log_end - 1
        theirs = (rpc.body["last_log_term"], rpc.body["last_log_index"])
        is_current = theirs >= (state.term_at(last), last)
        if rpc.body.get("is_prevote"):
            self._answer_vote(rpc, rpc.sender if is_current else ZERO_UUID)
            return
        if state.vote is None and is_current:
            self.store.set_term(state.term, rpc.sender)
            self._wait_for_leader(now_ms)
        self._answer_vote(rpc, self.state.vote or ZERO_UUID)

    def _answer_vote(self, rpc: Rpc, vote: Uuid) -> None:
        body: dict[str, Any] = {"term": self.state.term, "vote": vote}
        if rpc.body.get("is_prevote"):
            body["is_prevote"] = True
        self.send("vote_reply", rpc.sender, body)

    def _vote_reply(self, rpc: Rpc, now_ms: int) -> None:
        is_prevote = rpc.body.get("is_prevote", False)
        is_vote = self.role == CANDIDATE and is_prevote == self._is_prevote
        if is_vote and rpc.body["vote"] == self.id and rpc.sender in self.servers:
            self._votes.add(rpc.sender)
            self._count_votes(now_ms)

    def _count_votes(self, now_ms: int) -> None:
        if not self.is_majority(len(self._votes)):
            return
        if self._is_prevote:
            self._start_election(now_ms, "timeout")
            return
        state = self.state
        log.info(
            "term %d: elected leader by %d+ of %d servers",
            state.term,
            len(self._votes),
            len(self.servers),
        )
        try:
            self.store.put(state.log_end, Entry(state.term))
        except OvsdbError as error:
            log.err_rl("cannot lead: %s", error)
            self.step_down(now_ms)
            return
        self.role = LEADER
        self.leader = self.id
        self.election_won_ms = now_ms
        self.had_leader = True
        self.is_retrying = False
        self.commands.end_all(LOST_LEADERSHIP)
        self._check_ms = now_ms + self.election_timer
        self.store.remark({"leader": self.id, "term": state.term})
        # The entry just written is the first that they do not have.
        self.replication.peers = {sid: Peer(state.log_end - 1) for sid in self.others}
        self._beat(now_ms)

    def step_down(self, now_ms: int) -> None:
        """Follow: whom, is to be heard."""
        was_leader = self.role == LEADER
        self.role = FOLLOWER
        self.leader = None
        # A follower keeps its own time: a candidate that cannot win must not hold up who can.
        if was_leader:
            self._wait_for_leader(now_ms)
            self.commands.end_all(LOST_LEADERSHIP)
            self.membership.lost_leadership()
            self.replication.peers.clear()

    def retire(self) -> None:
        """This server is no part of its cluster any more."""
        self.role = FOLLOWER
        self.leader = None
        self.commands.end_all(SHUTDOWN)

    def transfer_leadership(self, reason: str, now_ms: int) -> None:
        """Give leadership to the server whose log is the longest."""
        peers = {s: p for s, p in self.replication.peers.items() if s in self.servers}
        if self.role != LEADER or not peers:
            return
        heir = max(peers, key=lambda sid: (peers[sid].match_index, sid))
        log.info("transferring leadership to %s because %s", self.name_of(heir), reason)
        self.store.remark({"note": TRANSFER, "comment": f"{heir[:4]} because {reason}"})
        self.send("become_leader", heir, {"term": self.state.term})
        self.step_down(now_ms)

    def _become_leader(self, rpc: Rpc, now_ms: int) -> None:
        if self.role == LEADER or self.id not in self.servers:
            return
        log.info(
            "received leadership transfer from %s in term %d",
            self.name_of(rpc.sender),
            self.state.term,
        )
        self._start_election(now_ms, "leadership transfer")

    # -- the log -------------------------------------------------------------------------

    def append(self, entry: Entry) -> bool:
        """As leader, put an entry into the log and send it out; False if it cannot be written."""
        try:
            self.store.put(self.state.log_end, entry)
        except OvsdbError as error:
            log.err_rl("%s", error)
            return False
        self.replication.meet(self.others)
        self.replication.broadcast("execute command")
        self._owes_beat = False
        return True

    def _settle(self) -> None:
        """Answer for what is committed now."""
        self.commands.settle()
        self.membership.settle()

    def change_election_timer(self, timer_ms: int) -> None:
        """Have all servers use another election timer; raises `OvsdbError`."""
        current = self.election_timer
        if not MIN_ELECTION_TIMER_MS <= timer_ms <= MAX_ELECTION_TIMER_MS:
            why = (
                f"election timer must be between {MIN_ELECTION_TIMER_MS} and "
                f"{MAX_ELECTION_TIMER_MS}, in msec."
            )
        elif timer_ms > current * 2:
            why = "election timer increase should not exceed the current value x 2."
        elif self.role != LEADER:
            why = "election timer must be changed through leader."
        elif self.state.election_timer_at(self.state.log_end - 1) != current:
            why = "election timer change pending."
        elif not self.append(Entry(self.state.term, election_timer=timer_ms)):
            why = "the log cannot be written."
        else:
            return
        raise OvsdbError(why)

    # -- snapshots -----------------------------------------------------------------------

    def compact(self, data: Any) -> None:
        """Begin the log anew behind what was applied, whose contents are `data`; raises
        `OvsdbError` and changes nothing if that cannot be written."""
        state, index = self.state, self.last_applied
        if self.membership.is_joining or self.has_left or index < state.snapshot.index:
            raise OvsdbError("ovsdb error", "this server is not in its cluster")
        snapshot = Snapshot(
            index,
            state.term_at(index),
            state.servers_at(index),
            data,
            state.eid_at(index),
            state.election_timer_at(index),
        )
        self.store.install(snapshot, state.cid)


_HANDLERS: dict[str, Callable[[Raft, Rpc, int], None]] = {
    "hello_request": lambda raft, rpc, now_ms: None,
    "append_request": lambda raft, rpc, now_ms: raft.replication.append_request(rpc, now_ms),
    "append_reply": lambda raft, rpc, now_ms: raft.replication.append_reply(rpc),
    "install_snapshot_request": lambda raft, rpc, now_ms: raft.replication.install_snapshot_request(
        rpc, now_ms
    ),
    "install_snapshot_reply": lambda raft, rpc, now_ms: raft.replication.install_snapshot_reply(
        rpc
    ),
    "add_server_request": lambda raft, rpc, now_ms: raft.membership.add_server_request(rpc),
    "add_server_reply": lambda raft, rpc, now_ms: raft.membership.add_server_reply(rpc),
    "remove_server_request": lambda raft, rpc, now_ms: raft.membership.remove_server_request(rpc),
    "remove_server_reply": lambda raft, rpc, now_ms: raft.membership.remove_server_reply(rpc),
    "vote_request": Raft._vote_request,
    "vote_reply": Raft._vote_reply,
    "become_leader": Raft._become_leader,
    "execute_command_request": lambda raft, rpc, now_ms: raft.commands.request(rpc),
    "execute_command_reply": lambda raft, rpc, now_ms: raft.commands.reply(rpc),
}
