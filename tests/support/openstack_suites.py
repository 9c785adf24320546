"""Functional tests of OpenStack's projects, run beside our switch in a lab's namespace.

They start helpers as root by `sudo`, for which a script stands in, call ovs-vsctl, ovs-ofctl and
ovsdb-client by name, and connect to OVSDB's TCP port 6640.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.support.peers import python_peer
from tests.support.switches import RunningSwitch

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

_RUN = """
import sys
{before}
from testtools.run import main
main(sys.argv, sys.stdout)
"""
#: The command is its child, as behind sudo: agents look for it there.
_SUDO = """#!/bin/sh
while :; do
    case $1 in
    -[nEHS]) shift ;;
    *=*) export "$1"; shift ;;
    *) break ;;
    esac
done
"$@"
exit $?
"""
_SETTINGS = {
    "OS_SUDO_TESTING": "1",
    "OS_ROOTWRAP_CMD": "sudo",
    "OS_ROOTWRAP_DAEMON_CMD": "",
    "OS_FAIL_ON_MISSING_DEPS": "0",
    "OS_TEST_TIMEOUT": "100",
}


class Outcome(NamedTuple):
    """How many tests ran, which of them failed (`Class.test(scenario)`), and the whole output."""

    n_ran: int
    failed: frozenset[str]
    output: str


class Suites:
    """A switch of ours, and other people's tests of the peer `peer` beside it."""

    def __init__(self, lab: Lab, tools: Programs, peer: str, folder: Path) -> None:
        self._python = python_peer(peer)
        self._lab = lab
        self._folder = folder
        switch = RunningSwitch(lab, tools, tools)
        switch.start()
        remotes = "db:Open_vSwitch,Open_vSwitch,manager_options"
        switch.run("ovs-appctl", "-t", "ovsdb-server", "ovsdb-server/add-remote", remotes)
        sudo = folder / "sudo"
        sudo.write_text(_SUDO)
        sudo.chmod(0o755)
        self._environment = {**switch.daemons.env, **_SETTINGS}
        places = (str(folder), str(self._python.parent), self._environment["PATH"])
        self._environment["PATH"] = os.pathsep.join(places)
        self._environment["OS_LOG_PATH"] = str(folder)

    def run(self, *modules: str, before: str = "", timeout_s: float = 150) -> Outcome:
        """Run all tests of `modules`, after the Python statement `before`."""
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{self._lab.host.name}", self._python,
             "-c", _RUN.format(before=before), *modules],
            env=self._environment, cwd=self._folder, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip
        output = done.stdout + done.stderr
        ran = re.search(r"^Ran (\d+) tests?", output, re.MULTILINE)
        failed = re.findall(r"^(?:ERROR|FAIL): (\S+(?: ipset\))?)", output, re.MULTILINE)
        names = frozenset(re.sub(r"^[a-z_.0-9]*\.(?=[A-Z])", "", name) for name in failed)
        return Outcome(int(ran[1]) if ran else 0, names, output)
