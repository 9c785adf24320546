"""Controllers: what a switch does with one, without one, and when it comes and goes.

The controller is a socket and the codec; it speaks OpenFlow 1.3."""

from __future__ import annotations

import select
import socket
import threading

import pytest
from tests.support.peers import wait_until
from tests.support.switches import TwoMachines, needs_root

from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.lab.lab import Lab
from netloom.lab.switch import Programs
from netloom.openflow import actions as a
from netloom.openflow import connection as openflow
from netloom.openflow import messages as m

pytestmark = [pytest.mark.root, needs_root]


class Controller:
    """One accepted connection of a switch, in a thread; answers nothing but echo requests."""

    def __init__(self, listener: socket.socket, flows: tuple[m.FlowMod, ...] = ()) -> None:
        self.packet_ins: list[m.PacketIn] = []
        self.messages: list[m.Message] = []
        self.connected = threading.Event()
        self._machine = openflow.Connection("controller", versions=(4,))
        self._listener = listener
        self._flows = list(flows)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        listening = [self._listener]
        while not self._ended.is_set() and not select.select(listening, [], [], 0.1)[0]:
            continue
        if self._ended.is_set():
            return
        peer, _ = self._listener.accept()
        with peer:
            while not self._ended.is_set():
                peer.sendall(self._machine.data_to_send())
                if select.select([peer], [], [], 0.05)[0]:
                    data = peer.recv(65_536)
                    if not data:
                        return
                    self._machine.receive_data(data)
                while (event := self._machine.next_event()) is not None:
                    self._take(event)

    def _take(self, event: openflow.Event) -> None:
        if isinstance(event, openflow.Negotiated):
            for flow in self._flows:
                self._machine.send(flow)
            self._machine.send(m.BarrierRequest())
        elif isinstance(event, openflow.Received):
            self.messages.append(event.message)
            if isinstance(event.message, m.BarrierReply):
                self.connected.set()
            if isinstance(event.message, m.PacketIn):
                self.packet_ins.append(event.message)

    def send(self, message: m.Message) -> None:
        self._machine.send(message)

    def end(self) -> None:
        self._ended.set()
        self._thread.join(60)


TABLE_MISS = m.FlowMod(m.OFPFC_ADD, priority=0, actions=(a.Controller(),))


class Stand(TwoMachines):
    """Bridge br0 with two machines; `listen` makes a port of the host for a controller."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        super().__init__(lab, tools, ("--enable-dummy",))
        self.switch.vsctl("add-br", "br0", "--", "add-port", "br0", "vif1", "--", "add-port",
                          "br0", "vif2")  # fmt: skip
        self.path = f"{self.switch.daemons.rundir}/controller"

    @property
    def target(self) -> str:
        return f"unix:{self.path}"

    def listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen()
        return listener

    def row(self, *columns: str) -> list[str]:
        return self.switch.vsctl("get", "controller", "br0", *columns).split("\n")[:-1]

    def reaches(self) -> bool:
        return self.vm1.ping("10.0.0.2", count=2, wait_s=0.5)


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> Stand:
    return Stand(lab, tools)


def test_a_standalone_bridge_fails_open_and_goes_back_to_normal(stand: Stand) -> None:
    vsctl = stand.switch.vsctl
    vsctl("set-controller", "br0", "tcp:127.0.0.1:1", "--", "set-fail-mode", "br0", "standalone")
    assert vsctl("get-controller", "br0") == "tcp:127.0.0.1:1\n"
    assert wait_until(lambda: "Connection refused" in stand.row("status")[0])
    assert not stand.reaches()
    # Three inactivity probes' time later the bridge forwards by itself.
    stand.switch.appctl("time/stop")
    stand.switch.appctl("time/warp", "16000", "500")
    assert wait_until(lambda: "failing open" in stand.switch.log()), stand.switch.log()
    assert wait_until(stand.reaches)
    assert stand.row("is_connected") == ["false"]
    vsctl("del-controller", "br0")
    assert vsctl("get-controller", "br0") == ""
    assert wait_until(stand.reaches)
    assert "actions=NORMAL" in stand.switch.ofctl("dump-flows", "br0")


def test_a_secure_bridge_without_its_controller_drops(stand: Stand) -> None:
    vsctl = stand.switch.vsctl
    assert wait_until(stand.reaches)
    vsctl("set-fail-mode", "br0", "secure", "--", "set-controller", "br0", "tcp:127.0.0.1:1")
    assert wait_until(lambda: not stand.reaches())
    assert wait_until(lambda: "Connection refused" in stand.row("status")[0])
    assert "actions" not in stand.switch.ofctl("dump-flows", "br0")
    vsctl("del-controller", "br0", "--", "del-fail-mode", "br0")
    assert wait_until(stand.reaches)


def test_a_controller_gets_packet_ins_and_its_flows_carry_traffic(stand: Stand) -> None:
    listener = stand.listen()
    controller = Controller(listener, (TABLE_MISS,))
    try:
        stand.switch.vsctl("set-fail-mode", "br0", "secure", "--", "set", "bridge", "br0",
                           "protocols=OpenFlow13",
                           "--", "set-controller", "br0", stand.target)  # fmt: skip
        assert controller.connected.wait(60)
        assert wait_until(lambda: stand.row("is_connected") == ["true"])
        assert stand.row("role") == ["other"]
        assert "state=ACTIVE" in stand.row("status")[0]
        assert "is_connected: true" in stand.switch.vsctl("show")
        assert not stand.reaches()
        assert wait_until(lambda: bool(controller.packet_ins))
        first = controller.packet_ins[0]
        assert first.reason == m.OFPR_NO_MATCH
        assert len(first.packet) >= 14
        for port, out in ((1, 2), (2, 1)):
            match = Match().with_field(FIELD["in_port_oxm"], port)
            flow = m.FlowMod(m.OFPFC_ADD, match=match, priority=10, actions=(a.Output(out),))
            controller.send(flow)
        assert wait_until(stand.reaches)
        shown = stand.switch.run("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br0").stdout
        assert "actions=CONTROLLER:65535" in shown and "priority=10" in shown
        controller.send(m.RoleRequest(m.OFPCR_ROLE_PRIMARY, 1))
        assert wait_until(lambda: stand.row("role") == ["master"]), stand.row("role")
    finally:
        controller.end()
        listener.close()
    # Gone: a secure bridge keeps its flows.
    assert wait_until(lambda: stand.row("is_connected") == ["false"])
    assert wait_until(stand.reaches)


def test_a_controller_may_call_the_switch(stand: Stand) -> None:
    stand.switch.vsctl("set", "bridge", "br0", "protocols=OpenFlow10,OpenFlow13",
                       "--", "set-controller", "br0", "ptcp:6653:127.0.0.1")  # fmt: skip
    inside = ("ip", "netns", "exec", stand.lab.host.name)
    ofctl = ("ovs-ofctl", "-O", "OpenFlow13")
    target = "tcp:127.0.0.1:6653"
    assert wait_until(
        lambda: stand.switch.run(*inside, *ofctl, "show", target, check=False).status == 0
    )
    stand.switch.run(*inside, *ofctl, "add-flow", target, "priority=9,icmp,actions=drop")
    assert "priority=9,icmp" in stand.switch.ofctl("dump-flows", "br0")
    # Nobody to wait for: the bridge goes on as it is.
    assert stand.vm1.run("ping", "-c1", "-W1", "10.0.0.2", check=False).status == 1
    stand.switch.run(*inside, *ofctl, "del-flows", target, "icmp")
    stand.switch.vsctl("del-controller", "br0")
    assert stand.switch.run(*inside, *ofctl, "show", target, check=False).status == 1
    assert wait_until(stand.reaches)
