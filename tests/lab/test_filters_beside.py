"""What the host's own filters see of a switch's packets: all that concern the host, by its internal
port; at the devices of other ports nothing (docs/reference/differences.md)."""

from __future__ import annotations

import re

import pytest
from tests.support.peers import require_services
from tests.support.switches import TwoMachines, needs_root

from netloom.lab.lab import Lab
from netloom.lab.peers import service_program
from netloom.lab.switch import Programs

pytestmark = [
    pytest.mark.root,
    needs_root,
    pytest.mark.parametrize("datapath", ["kernel"], indirect=True),
]

PINGS = "icmp type echo-request counter"
#: A counter of pings at each place.
RULES = f"""
table netdev near {{
    chain port_in {{ type filter hook ingress device vif1 priority 0; {PINGS}; }}
    chain port_out {{ type filter hook egress device vif2 priority 0; {PINGS}; }}
    chain host_in {{ type filter hook ingress device br0 priority 0; {PINGS}; }}
}}
table inet host {{
    chain input {{ type filter hook input priority 0; ct state new {PINGS}; }}
}}
"""


class Stand(TwoMachines):
    """The machines and the host, 10.0.0.9, on br0, with chains of nftables all over."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        super().__init__(lab, tools)
        require_services()
        self.switch.vsctl("add-br", "br0")
        for number in (1, 2):
            self.switch.vsctl("add-port", "br0", f"vif{number}")
        lab.host.ip("addr", "add", "10.0.0.9/24", "dev", "br0")
        lab.host.ip("link", "set", "br0", "up")
        assert self.vm1.ping("10.0.0.2", count=2) and self.vm1.ping("10.0.0.9", count=2)
        self.nft(RULES)

    def nft(self, *argv: str) -> str:
        program, libraries = service_program("nft")
        return self.lab.host.run("env", f"LD_LIBRARY_PATH={libraries}", program, *argv).stdout

    def counts(self) -> dict[str, int]:
        """Chain -> packets."""
        shown = self.nft("list", "ruleset")
        found = re.findall(r"chain (\w+) {.*?packets (\d+)", shown, re.DOTALL)
        return {name: int(packets) for name, packets in found}


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> Stand:
    return Stand(lab, tools)


def test_the_host_filters_and_tracks_what_is_for_it(stand: Stand) -> None:
    assert stand.vm1.ping("10.0.0.9", count=3)
    counts = stand.counts()
    assert counts["host_in"] == 3
    assert counts["input"] == 1, "new for the host's own tracking of connections, once"
    stand.nft("add", "rule", "inet", "host", "input", "icmp", "type", "echo-request", "drop")
    assert not stand.vm1.ping("10.0.0.9")
    assert stand.vm1.ping("10.0.0.2"), "machines among themselves are no business of the host"


def test_filters_at_the_devices_of_ports_see_nothing(stand: Stand) -> None:
    assert stand.vm1.ping("10.0.0.2", count=3)
    assert stand.counts() == {"port_in": 0, "port_out": 0, "host_in": 0, "input": 0}
