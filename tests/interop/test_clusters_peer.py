"""Clusters of Debian's servers and ours: whoever leads, all hold the same, through every change."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster_site import SCHEMA, ClusterSite, make_site
from tests.support.peers import PATIENCE_S, wait_until
from tests.support.ports import reserved_ports

pytestmark = pytest.mark.interop
MIXED = [("peer", "ours", "peer"), ("ours", "peer", "ours")]
LAYOUTS = [*MIXED, ("ours", "ours", "ours")]
SIDES = ("peer", "ours")
Form = Callable[..., ClusterSite]


@pytest.fixture
def form(tmp_path: Path) -> Iterator[Form]:
    """Makes a cluster of servers of these sides, the first of which founds it."""
    with ExitStack() as stack:

        def formed(*sides: str, options: tuple[str, ...] = ()) -> ClusterSite:
            site = stack.enter_context(contextmanager(make_site)(tmp_path, *sides))
            site.form(SCHEMA, *options)
            return site

        yield formed


@pytest.mark.parametrize("layout", LAYOUTS)
def test_transactions_through_any_server_are_seen_at_all(
    form: Form, layout: tuple[str, ...]
) -> None:
    site = form(*layout)
    for number in (1, 2, 3, 2, 1):
        site.insert(number, f"row {len(site.rows(number))} by {number}", n=number)
        site.await_same()
    assert [n for _name, n in site.await_same()] == [1, 2, 3, 2, 1]
    (_result, error) = site.transact(
        2, {"op": "insert", "table": "T", "row": {"name": "row 0 by 1"}}
    )
    assert error["error"] == "constraint violation"
    site.check_files()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_killed_leader_is_replaced_and_comes_back(form: Form, layout: tuple[str, ...]) -> None:
    site = form(*layout)
    for turn in range(4):
        leader = site.leader()
        site.insert(leader, f"before {turn}")
        site.kill(leader)
        heir = site.leader()
        assert heir != leader
        other = next(number for number in site.running if number != heir)
        site.insert(other, f"after {turn}")
        site.start(leader)
        site.await_member(leader)
        site.insert(leader, f"again {turn}")
    assert len(site.await_same()) == 12
    site.check_files()


def test_server_that_was_cut_off_deposes_nobody(form: Form) -> None:
    site = form("ours", "peer", "ours")
    leader = site.lead("ours")
    away = 4 - leader
    term = site.status(leader)["Term"]
    site.ctl(away, "cluster/failure-test", "stop-raft-rpc")
    assert wait_until(lambda: site.status(away)["Role"] == "candidate", every_s=0.1)
    site.ctl(away, "cluster/failure-test", "clear")
    assert wait_until(lambda: site.status(away)["Role"] == "follower", every_s=0.1)
    site.insert(away, "after all")
    assert (site.status(leader)["Role"], site.status(leader)["Term"]) == ("leader", term)


def test_servers_reach_each_other_over_tcp(tmp_path: Path) -> None:
    with contextmanager(make_site)(tmp_path, *MIXED[0]) as site, reserved_ports(3) as site.ports:
        site.form()
        site.insert(2, "a")
        site.kill(site.leader())
        site.insert(site.leader(), "b")
        assert len(site.await_same()) == 2


@pytest.mark.parametrize("relaying", SIDES)
def test_relay_of_a_cluster_outlives_a_member(form: Form, relaying: str) -> None:
    site = form("ours", "ours", "ours")
    site.insert(site.leader(), "a")
    site.sides[4] = relaying
    site.start(4, f"relay:D:{site.remotes}")
    site.run("ovsdb-client", "--timeout=30", "wait", site.remote(4), "D", "connected")
    assert len(site.await_same()) == 1
    site.kill(site.leader_of(1, 2, 3))
    site.leader_of(*(number for number in site.running if number != 4))
    site.insert(4, "through the relay")
    assert len(site.await_same()) == 2


@pytest.mark.parametrize("layout", MIXED)
def test_leader_that_is_stopped_hands_over(form: Form, layout: tuple[str, ...]) -> None:
    """Without that, nobody would lead for half a minute."""
    site = form(*layout, options=("--election-timer=30000",))
    assert site.leader() == 1
    site.insert(1, "a")
    site.await_same()
    started_s = time.monotonic()
    site.stop(1)
    heir = site.leader()
    assert time.monotonic() - started_s < 25
    assert "reason: leadership_transfer" in site.ctl(heir, "cluster/status", "D")
    site.insert(heir, "b")
    assert len(site.await_same()) == 2


@pytest.mark.parametrize("leading", SIDES)
@pytest.mark.parametrize("joining", SIDES)
def test_late_server_gets_a_snapshot(form: Form, leading: str, joining: str) -> None:
    site = form(leading, leading)
    leader = site.leader()
    for number in range(5):
        site.insert(leader, f"early {number}", n=number, m=["map", [["key", "ü"]]])
    for number in site.running:
        site.ctl(number, "ovsdb-server/compact", "D")
    site.insert(leader, "late")
    site.join(3, joining)
    assert len(site.await_same()) == 6
    site.insert(3, "by the new one")
    assert len(site.await_same()) == 7
    site.check_files()


@pytest.mark.parametrize("layout", MIXED)
def test_servers_leave_and_are_kicked(form: Form, layout: tuple[str, ...]) -> None:
    site = form(*layout)
    site.insert(1, "a")
    site.await_same()
    site.ctl(3, "cluster/leave", "D")
    await_gone(site, 3)
    assert "unknown cluster" in site.ctl(3, "cluster/status", "D", status=2)
    site.kill(3)
    assert wait_until(lambda: n_servers(site, 1) == n_servers(site, 2) == 2)
    site.insert(2, "b")
    leader = site.leader()
    follower = 3 - leader
    site.ctl(leader, "cluster/kick", "D", f"unix:s{follower}.raft")
    await_gone(site, follower)
    assert wait_until(lambda: n_servers(site, leader) == 1)
    site.insert(leader, "c")
    assert len(site.rows(leader)) == 3
    for number in (3, follower):
        text = site.tool("peer", "show-log", site.file(number))
        assert 'note: "left"' in text
        assert text == site.tool("ours", "show-log", site.file(number))


@pytest.mark.parametrize("layout", MIXED)
@pytest.mark.parametrize("asked", ["leader", "follower"])
def test_leader_can_be_kicked(form: Form, layout: tuple[str, ...], asked: str) -> None:
    site = form(*layout)
    site.insert(1, "a")
    leader = site.leader()
    follower = next(number for number in site.running if number != leader)
    server_id = site.ctl(leader, "cluster/sid", "D").strip()
    asking = leader if asked == "leader" else follower
    site.ctl(asking, "cluster/kick", "D", server_id[:4])
    await_gone(site, leader)
    site.kill(leader)
    heir = site.leader()
    site.insert(heir, "b")
    assert len(site.await_same()) == 2
    assert n_servers(site, heir) == 2


def n_servers(site: ClusterSite, number: int) -> int:
    text = site.ctl(number, "cluster/status", "D")
    return len(text.partition("Servers:\n")[2].splitlines())


def await_gone(site: ClusterSite, number: int) -> None:
    """Wait until a server serves the database no more."""
    assert wait_until(
        lambda: site.ctl(number, "ovsdb-server/list-dbs").split() == ["_Server"], every_s=0.1
    )


@pytest.mark.parametrize("layout", MIXED)
def test_election_timer_is_changed_for_all(form: Form, layout: tuple[str, ...]) -> None:
    site = form(*layout, options=("--election-timer=2000",))
    leader = site.leader()
    follower = next(number for number in site.running if number != leader)
    change = ("cluster/change-election-timer", "D")
    assert "through leader" in site.ctl(follower, *change, "1500", status=2)
    assert "should not exceed" in site.ctl(leader, *change, "4001", status=2)
    assert "must be between" in site.ctl(leader, *change, "99", status=2)
    assert site.ctl(leader, *change, "2500") == "change of election timer initiated.\n"

    def all_have_it() -> bool:
        return {site.status(number)["Election timer"] for number in site.running} == {"2500"}

    assert wait_until(all_have_it, every_s=0.1)
    site.kill(follower)
    site.start(follower)
    site.await_member(follower)
    assert all_have_it()


@pytest.mark.parametrize("layout", MIXED)
def test_status_reads_the_same(form: Form, layout: tuple[str, ...]) -> None:
    """Both makes say the same of the same role, but for what depends on time and chance."""
    site = form(*layout)
    seen: dict[tuple[str, str], str] = {}
    for side in SIDES:
        leader = site.lead(side)
        for number in site.running:
            role = "leader" if number == leader else "follower"
            seen.setdefault((role, site.sides[number]), shape(site, number))
    for role in ("leader", "follower"):
        assert seen[role, "peer"] == seen[role, "ours"]


def shape(site: ClusterSite, number: int) -> str:
    def is_quiet() -> bool:
        text = site.ctl(number, "cluster/status", "D")
        return "(->" not in text and text.count("->") == text.count("<-") == 2

    assert wait_until(is_quiet, every_s=0.1)
    text = site.ctl(number, "cluster/status", "D")
    head, servers, lines = text.partition("Servers:\n")
    head = re.sub(r"Connections: .*", "Connections", head)
    head = re.sub(r"(Vote|Leader): s\d", r"\1: other", head)
    head = re.sub(r"Vote: unknown", "Vote: other", head)
    kinds = {re.sub(r" last msg \d+ ms ago", "", line) for line in lines.splitlines()}
    kinds = {re.sub(r"_index=\d+", "_index", kind) for kind in kinds}
    text = head + servers + "\n".join(sorted(kinds))
    text = re.sub(r"\d+ ms ago", "N ms ago", text)
    text = re.sub(r"\b[0-9a-f]{4}\b|[0-9a-f]{8}-[-0-9a-f]{27}|\bs\d(\.raft)?\b", "ID", text)
    text = "\n".join(sorted(set(text.splitlines())))
    return re.sub(r"\d+", "N", text)


@pytest.mark.parametrize("layout", MIXED)
def test_server_database_tells_of_the_cluster(form: Form, layout: tuple[str, ...]) -> None:
    site = form(*layout)
    leader = site.leader()
    site.insert(leader, "a")
    site.await_same()
    rows = {number: about(site, number) for number in site.running}
    assert len({str(row.pop("cid")) for row in rows.values()}) == 1
    for number, row in rows.items():
        assert row.pop("sid")[1] == site.ctl(number, "cluster/sid", "D").strip()
        assert row.pop("index") > 4
        assert row == {"model": "clustered", "connected": True, "leader": number == leader}
    # A client that insists on the leader finds it.
    text = json.dumps(["D", {"op": "insert", "table": "T", "row": {"name": "b"}}])
    assert "uuid" in site.run("ovsdb-client", "transact", site.remotes, text)
    site.kill(next(number for number in site.running if number != leader))
    site.kill(leader)
    (left,) = site.running

    def is_alone() -> bool:
        return not about(site, left)["connected"]

    assert wait_until(is_alone, every_s=0.1)


def about(site: ClusterSite, number: int) -> dict[str, Any]:
    columns = ["model", "connected", "leader", "cid", "sid", "index"]
    select = {
        "op": "select",
        "table": "Database",
        "where": [["name", "==", "D"]],
        "columns": columns,
    }
    text = json.dumps(["_Server", select])
    client = ["ovsdb-client", "--no-leader-only", "transact"]
    (result,) = json.loads(site.run(*client, site.remote(number), text))
    (row,) = result["rows"]
    assert isinstance(row, dict)
    return row


@pytest.mark.parametrize("layout", MIXED)
@pytest.mark.parametrize("leading", SIDES)
def test_schema_is_converted_for_all(form: Form, layout: tuple[str, ...], leading: str) -> None:
    site = form(*layout)
    leader = site.lead(leading)
    site.insert(leader, "a", n=3)
    schema = copy.deepcopy(SCHEMA)
    schema["version"] = "1.1.0"
    schema["tables"]["T"]["columns"]["more"] = {"type": "string"}
    path = site.directory / "schema2"
    path.write_text(json.dumps(schema))
    follower = next(number for number in site.running if number != leader)
    client = ["ovsdb-client", "--no-leader-only", "convert"]
    site.run(*client, site.remote(follower), str(path))

    def all_converted() -> bool:
        version = ["ovsdb-client", "--no-leader-only", "get-schema-version"]
        said = {site.run(*version, site.remote(n), "D").strip() for n in site.running}
        return said == {"1.1.0"}

    assert wait_until(all_converted, every_s=0.1)
    site.insert(follower, "b", more="x")
    assert site.await_same() == [("a", 3), ("b", 0)]
    site.check_files()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_increment_that_was_confirmed_counts_once(
    form: Form, layout: tuple[str, ...]
) -> None:
    """Clients at all servers add to one number, while leaders are killed: what was confirmed is
    there, and nothing happened twice."""
    site = form(*layout)
    site.insert(1, "counter")
    site.await_same()
    rounds = 12
    mutate = {"op": "mutate", "table": "T", "where": [], "mutations": [["n", "+=", 1]]}
    confirmed = unknown = 0
    for turn in range(3):
        leader = site.leader()
        clients = [start_client(site, n, mutate) for n in site.running for _ in range(rounds)]
        if turn:
            site.kill(leader)
        for client in clients:
            text, _errors = client.communicate(timeout=PATIENCE_S)
            if client.returncode == 0 and json.loads(text) == [{"count": 1}]:
                confirmed += 1
            else:
                unknown += 1
        if turn:
            site.start(leader)
            site.await_member(leader)
    ((_name, n),) = site.await_same()
    assert confirmed >= rounds * 3
    assert confirmed <= n <= confirmed + unknown
    site.check_files()


def start_client(site: ClusterSite, number: int, operation: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            "ovsdb-client",
            "--no-leader-only",
            f"--timeout={int(PATIENCE_S) - 10}",
            "transact",
            site.remote(number),
            json.dumps(["D", operation]),
        ],
        env=site.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
