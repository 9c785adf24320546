"""A barrier's reply means that earlier messages govern every packet that arrives after it, while
other packets of the same flow pass all the time: on real veth pairs, in both data paths."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peers import wait_until
from tests.support.raw_controllers import RawController, call
from tests.support.switches import TwoMachines, needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs
from netloom.openflow.codec import encode_message
from netloom.openflow.flow_text import parse_flow_mod
from netloom.openflow.messages import OFPFC_ADD, OFPFC_DELETE
from netloom.openflow.protocol import INITIAL

pytestmark = [pytest.mark.root, needs_root]

N_ROUNDS = 40
#: Of each round: enough to be spread over what queues there are.
N_PACKETS = 20
_VERSION = 4
#: Sends to a port of the other machine what comes in lines, `ROUND COUNT`, and then to another port
#: that the round is over; between lines it goes on sending packets of round 0.
_SENDER = """
import select, socket, sys
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
there, over = (sys.argv[1], 4000), (sys.argv[1], 4001)
while True:
    line.sendto(b"0", there)
    if select.select([sys.stdin], [], [], 0.0005)[0]:
        words = sys.stdin.readline().split()
        if not words:
            break
        for _ in range(int(words[1])):
            line.sendto(words[0].encode(), there)
        line.sendto(words[0].encode(), over)
        print("sent", flush=True)
"""
#: Prints how many packets of the round came, and whether it is over, for each line with a round.
_HEARER = """
import collections, select, socket, sys
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
line.bind(("", 4000))
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end.bind(("", 4001))
count, over = collections.Counter(), set()
while True:
    ready = select.select([line, end, sys.stdin], [], [])[0]
    if line in ready:
        count[line.recv(100).decode()] += 1
    elif end in ready:
        over.add(end.recv(100).decode())
    elif sys.stdin in ready:
        word = sys.stdin.readline().strip()
        if not word:
            break
        print(count[word], word in over, flush=True)
"""


class Machine:
    """A program in a machine that is told lines and answers each with one."""

    def __init__(self, namespace: str, program: str, *argv: str) -> None:
        command = ["ip", "netns", "exec", namespace, sys.executable, "-c", program, *argv]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, line: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> Iterator[tuple[RawController, Machine, Machine]]:
    machines = TwoMachines(lab, tools)
    switch = machines.switch
    switch.vsctl(
        "add-br", "br0", "--", "set", "bridge", "br0", "protocols=OpenFlow10,OpenFlow13",
        "fail_mode=secure", "--", "add-port", "br0", "vif1", "--", "add-port", "br0", "vif2",
    )  # fmt: skip
    switch.ofctl("add-flow", "br0", "priority=1,actions=normal")
    assert wait_until(lambda: machines.vm1.ping("10.0.0.2"))
    path = Path(switch.daemons.rundir) / "br0.mgmt"
    controller = call(f"unix:{path}", _VERSION)
    hearer = Machine(machines.vm2.name, _HEARER)
    # A packet that nobody hears is answered with an error.
    assert hearer.ask("0") == "0 False"
    sender = Machine(machines.vm1.name, _SENDER, "10.0.0.2")
    try:
        assert wait_until(lambda: not hearer.ask("0").startswith("0 "))
        yield controller, sender, hearer
    finally:
        sender.end()
        hearer.end()
        controller.close()


def flow_mod(text: str, command: int = OFPFC_ADD) -> bytes:
    return encode_message(parse_flow_mod(text, command)[0], 9, INITIAL[_VERSION])


def arrived(stand: tuple[RawController, Machine, Machine], round_: int) -> int:
    """How many packets of a round the other machine got, once the round is over."""
    _, sender, hearer = stand
    assert sender.ask(f"{round_} {N_PACKETS}") == "sent"
    assert wait_until(lambda: hearer.ask(str(round_)).endswith("True"))
    return int(hearer.ask(str(round_)).split()[0])


def test_packets_after_a_barrier_obey_what_was_before_it(
    stand: tuple[RawController, Machine, Machine],
) -> None:
    controller, _, hearer = stand
    drop = flow_mod("priority=9,udp,tp_dst=4000,actions=drop")
    pass_ = flow_mod("udp,tp_dst=4000", OFPFC_DELETE)
    for number in range(1, N_ROUNDS, 2):
        assert controller.heard(drop) == []
        assert arrived(stand, number) == 0
        assert controller.heard(pass_) == []
        arrived(stand, number + 1)
        # What comes up to the daemon may be overtaken by the word that the round is over.
        all_ = f"{N_PACKETS} True"
        assert wait_until(lambda word=str(number + 1), all_=all_: hearer.ask(word) == all_)
