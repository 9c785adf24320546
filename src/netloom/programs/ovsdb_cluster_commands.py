"""The commands `cluster/…` of ovsdb-server(1): what a server of a cluster says of itself, and what
it can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.base.errors import CommandError
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.raft.machine import LEADER, nickname
from netloom.programs.ovsdb_clusters import BACKLOG_FREE_MESSAGES

if TYPE_CHECKING:
    from netloom.base.clock import Clock
    from netloom.ovsdb.raft.machine import Raft
    from netloom.ovsdb.uuids import Uuid
    from netloom.programs.ovsdb_clusters import ClusterLink, Clusters
    from netloom.rpc.unixctl import CommandRegistry

#: The fewest first digits of a server's id that may stand for it.
_MIN_ID_DIGITS = 4


class ClusterCommands:
    """The handlers; each takes its arguments and returns the text to print."""

    def __init__(self, clusters: Clusters, clock: Clock) -> None:
        self._clusters = clusters
        self._clock = clock

    def _link(self, name: str) -> ClusterLink:
        link = self._clusters.links.get(name)
        if link is None:
            raise CommandError("unknown cluster")
        return link

    def _raft(self, name: str) -> Raft:
        return self._link(name).cluster.raft

    def cid(self, args: list[str]) -> str:
        cid = self._raft(args[0]).state.cid
        if cid is None:
            raise CommandError("cluster id not yet known")
        return f"{cid}\n"

    def sid(self, args: list[str]) -> str:
        return f"{self._raft(args[0]).id}\n"

    def status(self, args: list[str]) -> str:
        return status_text(self._link(args[0]), self._clock.now_ms())

    def leave(self, args: list[str]) -> str:
        try:
            self._raft(args[0]).membership.leave(self._clock.now_ms())
        except OvsdbError as error:
            raise CommandError(str(error)) from error
        return ""

    def kick(self, args: list[str]) -> str:
        raft = self._raft(args[0])
        target = _find_server(raft, args[1])
        if target == raft.id and not raft.is_leader:
            return self.leave(args[:1])
        if raft.leader is None:
            raise CommandError("the cluster has no leader at present")
        if raft.is_leader and len(raft.servers) == 1:
            raise CommandError("cannot remove the last server")
        raft.membership.kick(target)
        return "started removal\n" if raft.is_leader else "sent removal request to leader\n"

    def failure_test(self, args: list[str]) -> str:
        return self._clusters.engage_failure(args[0])

    def change_election_timer(self, args: list[str]) -> str:
        raft = self._raft(args[0])
        if not raft.is_leader:
            raise CommandError("election timer must be changed through leader.")
        if not args[1].isdigit():
            raise CommandError("election timer must be a number.")
        try:
            raft.change_election_timer(int(args[1]))
        except OvsdbError as error:
            raise CommandError(str(error)) from error
        return "change of election timer initiated.\n"

    def set_backlog_threshold(self, args: list[str]) -> str:
        link = self._link(args[0])
        if not (args[1].isdigit() and args[2].isdigit()):
            raise CommandError("invalid argument")
        if int(args[1]) < BACKLOG_FREE_MESSAGES:
            raise CommandError(f"n_msgs must be at least {BACKLOG_FREE_MESSAGES}")
        link.backlog = (int(args[1]), int(args[2]))
        return ""


def _find_server(raft: Raft, text: str) -> Uuid:
    """The server with that address, or whose id begins so."""
    for sid, address in raft.servers.items():
        if text == address or (len(text) >= _MIN_ID_DIGITS and sid.startswith(text.lower())):
            return sid
    raise CommandError("unknown server")


def status_text(link: ClusterLink, now_ms: int) -> str:
    """What `cluster/status` prints."""
    raft = link.cluster.raft
    state = raft.state
    lines = [nickname(raft.id, {raft.id: state.local_address}), f"Name: {state.name}"]
    if state.cid is None:
        lines.append("Cluster ID: not yet known")
    else:
        lines.append(f"Cluster ID: {state.cid[:4]} ({state.cid})")
    lines.append(f"Server ID: {raft.id[:4]} ({raft.id})")
    lines.append(f"Address: {state.local_address}")
    lines.append(f"Status: {_membership(raft)}")
    if raft.membership.is_joining:
        remotes = " ".join(raft.membership.addresses())
        lines.append(f"Remotes for joining: {remotes}")
    lines.append(f"Role: {raft.role}")
    lines.append(f"Term: {state.term}")
    lines.append(f"Leader: {_name(raft, raft.leader)}")
    lines.append(f"Vote: {_name(raft, state.vote)}")
    lines.append("")
    lines += _election_lines(raft, now_ms)
    lines.append(f"Election timer: {raft.election_timer}")
    lines.append(f"Log: [{state.log_start}, {state.log_end}]")
    lines.append(f"Entries not yet committed: {raft.n_uncommitted}")
    lines.append(f"Entries not yet applied: {state.log_end - 1 - raft.last_applied}")
    lines.append("Connections:" + "".join(f" {text}" for text in _connections(link)))
    lines.append(f"Disconnections: {link.n_disconnections}")
    lines.append("Servers:")
    lines += [_server_line(raft, sid, now_ms) for sid in sorted(raft.servers)]
    return "\n".join(lines) + "\n"


def _membership(raft: Raft) -> str:
    if raft.is_broken:
        return "failed"
    if raft.has_left:
        return "left cluster"
    if raft.membership.is_joining:
        return "joining cluster"
    if raft.membership.is_leaving:
        return "leaving cluster"
    if raft.is_retrying:
        return "disconnected from the cluster (election timeout)"
    return "cluster member"


def _name(raft: Raft, sid: Uuid | None) -> str:
    if sid is None:
        return "unknown"
    return "self" if sid == raft.id else raft.name_of(sid)


def _election_lines(raft: Raft, now_ms: int) -> list[str]:
    """About the last election of this server's, as long as it leads or wants to."""
    started_ms, won_ms = raft.election_started_ms, raft.election_won_ms
    if raft.role not in ("candidate", LEADER) or started_ms is None:
        return []
    reason = "leadership_transfer" if raft.is_transfer else "timeout"
    lines = [f"Last Election started {now_ms - started_ms} ms ago, reason: {reason}"]
    if won_ms is not None:
        lines.append(f"Last Election won: {now_ms - won_ms} ms ago")
    return lines


def _connections(link: ClusterLink) -> list[str]:
    raft = link.cluster.raft
    sids = {address: sid for sid, address in raft.servers.items()}
    texts: list[str] = []
    for address, peer in link.outgoing.items():
        sid = sids.get(address, peer.sid)
        name = raft.name_of(sid) if sid is not None else address
        texts.append(f"->{name}" if peer.is_open else f"(->{name})")
    for incoming in link.incoming:
        name = raft.name_of(incoming.sid) if incoming.sid is not None else "0000"
        texts.append(f"<-{name}")
    return texts


def _server_line(raft: Raft, sid: Uuid, now_ms: int) -> str:
    text = f"    {raft.name_of(sid)} ({sid[:4]} at {raft.servers[sid]})"
    if sid == raft.id:
        text += " (self)"
    peer = raft.replication.peers.get(sid)
    if raft.role == LEADER and (peer is not None or sid == raft.id):
        end = raft.state.log_end
        next_index = end if peer is None else peer.next_index
        match_index = end - 1 if peer is None else peer.match_index
        text += f" next_index={next_index} match_index={match_index}"
    heard_ms = raft.heard.get(sid)
    if heard_ms is not None:
        text += f" last msg {now_ms - heard_ms} ms ago"
    return text


def register_cluster_commands(registry: CommandRegistry, clusters: Clusters, clock: Clock) -> None:
    """Add the commands to the program's registry."""
    commands = ClusterCommands(clusters, clock)
    for word, usage, n, handler in (
        ("cid", "DB", 1, commands.cid),
        ("sid", "DB", 1, commands.sid),
        ("status", "DB", 1, commands.status),
        ("leave", "DB", 1, commands.leave),
        ("kick", "DB SERVER", 2, commands.kick),
        ("change-election-timer", "DB TIME", 2, commands.change_election_timer),
        ("set-backlog-threshold", "DB N_MSGS N_BYTES", 3, commands.set_backlog_threshold),
        ("failure-test", "FAILURE SCENARIO", 1, commands.failure_test),
    ):
        registry.register(f"cluster/{word}", usage, n, n, handler)
