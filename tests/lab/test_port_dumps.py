"""ovs-tcpdump: what machines say to each other, as tcpdump sees it on the device that is made for
it; and that nothing of that is left."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.peers import wait_until
from tests.support.switches import TwoMachines, needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [
    pytest.mark.root,
    needs_root,
    pytest.mark.skipif(not shutil.which("tcpdump"), reason="there is no tcpdump here"),
]


class Dumps(TwoMachines):
    """Two machines on br0, and dumps of their ports."""

    def __init__(self, lab: Lab, tools: Programs, folder: Path) -> None:
        super().__init__(lab, tools)
        self._output = folder / "dump"
        self.switch.vsctl("add-br", "br0", "--", "add-port", "br0", "vif1", "--",
                          "add-port", "br0", "vif2")  # fmt: skip
        assert self.vm1.ping("10.0.0.2", count=2)

    @contextmanager
    def dump(self, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
        """ovs-tcpdump, once it listens; ends with this."""
        host = self.lab.host.name
        command = ["nsenter", f"--net=/run/netns/{host}", "ovs-tcpdump", *argv]
        with self._output.open("wb") as output:
            process = subprocess.Popen(
                command, env=self.switch.daemons.env, stdout=output, stderr=subprocess.STDOUT
            )
            try:
                assert wait_until(lambda: b"listening on" in self._output.read_bytes()), self.said
                yield process
            finally:
                process.terminate()
                process.wait(60)

    @property
    def said(self) -> str:
        return self._output.read_text()

    def refused(self, *argv: str) -> str:
        """What ovs-tcpdump says instead of dumping."""
        done = self.switch.run("ovs-tcpdump", *argv, check=False)
        assert done.status == 1
        return done.stdout

    def traces(self) -> tuple[str, list[str], list[str]]:
        """Mirrors, ports, and the devices that dumps make."""
        links = self.lab.host.run("ip", "-br", "link").stdout.split()
        return (
            self.switch.vsctl("--columns=name", "--bare", "list", "mirror").strip(),
            self.switch.vsctl("list-ports", "br0").split(),
            [word for word in links if word.startswith("mi")],
        )


@pytest.fixture
def dumps(lab: Lab, tools: Programs, tmp_path: Path) -> Dumps:
    return Dumps(lab, tools, tmp_path)


NOTHING = ("", ["vif1", "vif2"], [])


def test_both_ways_are_seen_and_nothing_is_left(dumps: Dumps) -> None:
    with dumps.dump("-i", "vif1", "-n", "-c", "4", "icmp") as process:
        assert dumps.traces() == ("m_vif1", ["mivif1", "vif1", "vif2"], ["mivif1"])
        assert "Mirror port (mivif1) exists for port vif1." in dumps.refused("-i", "vif1")
        assert dumps.vm1.ping("10.0.0.2", count=3)
        assert process.wait(60) == 0
    assert dumps.said.count("10.0.0.1 > 10.0.0.2: ICMP echo request") == 2
    assert dumps.said.count("10.0.0.2 > 10.0.0.1: ICMP echo reply") == 2
    assert dumps.traces() == NOTHING


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_dump_and_what_it_has_made(dumps: Dumps, number: int) -> None:
    with dumps.dump("-i", "vif2", "-n") as process:
        assert dumps.vm1.ping("10.0.0.2", count=1, wait_s=10)
        process.send_signal(number)
        assert process.wait(60) == 0
    assert "packets captured" in dumps.said, "tcpdump ended in order"
    assert dumps.traces() == NOTHING


def test_a_filter_and_an_existing_port(dumps: Dumps) -> None:
    host = dumps.lab.host
    host.run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "out1")
    for name in ("out0", "out1"):
        host.run("ip", "link", "set", name, "up")
    dumps.switch.vsctl("add-port", "br0", "out0")
    options = ("-i", "vif1", "--mirror-to", "out0", "--filter", "icmp,icmp_type=8", "--span")
    with dumps.dump(*options, "-n", "-e", "icmp"):
        assert dumps.switch.get("Mirror", "m_vif1", "filter") == '"icmp,icmp_type=8"'
        assert dumps.switch.get("Mirror", "m_vif1", "select_all") == "true"
        assert "Mirror port (out0) exists" in dumps.refused("-i", "vif2", "--mirror-to", "out0")
        assert dumps.vm1.ping("10.0.0.2", count=3)
        assert wait_until(lambda: "echo request" in dumps.said)
    assert "echo reply" not in dumps.said
    assert dumps.traces() == ("", ["out0", "vif1", "vif2"], []), "the port was not ours"


def test_what_cannot_be_dumped(dumps: Dumps) -> None:
    assert dumps.refused("-i", "vif9") == "ERROR: Port vif9 does not exist.\n"
    assert "exists for port vif1" in dumps.refused("-i", "vif1", "--mirror-to", "vif1")
    long_name = "a-name-that-is-too-long"
    assert dumps.refused("-i", "vif1", "--mirror-to", long_name) == (
        f"ERROR: Please create an interface called `{long_name}`\n"
        "See your OS guide for how to do this.\n"
        f"Ex: ip link add {long_name} type veth peer name {long_name}2\n"
    )
    assert dumps.traces() == NOTHING
