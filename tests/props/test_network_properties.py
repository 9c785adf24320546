"""Whatever requests come: addresses are unique, nothing is half made, replicas follow."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule
from tests.support.network_api import Api

from netloom.network.ipam.addresses import (
    address_key,
    address_of_key,
    contains,
    default_gateway,
    default_pools,
    free_prefix,
    is_usable,
    merge_prefixes,
    overlap,
    pool_size,
)
from netloom.network.ipam.choice import choose_address
from netloom.network.model.attribute import Missing
from netloom.network.model.table import RESOURCES, resource
from netloom.network.store import journal
from netloom.network.watch.replica import Replica

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
PREFIXES = st.builds(
    lambda number, length: f"10.{number}.0.0/{length}", st.integers(0, 255), st.integers(16, 30)
)


class Requests(RuleBasedStateMachine):
    """A small cloud under random requests; errors are fine, broken promises are not."""

    networks = Bundle("networks")
    subnets = Bundle("subnets")
    ports = Bundle("ports")
    routers = Bundle("routers")

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.api = Api(seed, vxlan_vni_ranges=((1, 4),))
        self.replica = Replica()
        self.external = self.api.external("198.51.100.0/28")["id"]

    def send(self, method: str, path: str, body: Any = None) -> Any:
        status, content = self.api.request(method, path, body)
        assert status != 500, content
        return content if status < 300 else None

    @rule(target=networks)
    def make_network(self) -> str:
        made = self.send("POST", "/networks", {"network": {}})
        return made["network"]["id"] if made else ""

    @rule(target=subnets, network=networks, third=st.integers(0, 3), length=st.integers(28, 30))
    def make_subnet(self, network: str, third: int, length: int) -> str:
        body = {"network_id": network, "ip_version": 4, "cidr": f"10.0.{third}.0/{length}"}
        made = self.send("POST", "/subnets", {"subnet": body})
        return made["subnet"]["id"] if made else ""

    @rule(network=networks)
    def make_automatic_subnet(self, network: str) -> None:
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        body = {"network_id": network, "ip_version": 6, "cidr": "2001:db8::/64", **modes}
        self.send("POST", "/subnets", {"subnet": body})

    @rule(target=ports, network=networks, last=st.none() | st.integers(0, 20))
    def make_port(self, network: str, last: int | None) -> str:
        body: dict[str, Any] = {"network_id": network}
        if last is not None:
            body["fixed_ips"] = [{"ip_address": f"10.0.0.{last}"}]
        made = self.send("POST", "/ports", {"port": body})
        return made["port"]["id"] if made else ""

    @rule(network=networks, count=st.integers(2, 4), last=st.integers(0, 20))
    def make_ports_together(self, network: str, count: int, last: int) -> None:
        many: list[dict[str, Any]] = [{"network_id": network} for _ in range(count)]
        many[-1]["fixed_ips"] = [{"ip_address": f"10.0.0.{last}"}]
        self.send("POST", "/ports", {"ports": many})

    @rule(port=ports, last=st.integers(0, 20), keep=st.booleans())
    def move_port(self, port: str, last: int, keep: bool) -> None:
        wanted: list[dict[str, str]] = [{"ip_address": f"10.0.0.{last}"}]
        found = self.send("GET", f"/ports/{port}") if keep and port else None
        wanted += found["port"]["fixed_ips"] if found else []
        self.send("PUT", f"/ports/{port}", {"port": {"fixed_ips": wanted}})

    @rule(target=routers)
    def make_router(self) -> str:
        body = {"external_gateway_info": {"network_id": self.external}}
        made = self.send("POST", "/routers", {"router": body})
        return made["router"]["id"] if made else ""

    @rule(router=routers, subnet=subnets, word=st.sampled_from(["add", "remove"]))
    def connect(self, router: str, subnet: str, word: str) -> None:
        self.send("PUT", f"/routers/{router}/{word}_router_interface", {"subnet_id": subnet})

    @rule(port=ports)
    def float_port(self, port: str) -> None:
        body = {"floating_network_id": self.external, "port_id": port}
        self.send("POST", "/floatingips", {"floatingip": body})

    @rule(port=consumes(ports))
    def delete_port(self, port: str) -> None:
        self.send("DELETE", f"/ports/{port}")

    @rule(subnet=subnets)
    def delete_subnet(self, subnet: str) -> None:
        self.send("DELETE", f"/subnets/{subnet}")

    @rule(network=networks)
    def delete_network(self, network: str) -> None:
        self.send("DELETE", f"/networks/{network}")

    @rule(router=routers)
    def delete_router(self, router: str) -> None:
        self.send("DELETE", f"/routers/{router}")

    def teardown(self) -> None:
        if not hasattr(self, "api"):
            return
        ports = self.api.list("/ports")
        held = [
            (one["subnet_id"], one["ip_address"]) for port in ports for one in port["fixed_ips"]
        ]
        assert len(held) == len(set(held)) == self.api.rows("ip_allocations")
        subnets = {subnet["id"]: subnet for subnet in self.api.list("/subnets")}
        assert all(contains(subnets[subnet]["cidr"], address) for subnet, address in held)
        floating = self.api.list("/floatingips")
        own = [port for port in ports if port["device_owner"] == "network:floatingip"]
        assert {one["id"] for one in floating} == {port["device_id"] for port in own}
        interfaces = [port for port in ports if port["device_owner"].startswith("network:router")]
        assert len(interfaces) == self.api.rows("router_ports")
        assert self.api.rows("segment_allocations") == self.api.rows("networks")
        self._follow()

    def _follow(self) -> None:
        for entry in self.api.database.read(lambda tx: journal.after(tx, 0, 10_000)):
            self.replica.apply({"revision": entry.revision, "changes": json.loads(entry.changes)})
        _, now = self.api.database.read(
            lambda tx: journal.snapshot(tx, ("network", "subnet", "port", "router", "floatingip"))
        )
        for kind, documents in now.items():
            followed = sorted(self.replica.all(kind), key=lambda one: one["id"])
            assert followed == sorted(documents, key=lambda one: one["id"])


TestRequests = Requests.TestCase
TestRequests.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


MADE = tuple(row.name for row in RESOURCES if "create" in row.rights and not row.parent)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(MADE), st.data())
def test_any_body_is_answered_without_an_internal_error(kind: str, data: st.DataObject) -> None:
    api = Api()
    row = resource(kind)
    given_names = [one for one in row.attributes if one.post]
    needed = {one.name: JSON for one in given_names if one.default is Missing.REQUIRED}
    more = {one.name: JSON for one in given_names if one.name not in needed}
    body = data.draw(st.fixed_dictionaries(needed, optional=more))
    status, content = api.request("POST", f"/{row.path}", {kind: body})
    assert status in (201, 400, 403, 404, 409, 503), content
    if status != 201:
        assert api.rows("journal") == 0


@given(PREFIXES, st.sets(st.integers(0, 400), max_size=60), st.integers(0, 2**32))
def test_a_free_address_is_found_if_there_is_one(cidr: str, taken: set[int], number: int) -> None:
    pools = default_pools(cidr, default_gateway(cidr))
    first = int(address_key(pools[0]["start"]), 16)
    used = {f"{first + offset:032x}" for offset in taken}
    subnet = {"id": "s", "ip_version": 4, "allocation_pools": pools}
    found = choose_address(
        subnet,
        lambda _key, low, high: sorted(key for key in used if low <= key <= high),
        lambda limit: number % limit,
    )
    size = pool_size(pools)
    if found is None:
        assert len([offset for offset in taken if offset < size]) == size
    else:
        assert address_key(found) not in used
        assert is_usable(found, cidr)
        assert found != default_gateway(cidr)


@given(
    st.lists(PREFIXES, min_size=1, max_size=4), st.lists(PREFIXES, max_size=6), st.integers(16, 30)
)
def test_a_cut_prefix_lies_in_the_pool_and_apart(
    pool: list[str], taken: list[str], length: int
) -> None:
    merged = merge_prefixes(pool)
    found = free_prefix(merged, taken, length)
    if found is not None:
        assert found.endswith(f"/{length}")
        assert not any(overlap(found, other) for other in taken)
        assert any(contains(prefix, found.partition("/")[0]) for prefix in merged)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**128 - 1))
def test_keys_of_addresses_sort_as_addresses_do(four: int, six: int) -> None:
    for number, version in ((four, 4), (six, 6)):
        text = address_of_key(f"{number:032x}", version)
        assert int(address_key(text), 16) == number
