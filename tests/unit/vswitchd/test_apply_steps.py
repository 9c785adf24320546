"""Applying wishes to fake bridges and devices: what becomes of ports, failures and retries."""

from __future__ import annotations

from tests.support.fake_switch import FakeBridge, FakeDataPaths, FakeDevices, FakeReplica

from netloom.base.record import replace
from netloom.vswitchd.apply import Applier
from netloom.vswitchd.desired import read_wish


class Stand:
    """An applier on fakes; `replica` is thrown away and rebuilt by each test's `wish`."""

    def __init__(self, **devices: str) -> None:
        self.devices = FakeDevices(**devices)
        self.datapaths = FakeDataPaths()
        self.applier = Applier(self.devices, self.datapaths)

    def apply(self, replica: FakeReplica) -> int:
        return len(self.applier.apply(read_wish(replica)))

    @property
    def bridge(self) -> FakeBridge:
        return self.datapaths.made[-1]


def one_bridge(*names: str, **columns: object) -> FakeReplica:
    replica = FakeReplica()
    replica.add_bridge("br0", *(replica.add_port(name) for name in names), **columns)  # type: ignore[arg-type]
    return replica


def test_the_same_wish_twice_is_applied_once() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    assert stand.apply(one_bridge("p1")) > 0
    assert stand.apply(one_bridge("p1")) == 0


def test_a_missing_device_is_an_error_and_spoils_nothing_else() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    stand.apply(one_bridge("p1", "nope"))
    assert stand.bridge.numbers == {"br0": 65534, "p1": 1}
    assert stand.applier.errors == {"nope": "could not open network device nope (No such device)"}


def test_a_missing_device_is_tried_again() -> None:
    stand = Stand()
    replica = one_bridge("p1")
    stand.apply(replica)
    assert not stand.applier.device_events()
    stand.devices.appear("p1")
    assert stand.applier.device_events()
    stand.apply(replica)
    assert stand.bridge.numbers == {"br0": 65534, "p1": 1}
    assert stand.applier.errors == {}


def test_a_device_that_vanishes_takes_its_port_along() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    replica = one_bridge("p1")
    stand.apply(replica)
    device = stand.devices.open_devices["p1"]
    stand.devices.vanish("p1")
    assert stand.applier.refresh()
    assert device.closed
    assert stand.bridge.numbers == {"br0": 65534}
    assert stand.applier.errors == {"p1": "could not open network device p1 (No such device)"}
    stand.devices.appear("p1")
    stand.apply(replica)
    assert stand.bridge.bundles["p1"].members == ("p1",)


def test_a_port_that_somebody_takes_away_comes_back_with_the_next_change() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    replica = one_bridge("p1")
    stand.apply(replica)
    stand.bridge.port_del("p1")
    assert stand.apply(replica) > 0
    assert stand.bridge.numbers.keys() == {"br0", "p1"}
    assert stand.bridge.bundles["p1"].members == ("p1",)
    assert stand.apply(replica) == 0


def test_a_device_that_the_bridge_refuses_is_closed_again() -> None:
    stand = Stand(refuse1="00:00:5e:00:53:01")
    stand.apply(one_bridge("refuse1"))
    assert stand.devices.open_devices["refuse1"].closed
    assert stand.applier.errors == {
        "refuse1": "could not add network device refuse1 to ofproto (Device or resource busy)"
    }


def test_an_error_is_forgotten_with_its_interface() -> None:
    stand = Stand()
    stand.apply(one_bridge("nope"))
    stand.apply(one_bridge())
    assert stand.applier.errors == {}


def test_an_unknown_data_path_type_leaves_other_bridges_alone() -> None:
    stand = Stand()
    replica = one_bridge(datapath_type="bogus")
    replica.add_bridge("br1")
    stand.apply(replica)
    assert list(stand.applier.bridges) == ["br1"]


def test_the_bridge_takes_the_address_of_its_port() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    stand.apply(one_bridge("p1"))
    assert stand.devices.open_devices["br0"].current.mac == "00:00:5e:00:53:01"
    assert stand.bridge.settings is not None
    assert stand.bridge.settings.datapath_id == 0x00005E005301


def test_the_bridge_follows_an_address_that_changes() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    stand.apply(one_bridge("p1"))
    stand.devices.open_devices["p1"].set_mac("00:00:5e:00:53:07")
    assert stand.applier.refresh()
    assert stand.bridge.settings is not None
    assert stand.bridge.settings.datapath_id == 0x00005E005307
    assert not stand.applier.refresh()


def test_the_bridge_hears_of_a_link_that_went() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    stand.apply(one_bridge("p1"))
    stand.bridge.calls.clear()
    stand.applier.refresh()
    assert stand.bridge.calls == []
    device = stand.devices.open_devices["p1"]
    device.current = replace(device.current, link_up=False)
    stand.applier.refresh()
    assert stand.bridge.calls == [("devices_changed", "")]


def test_internal_ports_take_the_smallest_mtu_of_the_others() -> None:
    stand = Stand(p1="00:00:5e:00:53:01", p2="00:00:5e:00:53:02")
    replica = FakeReplica()
    ports = [
        replica.add_port("p1", {"mtu_request": (1400,)}),
        replica.add_port("p2", {"mtu_request": (9000,)}),
        replica.add_port("i1", {"type": "internal"}),
        replica.add_port("i2", {"type": "internal", "mtu_request": (1450,)}),
    ]
    replica.add_bridge("br0", *ports)
    stand.apply(replica)
    mtus = {name: device.current.mtu for name, device in stand.devices.open_devices.items()}
    assert mtus == {"br0": 1400, "i1": 1400, "i2": 1450, "p1": 1400, "p2": 9000}


def test_an_internal_port_whose_host_lowered_its_mtu_is_left_alone() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    stand.apply(one_bridge("p1"))
    local, p1 = (stand.devices.open_devices[name] for name in ("br0", "p1"))
    found = []
    for device, mtu in ((local, 1300), (local, 1600), (local, 1300), (p1, 1400), (p1, 1450)):
        device.set_mtu(mtu)
        stand.applier.refresh()
        found.append(local.current.mtu)
    assert found == [1300, 1500, 1300, 1400, 1450]


def test_an_mtu_that_the_device_refuses_is_no_reason_not_to_have_the_port() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    replica = FakeReplica()
    replica.add_bridge("br0", replica.add_port("p1", {"mtu_request": (65000,)}))
    stand.apply(replica)
    assert "p1" in stand.bridge.numbers


def test_options_that_the_device_refuses_cost_the_port() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    stand.apply(one_bridge("p1"))
    replica = FakeReplica()
    replica.add_bridge("br0", replica.add_port("p1", {"options": {"bad": "1"}}))
    stand.apply(replica)
    assert "p1" not in stand.bridge.numbers
    assert stand.applier.errors == {"p1": "p1: could not set configuration (Invalid argument)"}
    stand.apply(one_bridge("p1"))
    assert "p1" in stand.bridge.numbers


def test_a_patch_port_has_no_device_and_may_change_its_peer() -> None:
    stand = Stand()
    for peer in ("pb", "pc"):
        replica = FakeReplica()
        interface = {"type": "patch", "options": {"peer": peer}}
        replica.add_bridge("br0", replica.add_port("pa", interface))
        stand.apply(replica)
        assert stand.bridge.peers["pa"] == peer
    assert ("port_configure", "pa") in stand.bridge.calls
    assert ("port_del", "pa") not in stand.bridge.calls


def test_the_numbers_of_ports_survive_a_restart() -> None:
    stand = Stand(p1="00:00:5e:00:53:01", p2="00:00:5e:00:53:02")
    replica = FakeReplica()
    ports = [replica.add_port("p1", {"ofport": (2,)}), replica.add_port("p2", {"ofport": (1,)})]
    replica.add_bridge("br0", *ports)
    stand.apply(replica)
    assert stand.bridge.numbers == {"br0": 65534, "p1": 2, "p2": 1}


def test_two_ports_swap_their_requested_numbers() -> None:
    stand = Stand(p1="00:00:5e:00:53:01", p2="00:00:5e:00:53:02")
    for numbers in ((1, 2), (2, 1)):
        replica = FakeReplica()
        ports = [
            replica.add_port(name, {"ofport_request": (number,)})
            for name, number in zip(("p1", "p2"), numbers)
        ]
        replica.add_bridge("br0", *ports)
        stand.apply(replica)
        assert (stand.bridge.numbers["p1"], stand.bridge.numbers["p2"]) == numbers


def test_closing_destroys_bridges_and_devices() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    stand.apply(one_bridge("p1"))
    stand.applier.close()
    assert stand.bridge.destroyed
    assert all(device.closed for device in stand.devices.open_devices.values())
