"""The `openstack` client and openstacksdk walk through everything that the service has."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.network_server import Server, network_server
from tests.support.peers import python_peer

pytestmark = pytest.mark.interop
HERE = Path(__file__).parent


class Step(NamedTuple):
    command: str
    fails: bool
    wanted: str


def steps() -> list[Step]:
    found = []
    for line in (HERE / "openstack_steps.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            command, _, wanted = line.partition(" => ")
            found.append(Step(command.removeprefix("! "), command.startswith("! "), wanted))
    return found


def client_python() -> str:
    """The Python that has the clients; skips the test without them."""
    return str(python_peer("openstack"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    client_python()
    with network_server(tmp_path_factory.mktemp("network")) as running:
        yield running


def run(script: str, server: Server, text: str = "") -> Any:
    """What a script of this folder prints, run by the clients' Python."""
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OS_")},
        "OS_AUTH_TYPE": "none",
        "OS_ENDPOINT": server.url,
    }
    env.pop("PYTHONPATH", None)
    done = subprocess.run(
        [client_python(), str(HERE / script)],
        input=text,
        capture_output=True,
        text=True,
        env=env,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def words_of(command: str) -> list[str]:
    """With JSON asked for, where the command prints something."""
    words = shlex.split(command)
    shows = {"create", "show", "list"} & set(words)
    return [*words, "-f", "json"] if shows else words


def is_within(wanted: Any, found: Any) -> bool:
    """Whether `found` says at least what is wanted."""
    if isinstance(wanted, dict):
        return all(is_within(value, found.get(key, "nothing")) for key, value in wanted.items())
    if isinstance(wanted, list) and wanted and isinstance(wanted[0], dict):
        return len(wanted) == len(found) and all(
            any(is_within(one, other) for other in found) for one in wanted
        )
    return bool(wanted == found)


def test_the_openstack_client_does_what_it_says(server: Server) -> None:
    walk = steps()
    answers = run(
        "openstack_driver.py", server, json.dumps([words_of(one.command) for one in walk])
    )
    wrong = []
    for step, (status, out, err) in zip(walk, answers, strict=True):
        if step.fails:
            fine = status != 0 and step.wanted in err
        else:
            fine = status == 0 and (
                not step.wanted or is_within(json.loads(step.wanted), json.loads(out))
            )
        if not fine:
            wrong.append(f"{step.command}\n  exit {status}\n{out}{err}")
    assert not wrong, "\n".join(wrong)


def test_openstacksdk_finds_what_it_expects(server: Server) -> None:
    assert run("openstack_sdk_walk.py", server) == {
        "bulk": ["p0", "p1", "p2", "p3", "p4"],
        "pages": ["p0", "p1", "p2", "p3", "p4"],
        "find": True,
        "tags": ["a", "b"],
        "revision": 412,
        "quota": -1,
        "quota set": 3,
        "quota details": {"limit": 3, "used": 0, "reserved": 0},
        "rules": 2,
        "extensions": True,
        "missing": True,
    }
