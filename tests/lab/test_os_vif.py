"""os-vif's own functional tests: what Nova does to a switch when it plugs a machine's device."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.openstack_suites import Suites
from tests.support.switches import needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root, pytest.mark.interop, pytest.mark.timeout(180)]

TESTS = "vif_plug_ovs.tests.functional"
#: A service registers their objects, which is not there.
BEFORE = "from os_vif import objects; objects.register_all()"
#: These make devices of type `dummy`, which a kernel may lack.
NEEDS_DUMMIES = {
    f"TestOVSPlugin.test_plug_unplug_ovs_port_with_qos{kind}({interface})"
    for kind in ("", "_per_port_bridge")
    for interface in ("native", "vsctl")
}


def test_functional_tests_of_os_vif_pass(lab: Lab, tools: Programs, tmp_path: Path) -> None:
    suites = Suites(lab, tools, "os-vif", tmp_path)
    found = suites.run(f"{TESTS}.test_plugin", f"{TESTS}.ovsdb.test_ovsdb_lib", before=BEFORE)
    assert found.n_ran >= 30, found.output
    assert found.failed <= NEEDS_DUMMIES, found.output
