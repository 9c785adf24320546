"""Clusters of Debian's database servers and ours in one directory, joined by Unix sockets."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.peers import PATIENCE_S, peer_environment, wait_until

OURS = [sys.executable, "-m", "netloom.programs.ovsdb_server"]
OUR_TOOL = [sys.executable, "-m", "netloom.programs.ovsdb_tool"]
SCHEMA: dict[str, Any] = {
    "name": "D",
    "version": "1.0.0",
    "tables": {
        "T": {
            "columns": {
                "name": {"type": "string"},
                "n": {"type": "integer"},
                "m": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
            },
            "isRoot": True,
            "indexes": [["name"]],
        }
    },
}


def is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


class ClusterSite:
    """Servers by number. `sides` says of each, from 1 on, whether it is "peer" or "ours"."""

    def __init__(self, directory: Path, *sides: str) -> None:
        self.directory = directory
        self.sides = dict(enumerate(sides, 1))
        self.env = peer_environment(directory)
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        #: TCP ports for the servers to reach each other at; Unix sockets without.
        self.ports: list[int] = []

    # -- servers -------------------------------------------------------------------------

    def file(self, number: int) -> str:
        return str(self.directory / f"{number}.db")

    def remote(self, number: int) -> str:
        return f"unix:{self.directory}/{number}.sock"

    def address(self, number: int) -> str:
        """Where other servers reach one."""
        if self.ports:
            return f"tcp:127.0.0.1:{self.ports[number - 1]}"
        return f"unix:s{number}.raft"

    @property
    def remotes(self) -> str:
        return ",".join(self.remote(number) for number in self.running)

    def tool(self, side: str, *args: str, status: int = 0) -> str:
        """Debian's ovsdb-tool, or ours."""
        return self.run(*(OUR_TOOL if side == "ours" else ["ovsdb-tool"]), *args, status=status)

    def form(self, schema: dict[str, Any] = SCHEMA, *options: str) -> None:
        """Make the cluster: the first server founds it, the others join it in turn."""
        path = self.directory / "schema"
        path.write_text(json.dumps(schema))
        create = [*options, "create-cluster", self.file(1), str(path), self.address(1)]
        self.tool(self.sides[1], *create)
        self.start(1)
        for number in list(self.sides)[1:]:
            self.join(number)

    def join(self, number: int, side: str | None = None) -> None:
        """Have one more server join, and wait until it is a member."""
        side = self.sides.setdefault(number, side or "peer")
        remotes = [self.address(other) for other in self.running]
        self.tool(side, "join-cluster", self.file(number), "D", self.address(number), *remotes)
        self.start(number)
        self.await_member(number)

    def start(self, number: int, database: str = "") -> None:
        """Run a server on its file, or as the relay that `database` says."""
        program = OURS if self.sides[number] == "ours" else ["ovsdb-server"]
        paths = {kind: self.directory / f"{number}.{kind}" for kind in ("sock", "ctl", "log")}
        for path in paths.values():
            path.unlink(missing_ok=True)
        process = subprocess.Popen(
            [
                *program,
                f"--remote=p{self.remote(number)}",
                f"--unixctl={paths['ctl']}",
                f"--log-file={paths['log']}",
                database or self.file(number),
            ],
            env=self.env,
            stderr=subprocess.DEVNULL,
        )
        self.running[number] = process

        def is_open() -> bool:
            assert process.poll() is None, f"server {number} ended"
            return is_listening(paths["sock"]) and is_listening(paths["ctl"])

        assert wait_until(is_open), f"server {number} did not open its sockets"

    def kill(self, number: int) -> None:
        """End a server at once, as a power failure would."""
        process = self.running.pop(number)
        process.kill()
        process.wait(10)

    def stop(self, number: int) -> None:
        """End a server in order."""
        self.ctl(number, "exit")
        self.running.pop(number).wait(10)

    def close(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            process.wait(10)

    # -- what they say -------------------------------------------------------------------

    def run(self, *command: str, status: int = 0) -> str:
        done = subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == status, (command, done.returncode, done.stdout, done.stderr)
        return done.stdout + (done.stderr if status else "")

    def ctl(self, number: int, *words: str, status: int = 0) -> str:
        target = f"{self.directory}/{number}.ctl"
        return self.run("ovs-appctl", "-t", target, *words, status=status)

    def status(self, number: int) -> dict[str, str]:
        """The lines of `cluster/status` that have a name and a value."""
        text = self.ctl(number, "cluster/status", "D")
        pairs = (line.partition(": ") for line in text.splitlines())
        return {name: value for name, colon, value in pairs if colon}

    def await_member(self, number: int) -> None:
        def is_member() -> bool:
            status = self.status(number)
            known = status.get("Leader", "unknown") != "unknown"
            return known and status["Status"] == "cluster member"

        assert wait_until(is_member, every_s=0.1), self.ctl(number, "cluster/status", "D")

    def leader(self) -> int:
        """The running server that leads, as soon as there is one that all follow."""
        return self.leader_of(*self.running)

    def leader_of(self, *numbers: int) -> int:
        """The same of these servers, where others are no members."""
        found: list[int] = []

        def one_leads() -> bool:
            statuses = {number: self.status(number) for number in numbers}
            found[:] = [n for n, status in statuses.items() if status["Role"] == "leader"]
            terms = {status["Term"] for status in statuses.values()}
            known = all(s.get("Leader", "unknown") != "unknown" for s in statuses.values())
            return len(found) == 1 and len(terms) == 1 and known

        assert wait_until(one_leads, every_s=0.1), "no leader that all follow"
        return found[0]

    def lead(self, side: str) -> int:
        """Have a server of that side lead: others that do are killed and started again."""
        for _ in range(20):
            leader = self.leader()
            if self.sides[leader] == side:
                return leader
            self.kill(leader)
            self.leader()
            self.start(leader)
            self.await_member(leader)
        raise AssertionError(f"no server of {side} was elected")

    def transact(self, number: int, *operations: Any) -> Any:
        text = json.dumps(["D", *operations])
        client = ["ovsdb-client", "--no-leader-only", f"--timeout={int(PATIENCE_S) - 5}"]
        return json.loads(self.run(*client, "transact", self.remote(number), text))

    def insert(self, number: int, name: str, **columns: Any) -> Any:
        (result,) = self.transact(
            number, {"op": "insert", "table": "T", "row": {"name": name, **columns}}
        )
        assert "uuid" in result, result
        return result["uuid"][1]

    def rows(self, number: int) -> list[tuple[str, int]]:
        select = {"op": "select", "table": "T", "where": [], "columns": ["name", "n"]}
        (result,) = self.transact(number, select)
        return sorted((row["name"], row["n"]) for row in result["rows"])

    def await_same(self) -> list[tuple[str, int]]:
        """Wait until all running servers have the same rows; the rows."""

        def all_same() -> bool:
            return len({tuple(self.rows(number)) for number in self.running}) == 1

        assert wait_until(all_same, every_s=0.1), {n: self.rows(n) for n in self.running}
        return self.rows(next(iter(self.running)))

    def check_files(self) -> None:
        """Both tools find nothing wrong with the files, and say the same of each. Ends all
        servers, which write to them."""
        self.close()
        self.running.clear()
        files = [self.file(number) for number in self.sides]
        for side in ("peer", "ours"):
            self.tool(side, "check-cluster", *files)
        for path in files:
            # The order of the rows of a record is that of a hash table.
            one, two = (
                sorted(self.tool(side, "-m", "show-log", path).splitlines())
                for side in ("peer", "ours")
            )
            assert one == two


def make_site(directory: Path, *sides: str) -> Iterator[ClusterSite]:
    site = ClusterSite(directory, *sides)
    try:
        yield site
    finally:
        site.close()
