"""What commands answer to who asks for JSON."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netloom.base.errors import CommandError
from netloom.flow.compose import compose_packet
from netloom.flow.mapped import parse_mapped, parse_mapped_prefix
from netloom.flow.text import parse_flow
from netloom.ofproto.json_answers import JsonAnswer, json_answers

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch


@pytest.fixture
def switch() -> SmallSwitch:
    switch = SmallSwitch()
    switch.add_bridge("br0")
    switch.add_bridge("br1")
    switch.add_port("br0", "p1", 1, {})
    switch.add_port("br0", "q0", 5, {}, "q1")
    switch.add_port("br1", "q1", 5, {}, "q0")
    switch.replace_flows("br0", "actions=normal")
    return switch


def answers(switch: SmallSwitch) -> dict[str, JsonAnswer]:
    routes = switch.backer.underlay.routes
    return json_answers(
        lambda: [switch.backer],
        lambda args: routes,
        lambda args: routes.rules.of_family(is_v6=bool(args)),
    )


def test_ports_of_all_bridges_are_listed(switch: SmallSwitch) -> None:
    shown = answers(switch)["dpif/show"]([])
    (data_path,) = shown.values()
    assert data_path["stats"] == {"hit": "0", "missed": "0"}
    assert data_path["bridges"]["br0"]["p1"] == {"ofport": "1", "port_no": "1", "type": "dummy"}
    assert data_path["bridges"]["br0"]["br0"]["ofport"] == "65534"
    assert data_path["bridges"]["br1"]["q1"] == {
        "config": {"peer": "q0"}, "ofport": "5", "port_no": "none", "type": "patch"
    }  # fmt: skip


def test_addresses_are_listed_with_their_age(switch: SmallSwitch) -> None:
    switch.control("fdb/add", "br0", "br0", "7", "00:00:00:00:00:02")
    switch.devices.find("p1").inject(compose_packet(parse_flow("udp,dl_src=00:00:00:00:00:01")))
    switch.backer.run()
    switch.clock.advance(2_500)
    assert answers(switch)["fdb/show"](["br0"]) == [
        {"mac": "00:00:00:00:00:02", "port": "LOCAL", "vlan": 7, "static": True},
        {"mac": "00:00:00:00:00:01", "port": 1, "vlan": 0, "age": 2},
    ]
    with pytest.raises(CommandError, match="no such bridge"):
        answers(switch)["fdb/show"](["br9"])


def test_routes_are_listed_with_their_table(switch: SmallSwitch) -> None:
    underlay = switch.backer.underlay
    prefix = parse_mapped_prefix("10.0.0.1/24")
    gateway = parse_mapped("10.0.0.9")
    assert prefix is not None and gateway is not None
    underlay.give("br0", *prefix)
    default = parse_mapped_prefix("0.0.0.0/0")
    assert default is not None and underlay.routes.add(*default, "br0", gateway, 5)
    assert answers(switch)["ovs/route/show"]([]) == [
        {
            "dst": "10.0.0.1", "local": True, "nexthops": [{"dev": "br0"}], "prefix": 32,
            "prefsrc": "10.0.0.1", "table": 255, "user": False,
        },
        {
            "dst": "10.0.0.0", "local": False, "nexthops": [{"dev": "br0"}], "prefix": 24,
            "prefsrc": "10.0.0.1", "table": 254, "user": False,
        },
        {
            "dst": "0.0.0.0", "local": False, "mark": 5,
            "nexthops": [{"dev": "br0", "gateway": "10.0.0.9"}], "prefix": 0,
            "prefsrc": "10.0.0.1", "table": 254, "user": True,
        },
    ]  # fmt: skip
