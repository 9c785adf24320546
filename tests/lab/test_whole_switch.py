"""Real daemons, real packets: what the first lab of every Open vSwitch course promises."""

from __future__ import annotations

import re
import signal
import threading
from pathlib import Path

import pytest
from tests.support.peers import peer_tools, wait_until
from tests.support.switches import RunningSwitch, TwoMachines, needs_root

from netloom.lab.lab import Lab
from netloom.lab.namespace import VirtualMachine
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]

MEBIBYTE = 1 << 20


class Stand(TwoMachines):
    """A switch with bridge br0 and two machines on it."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        super().__init__(lab, tools)
        self.switch.vsctl("add-br", "br0")
        self.switch.vsctl("add-port", "br0", "vif1", "--", "add-port", "br0", "vif2")

    def reaches(self, source: VirtualMachine, target: VirtualMachine) -> bool:
        return source.ping(target.ip_address, count=3)

    def is_cut(self, source: VirtualMachine, target: VirtualMachine) -> bool:
        return not source.ping(target.ip_address, count=2, wait_s=0.5)


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> Stand:
    return Stand(lab, tools)


def test_two_machines_on_a_bridge_reach_each_other(stand: Stand) -> None:
    assert stand.reaches(stand.vm1, stand.vm2)
    learned = stand.switch.appctl("fdb/show", "br0")
    assert "02:00:00:00:00:01" in learned and "02:00:00:00:00:02" in learned


def test_tags_isolate_and_join(stand: Stand) -> None:
    stand.switch.vsctl("set", "port", "vif1", "tag=10")
    assert stand.is_cut(stand.vm1, stand.vm2)
    stand.switch.vsctl("set", "port", "vif2", "tag=10")
    assert stand.reaches(stand.vm1, stand.vm2)


def test_a_patch_trunk_carries_the_vlans_it_is_told_to(stand: Stand) -> None:
    vm3 = stand.lab.add_vm("vm3", "vif3", "10.0.0.3/24")
    vsctl = stand.switch.vsctl
    vsctl("set", "port", "vif1", "tag=10")
    vsctl("add-br", "br1", "--", "add-port", "br1", "vif3", "tag=10")
    for bridge, port, peer in (("br0", "pa", "pb"), ("br1", "pb", "pa")):
        vsctl("add-port", bridge, port, "--", "set", "interface", port, "type=patch",
              f"options:peer={peer}")  # fmt: skip
    assert stand.reaches(stand.vm1, vm3)
    vsctl("set", "port", "pa", "trunks=20")
    assert stand.is_cut(stand.vm1, vm3)
    vsctl("set", "port", "pa", "trunks=10,20")
    assert stand.reaches(stand.vm1, vm3)
    assert stand.switch.get("interface", "pa", "error") == "[]"


def test_the_bridge_itself_is_a_host_on_the_network(stand: Stand) -> None:
    stand.lab.host.ip("addr", "add", "10.0.0.100/24", "dev", "br0")
    stand.lab.host.ip("link", "set", "br0", "up")
    assert stand.vm1.ping("10.0.0.100", count=3)
    assert wait_until(lambda: stand.switch.get("interface", "br0", "admin_state") == "up")


def test_flows_drop_and_count(stand: Stand) -> None:
    assert stand.reaches(stand.vm1, stand.vm2)
    stand.switch.ofctl("add-flow", "br0", "priority=100,icmp,in_port=vif1,actions=drop")
    assert not stand.vm1.ping("10.0.0.2", count=3, wait_s=0.3)
    shown = stand.switch.ofctl("dump-flows", "br0", "icmp")
    found = re.search(r"n_packets=(\d+)", shown)
    assert found is not None and found[1] == "3", shown
    stand.switch.ofctl("del-flows", "br0", "icmp")
    assert stand.reaches(stand.vm1, stand.vm2)


def test_flows_rewrite_addresses(stand: Stand) -> None:
    nobody = "02:00:00:00:00:99"
    stand.vm1.ip("neigh", "replace", "10.0.0.2", "lladdr", nobody, "dev", "eth0", "nud",
                 "permanent")  # fmt: skip
    assert stand.is_cut(stand.vm1, stand.vm2)
    stand.switch.ofctl(
        "add-flow",
        "br0",
        f"in_port=vif1,dl_dst={nobody},actions=mod_dl_dst:02:00:00:00:00:02,output:vif2",
    )
    assert stand.reaches(stand.vm1, stand.vm2)


def test_a_restarted_switch_goes_on_as_before(stand: Stand, datapath: str) -> None:
    stand.switch.vsctl("set", "port", "vif1", "tag=10", "--", "set", "port", "vif2", "tag=10")
    before = {name: stand.switch.get("interface", name, "ofport") for name in ("vif1", "vif2")}
    stand.switch.daemons.stop()
    # A bridge that only switches goes on in the kernel.
    assert stand.is_cut(stand.vm1, stand.vm2) == (datapath == "userspace")
    stand.switch.start()
    assert stand.reaches(stand.vm1, stand.vm2)
    after = {name: stand.switch.get("interface", name, "ofport") for name in before}
    assert after == before


def test_a_killed_database_loses_nothing_and_stops_no_packet(stand: Stand) -> None:
    stand.switch.vsctl("set", "port", "vif1", "external_ids:mark=committed")
    stand.switch.daemons.kill("ovsdb-server", signal.SIGKILL)
    assert stand.reaches(stand.vm1, stand.vm2)
    stand.switch.daemons.start_ovsdb_server()
    assert stand.switch.get("port", "vif1", "external_ids:mark") == "committed"
    # Without --no-wait this returns only when the switch has applied it: it came back by itself.
    stand.switch.vsctl("set", "port", "vif1", "tag=10")
    assert stand.is_cut(stand.vm1, stand.vm2)


def test_a_killed_switch_is_replaced_by_the_next(stand: Stand) -> None:
    stand.switch.daemons.kill("ovs-vswitchd", signal.SIGKILL)
    stand.switch.daemons.start_vswitchd()
    assert stand.reaches(stand.vm1, stand.vm2)
    stand.switch.vsctl("add-port", "br0", "i1", "--", "set", "interface", "i1", "type=internal")
    assert stand.switch.get("interface", "i1", "error") == "[]"


def test_a_device_may_go_and_come_back(stand: Stand) -> None:
    get = stand.switch.get
    stand.lab.host.ip("link", "del", "vif2")
    missing = '"could not open network device vif2 (No such device)"'
    assert wait_until(lambda: get("interface", "vif2", "error") == missing)
    assert get("interface", "vif2", "ofport") == "-1"
    stand.vm2.connect(stand.lab.host, mac="02:00:00:00:00:02")
    assert wait_until(lambda: get("interface", "vif2", "error") == "[]")
    assert stand.reaches(stand.vm1, stand.vm2)


def test_a_device_that_never_was_hurts_nobody(stand: Stand) -> None:
    result = stand.switch.run("ovs-vsctl", "--timeout=60", "add-port", "br0", "nope", check=False)
    assert "could not open network device nope (No such device)" in result.stderr
    assert stand.reaches(stand.vm1, stand.vm2)


def test_internal_devices_vanish_with_their_ports_and_with_the_switch(stand: Stand) -> None:
    def devices() -> set[str]:
        listed = stand.lab.host.ip("-o", "link").stdout
        return {line.split(": ")[1].split("@")[0] for line in listed.splitlines()}

    stand.switch.vsctl("add-port", "br0", "i1", "--", "set", "interface", "i1", "type=internal")
    assert {"br0", "i1"} <= devices()
    stand.switch.vsctl("del-port", "i1")
    assert "i1" not in devices()
    stand.switch.appctl("exit", "--cleanup")
    assert wait_until(lambda: "br0" not in devices())


def test_rows_tell_what_the_kernel_says(stand: Stand) -> None:
    assert stand.reaches(stand.vm1, stand.vm2)
    get = stand.switch.get
    shown = stand.lab.host.ip("-o", "link", "show", "vif1").stdout
    assert get("interface", "vif1", "mac_in_use").strip('"') in shown
    assert get("interface", "vif1", "ifindex") == shown.split(":")[0]
    assert get("interface", "vif1", "link_state") == "up"
    assert get("interface", "vif1", "mtu") == "1500"
    assert wait_until(lambda: get("interface", "vif1", "statistics:rx_packets") != "0")
    stand.lab.host.ip("link", "set", "vif1", "down")
    assert wait_until(lambda: get("interface", "vif1", "admin_state") == "down")


def test_tcp_crosses_the_bridge_with_all_offloads_on(stand: Stand) -> None:
    receiver = (
        "import socket,hashlib\n"
        "s=socket.create_server(('10.0.0.2',5001)); print('ready',flush=True)\n"
        "c,_=s.accept(); h=hashlib.sha256(); n=0\n"
        "while d:=c.recv(65536): h.update(d); n+=len(d)\n"
        "print(n,h.hexdigest())\n"
    )
    sender = (
        "import socket,hashlib,time\n"
        f"data=bytes(range(256))*({16 * MEBIBYTE}//256)\n"
        "for _ in range(500):\n"
        "  try: s=socket.create_connection(('10.0.0.2',5001),60); break\n"
        "  except OSError: time.sleep(0.1)\n"
        "s.sendall(data); s.close(); print(len(data),hashlib.sha256(data).hexdigest())\n"
    )
    received: list[str] = []
    thread = threading.Thread(
        target=lambda: received.append(stand.vm2.run("python3", "-c", receiver).stdout)
    )
    thread.start()
    sent = stand.vm1.run("python3", "-c", sender).stdout
    thread.join(60)
    assert received[0].splitlines()[-1] == sent.strip()


def test_the_log_reads_as_open_vswitchs(stand: Stand) -> None:
    log = stand.switch.log()
    assert "bridge|INFO|ovs-vswitchd (Open vSwitch) 3.7.0" in log
    assert "bridge|INFO|bridge br0: added interface vif1 on port 1" in log
    assert re.search(r"^bridge\|INFO\|bridge br0: using datapath ID [0-9a-f]{16}$", log, re.M)
    assert f'connmgr|INFO|br0: added service controller "punix:{stand.switch.daemons.rundir}' in log


@pytest.mark.interop
def test_debians_database_server_serves_our_switch(
    lab: Lab, tools: Programs, tmp_path: Path
) -> None:
    """Our ovs-vswitchd in front on the path, everything else Debian's."""
    only_vswitchd = tmp_path / "vswitchd"
    only_vswitchd.mkdir()
    (only_vswitchd / "ovs-vswitchd").symlink_to(Path(tools.path[0]) / "ovs-vswitchd")
    peer = peer_tools()
    mixed = Programs((str(only_vswitchd), *peer.path), peer.env)
    switch = RunningSwitch(lab, mixed, mixed)
    vm1 = lab.add_vm("vm1", "vif1", "10.0.0.1/24")
    lab.add_vm("vm2", "vif2", "10.0.0.2/24")
    switch.start()
    switch.vsctl("add-br", "br0", "--", "add-port", "br0", "vif1", "--", "add-port", "br0", "vif2")
    assert vm1.ping("10.0.0.2", count=3)
    assert "added interface vif2 on port 2" in switch.log()
    switch.daemons.kill("ovsdb-server", signal.SIGKILL)
    switch.daemons.start_ovsdb_server()
    switch.vsctl("set", "port", "vif1", "tag=10")
    assert not vm1.ping("10.0.0.2", count=2, wait_s=0.5)
