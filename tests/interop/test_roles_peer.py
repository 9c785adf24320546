"""Roles over TLS: Debian's server and ours refuse the same clients the same operations."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.interop.test_database_copies_peer import Site
from tests.support.peers import wait_until

pytestmark = pytest.mark.interop
_STRINGS = {"type": {"key": "string", "min": 0, "max": "unlimited"}}
_MAP = {"key": "string", "value": "string", "min": 0, "max": "unlimited"}
_ROWS = {"key": {"type": "uuid", "refTable": "Connection"}, "min": 0, "max": 9}
_PERMISSIONS = {
    "key": "string",
    "value": {"type": "uuid", "refTable": "RBAC_Permission", "refType": "weak"},
    "min": 0,
    "max": "unlimited",
}
SCHEMA: dict[str, Any] = {
    "name": "D",
    "tables": {
        "Root": {"columns": {"connections": {"type": _ROWS}}, "isRoot": True},
        "Connection": {
            "columns": {
                "target": {"type": "string"},
                "role": {"type": "string"},
                "read_only": {"type": "boolean"},
                "status": {"type": _MAP},
            }
        },
        "RBAC_Role": {
            "columns": {"name": {"type": "string"}, "permissions": {"type": _PERMISSIONS}},
            "isRoot": True,
        },
        "RBAC_Permission": {
            "columns": {
                "table": {"type": "string"},
                "authorization": _STRINGS,
                "insert_delete": {"type": "boolean"},
                "update": _STRINGS,
            },
            "isRoot": True,
        },
        "Host": {
            "columns": {
                "name": {"type": "string"},
                "owner": {"type": {"key": "string", "min": 0, "max": 1}},
                "friends": _STRINGS,
                "ids": {"type": _MAP},
                "n": {"type": "integer"},
            },
            "isRoot": True,
        },
        "Open": {"columns": {"name": {"type": "string"}}, "isRoot": True},
    },
}


def insert(table: str, row: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    operation = {"op": "insert", "table": table, "row": row}
    return operation if name is None else {**operation, "uuid-name": name}


def change(where: list[Any], **row: Any) -> dict[str, Any]:
    return {"op": "update", "table": "Host", "where": where, "row": row}


def mutate(name: str, *mutation: Any) -> dict[str, Any]:
    where = [["name", "==", name]]
    return {"op": "mutate", "table": "Host", "where": where, "mutations": [list(mutation)]}


def named(name: str) -> list[Any]:
    return [["name", "==", name]]


def rules(directory: Path) -> list[Any]:
    refs = [["named-uuid", name] for name in ("c1", "c2", "c3")]
    hosts = {"table": "Host", "insert_delete": True}
    may = {
        "authorization": ["set", ["owner", "friends", "ids:id"]],
        "update": ["set", ["name", "ids:k"]],
    }
    pairs = [["Host", ["named-uuid", "p1"]], ["Open", ["named-uuid", "p2"]]]
    local = f"punix:{directory}/role.sock"
    return [
        insert("Root", {"connections": ["set", refs]}),
        insert("Connection", {"target": "pssl:0:127.0.0.1", "role": "host"}, "c1"),
        insert("Connection", {"target": local, "role": "host"}, "c2"),
        insert("Connection", {"target": f"punix:{directory}/read.sock", "read_only": True}, "c3"),
        insert("RBAC_Role", {"name": "host", "permissions": ["map", pairs]}),
        insert("RBAC_Permission", {**hosts, **may}, "p1"),
        insert("RBAC_Permission", {"table": "Open", "authorization": "", "update": "name"}, "p2"),
        insert("Host", {"name": "mine", "owner": "one"}),
        insert("Host", {"name": "other", "owner": "two", "friends": "one"}),
        insert("Host", {"name": "mapped", "ids": ["map", [["id", "one"], ["k", "two"]]]}),
        insert("Open", {"name": "o"}),
    ]


OPERATIONS: list[dict[str, Any]] = [
    insert("Host", {"name": "new", "owner": "one", "n": 4}),
    insert("Host", {"name": "new", "owner": "two"}),
    insert("Host", {"name": "new", "ids": ["map", [["id", "one"]]]}),
    insert("Host", {"name": "new", "ids": ["map", [["x", "one"], ["one", "one"]]]}),
    insert("Host", {"name": "new", "friends": "one"}),
    insert("Open", {"name": "new"}),
    insert("Root", {}),
    change(named("mine"), name="mine"),
    change(named("mine"), n=3),
    change(named("mapped"), ids=["map", [["id", "one"], ["k", "3"]]]),
    change(named("other"), name="x"),
    change(named("nobody"), n=3),
    change([], name="x"),
    change([]),
    mutate("mapped", "ids", "insert", ["map", [["k", "1"]]]),
    mutate("mine", "n", "+=", 1),
    mutate("other", "n", "+=", 1),
    mutate("nobody", "n", "+=", 1),
    {"op": "update", "table": "Open", "where": [], "row": {"name": "p"}},
    {"op": "update", "table": "Root", "where": [], "row": {}},
    {"op": "delete", "table": "Host", "where": named("other")},
    {"op": "delete", "table": "Host", "where": named("new")},
    {"op": "delete", "table": "Host", "where": named("nobody")},
    {"op": "delete", "table": "Open", "where": []},
    {"op": "delete", "table": "Root", "where": []},
    {"op": "select", "table": "Open", "where": [], "columns": ["name"]},
    insert("Host", {"nonsense": 1}),
]


def make_keys(directory: Path) -> None:
    """An authority, and certificates with the common names `server` and `one`."""
    script = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -keyout ca.key -out ca.pem "
        "-subj /CN=ca;"
        "for n in server one; do openssl req -newkey rsa:2048 -nodes -keyout $n.key -out $n.csr "
        "-subj /CN=$n; openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca.key -CAcreateserial "
        "-days 30 -out $n.pem; done"
    )
    subprocess.run(["sh", "-ec", script], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    make_keys(directory)
    return directory


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def tls(keys: Path, name: str) -> list[str]:
    return ["-p", f"{keys}/{name}.key", "-c", f"{keys}/{name}.pem", "-C", f"{keys}/ca.pem"]


def bound_port(site: Site, name: str) -> str:
    columns = ["status"]
    where = [["target", "==", "pssl:0:127.0.0.1"]]
    select = {"op": "select", "table": "Connection", "where": where, "columns": columns}
    ports: list[str] = []

    def is_bound() -> bool:
        status = dict(site.transact(name, select)[0]["rows"][0]["status"][1])
        ports.extend([status["bound_port"]] if "bound_port" in status else [])
        return bool(ports)

    assert wait_until(is_bound, 20, 0.2)
    return ports[0]


def answers(site: Site, keys: Path, side: str) -> list[str]:
    site.start(
        side, side, "--remote=db:D,Root,connections", *tls(keys, "server"), site.make(side, SCHEMA)
    )
    site.transact(side, *rules(site.directory))
    remote = f"ssl:127.0.0.1:{bound_port(site, side)}"
    ways = [[*tls(keys, "one"), "transact", remote]]
    ways += [["transact", f"unix:{site.directory}/{name}.sock"] for name in ("role", "read")]
    said = []
    for way in ways:
        for operation in OPERATIONS:
            text = site.run("ovsdb-client", *way, json.dumps(["D", operation, {"op": "abort"}]))
            (result, *_rest) = json.loads(text)
            result.pop("uuid", None)
            said.append(f"{way[-1].rsplit('/')[-1].split(':')[0]} {operation} {result}")
        schema = str(site.directory / "schema")
        if "read" not in way[-1]:
            refusal = site.run("ovsdb-client", *way[:-2], "convert", way[-1], schema, status=1)
            said.append(refusal.split("ovsdb-client", 1)[1])
    (site.directory / "role.sock").unlink()
    (site.directory / "read.sock").unlink()
    return said


def test_both_servers_refuse_the_same(site: Site, keys: Path) -> None:
    theirs, ours = answers(site, keys, "peer"), answers(site, keys, "ours")
    assert [pair for pair in zip(theirs, ours, strict=True) if pair[0] != pair[1]] == []
    assert any('client "one" role "host" prohibit' in text for text in ours)


def test_role_that_changes_counts_for_clients_that_are_connected(site: Site) -> None:
    site.start("ours", "ours", "--remote=db:D,Root,connections", site.make("ours", SCHEMA))
    site.transact("ours", *rules(site.directory)[:-4])
    assert wait_until((site.directory / "role.sock").exists, 10)
    path = site.directory / "role.sock"
    program = (
        "import json, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "for line in sys.stdin:\n"
        "    s.send(line.encode()); print(s.recv(65536).decode(), flush=True)\n"
    )
    client = subprocess.Popen(
        ["python3", "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdin is not None and client.stdout is not None
    ask = {"method": "transact", "params": ["D", insert("Open", {"name": "x"})], "id": 1}

    def answer() -> str:
        assert client.stdin is not None and client.stdout is not None
        client.stdin.write(json.dumps(ask) + "\n")
        client.stdin.flush()
        return client.stdout.readline()

    assert "permission error" in answer()
    where = [["target", "==", f"punix:{path}"]]
    site.transact(
        "ours", {"op": "update", "table": "Connection", "where": where, "row": {"role": ""}}
    )
    assert wait_until(lambda: '"uuid"' in answer(), 10, 0.2)
    client.stdin.close()
    client.stdout.close()
    client.wait(10)
