"""`ovs-ofctl snoop` shows what a bridge and its controller say to each other, on both switches."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
from tests.interop.osken_runs import running
from tests.support.peers import peer_tools, wait_until

from netloom.lab.switch import Switch

pytestmark = pytest.mark.interop

HELLO, BARRIER = "0400000800000001", "0414000800000055"


def conversation(switch: Switch, output: Path) -> set[str]:
    """The messages that the snooper sees: the first line of each."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(40)
        switch.run(
            *("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"),
            *("protocols=OpenFlow13", "--", "set-controller", "br0"),
            f"tcp:127.0.0.1:{listener.getsockname()[1]}",
        )
        controller, _ = listener.accept()
    with controller, output.open("wb") as sink:
        controller.sendall(bytes.fromhex(HELLO))
        snoop = subprocess.Popen(
            ["ovs-ofctl", "-O", "OpenFlow13", "snoop", "br0"],
            env=switch.env, stdout=subprocess.DEVNULL, stderr=sink,
        )  # fmt: skip

        def has_seen() -> bool:
            controller.sendall(bytes.fromhex(BARRIER))
            return "BARRIER_REPLY" in output.read_text()

        try:
            assert wait_until(has_seen, every_s=0.1)
        finally:
            snoop.terminate()
            snoop.wait(60)
    lines = output.read_text().splitlines()
    return {line for line in lines if line.startswith("OFPT_BARRIER")}


@pytest.mark.parametrize("side", ["ours", "debian"])
def test_snooper_sees_both_directions(side: str, tmp_path: Path) -> None:
    peer_tools()
    with running(side) as switch:
        assert conversation(switch, tmp_path / "output") == {
            "OFPT_BARRIER_REQUEST (OF1.3) (xid=0x55):",
            "OFPT_BARRIER_REPLY (OF1.3) (xid=0x55):",
        }
