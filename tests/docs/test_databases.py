"""The commands of docs/databases.md, typed in their order."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from tests.support.switches import own_tools

from netloom.ovsdb.server_config import parse_config

PAGE = Path(__file__).parents[2] / "docs/databases.md"
FENCED = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCHEMA = {
    "name": "Net",
    "version": "1.0.0",
    "tables": {"Host": {"columns": {"name": {"type": "string"}}, "isRoot": True}},
}


def commands() -> list[str]:
    text = FENCED.sub("", PAGE.read_text())
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert len(lines) == 23
    return lines


def test_a_backup_takes_over_a_cluster_agrees_and_a_relay_passes_on(tmp_path: Path) -> None:
    tools = own_tools(tmp_path / "tools")
    env = {**os.environ, "PATH": os.pathsep.join((*tools.path, os.environ["PATH"]))}
    env["OVS_RUNDIR"] = str(tmp_path)
    (tmp_path / "net.ovsschema").write_text(json.dumps(SCHEMA))
    typed = commands()
    follows = "ovsdb-client --timeout=10 wait unix:$PWD/relay.sock Net connected"
    # A backup connects by itself, so the copy has to be waited for before the roles change.
    status = next(line for line in typed if line.endswith("sync-status"))
    wait = f"until {status} | grep replicating; do :; done"
    typed[typed.index(status)] = f"timeout 10 sh -c '{wait}'; {status}"
    script = "\n".join(["set -ex", *typed, follows, "echo all done"])
    end = "for d in relay backup active one two three; do ovs-appctl -t $PWD/$d.ctl exit; done"
    log = tmp_path / "said"
    with log.open("w") as said:
        try:
            code = subprocess.run(
                ["sh", "-c", script], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, stdout=said,
                stderr=subprocess.STDOUT, timeout=100, check=False,
            ).returncode  # fmt: skip
        finally:
            subprocess.run(
                ["sh", "-c", end], cwd=tmp_path, env=env, stdout=said, stderr=said, check=False
            )
    text = log.read_text()
    assert code == 0 and "all done" in text, text[-2000:]
    assert f"database: Net\nstate: backup\nreplicating: unix:{tmp_path}/active.sock\n" in text
    assert "Status: cluster member" in text
    assert text.rindex("h1") < text.rindex("h2") < text.rindex("h3")


def test_the_configuration_file_can_be_read() -> None:
    (text,) = FENCED.findall(PAGE.read_text())
    config = parse_config(json.loads(text))
    assert [config.databases[name].model for name in sorted(config.databases)] == [
        "active-backup",
        "standalone",
        "relay",
    ]
    assert config.remotes["pssl:6640"].read_only
