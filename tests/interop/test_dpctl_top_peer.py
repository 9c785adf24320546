"""ovs-dpctl-top sums flows up as Debian's does, and shows them on a terminal."""

from __future__ import annotations

import os
import pty
import random
import re
import select
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from tests.support.switches import own_tools

from netloom.lab.peers import peer_root

pytestmark = pytest.mark.interop

FIELDS = (
    "in_port({})", "eth(src=52:54:00:00:00:0{0},dst=52:54:00:00:01:0{0})", "eth_type(0x080{})",
    "ipv4(src=10.0.0.{0},dst=10.1.{0}.2,proto=6,frag=no)", "tcp(src=1,dst={})", "udp(src=5,dst={})",
    "ipv6(src=fe80::{0},dst=fe80::1:{0},proto=6)", "tunnel(tun_id={0},src=1.1.1.{0},dst=2.2.2.2)",
    "recirc_id({})", "ct_state(+est)", "icmp(type={},code=0)", "eth(src=52:54:00:00:00:0{})",
    "arp(sip=1.1.1.{0},tip=2.2.2.2,op=1)",
)  # fmt: skip


def made_up_flows(chance: random.Random) -> str:
    """Lines of flows, some of them none."""
    lines = []
    for _ in range(60):
        chosen = sorted(chance.sample(range(len(FIELDS)), chance.randint(1, 6)))
        names = {
            FIELDS[n].partition("(")[0]: FIELDS[n].format(chance.randint(0, 9)) for n in chosen
        }
        packets, n_bytes = chance.randint(0, 10**6), chance.randint(0, 10**12)
        lines.append(
            f"{','.join(names.values())}, packets:{packets}, bytes:{n_bytes}, used:1.2s, actions:2"
        )
    lines += ["rubbish", "in_port(1), packets:x, bytes:1, used:never, actions:1"]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("options", ["", "-a", "-V"])
def test_sums_are_debians(tmp_path: Path, seed: int, options: str) -> None:
    root = peer_root() / "usr"
    if not (root / "bin/ovs-dpctl-top").exists():
        pytest.skip("Debian's Open vSwitch is not unpacked here")
    flows = made_up_flows(random.Random(seed))
    (own,) = own_tools(tmp_path / "tools").path
    modules = (f"{root}/lib/python3/dist-packages", sysconfig.get_path("purelib"))
    texts = []
    for program, path in (
        (f"{root}/bin/ovs-dpctl-top", ":".join(modules)),
        (f"{own}/ovs-dpctl-top", ""),
    ):
        done = subprocess.run(
            [program, "--script", *options.split()], input=flows, text=True, capture_output=True,
            env={"PATH": os.path.dirname(sys.executable) + ":/usr/bin:/bin", "PYTHONPATH": path},
            check=True, timeout=60,
        )  # fmt: skip
        texts.append(re.sub(r"Duration: \S+ *", "", done.stdout))
    theirs, mine = texts
    assert theirs.count("\n") > 30
    assert mine == theirs


def test_a_terminal_shows_the_sums_until_q(tmp_path: Path) -> None:
    (own,) = own_tools(tmp_path / "tools").path
    (tmp_path / "ovs-dpctl").write_text(
        "#!/bin/sh\necho 'in_port(7), packets:10, bytes:1200, used:1s, actions:2'\n"
    )
    (tmp_path / "ovs-dpctl").chmod(0o755)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(
            PATH=f"{tmp_path}:{os.environ['PATH']}", TERM="linux", COLUMNS="80", LINES="24"
        )
        os.execv(f"{own}/ovs-dpctl-top", ["ovs-dpctl-top", "--delay", "50"])
    screen = b""

    def wait_for(text: bytes) -> None:
        nonlocal screen
        while text not in screen:
            assert select.select([terminal], [], [], 60)[0], screen
            screen += os.read(terminal, 65536)

    wait_for(b"Flow Summary")
    wait_for(b"in_port(7)")
    os.write(terminal, b"q")
    assert os.waitpid(pid, 0)[1] == 0
    os.close(terminal)
