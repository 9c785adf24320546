"""Adds the classic tools to what pyproject.toml declares: one generated start script for each."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from setuptools import setup

# Brought by setuptools, which must be imported first.
from distutils.command.build_scripts import build_scripts  # isort: skip

LAUNCH = runpy.run_path(str(Path(__file__).parent / "src/netloom/programs/launch.py"))


class BuildLaunchers(build_scripts):
    """Writes the start scripts instead of copying files."""

    def run(self) -> None:
        build_dir = Path(self.build_dir)
        build_dir.mkdir(parents=True, exist_ok=True)
        for tool in LAUNCH["TOOLS"]:
            script = build_dir / tool
            script.write_text(LAUNCH["script_for"](tool, sys.executable))
            script.chmod(0o755)


setup(
    # The names only tell setuptools that there are scripts; BuildLaunchers writes them.
    scripts=[f"src/netloom/programs/{tool}" for tool in LAUNCH["TOOLS"]],
    cmdclass={"build_scripts": BuildLaunchers},
)
