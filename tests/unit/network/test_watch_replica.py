"""The watch: journal, snapshot, replica, what agents derive; schedules and fail-over."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.network_api import Api

from netloom.base.errors import ProtocolError
from netloom.network.api.message import Request
from netloom.network.store import journal
from netloom.network.tasks import Chores
from netloom.network.watch.derive import (
    Endpoint,
    forwarding,
    members,
    port_rules,
    ports_of_host,
    ports_touched_by_group,
)
from netloom.network.watch.replica import Delta, Expired, Lines, Replica


@pytest.fixture
def api() -> Api:
    return Api()


def snapshot(api: Api) -> dict[str, Any]:
    request = Request("GET", "/agent/v1/snapshot")
    return dict(json.loads(api.service.snapshot(request, "").response.body))


def catch_up(api: Api, replica: Replica) -> list[Delta]:
    """Feed the replica what the stream would say."""
    entries = api.database.read(lambda tx: journal.after(tx, replica.revision, 1000))
    lines = Lines()
    deltas = []
    for entry in entries:
        text = f'{{"revision":{entry.revision},"changes":{entry.changes}}}\n'
        for line in lines.feed(text.encode()):
            deltas += replica.apply(line)
    return deltas


def loaded(api: Api) -> Replica:
    replica = Replica()
    replica.load(snapshot(api))
    return replica


def test_a_replica_that_follows_equals_a_new_snapshot(api: Api) -> None:
    replica = loaded(api)
    api.l2_agent("h1")
    api.report("DHCP agent", "h1")
    api.report("L3 agent", "h1")
    external = api.external()
    subnet = api.subnet(project="p1")
    router = api.make("router", "p1", external_gateway_info={"network_id": external["id"]})
    path = f"/routers/{router['id']}/add_router_interface"
    assert api.request("PUT", path, {"subnet_id": subnet["id"]})[0] == 200
    port = api.make("port", "p1", network_id=subnet["network_id"])
    api.change("port", port["id"], name="x")
    api.make("floatingip", "p1", floating_network_id=external["id"], port_id=port["id"])
    api.remove("port", port["id"], "p1")
    catch_up(api, replica)
    fresh = loaded(api)
    for kind in snapshot(api)["kinds"]:
        key = lambda document: document["id"]  # noqa: E731
        followed = sorted(replica.all(kind), key=key)
        # A schedule without agents is the same as none.
        followed = [one for one in followed if one.get("agents", True)]
        assert followed == sorted(fresh.all(kind), key=key), kind
    assert replica.revision == fresh.revision


def test_a_line_that_comes_again_changes_nothing(api: Api) -> None:
    replica = Replica()
    api.make("network", name="n")
    (entry,) = api.database.read(lambda tx: journal.after(tx, 0, 10))
    line = {"revision": entry.revision, "changes": json.loads(entry.changes)}
    kinds = {delta.kind for delta in replica.apply(line)}
    assert "network" in kinds
    assert replica.apply(line) == []


def test_a_refused_request_leaves_no_line(api: Api) -> None:
    api.refused(404, "NetworkNotFound", "DELETE", "/networks/x")
    assert api.database.read(journal.newest) == 0


def test_a_watch_that_is_too_late_must_list_again(api: Api) -> None:
    for _ in range(3):
        api.make("network")
    with api.database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM journal WHERE revision < 3")
    with pytest.raises(journal.Expired):
        api.database.read(lambda tx: journal.after(tx, 1, 10))
    assert len(api.database.read(lambda tx: journal.after(tx, 2, 10))) == 1
    refusal = api.service.check_watch(Request("GET", "/agent/v1/watch"), "1")
    assert refusal is not None
    assert refusal.response.status == 410
    with pytest.raises(Expired):
        Replica().apply({"error": "expired"})


def test_lines_may_arrive_in_any_pieces() -> None:
    text = b'{"revision":1,"changes":[]}\n\n{"revision":2}\n'
    for size in range(1, len(text)):
        lines = Lines()
        found = []
        for start in range(0, len(text), size):
            found += lines.feed(text[start : start + size])
        assert [line["revision"] for line in found] == [1, 2]
    with pytest.raises(ProtocolError):
        Lines().feed(b"{\n")
    with pytest.raises(ProtocolError):
        Replica().apply({"changes": []})


def test_tenants_may_not_watch(api: Api) -> None:
    headers = {"x-project-id": "p1", "x-roles": "member"}
    answer = api.service.snapshot(Request("GET", "/agent/v1/snapshot", (), headers), "")
    assert answer.response.status == 403
    refusal = api.service.check_watch(Request("GET", "/agent/v1/watch", (), headers), "0")
    assert refusal is not None
    assert refusal.response.status == 403
    assert api.request("PUT", "/agent/v1/report", {}, "p1")[0] == 403


def test_forwarding_entries_are_those_of_other_hosts(api: Api) -> None:
    api.l2_agent("h1", "192.0.2.1")
    api.l2_agent("h2", "192.0.2.2")
    subnet = api.subnet()
    ports = [
        api.make("port", network_id=subnet["network_id"], **{"binding:host_id": host})
        for host in ("h1", "h2", "nowhere", "")
    ]
    replica = loaded(api)
    there = ports[1]
    entry = (there["mac_address"], there["fixed_ips"][0]["ip_address"])
    found = forwarding(replica, subnet["network_id"], "h1")
    assert found == (Endpoint("h2", "192.0.2.2", (entry,)),)
    assert [port["id"] for port in ports_of_host(replica, "h1")] == [ports[0]["id"]]
    assert ports_of_host(replica, "nowhere") == []
    api.remove("port", there["id"])
    catch_up(api, replica)
    assert forwarding(replica, subnet["network_id"], "h1") == ()


def test_vlan_networks_need_no_tunnels(api: Api) -> None:
    api.l2_agent("h2", "192.0.2.2")
    vlan = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}
    network = api.make("network", **vlan)
    api.make("port", network_id=network["id"], **{"binding:host_id": "h2"})
    assert forwarding(loaded(api), network["id"], "h1") == ()


def test_rules_name_the_members_of_remote_groups(api: Api) -> None:
    subnet = api.subnet(project="p1")
    web = api.make("security_group", "p1", name="web")
    rule = {"security_group_id": web["id"], "direction": "ingress", "protocol": "tcp"}
    api.make(
        "security_group_rule",
        "p1",
        port_range_min=80,
        port_range_max=81,
        remote_group_id=web["id"],
        **rule,
    )
    pair = [{"ip_address": "10.1.0.0/24"}, {"ip_address": "2001:db8::1"}]
    port = api.make(
        "port",
        "p1",
        network_id=subnet["network_id"],
        security_groups=[web["id"]],
        allowed_address_pairs=pair,
    )
    replica = loaded(api)
    address = port["fixed_ips"][0]["ip_address"]
    assert set(members(replica, web["id"], "IPv4")) == {f"{address}/32", "10.1.0.0/24"}
    assert members(replica, web["id"], "IPv6") == ("2001:db8::1/128",)
    inward = [one for one in port_rules(replica, port) if one.direction == "ingress"]
    assert [(one.protocol, one.port_min, one.port_max) for one in inward] == [(6, 80, 81)]
    assert inward[0].group == web["id"]
    assert ports_touched_by_group(replica, web["id"]) == {port["id"]}


def test_networks_with_dhcp_go_to_the_agent_with_least(api: Api) -> None:
    api.report("DHCP agent", "h1")
    api.report("DHCP agent", "h2")
    keys = [api.subnet()["network_id"] for _ in range(4)]
    hosts = sorted(
        agent["host"] for key in keys for agent in api.list(f"/networks/{key}/dhcp-agents")
    )
    assert hosts == ["h1", "h1", "h2", "h2"]
    without = api.subnet(enable_dhcp=False)["network_id"]
    assert api.list(f"/networks/{without}/dhcp-agents") == []
    assert api.show("network", keys[0])["availability_zones"] == ["nova"]


def test_networks_leave_an_agent_that_is_gone(api: Api) -> None:
    first = api.report("DHCP agent", "h1")
    key = api.subnet()["network_id"]
    chores = Chores(api.database, api.service.parts)
    api.clock.advance(80_000)
    assert chores.run_all() == 0
    second = api.report("DHCP agent", "h2")
    chores.run_all()
    (agent,) = api.list(f"/networks/{key}/dhcp-agents")
    assert (agent["id"], agent["alive"]) == (second["id"], True)
    assert api.list(f"/agents/{first['id']}/dhcp-networks") == []
    assert [one["alive"] for one in api.list("/agents?host=h1")] == [False]


def test_a_routers_ports_are_bound_where_its_agent_is(api: Api) -> None:
    api.l2_agent("net")
    subnet = api.subnet()
    router = api.make("router")
    path = f"/routers/{router['id']}/add_router_interface"
    answer = api.request("PUT", path, {"subnet_id": subnet["id"]})[1]
    assert api.show("port", answer["port_id"])["binding:host_id"] == ""
    agent = api.report("L3 agent", "net")
    port = api.show("port", answer["port_id"])
    assert (port["binding:host_id"], port["binding:vif_type"]) == ("net", "ovs")
    below = f"/agents/{agent['id']}/l3-routers"
    assert [one["id"] for one in api.list(below)] == [router["id"]]
    assert api.request("DELETE", f"{below}/{router['id']}")[0] == 204
    api.refused(409, "RouterNotHostedByL3Agent", "DELETE", f"{below}/{router['id']}")
    assert api.show("port", answer["port_id"])["binding:host_id"] == ""
    assert api.request("POST", below, {"router_id": router["id"]})[0] == 201
    dhcp = api.report("DHCP agent", "net")
    wrong = f"/agents/{dhcp['id']}/l3-routers"
    api.refused(404, "InvalidL3Agent", "POST", wrong, {"router_id": router["id"]})


def test_zones_are_where_agents_are(api: Api) -> None:
    body = {"agent_type": "DHCP agent", "host": "h9", "binary": "b", "availability_zone": "az9"}
    assert api.request("PUT", "/agent/v1/report", body)[0] == 200
    assert api.list("/availability_zones") == [
        {"name": "az9", "resource": "network", "state": "available"}
    ]
    network = api.make("network", availability_zone_hints=["az9"])
    assert network["availability_zone_hints"] == ["az9"]
    body = {"network": {"availability_zone_hints": ["mars"]}}
    api.refused(404, "AvailabilityZoneNotFound", "POST", "/networks", body)


def test_heartbeats_are_not_journalled(api: Api) -> None:
    api.l2_agent("h1")
    before = api.database.read(journal.newest)
    api.clock.advance(30_000)
    api.l2_agent("h1")
    assert api.database.read(journal.newest) == before
    assert api.list("/agents")[0]["heartbeat_timestamp"] == "2023-11-14 22:13:50"
