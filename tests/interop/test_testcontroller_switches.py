"""ovs-testcontroller and switches, ours and Debian's: packets get where their receivers are, and
command lines are answered as Debian's are."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.peer_switch import ALL_DUMMIES, THEIRS, PeerSwitch
from tests.support.peers import peer_tools, wait_until
from tests.support.switches import own_tools

from netloom.lab.switch import Programs

pytestmark = pytest.mark.interop

ETHER = "eth(src=02:00:00:00:00:{:02x},dst=02:00:00:00:00:{:02x}),eth_type(0x88b5)"


def program(tools: Programs, name: str) -> str:
    found = (Path(part, name) for part in tools.path)
    return str(next(path for path in found if path.exists()))


@contextmanager
def controller(tools: Programs, folder: Path, *options: str, kind: str = "tcp") -> Iterator[str]:
    """ovs-testcontroller at a port of its own, as a switch calls it."""
    env = {"PATH": "/usr/bin:/bin", "OVS_RUNDIR": str(folder), "OVS_LOGDIR": str(folder)}
    process = subprocess.Popen(
        [program(tools, "ovs-testcontroller"), f"p{kind}:0:127.0.0.1", "--log-file", *options],
        env=env, cwd=folder, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    log = folder / "ovs-testcontroller.log"
    try:
        assert wait_until(lambda: log.exists() and "listening on port" in log.read_text())
        found = re.search(r"listening on port (\d+)", log.read_text())
        assert found is not None
        yield f"{kind}:127.0.0.1:{found[1]}"
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("whose", ["ours", "theirs"])
@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow13", "OpenFlow15"])
def test_a_bridge_becomes_a_learning_switch(tmp_path: Path, whose: str, version: str) -> None:
    tools = own_tools(tmp_path / "tools")
    daemon = THEIRS if whose == "theirs" else (program(tools, "ovs-vswitchd"),)
    with controller(tools, tmp_path) as target:
        switch = PeerSwitch(tmp_path / "switch", daemon, ALL_DUMMIES)
        try:
            switch.add_bridge_of_two()
            switch.run(
                "ovs-vsctl",
                "set",
                "bridge",
                "br0",
                f"protocols={version}",
                "--",
                "set-controller",
                "br0",
                target,
            )
            switch.run("ovs-vsctl", "--timeout=60",
                       "wait-until", "controller", "br0", "is_connected=true")  # fmt: skip

            def flows() -> str:
                return switch.run("ovs-ofctl", "-O", version, "dump-flows", "br0").stdout

            def is_learned() -> bool:
                for port, source, destination in (("p1", 1, 2), ("p2", 2, 1)):
                    packet = ETHER.format(source, destination)
                    switch.control("netdev-dummy/receive", port, packet)
                return flows().count("idle_timeout=60") == 2

            assert wait_until(is_learned, every_s=0.2), flows()
            assert "in_port=p2" in flows() or "in_port=2" in flows()
            assert ("CONTROLLER:128" in flows()) == (version != "OpenFlow10")
            # Known by now: these need no controller.
            assert wait_until(lambda: is_learned() and "n_packets=0" not in flows()), flows()
        finally:
            switch.close()


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_certificates_of_our_pki_let_switches_in(tmp_path: Path, whose: str) -> None:
    tools = own_tools(tmp_path / "tools")
    pki = (program(tools, "ovs-pki"), "-l", "log", "-d", "pki")
    for words in ("init", "req+sign switch", "req+sign controller controller"):
        subprocess.run([*pki, *words.split()], cwd=tmp_path, check=True, capture_output=True)
    files = ("-p", "controller-privkey.pem", "-c", "controller-cert.pem",
             "-C", "pki/switchca/cacert.pem")  # fmt: skip
    daemon = THEIRS if whose == "theirs" else (program(tools, "ovs-vswitchd"),)
    with controller(tools, tmp_path, *files, kind="ssl") as target:
        switch = PeerSwitch(tmp_path / "run", daemon, ALL_DUMMIES)
        try:
            switch.add_bridge_of_two()
            own = [str(tmp_path / f"switch-{what}.pem") for what in ("privkey", "cert")]
            switch.run("ovs-vsctl", "set-ssl", *own, f"{tmp_path}/pki/controllerca/cacert.pem",
                       "--", "set-controller", "br0", target)  # fmt: skip
            switch.run("ovs-vsctl", "--timeout=60",
                       "wait-until", "controller", "br0", "is_connected=true")  # fmt: skip
            # The other authority vouches for nobody whom this one wants.
            switch.run("ovs-vsctl", "set-ssl", *own, f"{tmp_path}/pki/switchca/cacert.pem",
                       "--", "del-controller", "br0")  # fmt: skip
            switch.run("ovs-vsctl", "set-controller", "br0", target)

            def error() -> str:
                columns = ("get", "controller", "br0", "status")
                return switch.run("ovs-vsctl", *columns).stdout

            assert wait_until(lambda: "last_error" in error()), error()
            state = switch.run("ovs-vsctl", "get", "controller", "br0", "is_connected").stdout
            assert state.strip() == "false"
        finally:
            switch.close()


COMMAND_LINES = """\

--foo
-x
-w5x ptcp:z
--max-idle=0 x:
--max-idle=70000 x:
--max-idle=abc x:
--max-idle=permanent x:
-q abc x:
-q 5 -Q a x:
-Q a: x:
-Q :3 x:
-Q a:1 -Q a:2 x:
--with-flows=nofile x:
--with-flows=badflows x:
-O OpenFlow99 x:
-O , x:
a b
tcp:127.0.0.1:1
unix:nofile
ssl:127.0.0.1:1
ptcp:0:192.0.2.1
--port-queue
--hub --noflow x:
--unixctl=/nonexistent/x ptcp:0
--help
"""
#: Ports that the kernel has chosen.
CHANGING = ((r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"), (r"listening on port \d+", "listening"))


@pytest.mark.parametrize("line", COMMAND_LINES.splitlines())
def test_command_lines(tmp_path: Path, line: str) -> None:
    (tmp_path / "badflows").write_text("in_port=foo actions=1\n")

    def run(tools: Programs) -> tuple[int, str]:
        name = program(tools, "ovs-testcontroller")
        done = subprocess.run(
            [name, *line.split()], cwd=tmp_path, text=True, timeout=100, check=False,
            env={**tools.env, "PATH": "/usr/bin:/bin", "OVS_RUNDIR": str(tmp_path)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        text = done.stdout.replace(name, "ovs-testcontroller")
        for pattern, instead in CHANGING:
            text = re.sub(pattern, instead, text)
        return done.returncode, text

    own = run(own_tools(tmp_path / "tools"))
    assert own == run(peer_tools())
    assert own[0] == (0 if line == "--help" else 1)
