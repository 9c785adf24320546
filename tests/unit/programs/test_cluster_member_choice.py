"""Which of several database servers a tool works with, and what `--no-leader-only` changes."""

from __future__ import annotations

from typing import Any

import pytest

from netloom.base.errors import CommandError
from netloom.programs import ovsdb_link
from netloom.programs.ovsdb_client import main as ovsdb_client
from netloom.programs.ovsdb_client.commands import TABLE
from netloom.programs.ovsdb_client.options import parse_options
from netloom.rpc.jsonrpc import Error, Reply


class Server:
    """Stands for a connection to a server that says `leader` of its database; None for one that
    does not know that question."""

    def __init__(self, leader: bool | None) -> None:
        self.leader = leader
        self.closed = False
        self._answers: list[Any] = []

    def send(self, request: Any) -> None:
        if request.method == "list_dbs":
            self._answers.append(Reply(["Open_vSwitch", "_Server"], request.id))
        elif self.leader is None:
            self._answers.append(Error({"error": "unknown database"}, request.id))
        else:
            self._answers.append(Reply([{"rows": [{"leader": self.leader}]}], request.id))

    def next_event(self) -> Any:
        return self._answers.pop(0)

    def close(self) -> None:
        self.closed = True


def choose(servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch, *options: str) -> Server:
    """The server that `ovsdb-client dump` settles on."""
    monkeypatch.setattr(ovsdb_client, "open_link", lambda remote, *_: servers[remote])
    settings = parse_options([*options, "dump"])
    client = ovsdb_client.connect(settings, ",".join(servers), TABLE["dump"], [])
    return client.link  # type: ignore[return-value]


def test_leader_is_found_among_followers(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = {f"unix:{n}": Server(n == 3) for n in range(6)}
    assert choose(servers, monkeypatch) is servers["unix:3"]
    followers = [server for server in servers.values() if not server.leader]
    assert not servers["unix:3"].closed
    assert choose({"unix:0": servers["unix:0"]}, monkeypatch) in followers


def test_follower_will_do_with_no_leader_only(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = {"unix:1": Server(False), "unix:2": Server(False)}
    assert not choose(servers, monkeypatch, "--no-leader-only").closed


def test_cluster_without_a_leader_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = {"unix:1": Server(False), "unix:2": Server(False)}
    with pytest.raises(CommandError, match="is not the cluster's leader"):
        choose(servers, monkeypatch)
    assert all(server.closed for server in servers.values())


def test_server_too_old_for_clusters_leads() -> None:
    assert ovsdb_link.leads(Server(None), "Open_vSwitch")  # type: ignore[arg-type]


def test_every_member_comes_first_now_and_then() -> None:
    members = ["a", "b", "c"]
    assert {ovsdb_link.in_random_order(members)[0] for _ in range(200)} == set(members)


def test_a_member_that_is_cut_off_from_its_cluster_says_so() -> None:
    class Link(Server):
        def send(self, request: Any) -> None:
            assert request.params[1]["columns"] == ["leader", "connected"]
            self._answers.append(
                Reply([{"rows": [{"leader": False, "connected": self.leader}]}], request.id)
            )

    for connected in (True, False):
        link: Any = Link(connected)
        assert ovsdb_link.is_in_cluster(link, "Open_vSwitch") is connected
    unknowing: Any = Server(None)
    assert ovsdb_link.is_in_cluster(unknowing, "Open_vSwitch")
