"""Our ovs-vsctl and Debian's answer a corpus of command lines alike, and leave equal databases.

Without a switch (`--no-wait`), against Debian's ovsdb-server and against ours. Where a scenario
creates rows, UUIDs are masked and the databases compared by content; questions about one database
must be answered with the same bytes.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from tests.support.peers import await_path, peer_environment
from vsctl_corpus import QUESTIONED, QUESTIONS, SCENARIOS

pytestmark = pytest.mark.interop
SOURCE = Path(__file__).parents[2] / "src"
LAUNCH = SOURCE / "netloom/programs/launch.py"
SCHEMA = SOURCE / "netloom/ovsdb/schemas/vswitch.ovsschema"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.MULTILINE)
OURS = (sys.executable, "-I", "-S", str(LAUNCH), "ovs-vsctl")
THEIRS = ("ovs-vsctl",)
SERVERS = {
    "debian": ("ovsdb-server",),
    "netloom": (sys.executable, "-I", "-S", str(LAUNCH), "ovsdb-server"),
}

#: Columns that 3.7 has and Debian's tool does not know.
NEW_COLUMNS = {"filter", "stats_interval", "template_interval", "local_group_id", "limit",
               "ct_zone_default_limit"}  # fmt: skip


class Server:
    """An ovsdb-server, Debian's or ours, with an empty database of the switch."""

    def __init__(self, directory: Path, command: tuple[str, ...]) -> None:
        directory.mkdir()
        self.env = peer_environment(directory)
        database, socket = directory / "conf.db", directory / "db.sock"
        subprocess.run(["ovsdb-tool", "create", database, SCHEMA], env=self.env, check=True)
        self.process = subprocess.Popen(
            [*command, f"--remote=punix:{socket}", f"--unixctl={directory}/c", database],
            env=self.env, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        await_path(socket)

    def run(self, tool: tuple[str, ...], line: str) -> tuple[int, str, str]:
        words = shlex.split(line)
        done = subprocess.run(
            [*tool, "--no-wait", *words],
            env=self.env,
            capture_output=True,
            timeout=100,
            check=False,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def contents(self) -> list[str]:
        """The rows, each with what it refers to in place of UUIDs, in no order."""
        text = subprocess.run(
            ["ovsdb-client", "-f", "json", "dump"], env=self.env, capture_output=True, check=True
        ).stdout.decode()
        rows = {}
        for line in text.splitlines():
            table = json.loads(line)
            for row in table["data"]:
                values = dict(zip(table["headings"], row, strict=True))
                uuid = values.pop("_uuid")[1]
                rows[uuid] = (table["caption"], values)
        labels = {uuid: name for uuid, (name, _) in rows.items()}
        for _ in range(4):
            labels = {
                uuid: f"{name} {json.dumps(_relabel(values, labels), sort_keys=True)}"
                for uuid, (name, values) in rows.items()
            }
            labels = {uuid: str(hash(label)) for uuid, label in labels.items()}
        return sorted(
            f"{name} {json.dumps(_relabel(values, labels), sort_keys=True)}"
            for name, values in rows.values()
        )

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def _relabel(value: Any, labels: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _relabel(item, labels) for key, item in value.items()}
    if isinstance(value, list):
        if len(value) == 2 and value[0] == "uuid":
            return labels.get(value[1], "?")
        relabelled = [_relabel(item, labels) for item in value]
        return sorted(relabelled, key=str) if value[:1] != ["set"] else [
            "set", sorted(relabelled[1], key=str)
        ]  # fmt: skip
    return value


#: Words of 3.1 -> words of 3.7.
NEW_WORDS = (
    (re.compile(r"(zone id \d+) already exists"), r"\1 already has a policy"),
    (re.compile(r"(zone id \d+) does not exist"), r"\1 does not have a policy"),
)


def mask(result: tuple[int, str, str]) -> tuple[int, str, str]:
    status, out, err = result
    for old, new in NEW_WORDS:
        err = old.sub(new, err)
    lines = [line for line in out.splitlines(keepends=True)
             if line.split(" ")[0] not in NEW_COLUMNS]  # fmt: skip
    return status, UUID.sub("UUID", "".join(lines)), STAMP.sub("TIME", UUID.sub("UUID", err))


@pytest.fixture(params=list(SERVERS))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    command = SERVERS[request.param]
    servers = (Server(tmp_path / "theirs", command), Server(tmp_path / "ours", command))
    yield servers
    for server in servers:
        server.stop()


def _without_order(result: tuple[int, str, str]) -> tuple[int, list[str], str]:
    return result[0], sorted(result[1].splitlines()), result[2]


@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_scenario_has_the_same_outcome(scenario: str, pair: tuple[Server, Server]) -> None:
    theirs, ours = pair
    differences = []
    for line in SCENARIOS[scenario]:
        want, have = mask(theirs.run(THEIRS, line)), mask(ours.run(OURS, line))
        rundirs = (str(theirs.env["OVS_RUNDIR"]), str(ours.env["OVS_RUNDIR"]))
        have = (have[0], have[1], have[2].replace(rundirs[1], rundirs[0]))
        # The order of rows and references depends on the UUIDs, which differ.
        if _without_order(want) != _without_order(have):
            differences.append((line, want, have))
        assert theirs.contents() == ours.contents(), (line, differences)
    assert not differences


@pytest.fixture(scope="module", params=list(SERVERS))
def questioned(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("questions") / "run", SERVERS[request.param])
    for line in QUESTIONED:
        status, _, err = server.run(THEIRS, line)
        assert status == 0, (line, err)
    yield server
    server.stop()


def _known(result: tuple[int, str, str]) -> tuple[int, str, str]:
    """Without what only 3.7 has."""
    return result[0], result[1], STAMP.sub("TIME", result[2])


def test_questions_have_the_same_answers(questioned: Server) -> None:
    differences = []
    for line in QUESTIONS:
        want, have = _known(questioned.run(THEIRS, line)), _known(questioned.run(OURS, line))
        lines = [text for text in have[1].splitlines(keepends=True)
                 if text.split(" ")[0] not in NEW_COLUMNS]  # fmt: skip
        if want != (have[0], "".join(lines), have[2]):
            differences.append((line, want, have))
    assert not differences
