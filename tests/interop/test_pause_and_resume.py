"""A packet that a flow pauses goes on when the controller, Debian's ovs-ofctl, sends it back."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.support.dummy_switch import dummy_switch
from tests.support.peers import peer_environment, wait_until

pytestmark = pytest.mark.interop

PACKET = (
    "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),"
    "ipv4(src=192.168.0.1,dst=192.168.0.2,proto=6,tos=0,ttl=64,frag=no),tcp(src=8,dst=16)"
)
FLOWS = (
    "table=0,in_port=1 actions=load:7->NXM_NX_REG3[],push:NXM_NX_REG3[],resubmit(,1),output:3",
    "table=1,cookie=0x55 actions=output:2,controller(pause,userdata=01.02),"
    "mod_dl_dst:00:00:00:00:00:09,output:4",
)


def test_debians_controller_resumes_what_was_paused(tmp_path: Path) -> None:
    with dummy_switch() as switch:
        for port in ("p3", "p4"):
            switch.vsctl("add-port", "br0", port, "--", "set", "interface", port, "type=dummy")
        switch.ofctl("del-flows", "br0")
        for flow in FLOWS:
            switch.ofctl("add-flow", "br0", flow)
        log = tmp_path / "monitor"
        with log.open("wb") as stderr:
            monitor = subprocess.Popen(
                ["ovs-ofctl", "monitor", f"unix:{switch.rundir}/br0.mgmt", "resume",
                 "-P", "nxt_packet_in2", "-vvconn"],
                env=peer_environment(tmp_path), stderr=stderr, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            assert wait_until(lambda: "SET_PACKET_IN_FORMAT" in log.read_text() and
                              "received: OFPT_BARRIER_REPLY" in log.read_text())  # fmt: skip
            switch.appctl("netdev-dummy/receive", "p1", PACKET)
            assert wait_until(lambda: sent(switch.ofctl("dump-ports", "br0").stdout) == [2, 3, 4])
        finally:
            monitor.terminate()
            monitor.wait(60)
        text = log.read_text()
        assert " continuation.stack=(top) 0x7 (bottom)\n" in text
        assert "unroll_xlate(table=1, cookie=85),output:4,unroll_xlate(table=0, cookie=0)" in text
        assert "NXR_STALE" not in text


def sent(ports: str) -> list[int]:
    """The ports that have sent a packet."""
    rows = re.findall(r"port +(\w+): rx.*\n +tx pkts=(\d+)", ports)
    return sorted(int(port) for port, n in rows if n == "1" and port != "LOCAL")
