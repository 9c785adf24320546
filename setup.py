"""Adds to what pyproject.toml declares: a start script for each classic tool, and the eBPF
programs, compiled into the package (into the source tree, when the installation is editable).

With `NETLOOM_COMPILE=1` in the environment a wheel gets the hot modules compiled as well
(`tools/compile_hot.py`, which needs mypy beside setuptools), and is one for this platform only."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from setuptools import Distribution, setup

# Brought by setuptools, which must be imported first.
from distutils.command.build_scripts import build_scripts  # isort: skip
from setuptools.command.build_py import build_py  # isort: skip

ROOT = Path(__file__).resolve().parent
LAUNCH = runpy.run_path(str(ROOT / "src/netloom/programs/launch.py"))
BPF = runpy.run_path(str(ROOT / "tools/build_bpf.py"))
HOT = runpy.run_path(str(ROOT / "tools/compile_hot.py"))
COMPILES = os.environ.get(HOT["COMPILED"]["SWITCH"]) == "1"
COMPLETIONS = [
    str(path.relative_to(ROOT))
    for path in sorted(ROOT.glob("src/netloom/programs/completions/*.bash"))
]
OBJECT = f"netloom/datapath/ebpf/{BPF['OBJECT_NAME']}"


class BuildLaunchers(build_scripts):
    """Writes the start scripts instead of copying files."""

    #: setuptools says so.
    editable_mode = False

    def run(self) -> None:
        build_dir = Path(self.build_dir)
        build_dir.mkdir(parents=True, exist_ok=True)
        for tool in LAUNCH["TOOLS"]:
            script = build_dir / tool
            source = str(ROOT / "src") if self.editable_mode else ""
            script.write_text(LAUNCH["script_for"](tool, sys.executable, source))
            script.chmod(0o755)


class BuildPrograms(build_py):
    """Compiles the eBPF programs, beside copying the package."""

    def run(self) -> None:
        super().run()
        BPF["build"](ROOT / "src" / OBJECT if self.editable_mode else Path(self.build_lib) / OBJECT)
        if COMPILES and not self.editable_mode:
            HOT["build"](Path(self.build_lib) / "netloom")


class Package(Distribution):
    """Says whether there is code for one platform in it."""

    def has_ext_modules(self) -> bool:
        return COMPILES or bool(super().has_ext_modules())


setup(
    # The names only tell setuptools that there are scripts; BuildLaunchers writes them.
    scripts=[f"src/netloom/programs/{tool}" for tool in LAUNCH["TOOLS"]],
    # Where bash looks for what completes a command's words, below /usr, /usr/local or ~/.local.
    data_files=[("share/bash-completion/completions", COMPLETIONS)],
    distclass=Package,
    cmdclass={"build_scripts": BuildLaunchers, "build_py": BuildPrograms},
)
