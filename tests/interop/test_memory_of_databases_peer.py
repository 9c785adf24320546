"""`memory/show` of a database server: Debian's and ours count the same things the same way."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.interop.test_database_copies_peer import FILL, Site
from tests.support.peers import wait_until

pytestmark = pytest.mark.interop
NAMES = {"columns": ["name"]}
ONE_NAME = {"columns": ["name"], "where": [["name", "==", "a"]]}
OTHER_NAME = {"columns": ["name"], "where": [["name", "==", "b"]]}
#: Which of three clients asks for what.
MONITORS: list[tuple[int, str, dict[str, Any]]] = [
    (0, "monitor", {"Root": NAMES}),
    (0, "monitor", {"Root": NAMES}),
    (1, "monitor", {"Root": NAMES}),
    (1, "monitor_cond", {"Root": [NAMES]}),
    (1, "monitor_cond", {"Root": [ONE_NAME]}),
    (2, "monitor_cond", {"Root": [OTHER_NAME]}),
    (2, "monitor", {"Root": {**NAMES, "select": {"initial": False}}}),
    (2, "monitor", {"Root": {"columns": ["name", "m"]}}),
    (2, "monitor", {"Root": {"columns": ["m", "name"]}}),
    (0, "monitor", {"Root": [{"columns": ["m"], "select": {"insert": False}}, NAMES]}),
]


class Client:
    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(40)
        self._socket.connect(str(path))

    def ask(self, method: str, *params: Any) -> None:
        request = {"id": 1, "method": method, "params": params}
        self._socket.sendall(json.dumps(request).encode())
        data = b""
        while True:
            data += self._socket.recv(1 << 16)
            try:
                assert json.loads(data)["error"] is None, data
            except ValueError:
                continue
            return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def counts(site: Site, side: str) -> list[str]:
    def shown() -> str:
        control = str(site.directory / f"{side}.ctl")
        return site.run("ovs-appctl", "-t", control, "memory/show").strip()

    site.start(side, side, site.make(side))
    site.transact(side, *FILL)
    assert wait_until(lambda: "sessions" not in shown())
    seen = [shown()]
    clients = [Client(site.directory / f"{side}.sock") for _ in range(3)]
    assert wait_until(lambda: "sessions:3" in shown())
    for number, (client, method, requests) in enumerate(MONITORS):
        clients[client].ask(method, "D", number, requests)
        seen.append(shown())
    for left, client in zip((2, 1, 0), clients, strict=True):
        client.close()
        now = f"sessions:{left}" if left else "weak-refs:0"
        assert wait_until(lambda: shown().endswith(now))  # noqa: B023
        seen.append(shown())
    return seen


def test_both_servers_count_the_same(site: Site) -> None:
    theirs, ours = counts(site, "peer"), counts(site, "ours")
    assert ours == theirs
    assert "monitors:4" in ours[len(MONITORS)]
