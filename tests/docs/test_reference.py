"""The reference is what the programs say: generated pages are current, command tables complete."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.switches import own_tools

from netloom.lab.switch import Switch

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def test_generated_pages_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    generator = runpy.run_path(str(ROOT / "tools" / "gen_reference.py"))
    stale = [path.name for path, text in generator["pages"]().items() if path.read_text() != text]
    assert not stale, "run tools/gen_reference.py"


def documented(heading: str) -> dict[str, str]:
    """The commands in the table below a heading, each with its arguments."""
    below = (REFERENCE / "commands.md").read_text().partition(f"## {heading}\n")[2]
    commands = {}
    for line in below.partition("\n## ")[0].splitlines():
        if line.startswith("| `"):
            name, usage, what = re.split(r"(?<!\\)\|", line)[1:4]
            assert what.strip()
            commands[name.strip(" `")] = usage.strip(" `").replace("\\|", "|")
    return commands


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switch]:
    folder = tmp_path_factory.mktemp("reference")
    options = ("--enable-dummy=override", "--disable-system")
    switch = Switch(folder / "run", None, own_tools(folder / "tools"), options)
    switch.start()
    yield switch
    switch.stop()


@pytest.mark.parametrize("daemon", ["ovsdb-server", "ovs-vswitchd"])
def test_every_command_of_a_daemon_is_documented(switch: Switch, daemon: str) -> None:
    lines = switch.run("ovs-appctl", "-t", daemon, "list-commands").stdout.splitlines()[1:]
    listed = {name: usage for name, _, usage in (line.strip().partition(" ") for line in lines)}
    listed = {name: usage.strip() for name, usage in listed.items()}
    assert documented("Every daemon") | documented(daemon) == listed


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_what_a_page_points_to_is_there(page: Path) -> None:
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    gone = [link for link in links if not (page.parent / link).exists()]
    files = re.findall(r"`((?:tests|tools|src|docs)/[\w/.-]+\.\w+)`", text)
    gone += [file for file in files if not (ROOT / file).exists()]
    assert not gone
