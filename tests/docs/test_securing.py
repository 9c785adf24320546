"""The commands of docs/securing.md, typed in their order."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.support.ports import reserved_ports
from tests.support.switches import own_tools

PAGE = Path(__file__).parents[2] / "docs/securing.md"


def commands(folder: Path, ports: list[int]) -> list[str]:
    """The indented lines, with ports that are free here; the database server is the first to
    start, as everywhere."""
    lines = [line.strip() for line in PAGE.read_text().splitlines() if line.startswith("    ")]
    assert len(lines) == 11
    start = next(line for line in lines if line.startswith("ovsdb-server"))
    lines.remove(start)
    switch = "ovs-vswitchd --detach --pidfile --log-file --enable-dummy=override --disable-system"
    before = [f"ovsdb-tool create {folder}/conf.db", start, switch]
    text = "\n".join([*before, *lines])
    for usual, free in zip(("6640", "6653"), ports):
        text = re.sub(rf"\b{usual}\b", str(free), text)
    return text.splitlines()


def test_a_tool_and_a_controller_get_in_with_certificates_and_only_with_them(
    tmp_path: Path,
) -> None:
    tools = own_tools(tmp_path / "tools")
    env = {**os.environ, "PATH": os.pathsep.join((*tools.path, os.environ["PATH"]))}
    for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"):
        env[name] = str(tmp_path)
    env["OVS_CTL_TIMEOUT"] = "60"
    with reserved_ports(2) as ports:
        _play(commands(tmp_path, ports), tmp_path, env)


def _play(typed: list[str], tmp_path: Path, env: dict[str, str]) -> None:
    connect = next(line for line in typed if " show" in line)
    stranger = re.sub(r"controller1", "switch1", connect).replace(" show", " --timeout=5 list-br")
    script = "\n".join(["set -ex", *typed, f"! {stranger}", "echo all done"])
    end = "for d in ovs-testcontroller ovs-vswitchd ovsdb-server; do ovs-appctl -t $d exit; done"
    log = tmp_path / "said"
    with log.open("w") as said:
        try:
            status = subprocess.run(
                ["sh", "-c", script], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, stdout=said,
                stderr=subprocess.STDOUT, timeout=100, check=False,
            ).returncode  # fmt: skip
        finally:
            subprocess.run(["sh", "-c", end], env=env, stdout=said, stderr=said, check=False)
    text = log.read_text()
    print(text)
    assert status == 0
    assert "all done" in text
    assert "controller1-cert.pem: OK" in text
    assert "Manager" in text
