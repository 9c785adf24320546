"""Ports as virtual machines and agents use them: TAP devices with all offloads that come and go,
internal ports in namespaces of others, that outlive the daemon."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.bulk import RECEIVER, SENDER, talk
from tests.support.peers import wait_until
from tests.support.switches import TwoMachines, needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]

BYTES = "1500000"
#: What a hypervisor does: frames go between a TAP device and a machine, with their virtio_net_hdr,
#: so that nobody segments them or completes their checksums.
HYPERVISOR = """
import fcntl, os, select, socket, struct, sys
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH", b"tap0", 0x5002))
fcntl.ioctl(tap, 0x400454D0, 7)
machine = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
for option in (15, 23):
    machine.setsockopt(263, option, 1)
machine.bind(("wire", 3))
print("open", flush=True)
while True:
    for fd in select.select([tap, machine], [], [])[0]:
        try:
            if fd is machine:
                os.write(tap, machine.recv(70000))
            else:
                machine.send(os.read(tap, 70000))
        except OSError as error:
            print(error, file=sys.stderr)
"""
FEATURES = (("on", "on", "on"), ("off", "on", "on"), ("on", "off", "off"), ("off", "off", "off"))


@contextmanager
def hypervisor(stand: TwoMachines) -> Iterator[None]:
    """vm1 runs behind tap0 meanwhile."""
    host = stand.lab.host
    argv = ("nsenter", f"--net=/run/netns/{host.name}", sys.executable, "-c", HYPERVISOR)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "open\n"
            host.ip("link", "set", "tap0", "up")
            yield
        finally:
            process.kill()


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> TwoMachines:
    stand = TwoMachines(lab, tools)
    for number, vm in ((1, stand.vm1), (2, stand.vm2)):
        vm.ip("addr", "add", f"fd00::{number}/64", "dev", "eth0", "nodad")
    lab.host.ip("link", "set", "vif1", "down")
    lab.host.ip("link", "set", "vif1", "name", "wire")
    lab.host.ip("link", "set", "wire", "up")
    stand.switch.vsctl("add-br", "br0", "--", "add-port", "br0", "vif2")
    return stand


def test_machines_behind_tap_devices_send_and_get_intact_data(stand: TwoMachines) -> None:
    with hypervisor(stand):
        stand.switch.vsctl("add-port", "br0", "tap0")
        for tx, tso, gro in FEATURES:
            for vm in (stand.vm1, stand.vm2):
                vm.run("ethtool", "-K", "eth0", "tx", tx, "tso", tso, "gro", gro)
            for address in ("10.0.0.2", "fd00::2"):
                received, sent = talk(stand.vm2, stand.vm1, RECEIVER, SENDER, address, BYTES)
                assert received == sent, (tx, tso, gro, address)
            for address in ("10.0.0.1", "fd00::1"):
                received, sent = talk(stand.vm1, stand.vm2, RECEIVER, SENDER, address, BYTES)
                assert received == sent, (tx, tso, gro, address)


def test_a_machine_may_be_stopped_and_started(stand: TwoMachines) -> None:
    def error() -> str:
        return stand.switch.vsctl("get", "interface", "tap0", "error").strip()

    missing = '"could not open network device tap0 (No such device)"'
    with hypervisor(stand):
        stand.switch.vsctl("add-port", "br0", "tap0")
        assert stand.vm2.ping("10.0.0.1", count=3)
    for _ in range(2):
        assert wait_until(lambda: error() == missing)
        with hypervisor(stand):
            assert wait_until(lambda: error() == "[]")
            assert wait_until(lambda: stand.vm2.ping("10.0.0.1"))
    assert "Traceback" not in stand.switch.log()


def test_an_internal_port_serves_another_namespace(stand: TwoMachines, datapath: str) -> None:
    """As an agent has it for its DHCP server: it moves the device, and names it."""
    room = stand.lab.add_namespace("room")
    stand.switch.vsctl("add-port", "br0", "agent", "--", "set", "interface", "agent",
                       "type=internal")  # fmt: skip
    stand.lab.host.ip("link", "set", "agent", "netns", room.name)
    room.ip("addr", "add", "10.0.0.8/24", "dev", "agent")
    room.ip("link", "set", "agent", "up")
    assert wait_until(lambda: stand.vm2.ping("10.0.0.8"))
    received, sent = talk(room, stand.vm2, RECEIVER, SENDER, "10.0.0.8", BYTES)
    assert received == sent
    received, sent = talk(stand.vm2, room, RECEIVER, SENDER, "10.0.0.2", BYTES)
    assert received == sent
    if datapath == "kernel":
        stand.switch.daemons.kill("ovs-vswitchd")
        assert stand.vm2.ping("10.0.0.8", count=3)
        stand.switch.daemons.start_vswitchd()
        assert wait_until(lambda: stand.vm2.ping("10.0.0.8", count=2))
        assert stand.switch.vsctl("get", "interface", "agent", "error").strip() == "[]"
        room.ip("link", "set", "agent", "mtu", "1000")
        assert wait_until(lambda: stand.vm2.ping("10.0.0.8", count=2))
    room.ip("link", "set", "agent", "netns", stand.lab.host.name)
    mac = "02:00:00:00:00:0a"
    stand.lab.host.ip("link", "set", "agent", "address", mac, "up")
    assert wait_until(lambda: mac in stand.switch.vsctl("get", "interface", "agent", "mac_in_use"))
    stand.lab.host.ip("link", "set", "agent", "netns", room.name)
    stand.switch.vsctl("del-port", "agent")
    assert "agent" not in room.ip("link", "show").stdout
