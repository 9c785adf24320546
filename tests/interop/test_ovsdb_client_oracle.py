"""Our ovsdb-client and Debian's answer the same command lines about one database alike."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from tests.support.peers import await_path, peer_environment, wait_until

pytestmark = pytest.mark.interop
SOURCE = Path(__file__).parents[2] / "src"
LAUNCH = SOURCE / "netloom/programs/launch.py"
SCHEMA = SOURCE / "netloom/ovsdb/schemas/vswitch.ovsschema"
OURS = (sys.executable, "-I", "-S", str(LAUNCH), "ovsdb-client")
THEIRS = ("ovsdb-client",)
STAMP = re.compile(r"^\d{4}-\d\d-\d\d.\d\d:\d\d:\d\d(Z|\.\d{3})", re.MULTILINE)

#: Commands that end by themselves. `SERVER` is the server's address.
QUESTIONS = (
    "", "foo", "list-dbs", "list-dbs SERVER", "list-dbs unix:/nonexistent/x", "list-dbs foo",
    "list-dbs a b c", "get-schema-version", "get-schema-cksum", "get-schema-version nodb",
    "get-schema", "get-schema _Server", "--pretty get-schema _Server", "list-tables",
    "-f csv list-tables _Server", "list-tables nodb", "list-columns _Server", "list-columns",
    "list-columns Open_vSwitch Mirror", "list-columns Open_vSwitch nope", "transact",
    "transact foo", "transact '{}'", "transact '[]'", "transact '[\"nodb\"]'",
    'transact \'["Open_vSwitch",{"op":"foo"}]\'',
    'transact \'["Open_vSwitch",{"op":"select","table":"Queue","where":[],"columns":["dscp"]}]\'',
    'query \'["Open_vSwitch",{"op":"delete","table":"Queue","where":[]}]\'', "query '[]'",
    "query '{\"a\":1}'", "query '[\"nodb\"]'", "dump", "-f json dump",
    "dump Open_vSwitch Bridge name ports", "dump Open_vSwitch Bridge foo", "dump Open_vSwitch Foo",
    "-f json dump _Server Database name", "-f list dump _Server Database name connected",
    "dump Open_vSwitch Queue", "-f html dump Open_vSwitch Queue", "-f csv dump Open_vSwitch Queue",
    "dump nodb", "--bare dump Open_vSwitch Bridge name", "--no-headings dump Open_vSwitch Port",
    "monitor Open_vSwitch Bridge name '!initial'", "monitor Open_vSwitch Foo", "monitor Bridge foo",
    "monitor Bridge name,name", "monitor", "monitor-cond Bridge name", "monitor-cond x Bridge name",
    "lock", "wait Open_vSwitch added", "wait Open_vSwitch connected", "wait Open_vSwitch foo",
    "wait nodb removed", "wait x", "needs-conversion SCHEMA", "needs-conversion /nonexistent/x",
    "backup nodb", "-t 1 list-dbs", "-t 0 list-dbs", "--no-leader-only list-dbs", "-vfoo list-dbs",
    "--foo", "--force list-dbs", "restore", "convert /nonexistent/x", "list-dbs --format=foo",
)  # fmt: skip

#: Commands that go on until they are ended, here by a signal.
WATCHES = (
    "monitor Open_vSwitch Bridge name,ports", "monitor Open_vSwitch Bridge name,external_ids",
    "monitor ALL", "-f json monitor Bridge name", "-f list monitor Bridge name",
    "--timestamp monitor Bridge name", "monitor Bridge 'name,!initial'",
    "monitor-cond '[[\"name\",\"==\",\"br0\"]]' Bridge name", "monitor-cond '[]' Bridge name",
    "-f json monitor-cond '[true]' Bridge name,external_ids", "monitor-cond '[false]' Bridge name",
    "monitor-cond-since '[true]' Bridge name,external_ids", "lock foo", "steal foo2", "unlock foo3",
    "monitor-cond-since Open_vSwitch 00000000-0000-0000-0000-000000000001 '[true]' Bridge name",
    "wait nodb added",
)  # fmt: skip


@pytest.fixture(scope="module", params=["debian", "netloom"])
def env(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment of a server with two bridges."""
    rundir = tmp_path_factory.mktemp("client")
    env = peer_environment(rundir)
    database, socket = rundir / "conf.db", rundir / "db.sock"
    subprocess.run(["ovsdb-tool", "create", database, SCHEMA], env=env, check=True)
    server = ("ovsdb-server",) if request.param == "debian" else (*OURS[:-1], "ovsdb-server")
    process = subprocess.Popen(
        [*server, f"--remote=punix:{socket}", f"--unixctl={rundir}/c", database],
        env=env, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    await_path(socket)
    vsctl(env, "add-br br0 -- add-br br1 -- set bridge br0 external_ids:a=b -- add-port br0 p1")
    vsctl(env, "create queue dscp=1 -- create queue dscp=2 -- create qos type=z")
    yield env
    process.terminate()
    process.wait()


def vsctl(env: dict[str, str], line: str) -> None:
    subprocess.run(
        ["ovs-vsctl", "--no-wait", *shlex.split(line)], env=env, check=True, capture_output=True
    )


def command(env: dict[str, str], tool: tuple[str, ...], line: str) -> list[str]:
    words = shlex.split(line.replace("SERVER", f"unix:{env['OVS_RUNDIR']}/db.sock")
                        .replace("SCHEMA", str(SCHEMA)))  # fmt: skip
    return [*tool, *words]


def masked(status: int, out: bytes, err: bytes) -> tuple[int, str, str]:
    return status, STAMP.sub("TIME", out.decode()), STAMP.sub("TIME", err.decode())


def test_questions_have_the_same_answers(env: dict[str, str]) -> None:
    differences = []
    for line in QUESTIONS:
        answers = [
            subprocess.run(
                command(env, tool, line), env=env, capture_output=True, stdin=subprocess.DEVNULL,
                check=False,
            )
            for tool in (THEIRS, OURS)
        ]  # fmt: skip
        want, have = [masked(a.returncode, a.stdout, a.stderr) for a in answers]
        if want != have:
            differences.append((line, want, have))
    assert not differences


class Watch:
    """A client at work, and what it has said so far."""

    def __init__(self, env: dict[str, str], argv: list[str], folder: Path) -> None:
        self._files = folder / "out", folder / "err"
        folder.mkdir()
        with self._files[0].open("wb") as out, self._files[1].open("wb") as err:
            self._process = subprocess.Popen(argv, env=env, stdout=out, stderr=err)

    def said(self) -> tuple[int, str, str]:
        out, err = (path.read_bytes() for path in self._files)
        return masked(self._process.poll() or 0, out, err)

    def end(self) -> tuple[int, str, str]:
        self._process.send_signal(signal.SIGALRM)
        self._process.wait(60)
        return self.said()


def watched(env: dict[str, str]) -> set[str]:
    """The sessions and monitors that the server counts."""
    words = ("ovs-appctl", "-t", f"{env['OVS_RUNDIR']}/c", "memory/show")
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    return {word for word in done.stdout.split() if word.startswith(("mon", "sess"))}


def test_watches_tell_the_same_of_the_same_changes(env: dict[str, str], tmp_path: Path) -> None:
    runs = {
        (line, tool): Watch(env, command(env, tool, f"-t 200 {line}"), tmp_path / str(number))
        for number, (line, tool) in enumerate(product(WATCHES, (THEIRS, OURS)))
        # Only one of two can hold a lock.
        if tool == OURS or "foo" not in line
    }  # fmt: skip

    def agree() -> bool:
        return all(
            runs[line, THEIRS].said() == runs[line, OURS].said()
            for line in WATCHES if "foo" not in line
        )  # fmt: skip

    def have_told(word: str) -> bool:
        return word in runs["monitor ALL", OURS].said()[1] and agree()

    # Debian's server counts what is watched, ours those who watch.
    settled = [{f"monitors:{number}", f"sessions:{len(runs)}"} for number in (6, 27)]
    assert wait_until(lambda: watched(env) in settled), watched(env)
    assert wait_until(lambda: have_told("br1"))
    vsctl(env, "add-br new -- set bridge br0 external_ids:t=1")
    assert wait_until(lambda: have_told("new"))
    vsctl(env, "del-br new -- set bridge br0 external_ids:t=2")
    assert wait_until(lambda: have_told("delete"))
    results = {key: run.end() for key, run in runs.items()}
    different = [line for line in WATCHES
                 if "foo" not in line and results[line, THEIRS] != results[line, OURS]]  # fmt: skip
    assert not different
    assert results["lock foo", OURS][1] == '{"locked":true}\n'


def test_backup_of_one_client_is_restored_by_the_other(env: dict[str, str], tmp_path: Path) -> None:
    for first, second in ((THEIRS, OURS), (OURS, THEIRS)):
        before = contents(env)
        backup = subprocess.run([*first, "backup"], env=env, capture_output=True, check=True)
        vsctl(env, "add-br extra")
        file = tmp_path / "backup"
        file.write_bytes(backup.stdout)
        # Debian's wants to seek in it.
        with file.open() as stdin:
            subprocess.run([*second, "restore"], env=env, stdin=stdin, check=True)
        assert contents(env) == before


def contents(env: dict[str, str]) -> list[str]:
    """The names in the database (the UUIDs of restored rows are new)."""
    done = subprocess.run(
        [*THEIRS, "-f", "json", "dump", "Open_vSwitch", "Port", "name", "external_ids"],
        env=env, capture_output=True, check=True,
    )  # fmt: skip
    return sorted(map(str, json.loads(done.stdout)["data"]))


def test_monitors_in_the_background_obey_the_same_commands(
    env: dict[str, str], tmp_path: Path
) -> None:
    said = [detached_monitor(env, tool, tmp_path / tool[0].replace("/", "")) for tool in
            (THEIRS, OURS)]  # fmt: skip
    assert said[0] == said[1]


def detached_monitor(
    env: dict[str, str], tool: tuple[str, ...], place: Path
) -> tuple[list[str], str]:
    """What the control socket of a monitor in the background answers, and what it prints."""
    place.mkdir()
    pidfile, output = place / "pid", place / "out"
    options = f"--detach --no-chdir --pidfile={pidfile}"
    words = command(env, tool, f'{options} monitor-cond \'[["name","==","br0"]]\' Bridge name')
    with output.open("w") as file:
        subprocess.run(
            words, env=env, stdout=file, stderr=subprocess.DEVNULL, check=True, timeout=60
        )
    control = f"{env['OVS_RUNDIR']}/ovsdb-client.{pidfile.read_text().strip()}.ctl"

    def ask(line: str) -> str:
        appctl = ["ovs-appctl", "-t", control, *shlex.split(line)]
        return subprocess.run(
            appctl, env=env, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    answers = [ask(f"ovsdb-client/{word}") for word in ("unblock", "block", "block", "unblock")]
    answers.append(ask('ovsdb-client/cond_change Bridge \'[["name","==","br1"]]\''))
    assert wait_until(lambda: "br1" in output.read_text())
    ask("exit")
    assert wait_until(lambda: not pidfile.exists())
    return answers, output.read_text()


def test_a_wait_outlasts_the_server_that_is_not_there_yet(tmp_path: Path) -> None:
    env = peer_environment(tmp_path)
    socket, database = tmp_path / "late.sock", tmp_path / "late.db"
    for tool in (THEIRS, OURS):
        waiting = subprocess.Popen(
            [*tool, "-t", "60", "wait", f"unix:{socket}", "Open_vSwitch", "connected"], env=env,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert waiting.stderr is not None
        assert b"late.sock" in waiting.stderr.readline()
        subprocess.run(["ovsdb-tool", "create", database, SCHEMA], env=env, check=True)
        server = subprocess.Popen(
            ["ovsdb-server", f"--remote=punix:{socket}", f"--unixctl={tmp_path}/c", database],
            env=env, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            waiting.communicate(timeout=60)
            assert waiting.returncode == 0
        finally:
            server.terminate()
            server.wait()
        database.unlink()
