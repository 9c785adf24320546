"""Neutron's own functional tests of what it does with a switch: the OVS library, flows, the OVSDB
monitors and the firewall of conntrack.

They take some minutes: `make suites` runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.openstack_suites import Suites
from tests.support.switches import needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [
    pytest.mark.root,
    needs_root,
    pytest.mark.interop,
    pytest.mark.timeout(600),
    pytest.mark.suite,
]

TESTS = "neutron.tests.functional.agent"
#: It makes a device of type `dummy`, which a kernel may lack.
NEEDS_DUMMIES = {"BaseOVSTestCase.test_get_bridge_ports"}


@pytest.mark.parametrize(
    ("module", "n_tests"),
    [
        ("common.test_ovs_lib", 26),
        ("test_ovs_lib", 50),
        ("common.test_ovsdb_monitor", 1),
        ("linux.test_ovsdb_monitor", 4),
        ("linux.openvswitch_firewall.test_firewall", 4),
    ],
)
def test_functional_tests_of_neutron_pass(
    lab: Lab, tools: Programs, tmp_path: Path, module: str, n_tests: int
) -> None:
    suites = Suites(lab, tools, "neutron-suites", tmp_path)
    found = suites.run(f"{TESTS}.{module}", timeout_s=590)
    assert found.n_ran == n_tests, found.output
    assert found.failed <= NEEDS_DUMMIES, found.output


def test_firewall_with_conntrack_filters(lab: Lab, tools: Programs, tmp_path: Path) -> None:
    suites = Suites(lab, tools, "neutron-suites", tmp_path)
    found = suites.run(f"{TESTS}.test_firewall", timeout_s=590)
    assert found.n_ran >= 50, found.output
    # The scenarios of iptables need programs that have nothing to do with a switch.
    assert not {name for name in found.failed if "Iptables" not in name}, found.output
