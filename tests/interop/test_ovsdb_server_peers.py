"""Our ovsdb-server and files with Debian's tools and server, and with python-ovs."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.peers import peer_environment, wait_until

from netloom.ovsdb import schemas_directory

pytestmark = pytest.mark.interop
SCHEMA = f"{schemas_directory()}/vswitch.ovsschema"
ADD = (
    '["Open_vSwitch",{"op":"insert","table":"Open_vSwitch","row":{"bridges":["named-uuid","b"]}},'
    '{"op":"insert","table":"Bridge","uuid-name":"b","row":{"name":"br0",'
    '"external_ids":["map",[["a","b"]]]}},{"op":"comment","comment":"made"}]'
)


class World:
    """A directory with the environment for both sides' programs."""

    def __init__(self, directory: Path) -> None:
        self.env = peer_environment(directory)
        self.directory = directory
        self.remote = f"unix:{directory}/db.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def peer(self, *command: str, status: int = 0) -> str:
        """Run one of Debian's programs; its output."""
        done = subprocess.run(
            command, env=self.env, cwd=self.directory, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == status, done.stderr
        return done.stdout + (done.stderr if status else "")

    def ours(self, program: str, *args: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", f"netloom.programs.{program}", *args],
            env=self.env,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == status, done.stderr
        return done.stdout + (done.stderr if status else "")

    def serve(self, *args: str, peer: bool = False) -> None:
        """Start a server of either side on `conf.db` and wait for its socket."""
        sock = self.directory / "db.sock"
        sock.unlink(missing_ok=True)
        program = (
            ["ovsdb-server"] if peer else [sys.executable, "-m", "netloom.programs.ovsdb_server"]
        )
        options = [f"--remote=p{self.remote}", f"--unixctl={self.directory}/ctl", "--log-file"]
        self.process = subprocess.Popen(
            [*program, *options, *args, str(self.directory / "conf.db")],
            env=self.env,
            cwd=self.directory,
            stderr=subprocess.DEVNULL,
        )
        process = self.process

        def is_open() -> bool:
            assert process.poll() is None, "server ended"
            with socket.socket(socket.AF_UNIX) as probe:
                return probe.connect_ex(str(sock)) == 0

        assert wait_until(is_open), "server did not open its socket"

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
            self.process = None


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.stop(signal.SIGKILL)


def create(world: World) -> None:
    world.ours("ovsdb_tool", "create", "conf.db", SCHEMA)


def test_debians_client_lists_dumps_and_changes(world: World) -> None:
    create(world)
    world.serve()
    remote = world.remote
    assert world.peer("ovsdb-client", "list-dbs", remote) == "Open_vSwitch\n_Server\n"
    assert world.peer("ovsdb-client", "get-schema-version", remote) == "8.8.0\n"
    assert "Bridge" in world.peer("ovsdb-client", "list-tables", remote).split()
    assert world.peer("ovsdb-client", "needs-conversion", remote, SCHEMA) == "no\n"
    results = json.loads(world.peer("ovsdb-client", "transact", remote, ADD))
    assert [sorted(item) for item in results] == [["uuid"], ["uuid"], []]
    dumped = world.peer(
        "ovsdb-client", "dump", remote, "Open_vSwitch", "Bridge", "name", "external_ids"
    )
    assert dumped.splitlines()[-1].split() == ["{a=b}", "br0"]
    schema = json.loads(world.peer("ovsdb-client", "get-schema", remote))
    assert len(schema["tables"]) == len(json.loads(Path(SCHEMA).read_text())["tables"])
    world.peer("ovsdb-client", "lock", remote, "l", "--timeout=1", status=-signal.SIGALRM)


def test_debians_client_converts_the_schema_online(world: World) -> None:
    create(world)
    world.serve()
    world.peer("ovsdb-client", "transact", world.remote, ADD)
    other = world.directory / "other.ovsschema"
    other.write_text(Path(SCHEMA).read_text().replace('"8.8.0"', '"8.9.0"'))
    world.peer("ovsdb-client", "convert", world.remote, str(other))
    assert world.peer("ovsdb-client", "get-schema-version", world.remote) == "8.9.0\n"
    world.stop()
    assert world.peer("ovsdb-tool", "db-version", "conf.db") == "8.9.0\n"


def test_debians_client_monitors_what_ours_commits(world: World) -> None:
    create(world)
    world.serve()
    out = world.directory / "monitor.out"
    with out.open("w") as file:
        monitor = subprocess.Popen(
            ["ovsdb-client", "--format=json", "monitor", world.remote, "Bridge", "name"],
            env=world.env,
            stdout=file,
        )
    try:
        asked = ("ovs-appctl", "-t", f"{world.directory}/ctl", "memory/show")
        assert wait_until(lambda: "monitors:1" in world.peer(*asked)), world.peer(*asked)
        world.peer("ovsdb-client", "transact", world.remote, ADD)
        assert wait_until(lambda: "br0" in out.read_text())
        assert re.search(r'"insert","br0"', out.read_text())
    finally:
        monitor.kill()
        monitor.wait()


@pytest.mark.parametrize("writer", ["ours", "peer"])
def test_files_are_exchanged_both_ways(world: World, writer: str) -> None:
    create(world)
    dump = ("ovsdb-client", "dump", world.remote, "Open_vSwitch")
    mutate = (
        '["Open_vSwitch",{"op":"mutate","table":"Bridge","where":[],"mutations":'
        '[["external_ids","insert",["map",[["k","%d"]]]],["external_ids","delete","a"]]}]'
    )
    world.serve(peer=writer == "peer")
    world.peer("ovsdb-client", "transact", world.remote, ADD)
    world.peer("ovsdb-client", "transact", world.remote, mutate % 1)
    before = world.peer(*dump)
    world.stop()
    world.serve(peer=writer != "peer")
    assert world.peer(*dump) == before
    world.peer("ovsdb-client", "transact", world.remote, mutate % 2)
    world.peer("ovs-appctl", "-t", f"{world.directory}/ctl", "ovsdb-server/compact")
    before = world.peer(*dump)
    world.stop()
    world.serve(peer=writer == "peer")
    assert world.peer(*dump) == before


def test_kill_loses_no_transaction_that_was_answered(world: World) -> None:
    create(world)
    for round_number in range(3):
        world.serve()
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(world.directory / "db.sock"))
        answered = 0
        for i in range(100):
            row = {"name": f"r{round_number}-{i}"}
            operation = {"op": "insert", "table": "QoS", "row": {"type": row["name"]}}
            message = {"id": i, "method": "transact", "params": ["Open_vSwitch", operation]}
            client.sendall(json.dumps(message).encode())
            if i == 99:
                break
            assert b'"uuid"' in client.recv(65536)
            answered += 1
        world.stop(signal.SIGKILL)
        client.close()
        query = '["Open_vSwitch",{"op":"select","table":"QoS","where":[],"columns":["type"]}]'
        (result,) = json.loads(world.peer("ovsdb-tool", "query", "conf.db", query))
        types = {row["type"] for row in result["rows"]}
        assert {f"r{round_number}-{i}" for i in range(answered)} <= types


def test_truncated_tail_is_dropped_with_a_warning(world: World) -> None:
    create(world)
    world.peer("ovsdb-tool", "transact", "conf.db", ADD)
    path = world.directory / "conf.db"
    size = path.stat().st_size
    world.peer(
        "ovsdb-tool",
        "transact",
        "conf.db",
        '["Open_vSwitch",{"op":"insert","table":"QoS","row":{}}]',
    )
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 7)
    world.serve()
    assert "br0" in world.peer("ovsdb-client", "dump", world.remote, "Bridge", "name")
    assert "End of file" in (world.directory / "ovsdb-server.log").read_text()
    assert path.stat().st_size == size


def test_corrupt_header_is_refused_by_name(world: World) -> None:
    (world.directory / "conf.db").write_bytes(b"OVSDB JSON nonsense\n")
    said = world.ours("ovsdb_server", "--unixctl=none", status=1)
    assert "conf.db: parse error at offset 0 in header line" in said


def test_manager_rows_open_remotes_and_show_their_state(world: World) -> None:
    create(world)
    world.serve("--remote=db:Open_vSwitch,Open_vSwitch,manager_options")
    target = f"punix:{world.directory}/manager.sock"
    operation = json.dumps(
        [
            "Open_vSwitch",
            {
                "op": "insert",
                "table": "Open_vSwitch",
                "row": {"manager_options": ["named-uuid", "m"]},
            },
            {"op": "insert", "table": "Manager", "uuid-name": "m", "row": {"target": target}},
        ]
    )
    world.peer("ovsdb-client", "transact", world.remote, operation)
    through = f"unix:{world.directory}/manager.sock"
    assert "Open_vSwitch" in world.peer("ovsdb-client", "--timeout=60", "list-dbs", through)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(world.directory / "manager.sock"))
        deadline = time.monotonic() + 60
        wait = {
            "op": "wait",
            "table": "Manager",
            "where": [],
            "columns": ["is_connected"],
            "until": "==",
            "rows": [{"is_connected": True}],
            "timeout": 9000,
        }
        query = json.dumps(["Open_vSwitch", wait])
        assert "timed out" not in world.peer("ovsdb-client", "transact", world.remote, query)
        assert time.monotonic() < deadline
    update = {
        "op": "update",
        "table": "Open_vSwitch",
        "where": [],
        "row": {"manager_options": ["set", []]},
    }
    clear = json.dumps(["Open_vSwitch", update])
    world.peer("ovsdb-client", "transact", world.remote, clear)
    assert not (world.directory / "manager.sock").exists()


def test_python_ovs_idl_sees_our_changes(world: World) -> None:
    pytest.importorskip("ovs.db.idl")
    import ovs.db.idl
    import ovs.poller

    create(world)
    world.serve()
    helper = ovs.db.idl.SchemaHelper(location=SCHEMA)
    helper.register_all()
    idl = ovs.db.idl.Idl(world.remote, helper)

    def run_until(condition: Any) -> None:
        deadline = time.monotonic() + 60
        while not condition() and time.monotonic() < deadline:
            idl.run()
            poller = ovs.poller.Poller()
            idl.wait(poller)
            poller.timer_wait(100)
            poller.block()
        assert condition()

    try:
        run_until(idl.has_ever_connected)
        world.peer("ovsdb-client", "transact", world.remote, ADD)
        run_until(lambda: [b.name for b in idl.tables["Bridge"].rows.values()] == ["br0"])
        txn = ovs.db.idl.Transaction(idl)
        (bridge,) = idl.tables["Bridge"].rows.values()
        bridge.setkey("external_ids", "from", "python")
        assert txn.commit_block() == ovs.db.idl.Transaction.SUCCESS
        run_until(lambda: bridge.external_ids == {"a": "b", "from": "python"})
    finally:
        idl.close()


def test_run_option_ends_the_server_with_the_commands_status(world: World) -> None:
    create(world)
    command = f"ovsdb-client list-dbs {world.remote}"
    base = (f"--remote=p{world.remote}", "--unixctl=none", "conf.db")
    assert "Open_vSwitch" in world.ours("ovsdb_server", f"--run={command}", *base)
    said = world.ours("ovsdb_server", "--run=exit 3", *base, status=1)
    assert "ovsdb-server: exit 3: child exited, exit status 3" in said


def test_files_of_clusters_are_told_apart(world: World) -> None:
    schema = f"{schemas_directory()}/vswitch.ovsschema"
    here, there = "tcp:127.0.0.1:16644", "tcp:127.0.0.1:16645"
    world.peer("ovsdb-tool", "create-cluster", "conf.db", schema, here)
    world.peer("ovsdb-tool", "join-cluster", "new.db", "Open_vSwitch", there, here)
    for path in ("conf.db", "new.db"):
        for question in ("db-name", "db-sid", "db-local-address", "db-is-clustered"):
            theirs = world.peer("ovsdb-tool", question, path)
            assert world.ours("ovsdb_tool", question, path) == theirs
    assert world.ours("ovsdb_tool", "db-cid", "conf.db") == world.peer(
        "ovsdb-tool", "db-cid", "conf.db"
    )
    assert world.ours("ovsdb_tool", "db-cid", "new.db", status=2) == world.peer(
        "ovsdb-tool", "db-cid", "new.db", status=2
    )
