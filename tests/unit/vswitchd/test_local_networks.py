"""The bridge's own port gets the address that a controller's row names, if it is the host's."""

from __future__ import annotations

import errno

import pytest
from tests.support.fake_switch import FakeDataPaths, FakeDevices, FakeReplica

from netloom.base.record import replace
from netloom.vswitchd.apply import Applier
from netloom.vswitchd.desired import read_wish


class Stack:
    """Notes what it is told; refuses what `fails` names."""

    def __init__(self, fails: str = "") -> None:
        self.told: list[tuple[object, ...]] = []
        self._fails = fails

    def set_ipv4(self, device: str, address: int, mask: int) -> None:
        self._take("address", device, address, mask)

    def add_router(self, gateway: int) -> None:
        self._take("router", gateway)

    def _take(self, what: str, *told: object) -> None:
        if what == self._fails:
            raise OSError(errno.EPERM, "Operation not permitted")
        self.told.append((what, *told))


def wish(**columns: str) -> FakeReplica:
    replica = FakeReplica()
    texts = {name: (value,) for name, value in columns.items()}
    row = replica.add("Controller", target="tcp:1.2.3.4", **texts)
    replica.add_bridge("br0").data["controller"] = (row.uuid,)
    return replica


ALL = {"local_ip": "10.0.0.5", "local_netmask": "255.255.255.0", "local_gateway": "10.0.0.1"}


class Stand:
    """An applier on fakes, and what it logs."""

    def __init__(self, fails: str = "") -> None:
        self.stack = Stack(fails)
        self.datapaths = FakeDataPaths()
        self.datapaths.host_stack = self.stack
        self.devices = FakeDevices()
        self.applier = Applier(self.devices, self.datapaths)

    def apply(self, **columns: str) -> list[tuple[object, ...]]:
        self.stack.told.clear()
        self.applier.apply(read_wish(wish(**columns)))
        return list(self.stack.told)


def test_address_and_router_are_set_once_for_a_wish() -> None:
    stand = Stand()
    address = ("address", "br0", 0x0A000005, 0xFFFFFF00)
    assert stand.apply(**ALL) == [address, ("router", 0x0A000001)]
    assert stand.apply(**ALL) == []
    assert stand.apply(**ALL | {"local_gateway": ""}) == [address]
    assert stand.apply() == []


def test_device_is_brought_up() -> None:
    stand = Stand()
    stand.apply()
    device = stand.applier.bridges["br0"].interfaces["br0"].device
    assert device is not None
    device.set_admin_up(False)
    stand.apply(**ALL)
    assert device.state().admin_up


@pytest.mark.parametrize(("fails", "told"), [("address", 0), ("router", 1)])
def test_what_the_host_refuses_ends_it(fails: str, told: int) -> None:
    assert len(Stand(fails).apply(**ALL)) == told


def test_dummy_gets_nothing() -> None:
    stand = Stand()
    stand.apply()
    device = stand.applier.bridges["br0"].interfaces["br0"].device
    device.current = replace(device.current, ifindex=0)  # type: ignore[union-attr]
    stand.applier.refresh()
    assert stand.apply(**ALL) == []
