"""How the leader's log gets to the other servers: both ends of append_request and
install_snapshot_request.

A peer is sent whatever it may lack as soon as it is in the log, without waiting for answers to what
was sent before (`next_index` moves when something is sent). A peer that lacks what comes before
says so, and where its log ends; that moves `next_index` back. What was lost with a connection is
found out by the next heartbeat in the same way. A peer that lacks what is not in the log any more
is sent a snapshot, once, and heartbeats meanwhile.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.raft.entry import DEFAULT_ELECTION_TIMER_MS, Snapshot
from netloom.ovsdb.raft.rpc import INCONSISTENT, IO_ERROR, OK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from netloom.ovsdb.raft.machine import Raft
    from netloom.ovsdb.raft.rpc import Rpc
    from netloom.ovsdb.uuids import Uuid

log = get_logger("raft")
#: Entries in one message: enough to be quick, few enough for heartbeats not to wait behind them.
MAX_ENTRIES = 500


class Peer:
    """What the leader knows of another server's log."""

    __slots__ = ("has_replied", "installing", "match_index", "next_index")

    def __init__(self, next_index: int) -> None:
        self.next_index = next_index
        self.match_index = 0
        #: Whether it has answered since the leader last counted.
        self.has_replied = True
        #: The index of the snapshot that is on its way to it; 0 if none is.
        self.installing = 0


class Replication:
    """One server's part in it, as leader and as follower."""

    def __init__(self, raft: Raft) -> None:
        self._raft = raft
        #: As leader: the other servers, and those that are about to join.
        self.peers: dict[Uuid, Peer] = {}

    # -- the leader ----------------------------------------------------------------------

    def meet(self, sids: Iterable[Uuid]) -> None:
        """Follow the logs of these servers, and of those that are joining, and of no others."""
        raft = self._raft
        wanted = {*sids, *raft.membership.adding}
        for sid in wanted - self.peers.keys():
            self.peers[sid] = Peer(raft.state.log_end)
        for sid in self.peers.keys() - wanted:
            del self.peers[sid]

    def broadcast(self, comment: str) -> None:
        for sid, peer in self.peers.items():
            self.send_entries(sid, peer, comment)

    def send_entries(self, sid: Uuid, peer: Peer, comment: str) -> None:
        """Send what the peer may lack, or a heartbeat if that is nothing."""
        raft, state = self._raft, self._raft.state
        if peer.next_index < state.log_start:
            self._send_snapshot(sid, peer)
        is_waiting = bool(peer.installing)
        first = state.log_end if is_waiting else peer.next_index
        start = first - state.log_start
        entries = state.entries[start : start + MAX_ENTRIES]
        if not entries:
            comment = comment if comment != "execute command" else "heartbeat"
        body = {
            "term": state.term,
            "prev_log_index": first - 1,
            "prev_log_term": state.term_at(first - 1),
            "leader_commit": state.commit_index,
            "log": entries,
        }
        raft.send("append_request", sid, body, comment)
        if not is_waiting:
            peer.next_index = first + len(entries)

    def _send_snapshot(self, sid: Uuid, peer: Peer) -> None:
        raft, snapshot = self._raft, self._raft.state.snapshot
        if peer.installing == snapshot.index:
            return
        name = raft.name_of(sid)
        log.info("sending snapshot to server %s, %d:%d.", name, snapshot.term, snapshot.index)
        peer.installing = snapshot.index
        body = {
            "term": raft.state.term,
            "last_index": snapshot.index,
            "last_term": snapshot.term,
            "last_servers": snapshot.servers,
            "last_eid": snapshot.eid,
            "data": snapshot.data,
            "election_timer": snapshot.election_timer,
        }
        raft.send("install_snapshot_request", sid, body)

    def lost_connection(self, sid: Uuid) -> None:
        """What was on its way to a peer may not arrive."""
        peer = self.peers.get(sid)
        if peer is not None:
            peer.installing = 0

    def append_reply(self, rpc: Rpc) -> None:
        peer = self.peers.get(rpc.sender)
        if peer is None or not self._raft.is_leader:
            return
        peer.has_replied = True
        body = rpc.body
        if body["result"] == OK:
            match = min(body["prev_log_index"] + body["n_entries"], self._raft.state.log_end - 1)
            peer.match_index = max(peer.match_index, match)
            peer.next_index = max(peer.next_index, match + 1)
            peer.installing = 0
            if peer.next_index < self._raft.state.log_end:
                self.send_entries(rpc.sender, peer, "")
            self._raft.membership.caught_up(rpc.sender, peer)
        elif body["result"] == INCONSISTENT and body["log_end"] > peer.installing:
            # A log that ends behind the snapshot has it, though word of that was lost.
            peer.installing = 0
            # An answer to what this server said as leader of an earlier term may be beyond the log.
            end = self._raft.state.log_end
            peer.next_index = max(1, min(body["log_end"], body["prev_log_index"], end))
            self.send_entries(rpc.sender, peer, "")

    def install_snapshot_reply(self, rpc: Rpc) -> None:
        peer = self.peers.get(rpc.sender)
        index = rpc.body["last_index"]
        if peer is None or not self._raft.is_leader or index != peer.installing:
            return
        peer.has_replied = True
        peer.installing = 0
        peer.match_index = max(peer.match_index, index)
        peer.next_index = index + 1
        log.info(
            "cluster %s: installed snapshot on server %s up to %d:%d",
            (self._raft.state.cid or "")[:4],
            self._raft.name_of(rpc.sender),
            rpc.body["last_term"],
            index,
        )
        self.send_entries(rpc.sender, peer, "snapshot installed")

    def advance_commit(self) -> None:
        """Commit what a majority has on its disks, if this term's leader made it."""
        raft, state = self._raft, self._raft.state
        servers = raft.servers
        matches = [peer.match_index for sid, peer in self.peers.items() if sid in servers]
        if raft.id in servers:
            matches.append(state.log_end - 1)
        matches.extend([0] * (len(servers) - len(matches)))
        matches.sort(reverse=True)
        index = matches[len(servers) // 2]
        if index > state.commit_index and state.term_at(index) == state.term:
            raft.store.commit(index)

    # -- a follower ----------------------------------------------------------------------

    def append_request(self, rpc: Rpc, now_ms: int) -> None:
        raft = self._raft
        if not raft.hear_leader(rpc, now_ms):
            return
        raft.membership.learn_cluster(rpc.cluster)
        body, state = rpc.body, raft.state
        prev, prev_term, entries = body["prev_log_index"], body["prev_log_term"], body["log"]
        end = prev + len(entries)
        if prev < state.snapshot.index:
            # What the snapshot covers is committed, and so the same everywhere.
            entries = entries[state.snapshot.index - prev :]
            prev, prev_term = state.snapshot.index, state.snapshot.term
        if prev >= state.log_end:
            self.refuse(rpc, "mismatch past end of log")
            return
        if state.term_at(prev) != prev_term:
            self.refuse(rpc, "term mismatch")
            return
        try:
            changed = self._take_entries(prev + 1, entries)
        except OvsdbError as error:
            log.err_rl("%s", error)
            self._reply(rpc, IO_ERROR, "")
            return
        comment = "log updated" if changed else "no change" if body["log"] else "heartbeat"
        self._reply(rpc, OK, comment)
        commit_index = min(body["leader_commit"], end)
        if commit_index > state.commit_index:
            raft.store.commit(commit_index)

    def _take_entries(self, first: int, entries: list[Any]) -> bool:
        """Write the entries that are not in the log; whether there were any."""
        raft, state = self._raft, self._raft.state
        changed = False
        for index, entry in enumerate(entries, first):
            if index < state.log_end and state.entry(index).term == entry.term:
                continue
            raft.store.put(index, entry)
            changed = True
        return changed

    def refuse(self, rpc: Rpc, why: str) -> None:
        if rpc.body["log"] or why != "stale term":
            log.dbg("rejecting append_request (%s)", why)
        self._reply(rpc, INCONSISTENT, why)

    def _reply(self, rpc: Rpc, result: str, comment: str) -> None:
        state = self._raft.state
        body = {
            "term": state.term,
            "log_end": state.log_end,
            "prev_log_index": rpc.body["prev_log_index"],
            "prev_log_term": rpc.body["prev_log_term"],
            "n_entries": len(rpc.body["log"]),
            "result": result,
        }
        self._raft.send("append_reply", rpc.sender, body, comment)

    def install_snapshot_request(self, rpc: Rpc, now_ms: int) -> None:
        raft, body = self._raft, rpc.body
        if not raft.hear_leader(rpc, now_ms):
            return
        raft.membership.learn_cluster(rpc.cluster)
        index = body["last_index"]
        if index > raft.state.commit_index:
            snapshot = Snapshot(
                index,
                body["last_term"],
                body["last_servers"],
                body["data"],
                body["last_eid"],
                body.get("election_timer") or DEFAULT_ELECTION_TIMER_MS,
            )
            raft.store.install(snapshot, raft.state.cid)
        if raft.last_applied < raft.state.snapshot.index:
            raft.last_applied = raft.state.snapshot.index
            raft.restored = True
        reply = {name: body[name] for name in ("last_index", "last_term")}
        raft.send("install_snapshot_reply", rpc.sender, {"term": raft.state.term, **reply})
