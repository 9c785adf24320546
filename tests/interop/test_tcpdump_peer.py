"""ovs-tcpdump on Debian's switch says and sets up what Debian's own does.

tcpdump's place is taken by a script that prints what is in the database, and stays until Debian's
tool has read all of it (ours reads what is left when it ends); devices are made in a network
namespace that nothing else is in."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_switch import PeerSwitch
from tests.support.switches import needs_root, own_tools

from netloom.lab.peers import peer_root

pytestmark = [pytest.mark.interop, pytest.mark.root, needs_root]

DUMP = """\
#!/bin/sh
echo "arguments: $*"
columns=name,select_all,select_src_port,select_dst_port,output_vlan
ovs-vsctl --format=csv --columns=$columns list mirror
ovs-vsctl list-ports br0
sleep $STAY_S
exit 3
"""
#: The two make devices of different kinds in different ways, and only this machine's fails.
DEVICE_TROUBLE = "Error: Unknown device type.\n"

COMMAND_LINES = """\
-i p1
--interface p1 -n -c 3 some words
-i p1 --span
-i p1 --mirror-to there
-i p2 -i p1
-i br0 -w file
-i nosuch
-i p1 --mirror-to p1
-x
--interface=p1
-ip1
-i p1 --dump-cmd nosuch
"""


class Pair:
    """Debian's switch, and either ovs-tcpdump on it."""

    def __init__(self, folder: Path) -> None:
        self.switch = PeerSwitch(folder / "switch")
        self.switch.run("ovs-vsctl", "add-br", "br0", "--", "add-port", "br0", "p1", "--",
                        "add-port", "br0", "p2")  # fmt: skip
        self._dump = folder / "dump"
        self._dump.write_text(DUMP)
        self._dump.chmod(0o755)
        root = peer_root()
        modules = (f"{root}/usr/lib/python3/dist-packages", sysconfig.get_path("purelib"))
        self._peer = (
            {"PYTHONPATH": ":".join(modules), "STAY_S": "1"},
            f"{root}/usr/bin/ovs-tcpdump",
        )
        (own,) = own_tools(folder / "tools").path
        self._own: tuple[dict[str, str], str] = ({"STAY_S": "0"}, f"{own}/ovs-tcpdump")

    def run(self, line: str, *, own: bool) -> tuple[int, str]:
        environment, program = self._own if own else self._peer
        done = subprocess.run(
            ["unshare", "--net", program, "--dump-cmd", self._dump, *line.split()],
            env={**self.switch.env, **environment}, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=60, check=False,
        )  # fmt: skip
        said = done.stdout.replace(DEVICE_TROUBLE, "").replace(program, "ovs-tcpdump")
        return done.returncode, re.sub(r"[0-9a-f]{8}-[-0-9a-f]{27}", "UUID", said)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.switch.close()


def test_what_is_said_and_set_up(pair: Pair) -> None:
    for line in COMMAND_LINES.splitlines():
        assert pair.run(line, own=True) == pair.run(line, own=False), line
        assert pair.switch.run("ovs-vsctl", "list-ports", "br0").stdout.split() == ["p1", "p2"]


def test_help_has_one_option_more(pair: Pair) -> None:
    text = pair.run("--help", own=False)[1]
    own = pair.run("--help", own=True)[1].replace(
        str(pair.switch.directory), "/var/run/openvswitch"
    )
    head, _, rest = own.rpartition("   --filter")
    assert text == head + "\n"
    assert rest.count("\n") == 2
