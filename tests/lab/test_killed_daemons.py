"""kill -9 at any moment: no answered transaction is lost, and the other daemon carries on."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from tests.support.peers import wait_until
from tests.support.switches import RunningSwitch, needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]

SEED = 11
KILLS = 5
DUMMY = ("--enable-dummy=override",)


class Writer(threading.Thread):
    """Commits one row after the other until the server is gone; `answered` are those that it
    said are in the database."""

    def __init__(self, path: Path, first: int) -> None:
        super().__init__()
        self.answered: list[int] = []
        self._path = path
        self._next = first

    def run(self) -> None:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(self._path))
            try:
                while self._commit(peer):
                    self._next += 1
            except (OSError, ValueError):
                return

    def _commit(self, peer: socket.socket) -> bool:
        key = f"k{self._next}"
        mutation = ["external_ids", "insert", ["map", [[key, "v" * 200]]]]
        operation = {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [mutation]}
        request = {"id": self._next, "method": "transact", "params": ["Open_vSwitch", operation]}
        peer.sendall(json.dumps(request).encode())
        data = b""
        while True:
            piece = peer.recv(65_536)
            if not piece:
                return False
            data += piece
            try:
                reply = json.loads(data)
            except ValueError:
                continue
            assert reply["result"][0].get("count") == 1, reply
            self.answered.append(self._next)
            return True


def test_no_answered_transaction_is_lost_by_kill_9(lab: Lab, tools: Programs) -> None:
    rng = random.Random(SEED)
    switch = RunningSwitch(lab, tools, tools, DUMMY)
    switch.start()
    switch.vsctl("add-br", "br0")
    answered: list[int] = []
    for round_ in range(KILLS):
        writer = Writer(switch.daemons.db_socket, 1_000_000 * round_)
        writer.start()
        moment = rng.randint(1, 200)
        assert wait_until(lambda: len(writer.answered) >= moment), f"seed {SEED}"  # noqa: B023
        switch.daemons.kill("ovsdb-server", signal.SIGKILL)
        writer.join(60)
        assert writer.answered, f"seed {SEED}, kill {round_}"
        answered += writer.answered
        switch.daemons.start_ovsdb_server()
        kept = switch.vsctl("get", "Open_vSwitch", ".", "external_ids")
        lost = [number for number in answered if f"k{number}=" not in kept]
        assert lost == [], f"seed {SEED}, kill {round_}"
    # The switch came back by itself each time: this returns when it has done what it is told.
    switch.vsctl("add-port", "br0", "p1")
    assert switch.get("interface", "p1", "ofport") == "1"


def test_a_command_that_waits_for_the_switch_ends_when_there_is_one_again(
    lab: Lab, tools: Programs
) -> None:
    switch = RunningSwitch(lab, tools, tools, DUMMY)
    switch.start()
    switch.daemons.kill("ovs-vswitchd", signal.SIGKILL)
    late = switch.run("ovs-vsctl", "--timeout=1", "add-br", "br0", check=False)
    assert late.status == -signal.SIGALRM or late.status == 128 + signal.SIGALRM
    assert switch.vsctl("--no-wait", "list-br") == "br0\n"
    path = switch.daemons.env
    waiting = subprocess.Popen(["ovs-vsctl", "--timeout=60", "add-port", "br0", "p1"], env=path)
    assert wait_until(lambda: "p1" in switch.vsctl("--no-wait", "list-ports", "br0"))
    assert waiting.poll() is None
    switch.daemons.start_vswitchd()
    assert waiting.wait(60) == 0
    assert switch.get("interface", "p1", "ofport") == "1"


def test_a_killed_switch_leaves_the_database_alone_and_comes_back_the_same(
    lab: Lab, tools: Programs
) -> None:
    switch = RunningSwitch(lab, tools, tools, DUMMY)
    switch.start()
    switch.vsctl("add-br", "br0", "--", "add-port", "br0", "p1", "tag=5",
                 "--", "add-port", "br0", "p2", "--", "add-port", "br0", "p3")  # fmt: skip
    switch.vsctl("del-port", "p2")
    columns = ("get", "interface", "p3", "ofport", "--", "get", "bridge", "br0",
               "datapath_id")  # fmt: skip
    before = switch.vsctl(*columns)
    server = switch.daemons.pid("ovsdb-server")
    for _ in range(3):
        switch.daemons.kill("ovs-vswitchd", signal.SIGKILL)
        assert switch.vsctl("--no-wait", "get", "port", "p1", "tag") == "5\n"
        switch.daemons.start_vswitchd()
        assert wait_until(lambda: switch.vsctl(*columns) == before)
    assert switch.daemons.pid("ovsdb-server") == server
    assert "Traceback" not in switch.log() + switch.log("ovsdb-server")


def test_traffic_goes_on_while_the_database_is_killed_and_started(
    lab: Lab, tools: Programs
) -> None:
    switch = RunningSwitch(lab, tools, tools)
    vm1 = lab.add_vm("vm1", "vif1", "10.0.0.1/24")
    lab.add_vm("vm2", "vif2", "10.0.0.2/24")
    switch.start()
    switch.vsctl("add-br", "br0", "--", "add-port", "br0", "vif1", "--", "add-port", "br0", "vif2")
    assert vm1.ping("10.0.0.2", count=3)
    pings: list[str] = []
    command = ("ping", "-n", "-q", "-i", "0.02", "-c", "100", "10.0.0.2")
    thread = threading.Thread(target=lambda: pings.append(vm1.run(*command, check=False).stdout))
    thread.start()
    switch.daemons.kill("ovsdb-server", signal.SIGKILL)
    switch.daemons.start_ovsdb_server()
    thread.join(60)
    assert "100 received" in pings[0]
    switch.vsctl("set", "port", "vif2", "tag=3")
    assert not vm1.ping("10.0.0.2", wait_s=0.5)
