"""A new version of the kernel data path takes over from an old one, whatever that left."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.support.kernel_programs import require_programs
from tests.support.peers import wait_until
from tests.support.switches import needs_root

from netloom.datapath.ebpf.spec import ABI_VERSION
from netloom.lab.lab import Lab
from netloom.lab.switch import Programs, Switch

pytestmark = [pytest.mark.root, needs_root]


@pytest.fixture
def datapath(monkeypatch: pytest.MonkeyPatch) -> str:
    require_programs()
    monkeypatch.setenv("NETLOOM_SYSTEM_DATAPATH", "kernel")
    return "kernel"


def pins_of(switch: Switch) -> Path:
    folder = Path("/sys/fs/bpf/netloom")
    return next(path for path in folder.iterdir() if switch.rundir.parent.name in path.name)


def test_maps_of_another_version_are_left_and_traffic_goes_on(lab: Lab, tools: Programs) -> None:
    switch = lab.add_switch("switch", tools)
    machines = [lab.add_vm(f"vm{n}", f"vif{n}", f"10.0.0.{n}/24") for n in (1, 2, 3)]
    switch.start()
    ports = [word for n in (1, 2, 3) for word in ("--", "add-port", "br0", f"vif{n}")]
    switch.run("ovs-vsctl", "add-br", "br0", *ports)
    assert all(machines[0].ping(f"10.0.0.{n}", count=3) for n in (2, 3))
    ping = ["ping", "-q", "-c", "150", "-i", "0.02", "-W", "1", "10.0.0.2"]
    running = subprocess.Popen(
        ["ip", "netns", "exec", machines[0].name, *ping], stdout=subprocess.PIPE, text=True
    )
    switch.kill("ovs-vswitchd")
    pins = pins_of(switch)
    (pins / f"maps{ABI_VERSION}").rename(pins / f"maps{ABI_VERSION - 1}")
    switch.run("ovs-vsctl", "--no-wait", "del-port", "vif3")
    switch.start_vswitchd()
    assert "150 received" in running.communicate(timeout=60)[0]
    log = (switch.rundir / "ovs-vswitchd.log").read_text()
    assert f"maps{ABI_VERSION - 1} holds is another version's; flows begin anew" in log
    assert [path.name for path in pins.glob("maps*")] == [f"maps{ABI_VERSION}"]
    left = pins / "links" / str(_ifindex(lab, "vif3"))
    assert wait_until(lambda: not left.exists())
    assert not machines[0].ping("10.0.0.3")
    assert machines[0].ping("10.0.0.2", wait_s=10)


def _ifindex(lab: Lab, device: str) -> int:
    return int(lab.host.ip("-o", "link", "show", device).stdout.partition(":")[0])


def test_a_limit_of_locked_memory_that_cannot_be_lifted_is_no_hindrance(
    lab: Lab, tools: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = lab.add_switch("switch", tools)
    inside = ("nsenter", f"--net=/run/netns/{lab.host.name}", "prlimit", "--memlock=65536:65536")
    poor = ("setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource")
    monkeypatch.setattr(switch, "_run_inside", lambda *argv: switch.run(*inside, *poor, *argv))
    machines = [lab.add_vm(f"vm{n}", f"vif{n}", f"10.0.0.{n}/24") for n in (1, 2)]
    switch.start()
    switch.run("ovs-vsctl", "add-br", "br0", "--", "add-port", "br0", "vif1")
    switch.run("ovs-vsctl", "add-port", "br0", "vif2")
    assert machines[0].ping("10.0.0.2", count=3)
    assert switch.run("ovs-vsctl", "get", "bridge", "br0", "status").stdout == "{}\n"
    assert pins_of(switch)
