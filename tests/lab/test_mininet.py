"""Mininet, which most labs of others are written for, builds its networks with our switch.

Debian's Mininet (and our ovs-testcontroller) in a namespace and a process tree of their own,
so that its clean-ups find nothing but their own. Mininet calls ovs-vsctl and ovs-ofctl by name.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.switches import RunningSwitch, needs_root

from netloom.lab.lab import Lab
from netloom.lab.peers import peer_root
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root, pytest.mark.interop, pytest.mark.timeout(180)]

#: Runs a Python program with the words that follow; returns its output.
Run = Callable[..., str]

RING = """
import sys
from mininet.net import Mininet
from mininet.node import OVSBridge
net = Mininet(switch=OVSBridge, controller=None)
switches = [net.addSwitch(f's{n}', stp=1) for n in (1, 2, 3)]
for n in range(3):
    net.addLink(switches[n], switches[(n + 1) % 3])
    net.addLink(net.addHost(f'h{n + 1}', ip=f'10.0.0.{n + 1}/8'), switches[n])
net.start()
for switch in switches:
    switch.vsctl('set bridge', switch, 'other_config:stp-forward-delay=4',
                 'other_config:stp-max-age=6 other_config:stp-hello-time=1')
assert net.waitConnected(60)
net.pingAll()
for switch in switches:
    print(switch.dpctl('show'), switch.cmd('ovs-vsctl get bridge', switch, 'other_config status'))
net.stop()
"""


@pytest.fixture(scope="session")
def mininet(tmp_path_factory: pytest.TempPathFactory, tools: Programs) -> Path:
    """A folder with what Mininet calls, before the rest of PATH."""
    root = peer_root("mininet")
    if not (root / "usr/bin/mn").exists():
        pytest.skip("Mininet is not unpacked here (tools/fetch_peers.py)")
    folder = tmp_path_factory.mktemp("mininet")
    programs = {"mnexec": "usr/bin/mnexec", "ifconfig": "sbin/ifconfig"}
    programs["telnet"] = "usr/bin/inetutils-telnet"
    for name, place in programs.items():
        (folder / name).symlink_to(root / place)
    (own,) = tools.path
    controller = f"{own}/ovs-testcontroller"
    # The examples ask for OpenFlow's reference controller, which took the same arguments.
    for name in ("ovs-testcontroller", "controller"):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {controller} "$@"\n')
        script.chmod(0o755)
    return folder


@pytest.fixture
def run(lab: Lab, tools: Programs, mininet: Path) -> Run:
    switch = RunningSwitch(lab, tools, tools)
    switch.start()
    environment = dict(switch.daemons.env)
    environment["PATH"] = f"{mininet}{os.pathsep}{environment['PATH']}"
    root = peer_root("mininet")
    environment["PYTHONPATH"] = str(root / "usr/lib/python3/dist-packages")

    def call(*argv: str, typed: str = "") -> str:
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{lab.host.name}",
             "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, *argv],
            env=environment, input=typed, text=True, timeout=150, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    return call


def mn(run: Run, *options: str) -> str:
    return run(str(peer_root("mininet") / "usr/bin/mn"), *options)


def reached(output: str) -> list[str]:
    """What each round of pings says."""
    return re.findall(r"Results: (\d+% dropped \(\d+/\d+ received\))", output)


@pytest.mark.parametrize(
    "options",
    [
        "--switch ovsbr --controller none",
        "--switch ovs,failMode=standalone --controller none --mac --arp",
        "--switch ovs,datapath=user --controller ovsc",
        "--switch ovs,protocols=OpenFlow13 --controller ovsc",
        "--switch ovs,inband=True --controller ovsc",
    ],
)
def test_hosts_reach_each_other(run: Run, options: str) -> None:
    assert reached(mn(run, *options.split(), "--test", "pingall")) == [
        "0% dropped (2/2 received)"
    ]  # fmt: skip


def test_tree_of_switches_with_a_controller_and_shaped_links(run: Run) -> None:
    options = "--topo tree,2,2 --controller ovsc --link tc,bw=50,delay=2ms,loss=0 --test pingall"
    assert reached(mn(run, *options.split())) == ["0% dropped (12/12 received)"]


def test_patch_ports_link_switches(run: Run) -> None:
    options = "--topo linear,4 --link ovs --switch ovs,failMode=standalone --controller none"
    assert reached(mn(run, *options.split(), "--test", "pingall")) == [
        "0% dropped (12/12 received)"
    ]  # fmt: skip


def test_switches_are_made_and_removed_in_batches(run: Run) -> None:
    options = "--topo linear,6 --switch ovs,batch=True --controller ovsc --test pingpair"
    assert reached(mn(run, *options.split())) == ["0% dropped (2/2 received)"]


def test_ring_of_bridges_is_a_tree(run: Run) -> None:
    output = run("-c", RING)
    assert reached(output) == ["0% dropped (6/6 received)"]
    assert output.count("STP_BLOCK") == 1, output


@pytest.mark.suite
@pytest.mark.parametrize(
    ("example", "pings"),
    [
        ("controllers2", ["0% dropped (12/12 received)"] * 2),
        ("numberedports", ["0% dropped (20/20 received)"]),
        ("multilink", ["0% dropped (2/2 received)"]),
        ("linuxrouter", ["0% dropped (12/12 received)"]),
    ],
)
def test_examples_of_mininet_run(run: Run, example: str, pings: list[str]) -> None:
    folder = peer_root("mininet") / "usr/lib/python3/dist-packages/mininet/examples"
    output = run(str(folder / f"{example}.py"), typed="pingall\nexit\n")
    assert reached(output) == pings, output
