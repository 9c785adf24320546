"""Backups and relays: our server follows Debian's, Debian's follows ours, and both say the same."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.database_pair import SCHEMA
from tests.support.database_site import SELECT, Site
from tests.support.peers import wait_until

pytestmark = pytest.mark.interop
KID = {"op": "insert", "table": "Kid", "uuid-name": "k", "row": {"x": 7}}
ROW = {"name": "a", "kids": ["named-uuid", "k"], "m": ["map", [["k", "v"]]]}
FILL = [KID, {"op": "insert", "table": "Root", "row": ROW}]
#: Who serves the original, and who the copy.
SIDES = [("peer", "ours"), ("ours", "peer")]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def pair(site: Site, sides: tuple[str, str], *args: str) -> None:
    site.start(sides[0], "active", site.make("active"))
    site.start(
        sides[1], "backup", f"--sync-from={site.remote('active')}", *args, site.make("backup")
    )


@pytest.mark.parametrize("sides", SIDES)
def test_backup_copies_and_follows(site: Site, sides: tuple[str, str]) -> None:
    pair(site, sides)
    site.transact("active", *FILL)
    status = site.await_status("backup", "replicating")
    following = f"state: backup\nreplicating: {site.remote('active')}\n"
    assert (
        status
        == {
            "peer": f"{following}database: D\n",
            "ours": f"database: D\n{following}\n",
        }[sides[1]]
    )
    site.await_same("active", "backup")
    site.transact("active", {"op": "insert", "table": "Root", "row": {"name": "b"}})
    site.await_same("active", "backup")
    assert len(site.rows("backup")) == 2
    assert site.transact("backup", FILL[1])[0]["error"] == "not allowed"
    assert site.ctl("active", "sync-status") == "state: active\n"


@pytest.mark.parametrize("sides", SIDES)
def test_backup_outlives_its_active_server_and_takes_over(
    site: Site, sides: tuple[str, str]
) -> None:
    pair(site, sides)
    site.transact("active", *FILL)
    site.await_status("backup", "replicating")
    site.await_same("active", "backup")
    rows = site.rows("active")
    site.kill("active")
    assert "state: backup" in site.ctl("backup", "sync-status")
    assert site.rows("backup") == rows
    site.ctl("backup", "disconnect-active-ovsdb-server")
    site.transact("backup", {"op": "insert", "table": "Root", "row": {"name": "new"}})
    site.start(sides[0], "active", str(site.directory / "active.db"))
    site.ctl("active", "set-active-ovsdb-server", site.remote("backup"))
    site.ctl("active", "connect-active-ovsdb-server")
    site.await_status("active", "replicating")
    site.await_same("active", "backup")
    assert [row["name"] for row in site.rows("active")] == ["a", "new"]


def test_backup_reconnects_to_an_active_server_that_was_killed(site: Site) -> None:
    pair(site, ("peer", "ours"))
    site.transact("active", *FILL)
    site.await_status("backup", "replicating")
    site.kill("active")
    site.start("peer", "active", str(site.directory / "active.db"))
    site.transact("active", {"op": "insert", "table": "Root", "row": {"name": "c"}})
    site.await_same("active", "backup")


def test_copy_is_in_the_backups_file(site: Site) -> None:
    pair(site, ("peer", "ours"))
    site.transact("active", *FILL)
    site.await_status("backup", "replicating")
    site.await_same("active", "backup")
    rows = site.rows("active")
    site.kill("backup")
    text = site.run(
        "ovsdb-tool", "query", str(site.directory / "backup.db"), json.dumps(["D", SELECT])
    )
    assert json.loads(text)[0]["rows"] == rows


def test_backup_copies_a_database_that_is_added(site: Site) -> None:
    second = {**SCHEMA, "name": "E"}
    site.start("peer", "active", site.make("active"), site.make("active2", second))
    options = f"--sync-from={site.remote('active')}"
    site.start("ours", "backup", options, site.make("backup"))
    following = f"state: backup\nreplicating: {site.remote('active')}\n\n"
    assert site.await_status("backup", "replicating") == f"database: D\n{following}"
    site.ctl("backup", "add-db", site.make("backup2", second))
    both = f"database: D\n{following}database: E\n{following}"
    assert site.await_status("backup", both) == both
    site.ctl("backup", "remove-db", "D")
    assert site.ctl("backup", "sync-status") == f"database: E\n{following}"


def test_a_backup_is_given_another_active_server(site: Site) -> None:
    pair(site, ("peer", "ours"))
    site.await_status("backup", "replicating")
    site.start("peer", "other", site.make("other"))
    site.transact("other", *FILL)
    site.ctl("backup", "set-active-ovsdb-server", site.remote("other"))
    site.ctl("backup", "connect-active-ovsdb-server")
    site.await_same("other", "backup")
    assert f"replicating: {site.remote('other')}\n" in site.ctl("backup", "sync-status")


def test_one_database_that_cannot_follow_ends_the_role_of_all(site: Site) -> None:
    second = {**SCHEMA, "name": "E"}
    site.start("peer", "active", site.make("active"))
    options = f"--sync-from={site.remote('active')}"
    site.start("ours", "backup", options, site.make("backup"), site.make("backup2", second))
    active = "database: D\nstate: active\n\ndatabase: E\nstate: active\n\n"
    assert site.await_status("backup", active) == active


def test_excluded_tables_are_told_as_they_were_given(site: Site) -> None:
    site.start("ours", "backup", site.make("backup"))
    given = "T:D,D:Own,zz,,D:A"
    site.ctl("backup", "set-sync-exclude-tables", given)
    assert site.ctl("backup", "get-sync-exclude-tables") == f"{given}\n"


def as_said_by_both(text: str) -> str:
    """What 3.1, which speaks of all databases at once, has in common with 3.7, which names each."""
    return text.replace("\ndatabase: D", "").replace("database: D\n", "").replace("D: ", "")


def dialogue(site: Site, side: str) -> list[str]:
    """What a backup of that side answers to a series of commands."""
    site.start("peer", "active", site.make("active"))
    site.start(side, "backup", "--sync-exclude-tables=D:Own", site.make("backup"))
    nowhere = f"unix:{site.directory}/nowhere"
    said: list[str] = []
    for command, *args in (
        ("sync-status",),
        ("get-active-ovsdb-server",),
        ("connect-active-ovsdb-server",),
        ("disconnect-active-ovsdb-server",),
        ("set-active-ovsdb-server", nowhere),
        ("get-active-ovsdb-server",),
        ("sync-status",),
        ("connect-active-ovsdb-server",),
        ("sync-status",),
        ("get-sync-exclude-tables",),
        ("set-sync-exclude-tables", "D:Kid,D:Own"),
        ("get-sync-exclude-tables",),
        ("set-sync-exclude-tables", ""),
        ("get-sync-exclude-tables",),
        ("set-active-ovsdb-server-probe-interval", "7000"),
        ("disconnect-active-ovsdb-server",),
        ("set-active-ovsdb-server", site.remote("backup")),
        ("connect-active-ovsdb-server",),
    ):
        answer = as_said_by_both(site.ctl("backup", command, *args)).rstrip()
        said.append(f"{command}: {answer}")
    site.await_status("backup", "state: active")
    listing = site.run("ovs-appctl", "-t", f"{site.directory}/backup.ctl", "list-commands")
    said.extend(line for line in listing.splitlines() if "active" in line or "sync" in line)
    log = (site.directory / "backup.log").read_text(errors="replace")
    said.extend(re.findall(r"(?:replication|ovsdb_error)\|.*", as_said_by_both(log)))
    site.close()
    site.running.clear()
    return [text.replace(str(site.directory), "DIR") for text in said]


def test_commands_of_a_backup_say_what_the_peers_say(tmp_path: Path) -> None:
    said = []
    for side in ("peer", "ours"):
        directory = tmp_path / side
        directory.mkdir()
        said.append(dialogue(Site(directory), side))
    assert said[0] == said[1]


@pytest.mark.parametrize("sides", [*SIDES, ("ours", "ours")])
def test_relay_reads_and_passes_on(site: Site, sides: tuple[str, str]) -> None:
    site.start(sides[0], "source", site.make("source"))
    site.transact("source", *FILL)
    site.start(sides[1], "relay", f"relay:D:{site.remote('source')}")
    site.await_connected("relay")
    assert site.rows("relay") == site.rows("source")
    site.transact("relay", {"op": "insert", "table": "Root", "row": {"name": "b"}})
    assert site.rows("relay") == site.rows("source")
    assert [row["name"] for row in site.rows("relay")] == ["a", "b"]
    where = [["name", "==", "D"]]
    columns = ["model", "connected", "leader", "cid", "sid", "index"]
    about = {"op": "select", "table": "Database", "where": where, "columns": columns}
    assert site.transact("relay", about, database="_Server")[0]["rows"] == [
        {
            "model": "relay",
            "connected": True,
            "leader": False,
            **{name: ["set", []] for name in ("cid", "sid", "index")},
        }
    ]
    assert site.run("ovsdb-client", "get-schema", site.remote("relay"), "D") == site.run(
        "ovsdb-client", "get-schema", site.remote("source"), "D"
    )


def test_relay_survives_its_source(site: Site) -> None:
    site.start("peer", "source", site.make("source"))
    site.transact("source", *FILL)
    site.start("ours", "relay", f"relay:D:{site.remote('source')}")
    site.await_connected("relay")
    site.kill("source")
    assert [row["name"] for row in site.rows("relay")] == ["a"]
    text = json.dumps(["D", {"op": "insert", "table": "Root", "row": {"name": "kept"}}])
    client = subprocess.Popen(
        ["ovsdb-client", "transact", site.remote("relay"), text],
        env=site.env,
        stdout=subprocess.PIPE,
    )
    site.start("peer", "source", str(site.directory / "source.db"))
    said, _err = client.communicate(timeout=30)
    assert "uuid" in json.loads(said)[0]
    assert [row["name"] for row in site.rows("source")] == ["a", "kept"]


def test_relay_follows_a_conversion_at_the_source(site: Site) -> None:
    site.start("peer", "source", site.make("source"))
    site.start("ours", "relay", f"relay:D:{site.remote('source')}")
    site.await_connected("relay")
    changed = json.loads(json.dumps(SCHEMA))
    changed["tables"]["Root"]["columns"]["extra"] = {"type": "integer"}
    (site.directory / "new").write_text(json.dumps(changed))
    site.run("ovsdb-client", "convert", site.remote("source"), str(site.directory / "new"))

    def has_column() -> bool:
        return '"extra"' in site.run("ovsdb-client", "get-schema", site.remote("relay"), "D")

    assert wait_until(has_column, 20, 0.1)


def test_relay_of_a_clusters_member_resumes(site: Site) -> None:
    """Transactions of a cluster have ids, by which relay and clients ask for what they missed."""
    (site.directory / "schema").write_text(json.dumps(SCHEMA))
    path = str(site.directory / "source.db")
    raft = f"unix:{site.directory}/raft"
    site.run("ovsdb-tool", "create-cluster", path, str(site.directory / "schema"), raft)
    site.start("peer", "source", path)
    site.await_connected("source")
    site.start("ours", "relay", f"relay:D:{site.remote('source')}", "-vjsonrpc:file:dbg")
    site.await_connected("relay")
    site.transact("relay", *FILL)
    site.ctl("source", "reconnect")
    site.transact("source", {"op": "insert", "table": "Root", "row": {"name": "b"}})
    site.await_same("source", "relay")
    log = (site.directory / "relay.log").read_text()
    asked = re.findall(r'send request, method="monitor_cond_since".*"([-0-9a-f]{36})"\]', log)
    assert len(asked) == 2
    assert asked[0] == "00000000-0000-0000-0000-000000000000" != asked[1]
    assert re.search(r"received reply, result=\[true,", log)


def test_relay_tries_the_next_of_its_sources(site: Site) -> None:
    site.start("peer", "source", site.make("source"))
    nowhere = f"unix:{site.directory}/nowhere"
    site.start("ours", "relay", f"relay:D:{nowhere},{site.remote('source')}")
    site.await_connected("relay")


def test_relays_are_added(site: Site) -> None:
    said = []
    for side in ("peer", "ours"):
        site.start(side, side, f"relay:D:unix:{site.directory}/nowhere")
        texts = []
        for command, status in (
            ("list-dbs", 0),
            ("add-db relay:D:unix:x", 2),
            ("add-db relay:E", 2),
            ("add-db relay:", 2),
            ("add-db relay:E:unix:x", 0),
            ("list-dbs", 0),
            ("get-db-storage-status E", 0),
        ):
            text = site.ctl(side, *command.split(), status=status)
            texts.append(text.replace(f"/{side}.ctl", ""))
        said.append(texts)
    assert said[0] == said[1]


def test_python_idl_works_on_a_relay(site: Site) -> None:
    site.start("peer", "source", site.make("source"))
    site.transact("source", *FILL)
    site.start("ours", "relay", f"relay:D:{site.remote('source')}")
    script = site.directory / "idl.py"
    script.write_text(
        """
import sys
import ovs.db.idl, ovs.poller
remote, schema = sys.argv[1:]
helper = ovs.db.idl.SchemaHelper(schema)
helper.register_all()
idl = ovs.db.idl.Idl(remote, helper, leader_only=False)
seqno = idl.change_seqno
def wait(done):
    while not done():
        idl.run()
        if done():
            break
        poller = ovs.poller.Poller()
        idl.wait(poller)
        poller.block()
wait(lambda: idl.has_ever_connected())
txn = ovs.db.idl.Transaction(idl)
row = txn.insert(idl.tables["Root"])
row.name = "from python"
status = txn.commit_block()
print(txn.status_to_string(status), txn.get_insert_uuid(row.uuid) is not None)
print(sorted(row.name for row in idl.tables["Root"].rows.values()))
"""
    )
    schema = str(site.directory / "schema")
    said = site.run(sys.executable, str(script), site.remote("relay"), schema)
    assert said == "success True\n['a', 'from python']\n"
    assert [row["name"] for row in site.rows("source")] == ["a", "from python"]


@pytest.mark.parametrize("side", ["ours"])
def test_status_of_remotes_is_not_written_into_a_copy(site: Site, side: str) -> None:
    strings = {"key": "string", "value": "string", "min": 0, "max": "unlimited"}
    connection = {
        "target": {"type": "string"},
        "is_connected": {"type": "boolean"},
        "status": {"type": strings},
    }
    target = {"key": {"type": "uuid", "refTable": "Connection"}, "min": 0, "max": 9}
    schema = {
        "name": "D",
        "tables": {
            "Root": {
                "columns": {"name": {"type": "string"}, "c": {"type": target}},
                "isRoot": True,
            },
            "Connection": {"columns": connection},
        },
    }
    site.start("peer", "active", site.make("active", schema))
    here = f"punix:{site.directory}/configured"
    site.transact(
        "active",
        {"op": "insert", "table": "Root", "row": {"name": "a", "c": ["named-uuid", "c"]}},
        {"op": "insert", "table": "Connection", "uuid-name": "c", "row": {"target": here}},
    )
    options = ("--remote=db:D,Root,c", f"--sync-from={site.remote('active')}")
    site.start(side, "backup", *options, site.make("backup", schema))
    site.await_status("backup", "replicating")
    assert wait_until(lambda: os.path.exists(here.removeprefix("punix:")), 10)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(here.removeprefix("punix:"))
        assert not wait_until(lambda: _is_connected(site), 4, 0.5)


def _is_connected(site: Site) -> bool:
    columns = ["is_connected"]
    select = {"op": "select", "table": "Connection", "where": [], "columns": columns}
    return bool(site.transact("backup", select)[0]["rows"][0]["is_connected"])
