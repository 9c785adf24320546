"""Networks that projects are given on request, and the default external network."""

from __future__ import annotations

import pytest
from tests.support.network_api import Api

PATH = "/auto-allocated-topology"


@pytest.fixture
def api() -> Api:
    """A service with a default way out and default pools."""
    api = Api()
    external = api.make("network", **{"router:external": True, "is_default": True})
    api.make("subnet", network_id=external["id"], ip_version=4, cidr="203.0.113.0/24")
    for name, prefix, length in (("four", "10.0.0.0/8", 26), ("six", "fd00::/48", 64)):
        common = {"default_prefixlen": length, "is_default": True, "shared": True}
        api.make("subnetpool", name=name, prefixes=[prefix], **common)
    return api


def given(api: Api, project: str = "p1", key: str = "None") -> str:
    status, content = api.request("GET", f"{PATH}/{key}", project=project)
    assert status == 200, content
    topology = content["auto_allocated_topology"]
    assert topology["project_id"] == project
    return str(topology["id"])


def test_whoever_asks_is_given_a_network_with_a_way_out_once(api: Api) -> None:
    network = given(api)
    assert given(api, key="p1") == network
    (found,) = api.list("/networks?name=auto_allocated_network", "p1")
    assert (found["id"], len(found["subnets"])) == (network, 2)
    (router,) = api.list("/routers", "p1")
    assert router["external_gateway_info"]["external_fixed_ips"]
    assert given(api, "p2") != network


def test_what_was_given_goes_away_whole_and_can_be_given_again(api: Api) -> None:
    network = given(api)
    for _ in range(2):
        assert api.request("DELETE", f"{PATH}/None", project="p1")[0] == 204
    assert api.list("/routers", "p1") == []
    assert api.request("GET", f"/networks/{network}", project="p1")[0] == 404
    assert given(api) != network


def test_a_router_that_its_owner_deleted_is_not_missed(api: Api) -> None:
    network = given(api)
    (router,) = api.list("/routers", "p1")
    for subnet in api.list(f"/subnets?network_id={network}", "p1"):
        path = f"/routers/{router['id']}/remove_router_interface"
        assert api.request("PUT", path, {"subnet_id": subnet["id"]}, "p1")[0] == 200
    assert api.request("DELETE", f"/routers/{router['id']}", project="p1")[0] == 204
    assert given(api) == network
    assert api.request("DELETE", f"{PATH}/p1", project="p1")[0] == 204


def test_nobody_is_given_another_project_s_network(api: Api) -> None:
    given(api)
    api.refused(403, "NotAuthorized", "GET", f"{PATH}/p1", project="p2")
    api.refused(403, "NotAuthorized", "DELETE", f"{PATH}/p1", project="p2")


def test_a_reader_may_not_take_a_network_away(api: Api) -> None:
    given(api)
    status, content = api.request("DELETE", f"{PATH}/p1", project="p1", roles="reader")
    assert (status, content["NeutronError"]["type"]) == (403, "PolicyNotAuthorized")


def test_a_trial_makes_nothing(api: Api) -> None:
    status, content = api.request("GET", f"{PATH}/None?fields=dry-run", project="p1")
    assert (status, content["auto_allocated_topology"]["id"]) == (200, "dry-run=pass")
    assert api.list("/routers", "p1") == []


def test_without_a_way_out_there_is_nothing_to_give() -> None:
    bare = Api()
    message = bare.refused(409, "AutoAllocationFailure", "GET", f"{PATH}/None", project="p1")
    assert message == "Deployment error: No default router:external network."
    assert bare.list("/networks", "p1") == []


def test_one_external_network_is_the_default(api: Api) -> None:
    body = {"network": {"router:external": True, "is_default": True}}
    api.refused(409, "DefaultExternalNetworkExists", "POST", "/networks", body)
    (held,) = api.list("/networks?is_default=true")
    policy = {"object_id": held["id"]}
    (policy,) = [one for one in api.list("/rbac-policies") if one["object_id"] == held["id"]]
    api.refused(409, "RbacPolicyInUse", "DELETE", f"/rbac-policies/{policy['id']}")
