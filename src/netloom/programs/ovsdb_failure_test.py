"""`cluster/failure-test`: what a member of a cluster can be asked to do wrong, by who wants to see
that the others make up for it.

What it does wrong shows in its messages, so all of this looks at those that come and go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.base.errors import CommandError
from netloom.ovsdb.raft.machine import LEADER
from netloom.programs.outcome import Fatal

if TYPE_CHECKING:
    from netloom.ovsdb.cluster import Cluster
    from netloom.ovsdb.raft.machine import Raft
    from netloom.ovsdb.raft.rpc import Rpc

_SENDING = {
    "append-request": "append_request",
    "execute-command-request": "execute_command_request",
    "execute-command-reply": "execute_command_reply",
}
_CRASH_BEFORE = {f"crash-before-sending-{name}": kind for name, kind in _SENDING.items()} | {
    "crash-before-sending-install-snapshot-reply": "install_snapshot_reply"
}
_CRASH_AFTER = {f"crash-after-sending-{name}": kind for name, kind in _SENDING.items()}
_CRASH_AFTER_RECEIVING = "crash-after-receiving-append-request-update"
_DELAY_ELECTION = "delay-election"
_FORCE_ELECTION = "force-election"
_NO_VOTE_REQUEST = "dont-send-vote-request"
_SILENCE = "stop-raft-rpc"
_TRANSFER = "transfer-leadership"
_TRANSFER_AFTER_SENDING = "transfer-leadership-after-sending-append-request"
_TRANSFER_AFTER_ADDING = "transfer-leadership-after-starting-to-add"
_SCENARIOS = {
    *_CRASH_BEFORE,
    *_CRASH_AFTER,
    _CRASH_AFTER_RECEIVING,
    _DELAY_ELECTION,
    _FORCE_ELECTION,
    _NO_VOTE_REQUEST,
    _SILENCE,
    _TRANSFER,
    _TRANSFER_AFTER_SENDING,
    _TRANSFER_AFTER_ADDING,
}


def _has_entries(rpc: Rpc) -> bool:
    return rpc.kind == "append_request" and bool(rpc.body["log"])


def _is_of(rpc: Rpc, kind: str | None) -> bool:
    """Requests to append count if they bring something; heartbeats do not."""
    return rpc.kind == kind and (kind != "append_request" or _has_entries(rpc))


class FailureTest:
    """The scenario of all clustered databases of this server; none at first."""

    def __init__(self) -> None:
        self._scenario = ""

    def engage(self, scenario: str, rafts: list[Raft], now_ms: int) -> str:
        """Begin with one, or end all by `clear`; the answer to the command."""
        if scenario == "clear":
            self._scenario = ""
            for raft in rafts:
                raft.is_slow = False
            return "test dismissed"
        if scenario not in _SCENARIOS:
            raise CommandError("unknown test scenario")
        if scenario == _FORCE_ELECTION:
            for raft in rafts:
                raft.force_election(now_ms)
            return "test engaged"
        self._scenario = scenario
        if scenario == _DELAY_ELECTION:
            for raft in rafts:
                raft.delay_elections(now_ms)
        return "test engaged"

    @property
    def is_silent(self) -> bool:
        """Whether this server is to neither say nor hear anything."""
        return self._scenario == _SILENCE

    def prepare(self, cluster: Cluster, now_ms: int) -> None:
        """Before a server's turn."""
        if self._scenario == _TRANSFER:
            self._scenario = ""
            cluster.hand_over(now_ms)

    def hear(self, raft: Raft, rpc: Rpc) -> None:
        """A message came."""
        if self._scenario == _CRASH_AFTER_RECEIVING and _has_entries(rpc):
            raise Fatal("Raft test: crash after receiving append_request with update.")
        is_request = rpc.kind == "add_server_request" and raft.role == LEADER
        if self._scenario == _TRANSFER_AFTER_ADDING and is_request:
            self._scenario = _TRANSFER

    def filter(self, messages: list[Rpc]) -> list[Rpc]:
        """Those of the messages that are to be sent."""
        kind = _CRASH_BEFORE.get(self._scenario)
        if any(_is_of(rpc, kind) for rpc in messages):
            raise Fatal(f"Raft test: crash before sending {kind}")
        if self._scenario == _SILENCE:
            return []
        if self._scenario == _NO_VOTE_REQUEST:
            return [rpc for rpc in messages if rpc.kind != "vote_request"]
        return messages

    def is_last(self, messages: list[Rpc]) -> bool:
        """Whether this server is to end once these messages are out."""
        if self._scenario == _TRANSFER_AFTER_SENDING and any(map(_has_entries, messages)):
            self._scenario = _TRANSFER
        kind = _CRASH_AFTER.get(self._scenario)
        return any(_is_of(rpc, kind) for rpc in messages)

    def crash(self) -> None:
        """End this server after `is_last`."""
        raise Fatal(f"Raft test: crash after sending {_CRASH_AFTER[self._scenario]}")
