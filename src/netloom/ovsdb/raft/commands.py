"""Transactions on their way into the log.

A transaction names the id of the data that it was made for (its prerequisite). The leader takes it
only if nothing came between; who made it runs it again otherwise. Any server may hand one to the
leader (`execute_command_request`), which answers when it is committed.
"""

from __future__ import annotations

from netloom.ovsdb.raft.entry import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from netloom.ovsdb.raft.machine import Raft
    from netloom.ovsdb.raft.rpc import Rpc
    from netloom.ovsdb.uuids import Uuid

#: How many election timers a leader has to answer a transaction that was passed on to it.
COMMAND_TIMERS = 2

# What a transaction came to, in the words of execute_command_reply.
SUCCESS = "success"
NOT_LEADER = "not leader"
BAD_PREREQ = "prerequisite check failed"
LOST_LEADERSHIP = "lost leadership"
SHUTDOWN = "server shutdown"
IO_ERROR = "I/O error"
TIMEOUT = "timeout"


class Commands:
    """One server's transactions, and, as leader, those of the others."""

    def __init__(self, raft: Raft) -> None:
        self._raft = raft
        #: Ends of transactions of this server: id and status. Taken by the owner.
        self.results: list[tuple[Uuid, str]] = []
        #: As leader: what is in the log and not committed: id and who asked (None: this server).
        self._uncommitted: dict[int, tuple[Uuid, Uuid | None]] = {}
        #: Transactions that the leader has, with the time until which it may answer.
        self._passed_on: dict[Uuid, int] = {}

    def execute(self, data: Any, prereq: Uuid, eid: Uuid, now_ms: int) -> None:
        """Have a transaction committed; `results` will say what it came to."""
        raft = self._raft
        if raft.is_broken or raft.has_left or raft.membership.is_leaving:
            self.results.append((eid, SHUTDOWN))
        elif raft.is_leader:
            self._lead(data, prereq, eid, None)
        elif raft.leader is not None:
            body = {"data": data, "prereq": prereq, "result": eid}
            raft.send("execute_command_request", raft.leader, body)
            self._passed_on[eid] = now_ms + COMMAND_TIMERS * raft.election_timer
        else:
            self.results.append((eid, NOT_LEADER))

    def _lead(self, data: Any, prereq: Uuid, eid: Uuid, requester: Uuid | None) -> None:
        raft, state = self._raft, self._raft.state
        if prereq != state.eid_at(state.log_end - 1):
            self._report(eid, requester, BAD_PREREQ)
        elif not raft.append(Entry(state.term, data, eid)):
            self._report(eid, requester, IO_ERROR)
        else:
            self._uncommitted[state.log_end - 1] = (eid, requester)

    def request(self, rpc: Rpc) -> None:
        """Another server passes a transaction on."""
        body = rpc.body
        if self._raft.is_leader:
            self._lead(body["data"], body["prereq"], body["result"], rpc.sender)
        else:
            self._report(body["result"], rpc.sender, NOT_LEADER)

    def reply(self, rpc: Rpc) -> None:
        """The leader says what became of a transaction that was passed on to it."""
        eid, status = rpc.body["result"], rpc.body["status"]
        if eid not in self._passed_on:
            return
        self._end_passed_on(eid, status)
        index = rpc.body.get("commit_index", 0)
        state = self._raft.state
        # That the entry is in the log here means that all before it is as it is at the leader.
        known = state.commit_index < index < state.log_end
        if status == SUCCESS and known and state.entry(index).eid == eid:
            self._raft.store.commit(index)

    def settle(self) -> None:
        """As leader, answer for what is committed now."""
        commit_index = self._raft.state.commit_index
        for index in [index for index in self._uncommitted if index <= commit_index]:
            eid, requester = self._uncommitted.pop(index)
            self._report(eid, requester, SUCCESS)

    def _report(self, eid: Uuid, requester: Uuid | None, status: str) -> None:
        if requester is None:
            self.results.append((eid, status))
            return
        body: dict[str, Any] = {"result": eid, "status": status}
        if status == SUCCESS:
            body["commit_index"] = self._raft.state.commit_index
        self._raft.send("execute_command_reply", requester, body)

    def _end_passed_on(self, eid: Uuid, status: str) -> None:
        del self._passed_on[eid]
        self.results.append((eid, status))

    # -- time, and what ends all ---------------------------------------------------------

    def deadlines(self) -> Iterable[int]:
        return self._passed_on.values()

    def advance(self, now_ms: int) -> None:
        for eid in [eid for eid, due_ms in self._passed_on.items() if due_ms <= now_ms]:
            self._end_passed_on(eid, TIMEOUT)

    def end_all(self, status: str) -> None:
        """Nobody knows any more what becomes of the transactions in work."""
        uncommitted, self._uncommitted = self._uncommitted, {}
        for eid, requester in uncommitted.values():
            self._report(eid, requester, status)
        for eid in list(self._passed_on):
            self._end_passed_on(eid, status)

    def forget(self) -> None:
        """Answer for nothing any more."""
        self._uncommitted.clear()
        self._passed_on.clear()
