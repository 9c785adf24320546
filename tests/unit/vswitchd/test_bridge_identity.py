"""Addresses and datapath ids of bridges."""

from __future__ import annotations

import pytest

from netloom.base.record import replace
from netloom.ofproto.settings import BridgeSettings, BundleSettings
from netloom.vswitchd.addresses import bridge_default_mac, parse_datapath_id, parse_mac
from netloom.vswitchd.identity import bridge_mac, datapath_id, fake_bridge_mac
from netloom.vswitchd.wish import BridgeWish, InterfaceWish, PortWish


def port(name: str, tag: int = -1, mac: str = "", fake: bool = False) -> PortWish:
    return PortWish(
        name=name,
        interfaces=(InterfaceWish(name=name, type="system"),),
        bundle=BundleSettings(name=name, members=(name,), tag=tag),
        mac=mac,
        fake_bridge=fake,
    )


def bridge(*ports: PortWish) -> BridgeWish:
    return BridgeWish(
        name="br0",
        datapath_type="system",
        settings=BridgeSettings(name="br0", datapath_id=0),
        ports=ports,
        default_mac="02:00:00:00:00:99",
    )


def test_the_smallest_real_address_of_the_ports_is_taken() -> None:
    macs = {"p1": "00:00:5e:00:53:02", "p2": "00:00:5e:00:53:01", "br0": "00:00:00:00:00:01"}
    assert bridge_mac(bridge(port("br0"), port("p1"), port("p2")), macs) == "00:00:5e:00:53:01"


@pytest.mark.parametrize(
    "mac", ["02:00:00:00:00:01", "01:00:00:00:00:01", "00:00:00:00:00:00", "00:e0:2b:00:00:04", ""]
)
def test_local_group_zero_and_reserved_addresses_are_not_lent(mac: str) -> None:
    assert bridge_mac(bridge(port("p1")), {"p1": mac}) == "02:00:00:00:00:99"


def test_the_address_of_the_port_row_comes_before_the_devices() -> None:
    ports = bridge(port("p1", mac="00:00:5e:00:53:09"))
    assert bridge_mac(ports, {"p1": "00:00:5e:00:53:01"}) == "00:00:5e:00:53:09"


def test_a_configured_address_comes_before_all() -> None:
    wish = replace(bridge(port("p1")), hwaddr="02:00:00:00:00:05")
    assert bridge_mac(wish, {"p1": "00:00:5e:00:53:01"}) == "02:00:00:00:00:05"


def test_a_fake_bridge_looks_at_the_ports_of_its_vlan_only() -> None:
    fake = port("vlan5", tag=5, fake=True)
    wish = bridge(fake, port("p1", tag=5), port("p2", tag=6))
    macs = {"p1": "00:00:5e:00:53:02", "p2": "00:00:5e:00:53:01", "vlan5": "00:00:00:00:00:02"}
    assert fake_bridge_mac(wish, fake, macs) == "00:00:5e:00:53:02"


def test_the_datapath_id_is_the_address_unless_configured() -> None:
    wish = bridge()
    assert datapath_id(wish, "00:00:5e:00:53:01") == 0x00005E005301
    assert datapath_id(replace(wish, datapath_id=5), "00:00:5e:00:53:01") == 5


def test_the_default_address_comes_from_the_uuid_as_in_open_vswitch() -> None:
    # Both pairs were read off a running Open vSwitch 3.1.
    uuids = {
        "a16c84aa-43d5-4f89-95f9-14bda78d6153": "aa:84:6c:a1:89:4f",
        "75501c82-e93b-4474-8cd6-9f40f57b83a5": "82:1c:50:75:74:44",
    }
    assert {uuid: bridge_default_mac(uuid) for uuid in uuids} == uuids


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("00000000000000ff", 0xFF),
        ("0x12", 0x12),
        ("12", 0),
        ("0x", 0),
        ("0000000000000000", 0),
        ("zzzzzzzzzzzzzzzz", 0),
        ("0x00000000000000001", 0),
    ],
)
def test_datapath_ids_are_sixteen_digits_or_have_a_prefix(text: str, number: int) -> None:
    assert parse_datapath_id(text) == number


@pytest.mark.parametrize("text", ["", "1:2:3:4:5", "1:2:3:4:5:6:7", "1:2:3:4:5:g", "1:2:3:4:5:123"])
def test_garbage_is_no_address(text: str) -> None:
    assert parse_mac(text) is None
