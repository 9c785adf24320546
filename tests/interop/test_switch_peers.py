"""Peers of a running switch that are no friends of it: garbage, silence, a raw controller."""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Iterator

import pytest
from tests.support.dummy_switch import DummySwitch, dummy_switch
from tests.support.peers import wait_until

OFP13, HELLO, ECHO_REQUEST, FEATURES_REQUEST, FEATURES_REPLY = 4, 0, 2, 5, 6
PACKET_IN, FLOW_MOD, BARRIER_REQUEST, BARRIER_REPLY = 10, 14, 20, 21
UDP = (
    "in_port(1),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type(0x0800),"
    "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
)


@pytest.fixture
def switch() -> Iterator[DummySwitch]:
    with dummy_switch() as made:
        yield made


def connect(switch: DummySwitch, name: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(40)
    sock.connect(str(switch.rundir / name))
    return sock


def read_to_end(sock: socket.socket) -> bytes:
    """All that comes until the peer closes; TimeoutError if it does not."""
    data = b""
    try:
        while chunk := sock.recv(65_536):
            data += chunk
    except ConnectionResetError:
        return data
    return data


def message(kind: int, body: bytes = b"", xid: int = 1, version: int = OFP13) -> bytes:
    return struct.pack("!BBHI", version, kind, 8 + len(body), xid) + body


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n\n\0\0GET / HTTP/1.0\r\n\r\n",
        message(HELLO) + struct.pack("!BBHI", OFP13, ECHO_REQUEST, 3, 1),
        message(ECHO_REQUEST),
    ],
)
def test_garbage_costs_a_controller_its_own_connection_only(
    switch: DummySwitch, garbage: bytes
) -> None:
    bystander = connect(switch, "br0.mgmt")
    bystander.sendall(message(HELLO))
    with connect(switch, "br0.mgmt") as sock:
        sock.sendall(garbage)
        read_to_end(sock)
    bystander.sendall(message(ECHO_REQUEST, b"alive", xid=7))
    answer = bystander.recv(65_536)
    while b"alive" not in answer:
        answer += bystander.recv(65_536)
    bystander.close()
    assert "NXST_FLOW" in switch.ofctl("dump-flows", "br0").stdout


def test_garbage_on_the_control_socket_costs_that_connection_only(switch: DummySwitch) -> None:
    with connect(switch, f"ovs-vswitchd.{switch.pid('ovs-vswitchd')}.ctl") as sock:
        sock.sendall(b"]]]")
        read_to_end(sock)
    assert switch.appctl("ofproto/list") == "br0\n"


def test_half_a_message_and_a_hang_up_harm_nobody(switch: DummySwitch) -> None:
    with connect(switch, "br0.mgmt") as sock:
        sock.sendall(message(HELLO)[:5])
    assert "NXST_FLOW" in switch.ofctl("dump-flows", "br0").stdout


class RawController:
    """Speaks just enough OpenFlow 1.3 over a listening socket."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(40)
        self.port: int = self._listener.getsockname()[1]
        self._buffer = b""

    def accept(self) -> None:
        self._sock, _ = self._listener.accept()
        self._sock.settimeout(40)
        self._buffer = b""
        self.send(HELLO)
        assert self.receive()[0] == HELLO

    def send(self, kind: int, body: bytes = b"", xid: int = 1) -> None:
        self._sock.sendall(message(kind, body, xid))

    def receive(self) -> tuple[int, bytes]:
        """The next message that is no echo request: its type and body."""
        while True:
            kind, length = self._header()
            if kind == -1 or len(self._buffer) < length:
                chunk = self._sock.recv(65_536)
                assert chunk, "the switch closed the connection"
                self._buffer += chunk
                continue
            body, self._buffer = self._buffer[8:length], self._buffer[length:]
            if kind == ECHO_REQUEST:
                self.send(3, body)
            else:
                return kind, body

    def _header(self) -> tuple[int, int]:
        if len(self._buffer) < 8:
            return -1, 0
        return self._buffer[1], int.from_bytes(self._buffer[2:4], "big")

    def wait_for(self, kind: int) -> bytes:
        while True:
            found, body = self.receive()
            if found == kind:
                return body

    def hang_up(self) -> None:
        self._sock.close()

    def close(self) -> None:
        self._sock.close()
        self._listener.close()


def flow_mod_output(in_port: int, out_port: int) -> bytes:
    """The body of an OpenFlow 1.3 flow mod: in_port -> output (sections 7.2.2, 7.2.3, 7.3.4.1)."""
    oxm = struct.pack("!IH", 0x80000004, 0)[:4] + struct.pack("!I", in_port)
    match = struct.pack("!HH", 1, 4 + len(oxm)) + oxm
    match += bytes(-len(match) % 8)
    action = struct.pack("!HHIH6x", 0, 16, out_port, 0xFFFF)
    apply = struct.pack("!HH4x", 4, 8 + len(action)) + action
    fixed = struct.pack("!QQBBHHHIIIH2x", 0, 0, 0, 0, 0, 0, 100, 0xFFFFFFFF, 0xFFFFFFFF,
                        0xFFFFFFFF, 0)  # fmt: skip
    return fixed + match + apply


def test_a_raw_controller_gets_packets_and_installs_flows(switch: DummySwitch) -> None:
    controller = RawController()
    target = f"tcp:127.0.0.1:{controller.port}"
    switch.vsctl(
        *("set-fail-mode", "br0", "secure", "--", "set-controller", "br0", target),
        *("--", "set", "bridge", "br0", "protocols=OpenFlow13,OpenFlow10"),
    )
    # The change of protocols made the first connection obsolete.
    controller.accept()
    assert wait_until(lambda: "true" in switch.vsctl("get", "controller", "br0", "is_connected"))
    controller.send(FEATURES_REQUEST)
    datapath_id = controller.wait_for(FEATURES_REPLY)[:8].hex()
    assert datapath_id in switch.vsctl("get", "bridge", "br0", "datapath_id")
    switch.ofctl("-OOpenFlow13", "add-flow", "br0", "priority=0,actions=controller")
    switch.appctl("netdev-dummy/receive", "p1", UDP)
    assert bytes.fromhex("505400000002505400000001") in controller.wait_for(PACKET_IN)
    controller.send(FLOW_MOD, flow_mod_output(1, 2))
    controller.send(BARRIER_REQUEST, xid=9)
    controller.wait_for(BARRIER_REPLY)
    assert "in_port=1 actions=output:2" in switch.ofctl("dump-flows", "br0").stdout.replace(
        "in_port=p1 actions=output:p2", "in_port=1 actions=output:2"
    )
    controller.hang_up()
    assert wait_until(lambda: "BACKOFF" in switch.vsctl("get", "controller", "br0", "status"))
    controller.accept()
    assert wait_until(lambda: "true" in switch.vsctl("get", "controller", "br0", "is_connected"))
    controller.close()


def test_the_switch_survives_a_database_that_dies_in_the_middle(switch: DummySwitch) -> None:
    pid = switch.pid("ovsdb-server")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: switch.pid("ovsdb-server") is None)
    assert switch.appctl("ofproto/list") == "br0\n"
    switch.start_ovsdb_server()
    switch.vsctl("add-port", "br0", "p3", "--", "set", "interface", "p3", "type=dummy")
    assert switch.vsctl("get", "interface", "p3", "ofport") == "3\n"


def test_the_time_can_be_stopped_and_warped(switch: DummySwitch) -> None:
    switch.appctl("time/stop")
    switch.ofctl("add-flow", "br0", "hard_timeout=10,actions=normal")
    switch.appctl("time/warp", "9000")
    assert "hard_timeout=10" in switch.ofctl("dump-flows", "br0").stdout
    switch.appctl("time/warp", "2000")
    assert "hard_timeout=10" not in switch.ofctl("dump-flows", "br0").stdout
