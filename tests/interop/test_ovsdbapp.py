"""ovsdbapp's own functional tests, with OVN's daemons from Debian, over our database and switch.

They start `ovsdb-server` with three databases, `ovs-vswitchd`, `ovn-northd` and `ovn-controller`,
and drive them through python-ovs: locks, indexes, conditions, reconnections, hundreds of commands.
All of it is other people's code but for the two daemons in the middle."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.peers import SCHEMA, peer_tools
from tests.support.switches import own_tools

from netloom.lab.peers import peer_root

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

#: A source tree's folders, where ovsdbapp looks for the programs of Open vSwitch.
OWN = {
    "ovsdb": ("ovsdb-tool", "ovsdb-server", "ovsdb-client"),
    "utilities": ("ovs-vsctl", "ovs-ofctl", "ovs-appctl", "ovs-pki"),
    "vswitchd": ("ovs-vswitchd",),
}
OVN = {
    "northd": ("ovn-northd",),
    "controller": ("ovn-controller",),
    "utilities": ("ovn-nbctl", "ovn-sbctl", "ovn-appctl"),
}
TESTS = "ovsdbapp.tests.functional"
#: These want columns that Debian's OVN schema is too old for; they fail with Debian's daemons, too.
NEEDS_NEWER_OVN = {"test_dns_set_options", "test_mirror_rule_add_no_lport_type"}


def wrap(program: Path, target: Path, environment: dict[str, str]) -> None:
    """A script that runs `target`: ovsdbapp clears the environment of what it starts."""
    program.parent.mkdir(parents=True, exist_ok=True)
    settings = "".join(f"export {name}='{value}'\n" for name, value in environment.items())
    program.write_text(f'#!/bin/sh\n{settings}exec {target} "$@"\n')
    program.chmod(0o755)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a source tree of both projects."""
    debian, ovn = peer_tools(), peer_root("ovn")
    assert (ovn / "usr/bin/ovn-northd").exists(), "tools/fetch_peers.py unpacks Debian's OVN"
    top = tmp_path_factory.mktemp("tree")
    own_tools(top / "bin")
    for folder, names in OWN.items():
        for name in names:
            wrap(top / folder / name, top / "bin" / name, {})
    for folder, names in OVN.items():
        for name in names:
            wrap(top / folder / name, ovn / "usr/bin" / name, dict(debian.env))
    shutil.copy(SCHEMA, top)
    for schema in ovn.glob("usr/share/ovn/*.ovsschema"):
        shutil.copy(schema, top)
    return top


@pytest.mark.parametrize(
    "suite",
    [
        "schema.open_vswitch.test_impl_idl",
        "schema.open_vswitch.test_common_db",
        "schema.ovn_northbound.test_impl_idl",
        "schema.ovn_southbound.test_impl_idl",
        "backend.ovs_idl.test_connection",
        "backend.ovs_idl.test_indexing",
    ],
)
def test_functional_tests_of_ovsdbapp_pass(tree: Path, suite: str) -> None:
    environment = {**os.environ, "OVS_SRCDIR": str(tree), "OVN_SRCDIR": str(tree)}
    done = subprocess.run(
        [sys.executable, "-m", "testtools.run", f"{TESTS}.{suite}"],
        env=environment, cwd=tree, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    output = done.stdout + done.stderr
    ran = re.search(r"^Ran (\d+) tests", output, re.MULTILINE)
    assert ran is not None and int(ran[1]) > 0, output
    failed = set(re.findall(r"^(?:ERROR|FAIL): (\S+)", output, re.MULTILINE))
    assert {name.rpartition(".")[2] for name in failed} <= NEEDS_NEWER_OVN, output
