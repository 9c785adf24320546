"""QoS on real devices: Debian's switch and ours ask the same of the kernel and say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from tests.support.peers import peer_tools
from tests.support.switches import needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, pytest.mark.interop, needs_root]

QUEUES = {
    "a": "other-config:min-rate=2000000",
    "b": "dscp=46 other-config:min-rate=1000000 other-config:priority=2 other-config:burst=800000",
    "c": "other-config:max-rate=5000",
}


def wish(qos: str, queues: str = "") -> str:
    """The words after `set port PORT`; `queues` is like "0=a 5=b"."""
    made = {pair.partition("=")[2] for pair in queues.split()}
    words = [f"qos=@q -- --id=@q create qos {qos}"]
    words += [f"queues:{number}=@{name}" for number, _, name in
              (pair.partition("=") for pair in queues.split())]  # fmt: skip
    words += [f"-- --id=@{name} create queue {QUEUES[name]}" for name in sorted(made)]
    return " ".join(words)


class Side:
    """One switch with a bridge of one device."""

    def __init__(self, lab: Lab, programs: Programs, name: str, datapath_type: str) -> None:
        self.lab, self.device = lab, f"{name}1"
        lab.host.ip("link", "add", self.device, "type", "veth", "peer", "name", f"{name}2")
        for end in (self.device, f"{name}2"):
            lab.host.ip("link", "set", end, "up")
        self.switch = lab.add_switch(name, programs, ())
        self.switch.start()
        self.run(f"ovs-vsctl add-br {name}0 -- set bridge {name}0 datapath_type={datapath_type} "
                 f"-- add-port {name}0 {self.device}")  # fmt: skip
        self._name = name

    def run(self, line: str) -> str:
        """What a command says, with names that both sides share; BRIDGE and PORT are its own."""
        words = [self._own(word) for word in line.split()]
        done = self.switch.run(*words, check=False)
        return self._shared(done.stdout + done.stderr)

    def tc(self, what: str) -> list[str]:
        told = self.lab.host.run("tc", "-d", what, "show", "dev", self.device).stdout
        # How tc itself tells of a class without packets differs with the kernel's order.
        return sorted(self._shared(told).splitlines())

    def _own(self, word: str) -> str:
        return re.sub("PORT", self.device, re.sub("BRIDGE", f"{self.device[:-1]}0", word))

    def _shared(self, text: str) -> str:
        text = re.sub(rf"\b{self.device}\b", "PORT", text)
        text = re.sub(r"\(xid=0x[0-9a-f]+\)", "(xid)", text)
        return re.sub(rf"\b{self.device[:-1]}0\b", "BRIDGE", text)


@pytest.fixture
def sides(lab: Lab, tools: Programs) -> Iterator[tuple[Side, Side]]:
    yield Side(lab, peer_tools(), "qa", "netdev"), Side(lab, tools, "qb", "system")


WISHES = (
    wish("type=linux-htb other-config:max-rate=50000000", "0=a 5=b 7=c"),
    wish("type=linux-htb other-config:max-rate=30000000", "5=a 1=b 2=b 3=b"),
    wish("type=linux-htb"),
    wish("type=linux-htb other-config:max-rate=x", "9=c"),
    wish("type=linux-noop"),
    "qos=[]",
)


def test_the_kernel_is_asked_for_the_same_disciplines_and_classes(
    sides: tuple[Side, Side],
) -> None:
    for words in WISHES:
        told = []
        for side in sides:
            side.run(f"ovs-vsctl set port PORT {words}")
            told.append((side.tc("qdisc"), side.tc("class")))
        theirs, ours = told
        assert ours == theirs, words


def test_both_say_the_same_of_it(sides: tuple[Side, Side]) -> None:
    asked = [
        "ovs-appctl qos/show PORT",
        "ovs-appctl qos/show-types PORT",
        "ovs-appctl qos/show BRIDGE",
        "ovs-appctl qos/show nope",
        "ovs-appctl qos/show-types nope",
        "ovs-ofctl queue-stats BRIDGE PORT",
        "ovs-ofctl queue-stats BRIDGE ALL 5",
        "ovs-ofctl queue-stats BRIDGE PORT 77",
        "ovs-ofctl queue-stats BRIDGE 99",
        *(f"ovs-ofctl -O OpenFlow{version} queue-get-config BRIDGE PORT{queue}"
          for version in (10, 11, 13, 14, 15) for queue in ("", " 5", " 77")),
    ]  # fmt: skip
    for words in WISHES:
        for side in sides:
            side.run(f"ovs-vsctl set port PORT {words}")
        for line in asked:
            theirs, ours = (side.run(line) for side in sides)
            # Packets of the host's own IPv6 may have been sent meanwhile.
            assert _uncounted(ours) == _uncounted(theirs), f"{words}: {line}"


def _uncounted(text: str) -> str:
    return re.sub(r"(tx_packets: |tx_bytes: |bytes=|pkts=)\d+", r"\1N", text)
