"""`ovsdb-server --config-file`: our server is told by a file what to serve, whom to follow, and
where to listen; Debian's (3.1 does not know such files) is whom it follows."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.database_pair import SCHEMA
from tests.support.database_site import OURS, Site
from tests.support.peers import wait_until

pytestmark = pytest.mark.interop
INSERT = {"op": "insert", "table": "Root", "row": {"name": "a"}}
E_SCHEMA = {**SCHEMA, "name": "E"}


class ConfiguredSite(Site):
    """Has a server `ours` that reads `config`."""

    @property
    def config(self) -> Path:
        return self.directory / "config"

    def write(self, databases: dict[str, Any], remotes: dict[str, Any] | None = None) -> None:
        everywhere = {f"p{self.remote('ours')}": None}
        text = json.dumps({"remotes": {**everywhere, **(remotes or {})}, "databases": databases})
        self.config.write_text(text)

    def start_ours(self) -> None:
        self.start("ours", "ours", f"--config-file={self.config}", remote=False)

    def fail(self, *args: str) -> str:
        command = [*OURS, f"--config-file={self.config}", f"--unixctl={self.directory}/c", *args]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=30)
        assert done.returncode == 1
        return done.stderr

    def reload(self, status: int = 0) -> str:
        return self.ctl("ours", "reload", status=status)

    def log(self) -> str:
        return (self.directory / "ours.log").read_text()

    def source(self, name: str) -> dict[str, Any]:
        return {self.remote(name): None}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConfiguredSite]:
    made = ConfiguredSite(tmp_path)
    yield made
    made.close()


def test_a_file_names_databases_of_every_model(site: ConfiguredSite) -> None:
    site.start("peer", "active", site.make("active"), site.make("source", E_SCHEMA))
    site.transact("active", INSERT)
    backup = {
        "service-model": "active-backup",
        "backup": True,
        "source": site.source("active"),
        "exclude-tables": ["Own"],
    }
    alone = site.make("alone", {**SCHEMA, "name": "F"})
    site.write(
        {
            site.make("backup"): backup,
            alone: {"service-model": "standalone"},
            "E": {"service-model": "relay", "source": site.source("active")},
        }
    )
    site.start_ours()
    following = f"replicating: {site.remote('active')}\nexclude: D:Own\n"
    status = f"database: D\nstate: backup\n{following}"
    assert site.await_status("ours", "replicating") == status
    assert [row["name"] for row in site.rows("ours")] == ["a"]
    assert site.transact("ours", INSERT)[0]["error"] == "not allowed"
    site.run("ovsdb-client", "--timeout=20", "wait", site.remote("ours"), "E", "connected")
    site.transact("ours", INSERT, database="E")
    assert "uuid" in site.transact("ours", INSERT, database="F")[0]
    assert site.ctl("ours", "list-dbs") == "D\nE\nF\n_Server\n"
    assert site.ctl("ours", "list-remotes") == f"p{site.remote('ours')}\n"


def test_a_backup_is_promoted_by_its_file_while_others_stay(site: ConfiguredSite) -> None:
    site.start("peer", "active", site.make("active"), site.make("active2", E_SCHEMA))
    site.transact("active", INSERT)
    backup = {"service-model": "active-backup", "backup": True, "source": site.source("active")}
    files = {"D": site.make("backup"), "E": site.make("backup2", E_SCHEMA)}
    site.write({files["D"]: backup, files["E"]: backup})
    site.start_ours()
    assert wait_until(lambda: site.ctl("ours", "sync-status").count("replicating") == 2, 40, 0.1)
    site.write({files["D"]: {**backup, "backup": False}, files["E"]: backup})
    site.reload()
    status = site.ctl("ours", "sync-status")
    assert "database: D\nstate: active\n" in status
    assert f"database: E\nstate: backup\nreplicating: {site.remote('active')}\n" in status
    assert "uuid" in site.transact("ours", {**INSERT, "row": {"name": "b"}})[0]
    assert site.transact("ours", INSERT, database="E")[0]["error"] == "not allowed"
    site.write({files["D"]: {"service-model": "standalone"}, files["E"]: backup})
    site.reload()
    assert "database: D" not in site.ctl("ours", "sync-status")
    assert [row["name"] for row in site.rows("ours")] == ["a", "b"]


def test_databases_and_remotes_come_and_go_with_the_file(site: ConfiguredSite) -> None:
    one, two = site.make("one"), site.make("two", E_SCHEMA)
    site.write({one: None})
    site.start_ours()
    site.transact("ours", {**INSERT, "row": {"name": "first"}})
    command = ["ovsdb-client", "monitor", site.remote("ours"), "D", "Root"]
    heard = site.directory / "heard"
    with heard.open("w") as out:
        monitor = subprocess.Popen(command, env=site.env, stdout=out)
    try:
        # From then on it is one of those who are told of databases that come and go.
        assert wait_until(lambda: "first" in heard.read_text(), 40)
        second = f"punix:{site.directory}/second.sock"
        site.write({one: None, two: None}, {second: {"read-only": True}})
        site.reload()
        assert site.ctl("ours", "list-dbs") == "D\nE\n_Server\n"
        assert site.transact("second", INSERT)[0]["error"] == "not allowed"
        assert "uuid" in site.transact("ours", INSERT)[0]
        assert monitor.poll() is None
        site.write({two: None})
        site.reload()
        assert site.ctl("ours", "list-dbs") == "E\n_Server\n"
        assert monitor.wait(40) is not None
        assert wait_until(lambda: not (site.directory / "second.sock").exists(), 40)
    finally:
        monitor.kill()
        monitor.wait()


def test_a_relay_is_given_another_source(site: ConfiguredSite) -> None:
    site.start("peer", "one", site.make("one"))
    site.start("peer", "two", site.make("two"))
    site.transact("two", INSERT)
    relay = {"service-model": "relay", "source": site.source("one")}
    site.write({"D": relay})
    site.start_ours()
    site.await_connected("ours")
    assert site.rows("ours") == []
    site.write({"D": {**relay, "source": site.source("two")}})
    site.reload()
    site.await_same("two", "ours")
    assert len(site.rows("ours")) == 1


def test_bad_file_changes_nothing(site: ConfiguredSite) -> None:
    path = site.make("one")
    site.write({path: None})
    site.start_ours()
    failure = "Configuration failed.  See the log file for details."
    for text, said in (
        ("{", "config: reading JSON failed"),
        ("[]", "configuration in a file must be a JSON object"),
        ('{"remotes": {}}', "config: 'databases' is missing"),
        ('{"remotes": {}, "databases": {"x": {"service-model": "y"}}}', "not a valid service"),
    ):
        site.config.write_text(text)
        assert failure in site.reload(status=2)
        assert said in site.log()
    site.config.unlink()
    assert failure in site.reload(status=2)
    assert f"failed to open configuration file '{site.config}': No such file" in site.log()
    assert site.ctl("ours", "list-dbs") == "D\n_Server\n"
    site.transact("ours", INSERT)


def test_what_can_be_served_is_served_although_something_cannot(site: ConfiguredSite) -> None:
    path = site.make("one")
    site.write({path: None})
    site.start_ours()
    gone = f"{site.directory}/gone"
    site.write({path: None, gone: None, site.make("two", E_SCHEMA): None}, {"db:D,Root,no": None})
    site.reload(status=2)
    log = site.log()
    assert f"failed to open database '{gone}': I/O error: {gone}: open failed" in log
    assert 'failed to configure remotes: "db:D,Root,no": table "Root" has no column "no"' in log
    assert site.ctl("ours", "list-dbs") == "D\nE\n_Server\n"


def test_commands_that_the_file_decides_are_refused(site: ConfiguredSite) -> None:
    site.write({site.make("one"): None})
    site.start_ours()
    for command in (
        "add-remote punix:x",
        "remove-remote punix:x",
        "add-db x",
        "remove-db D",
        "set-active-ovsdb-server tcp:a",
        "connect-active-ovsdb-server",
        "disconnect-active-ovsdb-server",
        "set-active-ovsdb-server-probe-interval 5",
        "set-relay-source-probe-interval 5",
        "set-sync-exclude-tables D:Own",
    ):
        said = site.ctl("ours", *command.split(), status=2)
        assert f"Update the {site.config} and use ovsdb-server/reload instead" in said


def test_reload_takes_a_file(site: ConfiguredSite) -> None:
    site.start("ours", "ours", site.make("one"))
    said = site.reload(status=2)
    assert "Configuration file was not specified on command line" in said
    said = site.ctl("ours", "set-active-ovsdb-server-probe-interval", "x", status=2)
    assert "Invalid probe interval, integer value expected" in said


def test_command_line_says_nothing_beside_the_file(site: ConfiguredSite) -> None:
    site.write({})
    exclusive = "ovsdb-server: --config-file is mutually exclusive with"
    for arguments, said in (
        (["--remote=punix:x"], f"{exclusive} --remote\n"),
        (["--sync-from=tcp:a"], f"{exclusive} --sync-from, --sync-exclude and --active\n"),
        (["--active"], f"{exclusive} --sync-from, --sync-exclude and --active\n"),
        (["x.db"], "ovsdb-server: Databases should be specified in a config file\n"),
    ):
        assert site.fail(*arguments) == said


def test_server_does_not_start_with_a_bad_file(site: ConfiguredSite) -> None:
    path = site.make("one")
    site.write({path: {"service-model": "clustered"}})
    said = site.fail("--pidfile")
    assert said.endswith("ovsdb-server: server configuration failed\n")
    mismatch = f"{path}: database is standalone and not clustered"
    assert f"failed to open database '{path}': ovsdb error: {mismatch}" in said


def test_names_in_the_file_are_those_of_the_directory_at_the_start(site: ConfiguredSite) -> None:
    site.make("one")
    site.write({"one.db": None})
    control = f"--unixctl={site.directory}/ours.ctl"
    command = [*OURS, f"--config-file={site.config}", control, "--detach", "--pidfile"]
    subprocess.run(command, cwd=site.directory, env=site.env, check=True, timeout=40)
    try:
        site.make("two", E_SCHEMA)
        site.write({"one.db": None, "two.db": None})
        site.reload()
        assert site.ctl("ours", "list-dbs") == "D\nE\n_Server\n"
    finally:
        site.run("ovs-appctl", "-t", f"{site.directory}/ours.ctl", "exit")
