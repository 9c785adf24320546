"""Controller rows -> settings: numbers that have limits and defaults."""

from __future__ import annotations

import pytest
from tests.support.fake_switch import FakeReplica

from netloom.ofproto.settings import ControllerSettings
from netloom.vswitchd.desired import read_wish
from netloom.vswitchd.wish import LocalNetwork


def controller(bridge: dict[str, str], **columns: object) -> ControllerSettings:
    replica = FakeReplica()
    row = replica.add("Controller", target="tcp:1.2.3.4", **columns)
    added = replica.add_bridge("br0")
    added.data["controller"] = (row.uuid,)
    added.data["other_config"] = bridge
    (found,) = read_wish(replica).bridges[0].settings.controllers
    return found


@pytest.mark.parametrize(
    ("text", "dscp"), [("0", 0), ("63", 63), ("64", 48), ("-1", 48), ("x", 48)]
)
def test_dscp_is_what_six_bits_hold(text: str, dscp: int) -> None:
    assert controller({}, other_config={"dscp": text}).dscp == dscp


def test_dscp_is_that_of_network_control_by_default() -> None:
    assert controller({}).dscp == 48


@pytest.mark.parametrize(
    ("of_bridge", "size"), [("7", 7), ("512", 512), ("0", 100), ("513", 100), ("x", 100)]
)
def test_queue_size_of_the_bridge_counts_where_the_controller_has_none(
    of_bridge: str, size: int
) -> None:
    assert controller({"controller-queue-size": of_bridge}).queue_size == size


def test_queue_size_of_the_controller_counts_first() -> None:
    found = controller({"controller-queue-size": "7"}, controller_queue_size=(9,))
    assert found.queue_size == 9
    assert controller({}).queue_size == 100


def local_networks(**columns: str) -> tuple[LocalNetwork, ...]:
    replica = FakeReplica()
    texts = {name: (value,) for name, value in columns.items()}
    row = replica.add("Controller", target="tcp:1.2.3.4", **texts)
    replica.add_bridge("br0").data["controller"] = (row.uuid,)
    wish = read_wish(replica)
    assert wish.problems == ()
    return wish.bridges[0].local_networks


@pytest.mark.parametrize(
    ("local_ip", "mask"),
    [("10.0.0.5", 0xFF000000), ("172.16.0.1", 0xFFFF0000), ("192.168.0.1", 0xFFFFFF00),
     ("224.0.0.1", 0)],
)  # fmt: skip
def test_local_address_without_a_mask_has_that_of_its_class(local_ip: str, mask: int) -> None:
    (found,) = local_networks(local_ip=local_ip)
    assert (found.mask, found.gateway) == (mask, 0)


def test_local_address_has_the_mask_and_the_router_of_its_row() -> None:
    found = local_networks(
        local_ip="10.0.0.5", local_netmask="255.255.255.0", local_gateway="10.0.0.1"
    )
    assert found == (LocalNetwork(0x0A000005, 0xFFFFFF00, 0x0A000001),)


def test_local_mask_and_router_that_are_no_addresses_do_not_count() -> None:
    found = local_networks(local_ip="10.0.0.5", local_netmask="24", local_gateway="gw")
    assert found == (LocalNetwork(0x0A000005, 0xFF000000, 0),)


@pytest.mark.parametrize("text", ["", "host", "0.0.0.0", "::1"])
def test_nothing_is_asked_for_without_a_local_address(text: str) -> None:
    assert local_networks(local_ip=text, local_gateway="10.0.0.1") == ()
