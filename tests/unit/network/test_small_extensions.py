"""Extensions of a few lines each, and answers that Neutron's own API tests rely on."""

from __future__ import annotations

import pytest
from tests.support.network_api import Api


@pytest.fixture
def api() -> Api:
    return Api()


def test_agents_are_found_however_their_type_is_written(api: Api) -> None:
    report = {"agent_type": "DHCP agent", "binary": "dhcp", "host": "h1"}
    assert api.request("PUT", "/agent/v1/report", report)[0] == 200
    assert len(api.list("/agents?agent_type=DHCP Agent")) == 1
    assert api.list("/agents?agent_type=L3 agent") == []


def test_an_empty_page_leads_back(api: Api) -> None:
    network = api.make("network", "p1")
    path = f"/networks?limit=1&marker={network['id']}"
    for more, rel in (("", "previous"), ("&page_reverse=True", "next")):
        status, content = api.request("GET", path + more, project="p1")
        assert (status, content["networks"]) == (200, [])
        assert [link["rel"] for link in content["networks_links"]] == [rel]
        assert "marker" not in content["networks_links"][0]["href"]


def test_a_port_is_given_another_mac_address_by_an_administrator(api: Api) -> None:
    network = api.make("network", "p1")
    port = api.make("port", "p1", network_id=network["id"], mac_address=None)
    body = {"port": {"mac_address": None}}
    path = f"/ports/{port['id']}"
    api.refused(403, "PolicyNotAuthorized", "PUT", path, body, "p1")
    after = api.change("port", port["id"], mac_address=None)["mac_address"]
    assert after != port["mac_address"]


def test_a_network_s_subnets_come_under_a_pool_once(api: Api) -> None:
    subnet = api.make(
        "subnet",
        network_id=api.make("network")["id"],
        ip_version=4,
        cidr="10.3.0.0/24",
    )
    pool = api.make("subnetpool", name="pool", prefixes=["10.0.0.0/16"])
    path = f"/subnetpools/{pool['id']}/onboard_network_subnets"
    body = {"network_id": subnet["network_id"]}
    found = api.request("PUT", path, body)
    assert found == (200, [{"id": subnet["id"], "cidr": subnet["cidr"]}])
    assert api.show("subnet", subnet["id"])["subnetpool_id"] == pool["id"]
    assert api.show("subnetpool", pool["id"])["prefixes"] == ["10.0.0.0/16", "10.3.0.0/24"]
    api.refused(400, "IllegalSubnetPoolUpdate", "PUT", path, body)


def test_addresses_outside_the_pools_are_counted_apart(api: Api) -> None:
    network = api.make("network")["id"]
    pools = [{"start": "10.3.0.10", "end": "10.3.0.19"}]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.3.0.0/24"}
    api.make("subnet", allocation_pools=pools, **subnet)
    for address in ("10.3.0.12", "10.3.0.200"):
        api.make("port", network_id=network, fixed_ips=[{"ip_address": address}])
    status, content = api.request("GET", f"/network-ip-availabilities/{network}")
    assert (status, content["network_ip_availability"]["ip_availability_details"]) == (
        200,
        {
            "total_ips_in_subnet": 254,
            "total_ips_in_allocation_pool": 10,
            "used_ips_in_subnet": 2,
            "used_ips_in_allocation_pool": 1,
        },
    )


def test_rules_that_others_make_in_one_s_group_are_seen(api: Api) -> None:
    group = api.make("security_group", "p1", name="mine")["id"]
    rule = api.make("security_group_rule", security_group_id=group, direction="ingress")["id"]
    assert rule in [one["id"] for one in api.list("/security-group-rules", "p1")]
    assert rule not in [one["id"] for one in api.list("/security-group-rules", "p2")]


def test_the_owner_of_a_network_clears_it_of_others_ports(api: Api) -> None:
    network = api.make("network", "p1", name="lent")["id"]
    policy = {"object_type": "network", "object_id": network, "target_tenant": "p2"}
    body = {"rbac_policy": {**policy, "action": "access_as_shared"}}
    assert api.request("POST", "/rbac-policies", body, "p1")[0] == 201
    port = api.make("port", "p2", network_id=network)["id"]
    api.refused(404, "PortNotFound", "DELETE", f"/ports/{port}", project="p3")
    api.remove("port", port, "p1")


def test_a_network_lent_as_external_to_one_project_is_external(api: Api) -> None:
    network = api.make("network", "p1")["id"]
    policy = {"object_type": "network", "object_id": network, "action": "access_as_external"}
    body = {"rbac_policy": {**policy, "target_tenant": "p2"}}
    status, content = api.request("POST", "/rbac-policies", body, "p1")
    assert status == 201
    assert api.show("network", network, "p2")["router:external"]
    gateway = {"network_id": network}
    assert api.make("router", "p2", external_gateway_info=gateway)["id"]
    api.refused(404, "NetworkNotFound", "GET", f"/networks/{network}", project="p3")
    path = f"/rbac-policies/{content['rbac_policy']['id']}"
    api.refused(409, "ExternalNetworkInUse", "DELETE", path, project="p1")


def test_ports_have_stateful_groups_or_stateless_ones(api: Api) -> None:
    network = api.make("network", "p1")["id"]
    groups = [
        api.make("security_group", "p1", name="g", stateful=stateful)["id"]
        for stateful in (True, False)
    ]
    body = {"port": {"network_id": network, "security_groups": groups}}
    api.refused(409, "SecurityGroupConflict", "POST", "/ports", body, "p1")
    port = api.make("port", "p1", network_id=network, security_groups=groups[:1])["id"]
    change = {"port": {"security_groups": groups}}
    api.refused(409, "SecurityGroupConflict", "PUT", f"/ports/{port}", change, "p1")
    assert api.change("port", port, "p1", security_groups=groups[1:])["security_groups"]
