"""What bash proposes for the next word of ovs-vsctl and ovs-appctl, with a switch that runs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.switches import ROOT, own_tools

from netloom.lab.switch import Switch

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here"),
]
SCRIPTS = ROOT / "src/netloom/programs/completions"
FUNCTIONS = {"ovs-vsctl": "_netloom_vsctl", "ovs-appctl": "_netloom_appctl"}


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switch]:
    folder = tmp_path_factory.mktemp("completion")
    options = ("--enable-dummy=override", "--disable-system")
    switch = Switch(folder / "run", None, own_tools(folder / "tools"), options)
    switch.start()
    switch.run("ovs-vsctl", "add-br", "br0", "--", "add-port", "br0", "p1", "--",
               "add-br", "br1", "--", "add-port", "br1", "p2")  # fmt: skip
    yield switch
    switch.stop()


def proposed(switch: Switch, line: str) -> set[str]:
    """The words for the last one of a line, which may be empty."""
    words = shlex.split(line.replace("=", " = "))
    if line.endswith(" "):
        words.append("")
    script = (
        f"source {SCRIPTS}/{words[0]}.bash; COMP_WORDS=({shlex.join(words)}); "
        f"COMP_CWORD={len(words) - 1}; {FUNCTIONS[words[0]]}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    # Outside of a completion, bash has nothing to set options of.
    done = subprocess.run(
        ["bash", "--norc", "-c", f"compopt() {{ :; }}; {script}"], env=switch.env, text=True,
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ovs-vsctl add-p", {"add-port"}),
        ("ovs-vsctl --if-e", {"--if-exists"}),
        ("ovs-vsctl --if-exists del-p", {"del-port"}),
        ("ovs-vsctl list-ports ", {"br0", "br1"}),
        ("ovs-vsctl -- del-br br1 -- list-ports br", {"br0", "br1"}),
        ("ovs-vsctl port-to-br p", {"p1", "p2"}),
        ("ovs-vsctl set-fail-mode br0 s", {"standalone", "secure"}),
        ("ovs-vsctl list Brid", {"Bridge"}),
        ("ovs-vsctl set Bridge br", {"br0", "br1"}),
        ("ovs-vsctl get Bridge br0 fail_", {"fail_mode"}),
        ("ovs-vsctl port-to-br p1 ", {"--"}),
        ("ovs-vsctl nonsense ", set()),
        ("ovs-appctl fdb/sh", {"fdb/show"}),
        ("ovs-appctl fdb/show b", {"br0", "br1"}),
        ("ovs-appctl -t ovsdb-s", {"ovsdb-server"}),
        ("ovs-appctl --target=ovs-v", {"ovs-vswitchd"}),
        ("ovs-appctl -t ovsdb-server ovsdb-server/com", {"ovsdb-server/compact"}),
        ("ovs-appctl --timeout=3 memory/", {"memory/show"}),
        ("ovs-appctl --tim", {"--timeout="}),
    ],
)
def test_words_are_proposed(switch: Switch, line: str, words: set[str]) -> None:
    assert proposed(switch, line) == words


@pytest.mark.parametrize("tool", FUNCTIONS)
def test_nothing_is_proposed_without_a_switch(switch: Switch, tool: str, tmp_path: Path) -> None:
    away = Switch(tmp_path, None, own_tools(tmp_path / "tools"))
    assert os.path.isdir(switch.rundir)
    assert proposed(away, f"{tool} fdb/show br") == set()
