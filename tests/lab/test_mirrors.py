"""A mirror on real packets: what two machines say to each other is seen by a third."""

from __future__ import annotations

import re

import pytest
from tests.support.peers import wait_until
from tests.support.switches import RunningSwitch, needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]


def test_a_mirror_copies_both_ways_and_counts(lab: Lab, tools: Programs) -> None:
    switch = RunningSwitch(lab, tools, tools)
    vm1 = lab.add_vm("vm1", "vif1", "10.0.0.1/24")
    lab.add_vm("vm2", "vif2", "10.0.0.2/24")
    vm3 = lab.add_vm("vm3", "vif3", "10.0.0.3/24")
    switch.start()
    switch.vsctl("add-br", "br0")
    for vif in ("vif1", "vif2", "vif3"):
        switch.vsctl("add-port", "br0", vif)
    switch.vsctl(
        "--", "--id=@out", "get", "Port", "vif3", "--", "--id=@one", "get", "Port", "vif1",
        "--", "--id=@m", "create", "Mirror", "name=m", "select_src_port=@one",
        "select_dst_port=@one", "output_port=@out", "--", "set", "Bridge", "br0", "mirrors=@m",
    )  # fmt: skip

    def sent() -> tuple[int, int]:
        text = switch.get("Mirror", "m", "statistics")
        counts = dict(re.findall(r"(tx_\w+)=(\d+)", text))
        return int(counts.get("tx_packets", "0")), int(counts.get("tx_bytes", "0"))

    assert vm1.ping("10.0.0.2", count=5)
    # Five requests and five replies of 98 bytes, and some ARP.
    assert wait_until(lambda: sent()[0] >= 10 and sent()[1] >= 980)
    seen = switch.get("Interface", "vif3", "statistics:tx_packets")
    assert int(seen) >= 10
    # The port is for the mirror alone: its own machine is cut off.
    assert not vm1.ping(vm3.ip_address, count=2, wait_s=0.5)
    switch.vsctl("clear", "Bridge", "br0", "mirrors")
    assert wait_until(lambda: vm1.ping(vm3.ip_address, count=1, wait_s=0.5))
