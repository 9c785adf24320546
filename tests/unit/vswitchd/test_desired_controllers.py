"""Controller rows -> settings: numbers that have limits and defaults."""

from __future__ import annotations

import pytest
from tests.support.fake_switch import FakeReplica

from netloom.ofproto.settings import ControllerSettings
from netloom.vswitchd.desired import read_wish


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


@pytest.mark.parametrize("column", ["local_ip", "local_netmask", "local_gateway"])
def test_addresses_for_the_local_port_are_refused_aloud(column: str) -> None:
    replica = FakeReplica()
    row = replica.add("Controller", target="tcp:1.2.3.4", **{column: ("10.0.0.1",)})
    replica.add_bridge("br0").data["controller"] = (row.uuid,)
    assert (
        "warn",
        "bridge",
        f'bridge br0: controller "tcp:1.2.3.4": {column} is not supported by this version',
    ) in read_wish(replica).problems
