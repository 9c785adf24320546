"""Wrong commands: Debian's tools with Debian's daemons and ours with ours say the same and fail the
same way, and nothing changes. `bad_input.txt` has one command a line, each of which must fail."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.peers import peer_tools, wait_until
from tests.support.switches import RunningSwitch, needs_root, own_tools

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.interop, pytest.mark.root, needs_root]

CASES = (Path(__file__).parent / "bad_input.txt").read_text().splitlines()
TOOLS = sorted({line.split()[0] for line in CASES})
DUMMY = ("--enable-dummy=override",)


class Stand:
    """A switch with bridge br0 of ports p1 and p2 on dummy devices."""

    def __init__(self, lab: Lab, programs: Programs) -> None:
        self.switch = RunningSwitch(lab, programs, programs, DUMMY)
        self.directory = self.switch.daemons.rundir
        self.switch.start()
        self.switch.vsctl(
            *("add-br", "br0", "--", "add-port", "br0", "p1", "--", "add-port", "br0", "p2"),
            *("--", "set-fail-mode", "br0", "secure"),
        )
        assert wait_until((self.directory / "br0.mgmt").exists)
        self.switch.ofctl("add-flow", "br0", "in_port=1,actions=2")
        (self.directory / "bad.db").write_text("garbage\n")

    def answer(self, line: str) -> tuple[int, str, str]:
        """(exit status, standard output, standard error), less what differs by chance."""
        words = [word.replace("$DIR", str(self.directory)) for word in shlex.split(line)]
        done = self.switch.run(*words, check=False)
        return done.status, self._plain(done.stdout), self._plain(done.stderr)

    def _plain(self, text: str) -> str:
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "UUID", text)
        text = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z\|", "", text)
        return text.replace(str(self.directory), "$DIR")

    def state(self) -> str:
        columns = (
            "Bridge name,ports,controller,fail_mode,other_config",
            "Port name,interfaces,tag,vlan_mode",
            "Interface name,type,options,ofport_request,external_ids",
        )
        rows = [
            self.switch.run("ovsdb-client", "dump", "Open_vSwitch", table, *names.split(",")).stdout
            for table, names in (column.split() for column in columns)
        ]
        return "".join(rows) + self.switch.ofctl("--no-stats", "dump-flows", "br0")


@pytest.fixture(scope="module")
def stands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stand, Stand]]:
    """(Debian's, ours)"""
    theirs, ours = peer_tools(), own_tools(tmp_path_factory.mktemp("tools"))
    with Lab("badpeer") as peer_lab, Lab("badown") as own_lab:
        yield Stand(peer_lab, theirs), Stand(own_lab, ours)


@pytest.mark.parametrize("tool", TOOLS)
def test_wrong_commands_fail_as_open_vswitchs_do_and_change_nothing(
    tool: str, stands: tuple[Stand, Stand]
) -> None:
    peer, own = stands
    lines = [line for line in CASES if line.split()[0] == tool]
    before = own.state()
    with ThreadPoolExecutor(4) as pool:
        expected = list(pool.map(peer.answer, lines))
        actual = list(pool.map(own.answer, lines))
    assert [line for line, answer in zip(lines, actual) if answer[0] == 0] == []
    different = [
        (line, theirs, ours)
        for line, theirs, ours in zip(lines, expected, actual)
        if theirs != ours
    ]
    assert different == []
    assert own.state() == before
