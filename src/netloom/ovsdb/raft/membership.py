"""How servers join a cluster and leave it: one at a time, by entries that name the servers.

A server that joins asks all addresses it knows until the leader answers. The leader brings its log
up to date, then appends the set of servers with the new one; the set counts from the moment it is
in a log. The answer goes out when it is committed. A server that leaves asks the leader to take it
out of the set, and is done when told that this is committed. A second change waits until the first
is committed, and all wait for the leader's first entry, so that two majorities always overlap.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.raft.entry import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.ovsdb.raft.entry import Servers
    from netloom.ovsdb.raft.machine import Raft
    from netloom.ovsdb.raft.replication import Peer
    from netloom.ovsdb.raft.rpc import Rpc
    from netloom.ovsdb.uuids import Uuid

log = get_logger("raft")
#: How often a server that joins or leaves asks again.
RETRY_MS = 1000
#: Why leadership is given away, as the log of the cluster tells.
LEAVING = "this server is leaving the cluster"


class Change:
    """A new set of servers that is in the log and not yet committed."""

    __slots__ = ("index", "is_removal", "requester", "target")

    def __init__(self, index: int, target: Uuid, requester: Uuid, is_removal: bool) -> None:
        self.index = index
        self.target = target
        self.requester = requester
        self.is_removal = is_removal


class Membership:
    """One server's part in it."""

    def __init__(self, raft: Raft, now_ms: int) -> None:
        self._raft = raft
        self.is_joining = raft.state.is_joining or self._was_interrupted()
        self.is_leaving = False
        #: Where to find a cluster to join.
        self.remotes = list(raft.state.remote_addresses)
        self._retry_ms = now_ms + RETRY_MS
        #: As leader: servers whose logs are being brought up to date, and their addresses.
        self.adding: Servers = {}
        #: As leader: servers to be taken out, and who asked for it.
        self._removing: dict[Uuid, Uuid] = {}
        self._change: Change | None = None

    # -- joining -------------------------------------------------------------------------

    def _was_interrupted(self) -> bool:
        """Whether the file has a cluster's log, in no state of which this server has a part: it
        was killed while it joined. (One that was removed had a part once.)"""
        state = self._raft.state
        sets = state.later_servers()
        return not any(state.sid in servers for servers in [state.snapshot.servers, *sets])

    def greeting(self) -> tuple[str, dict[str, Any]]:
        """What to say first on a connection to another server."""
        kind = "add_server_request" if self.is_joining else "hello_request"
        return kind, {"address": self._raft.state.local_address}

    def addresses(self) -> list[str]:
        """Where to connect to."""
        raft = self._raft
        if raft.has_left or raft.is_broken:
            return []
        known = [address for sid, address in raft.servers.items() if sid != raft.id]
        if self.is_joining:
            known += self.remotes
        mine = raft.state.local_address
        return [address for address in dict.fromkeys(known) if address != mine]

    def learn_cluster(self, cid: Uuid | None) -> None:
        """A leader that sends us its log is of our cluster."""
        state = self._raft.state
        if state.cid is None and cid is not None:
            log.info("learned cluster ID %s", cid[:4])
            state.cid = cid

    def add_server_reply(self, rpc: Rpc) -> None:
        raft = self._raft
        if not self.is_joining:
            return
        self.learn_cluster(rpc.cluster)
        if rpc.body["success"] and not raft.state.is_joining:
            self._joined()
            return
        for address in rpc.body["remote_addresses"]:
            if address not in self.remotes:
                log.info("%s: learned new server address for joining cluster", address)
                self.remotes.append(address)

    def _joined(self) -> None:
        self.is_joining = False
        raft = self._raft
        log.info("server %s is part of cluster %s", raft.id[:4], (raft.state.cid or "")[:4])

    # -- time ----------------------------------------------------------------------------

    def deadlines(self) -> list[int]:
        return [self._retry_ms] if self.is_joining or self.is_leaving else []

    def advance(self, now_ms: int) -> None:
        if now_ms < self._retry_ms or not (self.is_joining or self.is_leaving):
            return
        self._retry_ms = now_ms + RETRY_MS
        if self.is_leaving:
            self._go_on_leaving(now_ms)
        else:
            kind, body = self.greeting()
            self._raft.send(kind, None, body)

    # -- adding, as leader ---------------------------------------------------------------

    def add_server_request(self, rpc: Rpc) -> None:
        raft = self._raft
        sid, address = rpc.sender, rpc.body["address"]
        if not raft.is_leader:
            self._answer_add(sid, False, "not leader")
        elif sid in raft.servers:
            if self._change is None or self._change.target != sid:
                self._answer_add(sid, True, "already in cluster")
        elif sid not in self.adding:
            cid = (raft.state.cid or "")[:4]
            log.info("starting to add server %s at %s to cluster %s", sid[:4], address, cid)
            self.adding[sid] = address
            raft.replication.meet(raft.others)
            peer = raft.replication.peers[sid]
            raft.replication.send_entries(sid, peer, "initialize new server")

    def _answer_add(self, sid: Uuid, success: bool, comment: str) -> None:
        raft = self._raft
        if success or raft.is_leader:
            addresses = [a for s, a in raft.servers.items() if s not in (raft.id, sid)]
        else:
            addresses = [raft.servers[s] for s in (raft.leader,) if s in raft.servers]
        body: dict[str, Any] = {"success": success}
        if addresses:
            body["remote_addresses"] = addresses
        raft.send("add_server_reply", sid, body, comment)

    def caught_up(self, sid: Uuid, peer: Peer) -> None:
        """A peer has answered: if it is joining and lacks nothing, it becomes a server."""
        if sid in self.adding and peer.match_index >= self._raft.state.log_end - 1:
            self._begin_change(sid, sid)

    # -- removing, as leader -------------------------------------------------------------

    def remove_server_request(self, rpc: Rpc) -> None:
        self.remove(rpc.body["server_id"], rpc.sender)

    def remove(self, target: Uuid, requester: Uuid) -> None:
        raft = self._raft
        if not raft.is_leader:
            self._answer_remove(target, requester, False, "not leader")
        elif target in self.adding:
            self._answer_add(target, False, "canceled by request to remove the server")
            del self.adding[target]
            raft.replication.meet(raft.others)
        elif target not in raft.servers:
            if self._change is None or self._change.target != target:
                self._answer_remove(target, requester, True, "already not in cluster")
        elif len(raft.servers) == 1:
            self._answer_remove(target, requester, False, "cannot remove the last server")
        else:
            self._removing[target] = requester
            self._begin_next()

    def _answer_remove(self, target: Uuid, requester: Uuid, success: bool, comment: str) -> None:
        """Tell who asked, and who is not a server any more."""
        raft = self._raft
        for sid in {requester, target} if success else {requester}:
            body: dict[str, Any] = {"success": success}
            if sid != target:
                body["target_server"] = target
            if sid != raft.id:
                raft.send("remove_server_reply", sid, body, comment)

    # -- one change after the other ------------------------------------------------------

    def _begin_next(self) -> None:
        for target, requester in list(self._removing.items()):
            if self._change is None:
                self._begin_change(target, requester)

    def _begin_change(self, target: Uuid, requester: Uuid) -> None:
        raft, state = self._raft, self._raft.state
        # The leader's own first entry has to be committed before it may change the set.
        if self._change is not None or state.term_at(state.commit_index) != state.term:
            return
        servers = dict(raft.servers)
        is_removal = target in servers
        if is_removal:
            del servers[target]
        else:
            servers[target] = self.adding[target]
        # Set first, so that what the entry causes sees it.
        self._change = Change(state.log_end, target, requester, is_removal)
        self._removing.pop(target, None)
        if not raft.append(Entry(state.term, servers=servers)):
            self._change = None

    def settle(self) -> None:
        """Something was committed: end the change that it was, and begin the next."""
        raft, change = self._raft, self._change
        if self.is_joining and raft.id in raft.state.servers_at(raft.state.commit_index):
            self._joined()
        if not raft.is_leader:
            return
        if change is not None and change.index <= raft.state.commit_index:
            self._change = None
            self._end(change)
        if raft.is_leader and self._change is None:
            self._begin_next()
            for sid in list(self.adding):
                self.caught_up(sid, raft.replication.peers[sid])

    def _end(self, change: Change) -> None:
        raft = self._raft
        verb = "removing" if change.is_removal else "adding"
        log.info("%s %s succeeded (completed)", verb, change.target[:4])
        if not change.is_removal:
            self.adding.pop(change.target, None)
            self._answer_add(change.target, True, "completed")
            return
        self._answer_remove(change.target, change.requester, True, "completed")
        if change.target == raft.id:
            # The others are to know that it is committed, before nobody tells them any more.
            raft.replication.broadcast("heartbeat")
            self._finish_leaving()

    def lost_leadership(self) -> None:
        """Changes that were asked for are another leader's business now."""
        for sid in self.adding:
            self._answer_add(sid, False, "lost leadership")
        self.adding.clear()
        self._removing.clear()
        self._change = None

    # -- leaving -------------------------------------------------------------------------

    def leave(self, now_ms: int) -> None:
        """Begin to leave the cluster; raises `OvsdbError` if that cannot be."""
        raft = self._raft
        if self.is_joining:
            raise OvsdbError("can't leave while join in progress")
        if self.is_leaving or raft.has_left:
            raise OvsdbError("already in progress leaving cluster")
        if list(raft.servers) == [raft.id]:
            raise OvsdbError("the last server of a cluster cannot leave it")
        log.info("%s: starting to leave cluster %s", raft.id[:4], (raft.state.cid or "")[:4])
        raft.transfer_leadership(LEAVING, now_ms)
        self.is_leaving = True
        self._retry_ms = now_ms + RETRY_MS
        self._ask_to_be_removed()

    def _go_on_leaving(self, now_ms: int) -> None:
        """Ask again; who leads meanwhile, since too few others are there, has another one lead,
        and soon asks that one. Two that leave must not pass leadership to and fro in step."""
        raft = self._raft
        if raft.is_leader:
            raft.transfer_leadership(LEAVING, now_ms)
            soon_ms = max(raft.election_timer // 10, 1)
            self._retry_ms = now_ms + soon_ms + raft.random_ms(soon_ms)
        else:
            self._ask_to_be_removed()

    def _ask_to_be_removed(self) -> None:
        raft = self._raft
        for sid in raft.others:
            raft.send("remove_server_request", sid, {"server_id": raft.id})

    def kick(self, target: Uuid) -> None:
        """Have a server removed, by the leader or by asking it."""
        raft = self._raft
        if raft.is_leader:
            self.remove(target, raft.id)
        elif raft.leader is not None:
            body = {"server_id": target}
            raft.send("remove_server_request", raft.leader, body, "via unixctl")

    def remove_server_reply(self, rpc: Rpc) -> None:
        if rpc.body["success"] and rpc.body.get("target_server") in (None, self._raft.id):
            self._finish_leaving()

    def _finish_leaving(self) -> None:
        raft = self._raft
        log.info("%s: finished leaving cluster %s", raft.id[:4], (raft.state.cid or "")[:4])
        raft.store.leave()
        self.is_leaving = False
        raft.retire()
