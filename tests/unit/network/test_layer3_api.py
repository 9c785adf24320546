"""Routers, floating addresses, port forwardings; security groups."""

from __future__ import annotations

import pytest
from tests.support.network_api import Api, Json


@pytest.fixture
def api() -> Api:
    return Api()


def routed(api: Api, project: str = "p1") -> tuple[Json, Json, Json, Json]:
    """External network, router, subnet and port of a project, all connected."""
    external = api.external()
    subnet = api.subnet(project=project)
    gateway = {"network_id": external["id"]}
    router = api.make("router", project, external_gateway_info=gateway)
    interface(api, "add", router["id"], subnet_id=subnet["id"])
    port = api.make("port", project, network_id=subnet["network_id"])
    return external, router, subnet, port


def interface(api: Api, word: str, router: str, project: str = "", **body: str) -> Json:
    path = f"/routers/{router}/{word}_router_interface"
    status, content = api.request("PUT", path, body, project)
    assert status == 200, content
    return content


def test_an_interface_takes_the_gateway_address(api: Api) -> None:
    _, router, subnet, _ = routed(api)
    (port,) = api.list(f"/ports?device_id={router['id']}&device_owner=network:router_interface")
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.0.0.1"}]
    assert port["port_security_enabled"] is False
    api.refused(409, "ServicePortInUse", "DELETE", f"/ports/{port['id']}")
    api.refused(409, "RouterInUse", "DELETE", f"/routers/{router['id']}")
    answer = interface(api, "remove", router["id"], subnet_id=subnet["id"])
    assert (answer["port_id"], answer["subnet_ids"]) == (port["id"], [subnet["id"]])
    api.remove("router", router["id"], "p1")
    assert api.rows("router_ports") == 0


def test_interfaces_of_a_router_do_not_overlap(api: Api) -> None:
    _, router, subnet, _ = routed(api)
    path = f"/routers/{router['id']}/add_router_interface"
    api.refused(400, "BadRequest", "PUT", path, {"subnet_id": subnet["id"]})
    other = api.subnet("10.0.0.128/25", "p1")
    message = api.refused(400, "BadRequest", "PUT", path, {"subnet_id": other["id"]})
    assert "overlaps with cidr 10.0.0.0/24" in message
    api.refused(400, "BadRequest", "PUT", path, {})
    api.refused(400, "BadRequest", "PUT", path, {"subnet_id": other["id"], "port_id": other["id"]})
    api.refused(404, "SubnetNotFound", "PUT", path, {"subnet_id": router["id"]})


def test_a_port_with_a_device_is_no_interface(api: Api) -> None:
    _, router, _, _ = routed(api)
    key = api.subnet("10.7.0.0/24", "p1")["network_id"]
    port = api.make("port", "p1", network_id=key, device_id="vm")
    path = f"/routers/{router['id']}/add_router_interface"
    api.refused(409, "PortInUse", "PUT", path, {"port_id": port["id"]})
    free = api.make("port", "p1", network_id=key)
    interface(api, "add", router["id"], port_id=free["id"])
    assert api.show("port", free["id"])["device_owner"] == "network:router_interface"


def test_ipv6_subnets_of_a_network_share_an_interface(api: Api) -> None:
    router = api.make("router")
    first = api.subnet("2001:db8:1::/64")
    second = api.subnet("2001:db8:2::/64", network_id=first["network_id"])
    one = interface(api, "add", router["id"], subnet_id=first["id"])
    two = interface(api, "add", router["id"], subnet_id=second["id"])
    assert one["port_id"] == two["port_id"]
    interface(api, "remove", router["id"], subnet_id=first["id"])
    assert len(api.show("port", one["port_id"])["fixed_ips"]) == 1


def test_a_gateway_needs_an_external_network(api: Api) -> None:
    inside = api.subnet()["network_id"]
    body = {"router": {"external_gateway_info": {"network_id": inside}}}
    api.refused(400, "BadRequest", "POST", "/routers", body)
    assert api.rows("routers") == 0


def test_only_an_administrator_switches_source_nat(api: Api) -> None:
    external = api.external()
    gateway = {"network_id": external["id"], "enable_snat": False}
    body = {"router": {"external_gateway_info": gateway}}
    api.refused(403, "PolicyNotAuthorized", "POST", "/routers", body, "p1")
    router = api.make("router", external_gateway_info=gateway)
    assert router["external_gateway_info"]["enable_snat"] is False
    again = api.change("router", router["id"], external_gateway_info={"network_id": external["id"]})
    assert again["external_gateway_info"]["enable_snat"] is True, "what is not said is the default"
    moved = api.change("router", router["id"], external_gateway_info=None)
    assert moved["external_gateway_info"] is None
    assert api.list("/ports?device_owner=network:router_gateway") == []


def test_extra_routes_lead_to_neighbours(api: Api) -> None:
    _, router, subnet, _ = routed(api)
    route = {"destination": "10.9.0.0/16", "nexthop": "10.0.0.77"}
    path = f"/routers/{router['id']}"
    for hop in ("10.8.0.1", "10.0.0.1"):
        wrong = {"router": {"routes": [{**route, "nexthop": hop}]}}
        api.refused(400, "InvalidRoutes", "PUT", path, wrong)
    assert api.change("router", router["id"], routes=[route])["routes"] == [route]
    more = {"destination": "10.10.0.0/16", "nexthop": "10.0.0.77"}
    body = {"router": {"routes": [more]}}
    assert api.request("PUT", f"{path}/add_extraroutes", body)[1]["router"]["routes"] == [
        route,
        more,
    ]
    leave = f"{path}/remove_router_interface"
    api.refused(409, "RouterInterfaceInUseByRoute", "PUT", leave, {"subnet_id": subnet["id"]})
    body = {"router": {"routes": [route, more]}}
    assert api.request("PUT", f"{path}/remove_extraroutes", body)[1]["router"]["routes"] == []


def test_a_floating_address_finds_its_router(api: Api) -> None:
    external, router, subnet, port = routed(api)
    floating = api.make("floatingip", "p1", floating_network_id=external["id"], port_id=port["id"])
    assert floating["router_id"] == router["id"]
    assert floating["fixed_ip_address"] == port["fixed_ips"][0]["ip_address"]
    assert floating["port_details"]["mac_address"] == port["mac_address"]
    other = {"floating_network_id": external["id"], "port_id": port["id"]}
    api.refused(
        409, "FloatingIPPortAlreadyAssociated", "POST", "/floatingips", {"floatingip": other}, "p1"
    )
    leave = f"/routers/{router['id']}/remove_router_interface"
    body = {"subnet_id": subnet["id"]}
    api.refused(409, "RouterInterfaceInUseByFloatingIP", "PUT", leave, body)
    drop = {"router": {"external_gateway_info": None}}
    kind = "RouterExternalGatewayInUseByFloatingIp"
    api.refused(409, kind, "PUT", f"/routers/{router['id']}", drop)
    api.remove("port", port["id"], "p1")
    after = api.show("floatingip", floating["id"], "p1")
    assert (after["port_id"], after["router_id"], after["status"]) == (None, None, "DOWN")
    api.remove("floatingip", floating["id"], "p1")
    assert api.list("/ports?device_owner=network:floatingip") == []


def test_a_floating_address_cannot_reach_what_no_router_connects(api: Api) -> None:
    external = api.external()
    key = api.subnet(project="p1")["network_id"]
    port = api.make("port", "p1", network_id=key)
    body = {"floating_network_id": external["id"], "port_id": port["id"]}
    kind = "ExternalGatewayForFloatingIPNotFound"
    api.refused(404, kind, "POST", "/floatingips", {"floatingip": body}, "p1")
    assert api.rows("floatingips") == 0
    assert api.list("/ports?device_owner=network:floatingip") == []


def test_port_forwardings_of_an_address_do_not_collide(api: Api) -> None:
    external, router, _, port = routed(api)
    floating = api.make("floatingip", "p1", floating_network_id=external["id"])
    path = f"/floatingips/{floating['id']}/port_forwardings"
    body = {
        "internal_port_id": port["id"],
        "internal_ip_address": port["fixed_ips"][0]["ip_address"],
        "internal_port_range": "80:89",
        "external_port_range": "8080:8089",
        "protocol": "TCP",
    }
    status, content = api.request("POST", path, {"port_forwarding": body}, "p1")
    assert status == 201, content
    made = content["port_forwarding"]
    assert (made["protocol"], made["internal_port"]) == ("tcp", None)
    assert api.show("floatingip", floating["id"])["router_id"] == router["id"]
    clash = {**body, "external_port_range": "8089:8098"}
    api.refused(400, "BadRequest", "POST", path, {"port_forwarding": clash}, "p1")
    udp = {**clash, "protocol": "udp"}
    assert api.request("POST", path, {"port_forwarding": udp}, "p1")[0] == 201
    bind = {"floatingip": {"port_id": port["id"]}}
    target = f"/floatingips/{floating['id']}"
    api.refused(409, "FipInUseByPortForwarding", "PUT", target, bind, "p1")
    for entry in api.list(path, "p1"):
        assert api.request("DELETE", f"{path}/{entry['id']}", project="p1")[0] == 204
    assert api.show("floatingip", floating["id"])["router_id"] is None


def test_every_project_has_a_default_group_that_trusts_itself(api: Api) -> None:
    key = api.subnet(project="p1")["network_id"]
    port = api.make("port", "p1", network_id=key)
    (group,) = [one for one in api.list("/security-groups", "p1") if one["name"] == "default"]
    assert port["security_groups"] == [group["id"]]
    rules = {
        (rule["direction"], rule["ethertype"], rule["remote_group_id"])
        for rule in group["security_group_rules"]
    }
    assert rules == {
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
        ("ingress", "IPv4", group["id"]),
        ("ingress", "IPv6", group["id"]),
    }
    path = f"/security-groups/{group['id']}"
    api.refused(409, "SecurityGroupCannotRemoveDefault", "DELETE", path, project="p1")
    body = {"security_group": {"name": "other"}}
    api.refused(409, "SecurityGroupCannotUpdateDefault", "PUT", path, body, "p1")


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ({"port_range_min": 80}, "SecurityGroupProtocolRequiredWithPorts"),
        (
            {"protocol": "tcp", "port_range_min": 9, "port_range_max": 8},
            "SecurityGroupInvalidPortRange",
        ),
        (
            {"protocol": "tcp", "port_range_min": 0, "port_range_max": 8},
            "SecurityGroupInvalidPortValue",
        ),
        ({"protocol": "icmp", "port_range_max": 8}, "SecurityGroupMissingIcmpType"),
        ({"protocol": "icmp", "port_range_min": 256}, "SecurityGroupInvalidIcmpValue"),
        (
            {"protocol": "gre", "port_range_min": 1, "port_range_max": 1},
            "SecurityGroupInvalidProtocolForPort",
        ),
        ({"protocol": "carrier-pigeon"}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": "256"}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": "ipv6-icmp"}, "SecurityGroupEthertypeConflictWithProtocol"),
        ({"remote_ip_prefix": "2001:db8::/32"}, "SecurityGroupRuleParameterConflict"),
        ({"remote_ip_prefix": "10.0.0.0/33"}, "InvalidCIDR"),
        ({"direction": "sideways"}, "HTTPBadRequest"),
        ({"ethertype": "IPX"}, "SecurityGroupRuleInvalidEtherType"),
    ],
)
def test_rules_that_make_no_sense_are_refused(api: Api, rule: dict[str, object], kind: str) -> None:
    group = api.make("security_group", "p1", name="web")
    body = {"security_group_id": group["id"], "direction": "ingress", **rule}
    before = api.rows("security_group_rules")
    path = "/security-group-rules"
    api.refused(400, kind, "POST", path, {"security_group_rule": body}, "p1")
    assert api.rows("security_group_rules") == before


def test_a_rule_is_said_once(api: Api) -> None:
    group = api.make("security_group", "p1", name="web")
    body = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp"}
    rule = api.make("security_group_rule", "p1", **body)
    same = {"security_group_rule": {**body, "protocol": "6"}}
    message = api.refused(
        409, "SecurityGroupRuleExists", "POST", "/security-group-rules", same, "p1"
    )
    assert rule["id"] in message


def test_a_group_in_use_stays_and_foreign_groups_are_unknown(api: Api) -> None:
    group = api.make("security_group", "p1", name="web")
    key = api.subnet(project="p1")["network_id"]
    port = api.make("port", "p1", network_id=key, security_groups=[group["id"]])
    path = f"/security-groups/{group['id']}"
    api.refused(409, "SecurityGroupInUse", "DELETE", path, project="p1")
    assert [one["id"] for one in api.list(f"/ports?security_groups={group['id']}")] == [port["id"]]
    foreign = api.make("security_group", "p2", name="theirs")
    body = {"port": {"security_groups": [foreign["id"]]}}
    api.refused(404, "SecurityGroupNotFound", "PUT", f"/ports/{port['id']}", body, "p1")
