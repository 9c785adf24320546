"""Database servers, of Debian's and ours, as processes of one directory."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.database_pair import SCHEMA
from tests.support.peers import peer_environment, wait_until

OURS = [sys.executable, "-m", "netloom.programs.ovsdb_server"]
SELECT = {"op": "select", "table": "Root", "where": [], "columns": ["_uuid", "name"]}


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

    def start(self, side: str, name: str, *args: str, remote: bool = True) -> None:
        """Start a server that listens at `NAME.sock`, by `--remote` or of its own accord."""
        sock = self.directory / f"{name}.sock"
        sock.unlink(missing_ok=True)
        where = [f"--unixctl={self.directory}/{name}.ctl"]
        if remote:
            where.append(f"--remote=p{self.remote(name)}")
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
