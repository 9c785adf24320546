"""Backups and relays: our server follows Debian's, Debian's follows ours, and both say the same."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.database_pair import SCHEMA
from tests.support.peers import peer_environment, wait_until

pytestmark = pytest.mark.interop
OURS = [sys.executable, "-m", "netloom.programs.ovsdb_server"]
KID = {"op": "insert", "table": "Kid", "uuid-name": "k", "row": {"x": 7}}
ROW = {"name": "a", "kids": ["named-uuid", "k"], "m": ["map", [["k", "v"]]]}
FILL = [KID, {"op": "insert", "table": "Root", "row": ROW}]
SELECT = {"op": "select", "table": "Root", "where": [], "columns": ["_uuid", "name"]}
#: Who serves the original, and who the copy.
SIDES = [("peer", "ours"), ("ours", "peer")]


def is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


class Site:
    """Servers in one directory, by name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.env = peer_environment(directory)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def remote(self, name: str) -> str:
        return f"unix:{self.directory}/{name}.sock"

    def make(self, name: str, schema: dict[str, Any] = SCHEMA) -> str:
        """A database file."""
        path = self.directory / f"{name}.db"
        (self.directory / "schema").write_text(json.dumps(schema))
        self.run("ovsdb-tool", "create", str(path), str(self.directory / "schema"))
        return str(path)

    def start(self, side: str, name: str, *args: str) -> None:
        sock = self.directory / f"{name}.sock"
        sock.unlink(missing_ok=True)
        where = [f"--remote=p{self.remote(name)}", f"--unixctl={self.directory}/{name}.ctl"]
        program = OURS if side == "ours" else ["ovsdb-server"]
        log = f"--log-file={self.directory}/{name}.log"
        process = subprocess.Popen(
            [*program, *where, log, *args], env=self.env, stderr=subprocess.DEVNULL
        )
        self.running[name] = process

        def is_open() -> bool:
            assert process.poll() is None, "server ended"
            return all(is_listening(self.directory / f"{name}.{kind}") for kind in ("sock", "ctl"))

        assert wait_until(is_open, 20), "server did not open its socket"

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait(10)

    def close(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            process.wait(10)

    def run(self, *command: str, status: int = 0) -> str:
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=30)
        assert done.returncode == status, done.stderr
        return done.stdout + (done.stderr if status else "")

    def ctl(self, name: str, command: str, *args: str, status: int = 0) -> str:
        target = f"{self.directory}/{name}.ctl"
        return self.run("ovs-appctl", "-t", target, f"ovsdb-server/{command}", *args, status=status)

    def transact(self, name: str, *operations: Any, database: str = "D") -> Any:
        text = json.dumps([database, *operations])
        return json.loads(self.run("ovsdb-client", "transact", self.remote(name), text))

    def rows(self, name: str) -> list[Any]:
        found = self.transact(name, SELECT)[0]["rows"]
        return sorted(found, key=lambda row: str(row["name"]))

    def await_status(self, name: str, text: str) -> str:
        assert wait_until(lambda: text in self.ctl(name, "sync-status"), 20, 0.1)
        return self.ctl(name, "sync-status")

    def await_same(self, one: str, two: str) -> None:
        assert wait_until(lambda: self.rows(one) == self.rows(two), 20, 0.1)

    def await_connected(self, name: str, state: str = "connected") -> None:
        self.run("ovsdb-client", "--timeout=20", "wait", self.remote(name), "D", state)


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
    assert status == f"state: backup\nreplicating: {site.remote('active')}\ndatabase: D\n"
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


@pytest.mark.parametrize("side", ["peer", "ours"])
def test_backup_copies_a_database_that_is_added(site: Site, side: str) -> None:
    second = {**SCHEMA, "name": "E"}
    site.start("peer", "active", site.make("active"), site.make("active2", second))
    options = f"--sync-from={site.remote('active')}"
    site.start(side, "backup", options, site.make("backup"))
    assert site.await_status("backup", "replicating").endswith("\ndatabase: D\n")
    site.ctl("backup", "add-db", site.make("backup2", second))
    assert site.await_status("backup", "D, E").endswith("\ndatabase: D, E\n")
    site.ctl("backup", "remove-db", "D")
    site.await_status("backup", "database: E\n")


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
        ("set-sync-exclude-tables", "T:D,D:Own,D:Kid,zz,,D:A"),
        ("get-sync-exclude-tables",),
        ("set-sync-exclude-tables", ""),
        ("get-sync-exclude-tables",),
        ("set-active-ovsdb-server-probe-interval", "x"),
        ("set-active-ovsdb-server-probe-interval", "7000"),
        ("disconnect-active-ovsdb-server",),
        ("set-active-ovsdb-server", site.remote("backup")),
        ("connect-active-ovsdb-server",),
    ):
        said.append(f"{command}: {site.ctl('backup', command, *args)}")
    site.await_status("backup", "state: active")
    listing = site.run("ovs-appctl", "-t", f"{site.directory}/backup.ctl", "list-commands")
    said.extend(line for line in listing.splitlines() if "active" in line or "sync" in line)
    log = (site.directory / "backup.log").read_text(errors="replace")
    said.extend(re.findall(r"(?:replication|ovsdb_error)\|.*", log))
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
