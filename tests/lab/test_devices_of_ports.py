"""Devices behind ports: missing, late, gone, shared, down; and what their rows tell."""

from __future__ import annotations

import re

import pytest
from tests.support.peers import wait_until
from tests.support.switches import RunningSwitch, needs_root

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]

MISSING = "could not open network device vif1 (No such device)"


class Stand:
    """Bridge br0 with vif2, behind which is a machine; vif1 comes when a test wants it."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        self.lab = lab
        self.switch = RunningSwitch(lab, tools, tools)
        self.vm2 = lab.add_vm("vm2", "vif2", "10.0.0.2/24")
        self.switch.start()
        self.switch.vsctl("add-br", "br0", "--", "add-port", "br0", "vif2")

    def get(self, interface: str, *columns: str) -> list[str]:
        return self.switch.vsctl("get", "interface", interface, *columns).splitlines()

    def becomes(self, interface: str, column: str, value: str) -> bool:
        return wait_until(lambda: self.get(interface, column) == [value])


@pytest.fixture
def stand(lab: Lab, tools: Programs) -> Stand:
    return Stand(lab, tools)


def test_a_device_may_come_after_its_port(stand: Stand) -> None:
    added = stand.switch.run("ovs-vsctl", "--timeout=60", "add-port", "br0", "vif1", check=False)
    assert added.status == 65
    assert "Error detected while setting up 'vif1'" in added.stderr
    assert MISSING in added.stderr
    assert stand.get("vif1", "ofport", "error") == ["-1", f'"{MISSING}"']
    assert f'error: "{MISSING}"' in stand.switch.vsctl("show")
    vm1 = stand.lab.add_vm("vm1", "vif1", "10.0.0.1/24")
    assert stand.becomes("vif1", "error", "[]")
    assert stand.get("vif1", "ofport") != ["-1"]
    assert vm1.ping("10.0.0.2", count=3)


def test_a_device_that_goes_is_reported_and_one_that_returns_forwards(stand: Stand) -> None:
    vm1 = stand.lab.add_vm("vm1", "vif1", "10.0.0.1/24")
    stand.switch.vsctl("add-port", "br0", "vif1")
    for _ in range(3):
        assert vm1.ping("10.0.0.2", count=3)
        stand.lab.host.ip("link", "del", "vif1")
        assert stand.becomes("vif1", "error", f'"{MISSING}"')
        assert stand.get("vif1", "ofport", "link_state", "mac_in_use") == ["-1", "[]", "[]"]
        vm1.connect(stand.lab.host, mac="02:00:00:00:00:02")
        assert stand.becomes("vif1", "error", "[]")
    assert vm1.ping("10.0.0.2", count=3)
    assert "Traceback" not in stand.switch.log()


def test_a_device_belongs_to_one_bridge(stand: Stand) -> None:
    stand.switch.vsctl("add-br", "br1")
    # ovs-vsctl refuses a second port of that name; the same device by another way:
    uuid = stand.switch.vsctl("get", "port", "vif2", "_uuid").strip()
    refused = stand.switch.run("ovs-vsctl", "add-port", "br1", "vif2", check=False)
    assert refused.status == 1
    assert "because a port named vif2 already exists on bridge br0" in refused.stderr
    stand.switch.vsctl("--no-wait", "add", "bridge", "br1", "ports", uuid)
    vm1 = stand.lab.add_vm("vm1", "vif1", "10.0.0.1/24")
    stand.switch.vsctl("add-port", "br0", "vif1")
    assert "Traceback" not in stand.switch.log()
    assert vm1.ping("10.0.0.2", count=3)
    stand.switch.vsctl("remove", "bridge", "br1", "ports", uuid)
    assert vm1.ping("10.0.0.2", count=3)


def test_a_requested_port_number_is_given_and_changed(stand: Stand) -> None:
    stand.lab.add_vm("vm1", "vif1", "10.0.0.1/24")
    stand.switch.vsctl("add-port", "br0", "vif1", "--", "set", "interface", "vif1",
                       "ofport_request=77")  # fmt: skip
    assert stand.get("vif1", "ofport") == ["77"]
    stand.switch.vsctl("set", "interface", "vif1", "ofport_request=78")
    assert stand.becomes("vif1", "ofport", "78")
    assert " 78(vif1)" in stand.switch.ofctl("show", "br0")
    assert stand.vm2.ping("10.0.0.1", count=3)


def test_of_two_that_request_a_number_the_first_keeps_it(stand: Stand) -> None:
    stand.lab.add_vm("vm1", "vif1", "10.0.0.1/24")
    stand.switch.vsctl("set", "interface", "vif2", "ofport_request=5")
    assert stand.becomes("vif2", "ofport", "5")
    stand.switch.vsctl("add-port", "br0", "vif1", "--", "set", "interface", "vif1",
                       "ofport_request=5")  # fmt: skip
    stand.switch.vsctl("set", "bridge", "br0", "external_ids:look=again")
    assert stand.get("vif2", "ofport") == ["5"]
    assert stand.get("vif1", "error") == ["[]"]
    assert stand.get("vif1", "ofport")[0] not in ("5", "-1", "[]")


def test_a_requested_mtu_is_set_on_internal_devices(stand: Stand) -> None:
    stand.switch.vsctl("add-port", "br0", "i1", "--", "set", "interface", "i1", "type=internal",
                       "mtu_request=1400")  # fmt: skip
    assert stand.becomes("i1", "mtu", "1400")
    assert "mtu 1400" in stand.lab.host.ip("link", "show", "i1").stdout
    stand.switch.vsctl("set", "interface", "i1", "mtu_request=1300")
    assert stand.becomes("i1", "mtu", "1300")
    stand.switch.vsctl("set", "interface", "vif2", "mtu_request=1450")
    assert stand.becomes("vif2", "mtu", "1450")


def test_the_states_of_a_device_are_told_apart(stand: Stand) -> None:
    assert stand.get("vif2", "admin_state", "link_state") == ["up", "up"]
    stand.vm2.ip("link", "set", "eth0", "down")
    assert stand.becomes("vif2", "link_state", "down")
    assert stand.get("vif2", "admin_state") == ["up"]
    assert "LINK_DOWN" in stand.switch.ofctl("show", "br0")
    stand.vm2.ip("link", "set", "eth0", "up")
    assert stand.becomes("vif2", "link_state", "up")
    stand.lab.host.ip("link", "set", "vif2", "down")
    assert stand.becomes("vif2", "admin_state", "down")
    stand.lab.host.ip("link", "set", "vif2", "address", "02:aa:00:00:00:07")
    assert stand.becomes("vif2", "mac_in_use", '"02:aa:00:00:00:07"')


def test_statistics_grow_with_the_traffic(stand: Stand) -> None:
    vm1 = stand.lab.add_vm("vm1", "vif1", "10.0.0.1/24")
    stand.switch.vsctl("add-port", "br0", "vif1")
    stand.switch.vsctl("set", "Open_vSwitch", ".", "other_config:stats-update-interval=1000")
    before = int(stand.get("vif1", "statistics:rx_bytes")[0])
    vm1.run("ping", "-q", "-c", "20", "-i", "0.01", "-s", "1000", "10.0.0.2")
    assert wait_until(lambda: int(stand.get("vif1", "statistics:rx_bytes")[0]) >= before + 20_000)
    assert wait_until(lambda: int(stand.get("vif2", "statistics:tx_packets")[0]) >= 20)


def test_the_switch_says_which_configuration_it_has(stand: Stand) -> None:
    def numbers() -> list[str]:
        return stand.switch.vsctl("get", "Open_vSwitch", ".", "next_cfg", "cur_cfg").splitlines()

    before = int(numbers()[0])
    stand.switch.vsctl("set", "bridge", "br0", "external_ids:a=b")
    assert numbers() == [str(before + 1)] * 2


def test_adding_and_removing_a_port_again_and_again_leaves_a_working_switch(stand: Stand) -> None:
    vm1 = stand.lab.add_vm("vm1", "vif1", "10.0.0.1/24")
    for number in range(15):
        stand.switch.vsctl("--no-wait", "add-port", "br0", "vif1", f"tag={number}")
        stand.switch.vsctl("--no-wait", "del-port", "vif1")
    stand.switch.vsctl("add-port", "br0", "vif1")
    assert vm1.ping("10.0.0.2", count=3)
    assert len(stand.switch.ofctl("show", "br0").split("(vif1)")) == 2


def test_a_port_of_user_space_tells_what_is_left_to_its_device(stand: Stand) -> None:
    """Who fills checksums and cuts TCP matters to a data path that sends by itself only."""
    assert "offload" not in stand.get("vif2", "status")[0]
    stand.switch.vsctl("set", "bridge", "br0", "datapath_type=netdev")
    told = {"tcp_csum", "udp_csum", "tcp_seg"}

    def is_told() -> bool:
        pairs = re.findall(r'tx_(\w+)_offload="(true|false)"', stand.get("vif2", "status")[0])
        return len(pairs) == 10 and {name for name, value in pairs if value == "true"} == told

    assert wait_until(is_told)
    assert "offload" not in stand.get("br0", "status")[0]
