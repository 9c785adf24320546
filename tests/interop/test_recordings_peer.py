"""What comes into a database server is recorded, and makes the same database again: recordings of
ours with ours, and Debian's with ours."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.database_site import OURS, Site
from tests.support.peers import wait_until

pytestmark = pytest.mark.interop
INSERT = {"op": "insert", "table": "Root", "row": {"name": "a"}}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def contents(path: Path) -> list[object]:
    """The records of a database file, without the times."""
    records = []
    for line in path.read_text().splitlines():
        if not line.startswith("OVSDB "):
            record = json.loads(line)
            record.pop("_date", None)
            records.append(record)
    return records


@pytest.mark.parametrize("recording", ["ours", "peer"])
def test_recorded_server_lives_again(site: Site, recording: str) -> None:
    directory = site.directory / "recording"
    directory.mkdir()
    database = Path(site.make("db"))
    shutil.copy(database, directory / "copy.db")
    site.start(recording, "db", f"--record={directory}", str(database))
    # The second needs the row of the first, by a UUID that the server made up.
    uuid = site.transact("db", INSERT)[0]["uuid"]
    where = [["_uuid", "==", uuid]]
    update = {"op": "update", "table": "Root", "where": where, "row": {"name": "b"}}
    assert site.transact("db", update)[0]["count"] == 1
    site.transact("db", {**INSERT, "row": {"name": "c"}})
    site.run("ovs-appctl", "-t", f"{site.directory}/db.ctl", "exit")
    recorded = site.running.pop("db")
    assert wait_until(lambda: recorded.poll() is not None, 10)
    command = [*OURS, f"--replay={directory}", f"--unixctl={site.directory}/db.ctl"]
    command += [f"--remote=p{site.remote('db')}", str(directory / "copy.db")]
    done = subprocess.run(command, env=site.env, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert contents(directory / "copy.db") == contents(database)
    assert not (site.directory / "db.sock").exists()


def test_recorded_relay_meets_its_source_again(site: Site) -> None:
    directory = site.directory / "recording"
    directory.mkdir()
    site.start("peer", "source", site.make("source"))
    relayed = ("-vjsonrpc:file:dbg", f"relay:D:{site.remote('source')}")
    site.start("ours", "relay", f"--record={directory}", *relayed)
    site.await_connected("relay")
    site.transact("relay", INSERT)
    site.await_same("source", "relay")
    site.run("ovs-appctl", "-t", f"{site.directory}/relay.ctl", "exit")
    recorded = site.running.pop("relay")
    assert wait_until(lambda: recorded.poll() is not None, 10)
    site.kill("source")
    again = site.directory / "again.log"
    command = [*OURS, f"--replay={directory}", f"--unixctl={site.directory}/relay.ctl"]
    command += [f"--remote=p{site.remote('relay')}", f"--log-file={again}", *relayed]
    subprocess.run(command, env=site.env, check=True, timeout=20)
    said = messages(site.directory / "relay.log")
    assert messages(again) == said
    assert any("update" in message for message in said)


def messages(path: Path) -> list[str]:
    """What JSON-RPC logged, without times and numbers."""
    lines = [line.split("|", 2)[2] for line in path.read_text().splitlines() if "|" in line]
    return [line for line in lines if line.startswith("jsonrpc|")]
