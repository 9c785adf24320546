"""Running switches for tests: Netloom's, a peer's, and any mix of daemons and tools.

`own_tools` makes the classic tools available without an installation, so that a test runs what is
in this checkout. Run directories come from pytest; what a lab makes in the kernel it removes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from netloom.lab.commands import Result
from netloom.lab.lab import Lab
from netloom.lab.switch import Programs
from netloom.programs.launch import TOOLS

ROOT = Path(__file__).resolve().parents[2]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes network namespaces")


def own_tools(directory: Path) -> Programs:
    """The tools of this checkout, as scripts in `directory`."""
    directory.mkdir(exist_ok=True)
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    for tool in TOOLS:
        script = directory / tool
        script.write_text(
            "#!/bin/sh\n"
            f'export PYTHONPATH="{path}"\n'
            f'exec "{sys.executable}" -c \'import sys\n'
            "from netloom.programs.launch import run\n"
            f'run("{tool}", sys.argv[1:])\' "$@"\n'
        )
        script.chmod(0o755)
    return Programs((str(directory),))


class RunningSwitch:
    """A switch of `daemons` in a lab's host, commanded with `tools`."""

    def __init__(
        self, lab: Lab, daemons: Programs, tools: Programs, options: tuple[str, ...] = ()
    ) -> None:
        self.daemons = lab.add_switch("switch", daemons, options)
        self._commands = type(self.daemons)(self.daemons.rundir, lab.host, tools)

    def start(self) -> None:
        self.daemons.start()

    def run(self, *argv: str, check: bool = True, stdin: str | None = None) -> Result:
        """Run a tool."""
        return self._commands.run(*argv, check=check, stdin=stdin)

    def vsctl(self, *argv: str) -> str:
        return self.run("ovs-vsctl", "--timeout=30", *argv).stdout

    def appctl(self, *argv: str) -> str:
        return self.run("ovs-appctl", "--timeout=30", *argv).stdout

    def ofctl(self, *argv: str) -> str:
        return self.run("ovs-ofctl", "--timeout=30", *argv).stdout

    def get(self, table: str, record: str, column: str) -> str:
        return self.vsctl("get", table, record, column).strip()

    def log(self, name: str = "ovs-vswitchd") -> str:
        """A daemon's log, less times and numbers."""
        text = (self.daemons.rundir / f"{name}.log").read_text()
        return "\n".join("|".join(line.split("|")[2:]) for line in text.splitlines())


class TwoMachines:
    """A running switch, and beside it vm1 and vm2; their devices vif1 and vif2 are no ports yet."""

    def __init__(self, lab: Lab, tools: Programs, options: tuple[str, ...] = ()) -> None:
        self.lab = lab
        self.switch = RunningSwitch(lab, tools, tools, options)
        self.vm1 = lab.add_vm("vm1", "vif1", "10.0.0.1/24")
        self.vm2 = lab.add_vm("vm2", "vif2", "10.0.0.2/24")
        self.switch.start()
