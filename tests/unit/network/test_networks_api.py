"""Networks: segments, sharing, MTU, deletion."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from tests.support.network_api import Api


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_tenant_gets_a_segment_of_the_tenants_types_and_does_not_see_it(api: Api) -> None:
    network = api.make("network", "p1", name="blue")
    assert network["project_id"] == network["tenant_id"] == "p1"
    assert network["mtu"] == 1450
    assert not [name for name in network if name.startswith(("provider:", "_"))]
    seen = api.show("network", network["id"])
    assert seen["provider:network_type"] == "vxlan"
    assert 1 <= seen["provider:segmentation_id"] <= 1000


def test_tenants_networks_run_out(api: Api) -> None:
    api = Api(vxlan_vni_ranges=((7, 8),))
    found = {api.make("network")["provider:segmentation_id"] for _ in range(2)}
    assert found == {7, 8}
    api.refused(503, "NoNetworkAvailable", "POST", "/networks", {"network": {}})


def test_a_deleted_network_gives_its_segment_back() -> None:
    api = Api(vxlan_vni_ranges=((7, 7),))
    for _ in range(3):
        api.remove("network", api.make("network")["id"])
    assert api.rows("segment_allocations") == 0


@pytest.mark.parametrize(
    ("segment", "status", "kind"),
    [
        (("vlan", "physnet1", 4095), 400, "InvalidInput"),
        (("vlan", "nowhere", 10), 400, "InvalidInput"),
        (("vlan", None, 10), 400, "InvalidInput"),
        (("flat", None, None), 400, "InvalidInput"),
        (("flat", "physnet1", 3), 400, "InvalidInput"),
        (("vxlan", "physnet1", 3), 400, "InvalidInput"),
        (("vxlan", None, 1 << 24), 400, "InvalidInput"),
        (("local", None, 5), 400, "InvalidInput"),
        (("token-ring", None, None), 400, "InvalidInput"),
        ((None, "physnet1", None), 400, "InvalidInput"),
    ],
)
def test_segments_that_cannot_be_are_refused(
    api: Api, segment: tuple[str | None, str | None, int | None], status: int, kind: str
) -> None:
    names = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")
    body = {"network": dict(zip(names, segment))}
    api.refused(status, kind, "POST", "/networks", body)
    assert api.rows("networks") == 0


@pytest.mark.parametrize(
    ("segment", "kind"),
    [
        ({"provider:network_type": "flat", "provider:physical_network": "ph"}, "FlatNetworkInUse"),
        ({"provider:network_type": "gre", "provider:segmentation_id": 9}, "TunnelIdInUse"),
        (
            {
                "provider:network_type": "vlan",
                "provider:physical_network": "physnet1",
                "provider:segmentation_id": 4000,
            },
            "VlanIdInUse",
        ),
    ],
)
def test_a_segment_has_one_network(api: Api, segment: dict[str, object], kind: str) -> None:
    api.make("network", **segment)
    api.refused(409, kind, "POST", "/networks", {"network": segment})
    assert api.rows("networks") == 1


def test_a_network_may_have_several_segments(api: Api) -> None:
    segments = [
        {"provider:network_type": "vxlan", "provider:segmentation_id": 77},
        {"provider:network_type": "vlan", "provider:physical_network": "physnet1"},
    ]
    network = api.make("network", segments=segments)
    assert [one["provider:network_type"] for one in network["segments"]] == ["vxlan", "vlan"]
    assert 100 <= network["segments"][1]["provider:segmentation_id"] <= 102
    assert "provider:network_type" not in network


def test_mtu_follows_the_underlay_and_can_only_be_lowered() -> None:
    api = Api(
        path_mtu=9000,
        global_physnet_mtu=9000,
        physical_network_mtus=MappingProxyType({"physnet1": 4000}),
    )
    assert api.make("network")["mtu"] == 8950
    vlan = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}
    network = api.make("network", mtu=1500, **vlan)
    assert network["mtu"] == 1500
    assert api.change("network", network["id"], mtu=4000)["mtu"] == 4000
    path = f"/networks/{network['id']}"
    message = api.refused(400, "InvalidInput", "PUT", path, {"network": {"mtu": 4001}})
    assert message == ("Invalid input for operation: Requested MTU is too big, maximum is 4000.")


def test_an_mtu_too_small_for_the_subnets_is_refused(api: Api) -> None:
    subnet = api.subnet("2001:db8::/64")
    path = f"/networks/{subnet['network_id']}"
    api.refused(409, "NetworkMTUSubnetConflict", "PUT", path, {"network": {"mtu": 1000}})


def test_only_an_administrator_names_segments_or_shares(api: Api) -> None:
    for body in (
        {"provider:network_type": "local"},
        {"shared": True},
        {"router:external": True},
    ):
        api.refused(403, "PolicyNotAuthorized", "POST", "/networks", {"network": body}, "p1")
    assert api.make("network", "p1", shared=False)["shared"] is False


def test_a_shared_network_is_seen_by_all_and_changed_by_its_owner(api: Api) -> None:
    network = api.make("network", shared=True, name="all")
    assert [one["name"] for one in api.list("/networks", "p1")] == ["all"]
    path = f"/networks/{network['id']}"
    body = {"network": {"name": "mine"}}
    api.refused(403, "PolicyNotAuthorized", "PUT", path, body, "p1")
    api.refused(403, "PolicyNotAuthorized", "DELETE", path, project="p1")


def test_sharing_ends_only_when_nobody_else_uses_the_network(api: Api) -> None:
    network = api.make("network", shared=True, name="all")
    port = api.make("port", "p1", network_id=network["id"])
    path = f"/networks/{network['id']}"
    api.refused(409, "InvalidSharedSetting", "PUT", path, {"network": {"shared": False}})
    api.remove("port", port["id"], "p1")
    assert api.change("network", network["id"], shared=False)["shared"] is False
    assert api.list("/networks", "p1") == []
    assert api.rows("rbac_policies") == 0


def test_a_network_shared_with_one_project_is_seen_by_that_one(api: Api) -> None:
    network = api.make("network", "p1")
    body = {
        "object_type": "network",
        "object_id": network["id"],
        "action": "access_as_shared",
        "target_tenant": "p2",
    }
    status, content = api.request("POST", "/rbac-policies", {"rbac_policy": body}, "p1")
    assert status == 201
    api.refused(409, "DuplicateRbacPolicy", "POST", "/rbac-policies", {"rbac_policy": body}, "p1")
    assert api.show("network", network["id"], "p2")["shared"] is True
    assert api.show("network", network["id"], "p1")["shared"] is False
    api.refused(404, "NetworkNotFound", "GET", f"/networks/{network['id']}", project="p3")
    port = api.make("port", "p2", network_id=network["id"])
    path = f"/rbac-policies/{content['rbac_policy']['id']}"
    api.refused(409, "RbacPolicyInUse", "DELETE", path, project="p1")
    api.remove("port", port["id"], "p2")
    assert api.request("DELETE", path, project="p1")[0] == 204
    api.refused(404, "NetworkNotFound", "GET", f"/networks/{network['id']}", project="p2")


def test_a_tenant_may_not_share_with_everybody(api: Api) -> None:
    network = api.make("network", "p1")
    body = {
        "object_type": "network",
        "object_id": network["id"],
        "action": "access_as_shared",
        "target_tenant": "*",
    }
    api.refused(403, "PolicyNotAuthorized", "POST", "/rbac-policies", {"rbac_policy": body}, "p1")


def test_a_network_with_ports_stays_but_not_for_the_services_own(api: Api) -> None:
    subnet = api.subnet()
    key = subnet["network_id"]
    port = api.make("port", network_id=key)
    message = api.refused(409, "NetworkInUse", "DELETE", f"/networks/{key}")
    assert port["id"] in message
    api.remove("port", port["id"])
    api.make("port", network_id=key, device_owner="network:dhcp", device_id="dhcp-1")
    api.remove("network", key)
    for table in ("networks", "subnets", "ports", "ip_allocations", "segment_allocations"):
        assert api.rows(table) == 0


def test_provider_attributes_stay_as_they_are(api: Api) -> None:
    network = api.make("network")
    path = f"/networks/{network['id']}"
    body = {"network": {"provider:segmentation_id": 999}}
    api.refused(400, "InvalidInput", "PUT", path, body)
    same = {"provider:segmentation_id": network["provider:segmentation_id"]}
    assert api.change("network", network["id"], name="x", **same)["name"] == "x"


def test_a_network_counts_its_addresses(api: Api) -> None:
    subnet = api.subnet("10.0.0.0/29", name="small")
    api.make("port", network_id=subnet["network_id"])
    (entry,) = api.list(f"/network-ip-availabilities?network_id={subnet['network_id']}")
    assert (entry["total_ips"], entry["used_ips"]) == (5, 1)
    assert entry["subnet_ip_availability"][0]["subnet_name"] == "small"
    assert api.list("/network-ip-availabilities?ip_version=6")[0]["total_ips"] == 0
