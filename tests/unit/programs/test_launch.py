"""The start scripts of the classic tools."""

from __future__ import annotations

import ast
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from netloom import OVS_VERSION
from netloom.programs.launch import TOOLS, runs_compiled, script_for

SOURCE = Path(__file__).parents[3] / "src"


def install(prefix: Path, tool: str, python: str) -> Path:
    """What pip makes of the script, with the package linked where pip would put it."""
    script = prefix / "bin" / tool
    script.parent.mkdir(parents=True)
    script.write_text(script_for(tool, python))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    site = prefix / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    site.mkdir(parents=True)
    (site / "netloom").symlink_to(SOURCE / "netloom")
    return script


def output(*command: str | Path, **kwargs: object) -> str:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        **kwargs,  # type: ignore[call-overload]
    ).stdout


@pytest.mark.parametrize("tool", list(TOOLS))
def test_script_is_one_string_and_then_python(tool: str) -> None:
    tree = ast.parse(script_for(tool, "/it's/python"))
    assert isinstance(tree.body[0], ast.Expr)
    assert isinstance(tree.body[1], ast.Import)


def test_script_runs_from_its_prefix_by_path_link_and_name(tmp_path: Path) -> None:
    script = install(tmp_path / "a b's", "ovs-vsctl", sys.executable)
    link = tmp_path / "other" / "ovs-vsctl"
    link.parent.mkdir()
    link.symlink_to(script)
    want = output(script, "-V")
    assert want.startswith("ovs-vsctl (Open vSwitch) ")
    assert output(link, "-V") == want
    assert output("ovs-vsctl", "-V", env={"PATH": f"{script.parent}:/usr/bin:/bin"}) == want
    assert output("sh", "ovs-vsctl", "-V", cwd=script.parent) == want


def test_interpreter_beside_the_script_is_preferred(tmp_path: Path) -> None:
    script = install(tmp_path, "ovs-vsctl", "/nonexistent")
    beside = script.parent / "python3"
    beside.write_text('#!/bin/sh\necho "beside $1 $2"\n')
    beside.chmod(0o755)
    assert output(script) == "beside -I -S\n"


def test_script_without_an_interpreter_beside_it_takes_the_recorded_one(tmp_path: Path) -> None:
    script = install(tmp_path, "ovsdb-client", sys.executable)
    assert output(script, "--version", env={"PATH": "/usr/bin:/bin"}).startswith("ovsdb-client ")


def test_script_of_sources_that_stay_needs_neither_shell_nor_site(tmp_path: Path) -> None:
    text = script_for("ovs-vsctl", sys.executable, str(SOURCE))
    assert text.startswith(f"#!{sys.executable} -IS\n")
    script = tmp_path / "ovs-vsctl"
    script.write_text(text)
    script.chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(script)
    want = f"ovs-vsctl (Open vSwitch) {OVS_VERSION}"
    assert output(script, "-V").startswith(want)
    assert output(link, "-V", cwd="/").startswith(want)


@pytest.mark.parametrize("python", ["/a b/python", "python3", "/" + "long/" * 30 + "python3"])
def test_an_interpreter_that_no_first_line_can_name_is_left_to_the_shell(python: str) -> None:
    assert script_for("ovs-vsctl", python, "/src") == script_for("ovs-vsctl", python)


@pytest.mark.parametrize("tool", list(TOOLS))
def test_every_tool_of_the_table_tells_its_version(tool: str) -> None:
    launch = SOURCE / "netloom/programs/launch.py"
    first = output(sys.executable, "-I", "-S", launch, tool, "--version").splitlines()[0]
    name = "" if tool == "ovs-dpctl-top" else f"{tool} (Open vSwitch) "
    assert first == f"{name}{OVS_VERSION}"


@pytest.mark.parametrize("module", ["ofctl.watching", "ovsdb_client.main", "tcpdump.main"])
def test_what_runs_without_site_imports_no_packages(module: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); import netloom.programs.{module}"
    assert output(sys.executable, "-I", "-S", "-c", code) == ""


@pytest.mark.parametrize(
    ("line", "compiled"),
    [
        ("ovs-vswitchd --pidfile", True),
        ("ovs-ofctl -O OpenFlow13 dump-flows br0", True),
        ("ovs-ofctl --bundle add-flows br0 flows", True),
        ("ovs-ofctl mod-flows br0 -", True),
        ("ovs-ofctl add-flow br0 actions=drop", False),
        ("ovs-ofctl show br0", False),
        ("ovs-ofctl", False),
        ("ovs-vsctl show", False),
    ],
)
def test_only_commands_that_may_have_much_to_do_load_what_was_compiled(
    line: str, compiled: bool
) -> None:
    assert runs_compiled(line.split()) is compiled
