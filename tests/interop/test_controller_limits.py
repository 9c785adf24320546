"""What a Controller row asks of its connection: its class of service, its queue, its rate."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator

import pytest
from tests.support.dummy_switch import DummySwitch, dummy_switch
from tests.support.peers import wait_until

pytestmark = pytest.mark.interop

HELLO = struct.pack("!BBHI", 1, 0, 8, 1)
FRAME = "50540000000250540000000108ff" + "00" * 1400


@pytest.fixture
def switch() -> Iterator[DummySwitch]:
    with dummy_switch() as made:
        yield made


@pytest.fixture
def controller(switch: DummySwitch) -> Iterator[socket.socket]:
    """One that says hello and reads nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.settimeout(40)
        switch.vsctl("set-controller", "br0", f"tcp:127.0.0.1:{server.getsockname()[1]}")
        peer, _ = server.accept()
        with peer:
            peer.sendall(HELLO)
            assert wait_until(lambda: "true" in column(switch, "is_connected"))
            yield peer


def column(switch: DummySwitch, name: str) -> str:
    return switch.vsctl("get", "controller", "br0", name).strip()


def receive(switch: DummySwitch, n_packets: int) -> None:
    for _ in range(n_packets // 10):
        switch.appctl("netdev-dummy/receive", "p1", *[FRAME] * 10)


def test_packet_ins_beyond_the_rate_are_counted_in_the_status(
    switch: DummySwitch, controller: socket.socket
) -> None:
    del controller
    assert "packet-in" not in column(switch, "status")
    switch.vsctl(
        "set", "controller", "br0", "controller_rate_limit=100", "controller_burst_limit=25"
    )
    switch.ofctl("add-flow", "br0", "actions=controller")
    receive(switch, 100)
    assert wait_until(lambda: "packet-in-action-dropped=" in column(switch, "status"), every_s=0.3)
    status = column(switch, "status")
    for key in ("backlog", "bypassed", "dropped", "queued"):
        assert f"packet-in-action-{key}=" in status
        assert f'packet-in-miss-{key}="0"' in status


def test_controller_that_does_not_read_loses_packet_ins(
    switch: DummySwitch, controller: socket.socket
) -> None:
    # Who does not read does not answer probes either.
    switch.vsctl("set", "controller", "br0", "controller_queue_size=5", "inactivity_probe=0")
    switch.ofctl("add-flow", "br0", "actions=controller")
    del controller

    def has_lost() -> bool:
        receive(switch, 200)
        text = (switch.rundir / "ovs-vswitchd.log").read_text()
        return "dropping packet-in due to queue overflow" in text

    assert wait_until(has_lost, 60)


@pytest.mark.parametrize(("config", "tos"), [("", "tos:0xc0"), ("dscp=10", "tos:0x28")])
def test_packets_to_the_controller_have_its_class(
    switch: DummySwitch, controller: socket.socket, config: str, tos: str
) -> None:
    port = controller.getsockname()[1]
    if config:
        switch.vsctl("set", "controller", "br0", f"other_config:{config}")

    def has_class() -> bool:
        command = ["ss", "-Htn", "--tos", f"dport = :{port}"]
        return tos in subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert wait_until(has_class)
