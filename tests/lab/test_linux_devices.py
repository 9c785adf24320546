"""Devices of the kernel: their states, counters, settings, comings and goings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes network namespaces"),
]

SRC = Path(__file__).parents[2] / "src"

PROLOGUE = """
import subprocess, time
from netloom.base.errors import ConfigError
from netloom.netdev.device import Packet
from netloom.netdev.linux.factory import LinuxFactory

def ip(*argv):
    subprocess.run(["ip", *argv], check=True)

def refused(call, *args):
    try:
        call(*args)
    except ConfigError as error:
        return str(error)
    raise AssertionError("was not refused")

def wait(condition):
    for _ in range(2_000):
        factory.changes()
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("did not happen")

def take(device, count):
    # On a busy machine they come later than at once.
    found = []
    def is_there():
        packets = [p.data for p in device.receive(99)]
        found.extend(data for data in packets if data[6:12] == FRAME[6:12])
        return len(found) >= count
    wait(is_there)
    return found

factory = LinuxFactory()
FRAME = bytes.fromhex("020000000002020000000001" "88b5") + b"x" * 50
"""


class Machine:
    """A namespace in which a test's program runs."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, program: str) -> None:
        argv = ["ip", "netns", "exec", self.name, sys.executable, "-c", PROLOGUE + program]
        env = {**os.environ, "PYTHONPATH": str(SRC)}
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    name = f"nld{os.getpid()}{abs(hash(request.node.name)) % 1000}"
    try:
        subprocess.run(["ip", "netns", "add", name], check=True)
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        # No packets of the kernel's own.
        quiet = "net.ipv6.conf.default.disable_ipv6=1"
        subprocess.run(["ip", "netns", "exec", name, "sysctl", "-qw", quiet], check=True)
        yield Machine(name)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def test_a_device_that_does_not_exist_has_the_peers_message(machine: Machine) -> None:
    machine.run("""
assert refused(factory.open, "p1", "system", {}) == (
    "could not open network device p1 (No such device)")
assert "too long" in refused(factory.open, "a" * 16, "system", {})
assert refused(factory.open, "v1", "foo", {}) == (
    "could not open network device v1 (Address family not supported by protocol)")
""")


def test_a_system_device_tells_its_state_and_is_set(machine: Machine) -> None:
    machine.run("""
ip("link", "add", "v1", "type", "veth", "peer", "name", "v2")
device = factory.open("v1", "system", {})
state = device.state()
assert state.present and not state.admin_up and not state.link_up
assert state.mtu == 1500 and state.ifindex > 0
assert state.speed_bps == 10_000_000_000 and state.full_duplex
assert dict(state.driver)["driver_name"] == "veth"
device.set_admin_up(True)
device.set_mtu(1400)
device.set_mac("02:00:00:00:00:77")
ip("link", "set", "v2", "up")
wait(lambda: device.state().link_up)
state = device.state()
assert (state.admin_up, state.mtu, state.mac) == (True, 1400, "02:00:00:00:00:77")
assert state.carrier_changes > 0
assert refused(device.set_mtu, 70_000) == "v1: setting MTU failed: Invalid argument"
""")


def test_packets_pass_between_devices_and_are_counted(machine: Machine) -> None:
    machine.run("""
ip("link", "add", "v1", "type", "veth", "peer", "name", "v2")
one, two = factory.open("v1", "system", {}), factory.open("v2", "system", {})
one.set_admin_up(True)
two.set_admin_up(True)
wait(lambda: one.state().link_up)
def ours(device):
    return [p.data for p in device.receive(99) if p.data[12:14] == b"\\x88\\xb5"]
ours(two)
tagged = FRAME[:12] + b"\\x81\\x00\\x60\\x0a" + FRAME[12:]
long = FRAME[:14] + bytes(1500)
before = one.stats().tx_packets
one.send([Packet(FRAME), Packet(tagged), Packet(long)])
assert take(two, 3) == [FRAME, tagged, long]
assert ours(one) == []  # what a device sends itself is not received
assert one.stats().tx_packets - before == 3
one.send([Packet(long + b"y")])  # longer than the MTU
assert one.stats().tx_dropped == 1
one.set_mtu(9000)
two.set_mtu(9000)
jumbo = FRAME[:14] + bytes(9000)
one.send([Packet(jumbo)])
assert take(two, 1) == [jumbo]
""")


def test_a_device_that_vanishes_is_noticed_and_never_raises(machine: Machine) -> None:
    machine.run("""
ip("link", "add", "v1", "type", "veth", "peer", "name", "v2")
device = factory.open("v1", "system", {})
before = factory.changes()
ip("link", "del", "v1")
wait(lambda: factory.changes() > before)
assert not device.state().present
assert device.receive(9) == []
device.send([Packet(FRAME)])
device.stats()
# Another device of the name is another device.
before = factory.changes()
ip("link", "add", "v1", "type", "veth", "peer", "name", "v2")
wait(lambda: factory.changes() > before)
assert not device.state().present
device.close()
assert factory.open("v1", "system", {}).state().present
""")


def test_an_internal_device_lives_as_long_as_it_is_open(machine: Machine) -> None:
    machine.run("""
device = factory.open("br0", "internal", {})
assert device.state().present and not device.state().admin_up
assert dict(device.state().driver)["driver_name"] == "tun"
device.set_mac("02:00:00:00:00:01")
device.set_mtu(1300)
device.set_admin_up(True)
wait(lambda: device.state().link_up)
assert (device.state().mac, device.state().mtu) == ("02:00:00:00:00:01", 1300)
before = device.stats().rx_packets
device.send([Packet(FRAME)])
wait(lambda: device.stats().rx_packets == before + 1)  # what the switch sends, the host receives
assert "busy" in refused(factory.open, "br0", "internal", {})
device.close()
wait(lambda: "No such device" in refused(factory.open, "br0", "system", {}))
""")


def test_changes_grow_when_a_device_appears(machine: Machine) -> None:
    machine.run("""
before = factory.changes()
assert factory.changes() == before
ip("link", "add", "v1", "type", "veth", "peer", "name", "v2")
wait(lambda: factory.changes() > before)
""")
