"""Kinds of devices as ports (veth, TAP, macvlan), moved, renamed, with large frames."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from tests.support.peers import wait_until
from tests.support.switches import TwoMachines, needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]

#: A machine of one program: opens a TAP device, asks who has 10.0.0.2, prints the answer.
TAP_MACHINE = """
import fcntl, os, select, struct, sys
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH", b"tap0", 0x1002))
print("open", flush=True)
sys.stdin.readline()
mac = bytes.fromhex("020000000077")
asked = b"\\xff" * 6 + mac + bytes.fromhex("08060001080006040001") + mac
asked += bytes([10, 0, 0, 9]) + bytes(6) + bytes([10, 0, 0, 2])
os.write(tap, asked.ljust(60, b"\\0"))
while select.select([tap], [], [], 5)[0]:
    frame = os.read(tap, 9000)
    if frame[12:14] == b"\\x08\\x06" and frame[20:22] == b"\\0\\x02":
        print(frame[28:32].hex(), flush=True)
        break
"""


class Stand(TwoMachines):
    """Bridge br0 with vif2, behind which is 10.0.0.2."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        super().__init__(lab, tools)
        self.switch.vsctl("add-br", "br0", "--", "add-port", "br0", "vif2")

    def error(self, interface: str) -> str:
        return self.switch.vsctl("get", "interface", interface, "error").strip()


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> Stand:
    return Stand(lab, tools)


def test_a_virtual_machines_tap_device_is_a_port(stand: Stand) -> None:
    with subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{stand.lab.host.name}", sys.executable, "-c", TAP_MACHINE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as machine:
        assert machine.stdout is not None
        assert machine.stdout.readline() == "open\n"
        stand.lab.host.ip("link", "set", "tap0", "up")
        stand.switch.vsctl("add-port", "br0", "tap0")
        answer, _ = machine.communicate("go\n", timeout=60)
    assert answer == "0a000002\n"


def test_a_device_upon_another_is_a_port(stand: Stand) -> None:
    host = stand.lab.host
    host.ip("link", "add", "upper", "link", "vif1", "type", "macvlan", "mode", "passthru")
    host.ip("link", "set", "upper", "up")
    stand.switch.vsctl("add-port", "br0", "upper")
    assert stand.vm1.ping("10.0.0.2", count=5)


def test_a_device_that_is_renamed_or_moved_is_gone_until_it_is_back(stand: Stand) -> None:
    host = stand.lab.host
    stand.switch.vsctl("add-port", "br0", "vif1")
    assert stand.vm1.ping("10.0.0.2", count=3)
    missing = '"could not open network device vif1 (No such device)"'

    def rename(old: str, new: str) -> None:
        host.ip("link", "set", old, "down")
        host.ip("link", "set", old, "name", new)
        host.ip("link", "set", new, "up")

    rename("vif1", "other")
    assert wait_until(lambda: stand.error("vif1") == missing)
    assert not stand.vm1.ping("10.0.0.2")
    rename("other", "vif1")
    assert wait_until(lambda: stand.error("vif1") == "[]")
    assert stand.vm1.ping("10.0.0.2", count=3)
    host.ip("link", "set", "vif1", "netns", stand.vm2.name)
    assert wait_until(lambda: stand.error("vif1") == missing)
    stand.vm2.ip("link", "set", "vif1", "netns", host.name)
    host.ip("link", "set", "vif1", "up")
    assert wait_until(lambda: stand.error("vif1") == "[]")
    assert stand.vm1.ping("10.0.0.2", count=3)


def test_large_frames_pass_and_are_sent_by_packet_out(stand: Stand) -> None:
    stand.switch.vsctl("add-port", "br0", "vif1")
    for machine in (stand.vm1, stand.vm2):
        machine.ip("link", "set", "eth0", "mtu", "9000")
        stand.lab.host.ip("link", "set", machine.vif, "mtu", "9000")
    large = ("ping", "-n", "-q", "-M", "do", "-s", "8900", "-c", "3", "-i", "0.2", "10.0.0.2")
    assert "3 received" in stand.vm1.run(*large).stdout
    frame = "ffffffffffff" + "020000000077" + "88b5" + "a5" * 8900

    def received() -> int:
        return int(stand.vm2.run("cat", "/sys/class/net/eth0/statistics/rx_bytes").stdout)

    before = received()
    stand.switch.run("ovs-ofctl", "packet-out", "br0", f"packet={frame} actions=output:vif2")
    assert wait_until(lambda: received() - before >= len(frame) // 2)


def test_devices_that_swap_their_names_are_each_others_ports(stand: Stand) -> None:
    host, vsctl = stand.lab.host, stand.switch.vsctl
    vsctl("add-port", "br0", "vif1")
    assert stand.vm1.ping("10.0.0.2", count=3)
    for old, new in (("vif2", "other"), ("vif1", "vif2"), ("other", "vif1")):
        host.ip("link", "set", old, "name", new)
    wires = {name: _ifindex(stand, name) for name in ("vif1", "vif2")}

    def are_followed() -> bool:
        return all(
            vsctl("get", "interface", name, "ifindex").strip() == wires[name] for name in wires
        )

    assert wait_until(are_followed, 5)
    assert stand.vm1.ping("10.0.0.2", count=3)
    assert stand.vm2.ping("10.0.0.1", count=3)


def test_what_others_need_is_refused_as_port(stand: Stand, datapath: str) -> None:
    host, switch = stand.lab.host, stand.switch
    host.ip("link", "add", "lan", "type", "bridge")
    host.ip("link", "set", "vif1", "master", "lan")
    switch.run("ovs-vsctl", "add-port", "br0", "lo", check=False)
    refusal = '"could not add network device {} to ofproto ({})"'
    assert stand.error("lo") == refusal.format("lo", "Invalid argument")
    assert "failed to add lo as port: Invalid argument" in switch.log()
    switch.run("ovs-vsctl", "add-port", "br0", "vif1", check=False)
    if datapath == "userspace":
        # Who reads along takes nothing away.
        assert stand.error("vif1") == "[]"
        return
    assert stand.error("vif1") == refusal.format("vif1", "Device or resource busy")
    links = host.ip("-br", "link", "show").stdout
    hidden = next(name for name in re.split(r"[\s@]", links) if name.startswith("nl-"))
    switch.run("ovs-vsctl", "add-port", "br0", hidden, check=False)
    assert stand.error(hidden) == f'"could not open network device {hidden} (Invalid argument)"'
    switch.vsctl("del-port", hidden, "--", "del-port", "lo")
    host.ip("link", "set", "vif1", "nomaster")
    assert wait_until(lambda: stand.error("vif1") == "[]", 5)
    assert stand.vm1.ping("10.0.0.2", count=3)


def _ifindex(stand: Stand, name: str) -> str:
    return stand.lab.host.ip("-o", "link", "show", name).stdout.split(":")[0]


def test_a_device_that_no_data_path_takes_is_refused_by_hand_too(stand: Stand) -> None:
    run = stand.switch.run
    run("ovs-appctl", "dpctl/add-dp", "system@spare")
    for data_path in ("system@spare", "system@ovs-system"):
        refused = run("ovs-appctl", "dpctl/add-if", data_path, "lo", check=False)
        assert f"adding lo to {data_path} failed (Invalid argument)" in refused.stderr
        assert "lo" not in run("ovs-appctl", "dpctl/show", data_path).stdout.split()
    run("ovs-appctl", "dpctl/del-dp", "system@spare")
