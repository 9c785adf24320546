"""The host's routes and rules, as `ovs/route/*` tells of them, and JSON of the same."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.support.switches import needs_root

from netloom.lab.lab import Lab
from netloom.lab.namespace import Namespace
from netloom.lab.switch import Programs, Switch

pytestmark = [pytest.mark.root, needs_root]


class Host:
    """A host with two devices, and a switch that has no bridge."""

    def __init__(self, host: Namespace, switch: Switch) -> None:
        self.host = host
        self.switch = switch
        for name in ("p1", "p2"):
            host.ip("tuntap", "add", "name", name, "mode", "tap")
            host.ip("link", "set", name, "up")

    def ip(self, words: str) -> None:
        self.host.ip(*words.split())

    def route(self, words: str) -> str:
        return self.switch.run("ovs-appctl", *f"ovs/route/{words}".split(), check=False).stdout

    def lines(self, words: str, text: str) -> list[str]:
        return [line for line in self.route(words).splitlines() if text in line]


@pytest.fixture(scope="module")
def host(tools: Programs) -> Iterator[Host]:
    with Lab("hroutes") as lab:
        namespace = lab.add_namespace("h")
        switch = lab.add_switch("s", tools, host=namespace)
        switch.start()
        yield Host(namespace, switch)


def test_of_several_next_hops_the_first_counts(host: Host) -> None:
    host.ip("addr add 192.168.42.10/24 dev p1")
    host.ip("addr add 192.168.51.10/24 dev p2")
    host.ip("route add 172.16.42.0/24 nexthop via 192.168.42.1 dev p1"
            " nexthop via 192.168.51.1 dev p2")  # fmt: skip
    assert host.lines("show", "172.16.42.0/24") == [
        "Cached: 172.16.42.0/24 dev p1 GW 192.168.42.1 SRC 192.168.42.10"
    ]


def test_a_gateway_may_be_of_the_other_family(host: Host) -> None:
    host.ip("addr add fc00:5::10/64 dev p1 nodad")
    host.ip("addr add fc00:6::10/64 dev p2 nodad")
    host.ip("route add 172.16.1.0/24 via inet6 fc00:5::1 dev p1")
    host.ip("route add 172.16.2.0/24 nexthop via inet6 fc00:6::1 dev p2"
            " nexthop via inet6 fc00:5::1 dev p1")  # fmt: skip
    host.ip("route add fc00:7::/64 nexthop via fc00:5::1 dev p1 nexthop via fc00:6::1 dev p2")
    assert [*host.lines("show", "172.16.1."), *host.lines("show", "172.16.2.")] == [
        "Cached: 172.16.1.0/24 dev p1 GW fc00:5::1 SRC fc00:5::10",
        "Cached: 172.16.2.0/24 dev p2 GW fc00:6::1 SRC fc00:6::10",
    ]
    assert host.lines("show", "fc00:7::/64") == [
        "Cached: fc00:7::/64 dev p1 GW fc00:5::1 SRC fc00:5::10"
    ]


def test_of_two_routes_to_one_network_the_last_counts(host: Host) -> None:
    host.ip("addr add 10.9.0.11/24 dev p1")
    host.ip("addr add 10.9.0.12/24 dev p2")
    assert host.lines("show", "10.9.0.0/24") == ["Cached: 10.9.0.0/24 dev p2 SRC 10.9.0.12"]
    assert "dev p2" in host.route("lookup 10.9.0.10 src=10.9.0.11")


def test_tables_are_there_while_a_rule_names_them(host: Host) -> None:
    host.ip("addr add 10.8.0.1/24 dev p1")
    host.ip("route add 10.8.0.18/32 dev p1 table 42")
    assert host.route("show table=42") == ""
    host.ip("rule add from 10.8.0.1 lookup 42")
    assert host.lines("rule/show", " 42")
    assert host.route("show table=42") == (
        "Route Table #42:\nCached: 10.8.0.18/32 dev p1 SRC 10.8.0.1\n"
    )
    described = json.loads(
        host.switch.run("ovs-appctl", "--format=json", "ovs/route/show", "table=42").stdout
    )
    assert [(route["dst"], route["table"]) for route in described] == [("10.8.0.18", 42)]
    host.ip("rule del from 10.8.0.1 lookup 42")
    assert host.route("show table=42") == ""
