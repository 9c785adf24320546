"""Labs from a file, up and down."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.switches import needs_root, own_tools

from netloom.base.errors import NetloomError
from netloom.lab.lab import existing_namespaces
from netloom.lab.peers import service_program
from netloom.lab.plan import parse_plan
from netloom.lab.standing import (
    graph_of,
    inspect_lab,
    raise_lab,
    run_inside,
    standing_labs,
    state_of,
    take_down,
)

pytestmark = [needs_root, pytest.mark.root]

FILE = """\
name: filed
datapath: userspace
hosts: {a: {network_node: true}, b: }
networks: {n: {subnets: [10.0.0.0/24]}}
security_groups: {open: [{}]}
vms:
  vm1: {host: a, network: n, groups: [open]}
  vm2: {host: b, network: n, groups: [open]}
"""


def test_a_lab_from_a_file_carries_traffic_and_goes_without_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETLOOM_SYSTEM_DATAPATH", "userspace")
    for name in ("dnsmasq", "nft"):
        service_program(name)
    tools, labs, told = own_tools(tmp_path / "t"), tmp_path / "l", list[str]()
    plan = parse_plan(FILE)
    state = raise_lab(plan, told.append, labs, tools)
    try:
        assert standing_labs(labs) == ["filed"]
        assert any("vm vm2: 10.0.0." in line for line in told)
        with pytest.raises(NetloomError, match="stands already"):
            raise_lab(plan, told.append, labs, tools)
        address = state["vms"]["vm2"]["addresses"][0]
        ping = ["ping", "-n", "-q", "-c", "10", "-i", "0.2", "-W", "1", address]
        assert run_inside("filed", "vm1", ping, labs) == 0
        assert run_inside("", "a", ["ovs-vsctl", "br-exists", "br-int"], labs) == 0
        assert run_inside("", "a", ["ovs-vsctl", "br-exists", "nope"], labs) == 2
        with pytest.raises(NetloomError, match="no host or machine 'vm9'"):
            run_inside("filed", "vm9", ["true"], labs)
        rows = {(kind, name): health for kind, name, health, _ in inspect_lab("", labs)}
        assert set(rows.values()) == {"runs"}
        assert set(rows) >= {("host", "a"), ("vm", "vm1"), ("service", "api")}
        assert '"vm vm2" -- "host b"' in graph_of(state_of("filed", labs))
    finally:
        take_down("filed", labs)
    assert not [name for name in existing_namespaces() if name.startswith("filed-")]
    assert not (labs / "filed").exists()
    with pytest.raises(NetloomError, match="no lab 'filed' stands here"):
        take_down("filed", labs)
