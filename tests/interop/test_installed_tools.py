"""The package, built and installed by pip in the ways that people install it.

Slow, since pip is run several times.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from netloom.programs.launch import TOOLS

pytestmark = pytest.mark.interop
ROOT = Path(__file__).parents[2]
OFFLINE = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources: pip writes into the folder that it builds from."""
    copy = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tools", copy / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    (copy / "README.md").write_text("")
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", *OFFLINE, "--no-build-isolation", "-w", folder,
        checkout)  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


def environment(folder: Path) -> Path:
    """A virtual environment that sees this one's packages (pip, setuptools), but not by path."""
    venv.create(folder, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (site / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python3"


def check_tools(bin_dir: Path) -> None:
    for tool in ("ovs-vsctl", "ovsdb-client"):
        assert run(bin_dir / tool, "--version").startswith(f"{tool} (Open vSwitch) ")
    assert {path.name for path in bin_dir.iterdir()} >= set(TOOLS)


def test_wheel_in_a_virtual_environment(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    run(python, "-m", "pip", "install", *OFFLINE, "--force-reinstall", wheel)
    check_tools(python.parent)
    completions = tmp_path / "env/share/bash-completion/completions"
    assert {path.stem for path in completions.iterdir()} == {"ovs-appctl", "ovs-vsctl"}


def test_editable_installation(checkout: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    run(python, "-m", "pip", "install", *OFFLINE, "--no-build-isolation", "--force-reinstall", "-e",
        checkout)  # fmt: skip
    check_tools(python.parent)


def test_installation_below_a_prefix(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "install", *OFFLINE, "--ignore-installed", "--prefix",
        tmp_path / "opt", wheel)  # fmt: skip
    (script,) = tmp_path.rglob("bin/ovs-vsctl")
    check_tools(script.parent)
