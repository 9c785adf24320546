"""Errors of JSON's syntax, in arguments that chance has damaged: both makes say the same."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.peers import peer_environment

from netloom.rpc.json_errors import syntax_error

pytestmark = pytest.mark.interop
TEXTS = (
    '{"a": [1, 2.5e3, -0, "x\\u0041\\n", true, null, {}], "b": {"c": []}}',
    '[1,\n 2,\n {"x": "\\ud834\\udd1e"}]',
)
PIECES = (
    *',:"\\[]{}-e0.+Z \n',
    *("\\u", "\\u0000", "\\ud834", "nul", "\f", "1e99999999999", "1e2147483639", "\u00e9", "\x01"),
)


def damaged(chance: random.Random) -> str:
    text = chance.choice(TEXTS)
    for _ in range(chance.choice((1, 1, 2))):
        at = chance.randrange(len(text) + 1)
        kind = chance.randrange(3)
        piece = chance.choice(PIECES) if kind == 0 else ""
        text = text[:at] + piece + ("" if kind == 2 else text[at + (kind == 1) :])
    return text


def complaint(command: list[str], text: str, env: dict[str, str]) -> str:
    done = subprocess.run([*command, text], env=env, capture_output=True, timeout=20)
    head, found, rest = done.stderr.decode().rstrip("\n").partition(f'"{text}": ')
    return rest if found and head.endswith("ovsdb-tool: ") else ""


def test_both_makes_complain_alike(tmp_path: Path) -> None:
    env = peer_environment(tmp_path)
    (tmp_path / "schema").write_text('{"name": "D", "version": "1.0.0", "tables": {}}')
    database = str(tmp_path / "db")
    subprocess.run(
        ["ovsdb-tool", "create", database, str(tmp_path / "schema")], env=env, check=True
    )
    chance = random.Random(7)
    texts = {damaged(chance) for _ in range(120)}
    query = ["--", "query", database]
    for text in texts:
        assert complaint(["ovsdb-tool", *query], text, env) == syntax_error(text.encode()), text
    ours = [sys.executable, "-m", "netloom.programs.ovsdb_tool", *query]
    for text in sorted(texts)[:8]:
        assert complaint(ours, text, env) == syntax_error(text.encode()), text
