"""Bulk over two bridges: TCP with all offloads, IPv6, VLANs, jumbo frames, fragments."""

from __future__ import annotations

import re

import pytest
from tests.support.bulk import ASK, ECHO, RECEIVER, SENDER, TRANSFER_BYTES, Stand
from tests.support.switches import needs_root

from netloom.lab.lab import Lab
from netloom.lab.namespace import VirtualMachine
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> Stand:
    return Stand(lab, tools)


def reaches(source: VirtualMachine, address: str, *options: str) -> bool:
    argv = ("ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "2", *options, address)
    return source.run(*argv, check=False).ok


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_tcp_arrives_whole_across_two_bridges(address: str, stand: Stand) -> None:
    assert reaches(stand.vm1, address)
    received, sent = stand.talk(RECEIVER, SENDER, address, str(TRANSFER_BYTES))
    assert received == sent
    # In packets of up to 64 KiB, not in segments of 1448 bytes: offloads are on.
    shown = stand.switch.ofctl("dump-ports", "br0", "vif1")
    counted = re.search(r"rx pkts=(\d+), bytes=(\d+)", shown)
    assert counted is not None
    assert int(counted[2]) > TRANSFER_BYTES
    assert int(counted[1]) < TRANSFER_BYTES / 1448 / 2


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_datagrams_in_fragments_arrive_whole(address: str, stand: Stand) -> None:
    family = "10" if ":" in address else "2"
    assert reaches(stand.vm1, address)
    _, said = stand.talk(ECHO, ASK, address, family, "20000")
    assert said == "True\n"
    assert reaches(stand.vm1, address, "-s", "8000")


def test_jumbo_frames_pass_when_the_devices_take_them(stand: Stand) -> None:
    for vm in (stand.vm1, stand.vm2):
        vm.ip("link", "set", "eth0", "mtu", "9000")
        stand.lab.host.ip("link", "set", vm.vif, "mtu", "9000")
    assert reaches(stand.vm1, "10.0.0.2", "-M", "do", "-s", "8972")
    assert not reaches(stand.vm1, "10.0.0.2", "-M", "do", "-s", "8973")
    received, sent = stand.talk(RECEIVER, SENDER, "10.0.0.2", str(TRANSFER_BYTES))
    assert received == sent


def test_two_vlans_of_one_trunk_stay_apart(stand: Stand) -> None:
    vm3 = stand.lab.add_vm("vm3", "vif3", "10.0.0.3/24")
    stand.switch.vsctl("add-port", "br1", "vif3", "tag=20", "--", "set", "port", "pa",
                       "trunks=10,20",
                       "--", "set", "port", "pb", "trunks=10,20")  # fmt: skip
    assert reaches(stand.vm1, "10.0.0.2")
    assert not vm3.ping("10.0.0.1", wait_s=0.5)
    stand.switch.vsctl("set", "port", "vif3", "tag=10")
    assert reaches(vm3, "10.0.0.1")
