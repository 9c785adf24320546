"""Projects and each other's things: by id, by reference, in lists, by what only others may know."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.network_api import Api

from netloom.network.document import Caller
from netloom.network.model.attribute import ADMIN
from netloom.network.model.table import BY_PATH

KINDS = ("network", "subnet", "port", "router", "security_group", "security_group_rule",
         "floatingip", "subnetpool", "rbac_policy")  # fmt: skip
PATHS = {row.name: f"/{path}" for path, row in BY_PATH.items()}
ROLES = ("member", "reader", "manager", "service")
#: Attributes that name other things, and how they stand in a body.
REFERENCES: dict[str, tuple[str, ...]] = {
    "subnet": ("network_id", "subnetpool_id"),
    "port": ("network_id", "security_groups", "fixed_ips"),
    "router": ("external_gateway_info",),
    "security_group_rule": ("security_group_id", "remote_group_id"),
    "floatingip": ("floating_network_id", "port_id", "subnet_id"),
    "rbac_policy": ("object_id",),
}
WORDS = ("", "/tags", "/tags/x", "/port_forwardings", "/add_router_interface", "/add_extraroutes",
         "/remove_extraroutes", "/add_prefixes", "/l3-agents", "/dhcp-agents")  # fmt: skip


class Town:
    """Two projects, "a" and "b", each with a thing of every kind; `snapshot` is all there is."""

    def __init__(self) -> None:
        self.api = Api()
        self.api.l2_agent("h1")
        self.outside = self.api.external()["id"]
        self.own = {project: self._settle(project) for project in ("a", "b")}
        self.api.change("port", self.own["a"]["port"]["id"], **{"binding:host_id": "h1"})
        self.foreign = {thing["id"] for thing in self.own["a"].values()}

    def _settle(self, project: str) -> dict[str, Any]:
        make, own = self.api.make, {}
        own["network"] = network = make("network", project, name=project)
        own["subnet"] = self.api.subnet(network_id=network["id"], project=project)
        own["port"] = make("port", project, network_id=network["id"])
        gateway = {"network_id": self.outside}
        own["router"] = make("router", project, name="r", external_gateway_info=gateway)
        path = f"/routers/{own['router']['id']}/add_router_interface"
        self.api.request("PUT", path, {"subnet_id": own["subnet"]["id"]}, project)
        own["security_group"] = group = make("security_group", project, name="g")
        own["security_group_rule"] = make(
            "security_group_rule", project, security_group_id=group["id"], direction="ingress"
        )
        own["floatingip"] = make(
            "floatingip", project, floating_network_id=self.outside, port_id=own["port"]["id"]
        )
        own["subnetpool"] = make("subnetpool", project, name="p", prefixes=["10.8.0.0/16"])
        shared = {"object_type": "network", "object_id": network["id"]}
        shared |= {"action": "access_as_shared", "target_tenant": "somebody"}
        status, content = self.api.request(
            "POST", "/rbac-policies", {"rbac_policy": shared}, project
        )
        assert status == 201, content
        own["rbac_policy"] = content["rbac_policy"]
        return own

    def bodies(self) -> dict[str, dict[str, Any]]:
        """What makes another thing of each kind in project "b"."""
        mine = {kind: thing["id"] for kind, thing in self.own["b"].items()}
        return {
            "subnet": {"network_id": mine["network"], "ip_version": 4, "cidr": "10.77.0.0/24"},
            "port": {"network_id": mine["network"]},
            "router": {"name": "another"},
            "security_group_rule": {
                "security_group_id": mine["security_group"],
                "direction": "egress",
                "protocol": "tcp",
            },
            "floatingip": {"floating_network_id": self.outside},
            "rbac_policy": {
                "object_type": "network",
                "object_id": mine["network"],
                "action": "access_as_shared",
                "target_tenant": "else",
            },
        }

    def snapshot(self) -> dict[str, list[str]]:
        """Everything that belongs to "a"."""
        return self.api.database.read(
            lambda tx: {
                kind: sorted(json.dumps(one) for one in tx.find(kind) if one["id"] in self.foreign)
                for kind in KINDS
            }
        )

    def entries(self, path: str, **who: str) -> list[Any]:
        status, content = self.api.request("GET", path, **who)
        assert status == 200, content
        return next(value for key, value in content.items() if not key.endswith("_links"))


@pytest.fixture(scope="module")
def town() -> Town:
    return Town()


@pytest.fixture(autouse=True)
def nothing_of_the_others_changes(town: Town) -> Any:
    before = town.snapshot()
    yield
    assert town.snapshot() == before


def as_value(attribute: str, key: str) -> Any:
    shapes: dict[str, Any] = {
        "security_groups": [key],
        "fixed_ips": [{"subnet_id": key}],
        "external_gateway_info": {"network_id": key},
    }
    return shapes.get(attribute, key)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("roles", ROLES)
def test_nobody_else_s_thing_is_there(town: Town, kind: str, roles: str) -> None:
    path = f"{PATHS[kind]}/{town.own['a'][kind]['id']}"
    for word in WORDS:
        for method in ("GET", "PUT", "POST", "DELETE"):
            for body in (None, {kind: {}}, {"tags": ["x"]}, {"router": {"routes": []}}):
                status, content = town.api.request(method, path + word, body, "b", roles)
                assert status in (400, 403, 404, 405), (method, word, body, content)
                assert (
                    town.own["a"]["network"]["id"] not in json.dumps(content) or kind == "network"
                )


@pytest.mark.parametrize("kind", sorted(REFERENCES))
def test_nothing_can_be_made_with_somebody_else_s_thing(town: Town, kind: str) -> None:
    body, mine = town.bodies()[kind], town.own["b"][kind]["id"]
    for attribute in REFERENCES[kind]:
        for thing in town.own["a"].values():
            given = {attribute: as_value(attribute, thing["id"])}
            status, content = town.api.request("POST", PATHS[kind], {kind: body | given}, "b")
            assert status in (400, 403, 404, 409), (attribute, content)
            path = f"{PATHS[kind]}/{mine}"
            status, content = town.api.request("PUT", path, {kind: given}, "b")
            assert status in (400, 403, 404, 405, 409), (attribute, content)


@pytest.mark.parametrize("word", ["add_router_interface", "remove_router_interface"])
def test_no_router_takes_somebody_else_s_subnet_or_port(town: Town, word: str) -> None:
    path = f"/routers/{town.own['b']['router']['id']}/{word}"
    for thing in town.own["a"].values():
        for name in ("subnet_id", "port_id"):
            status, content = town.api.request("PUT", path, {name: thing["id"]}, "b")
            assert status in (400, 403, 404, 409), content


@pytest.mark.parametrize("owner", ["network:router_interface", "network:router_gateway"])
def test_no_port_pretends_to_be_of_somebody_else_s_router(town: Town, owner: str) -> None:
    body = {"network_id": town.own["b"]["network"]["id"], "device_owner": owner}
    body["device_id"] = town.own["a"]["router"]["id"]
    town.api.refused(409, "DeviceIDNotOwnedByTenant", "POST", "/ports", {"port": body}, "b")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("roles", ROLES)
def test_no_list_has_somebody_else_s_things_however_it_is_asked_for(
    town: Town, kind: str, roles: str
) -> None:
    row, theirs = BY_PATH[PATHS[kind][1:]], town.own["a"][kind]
    queries = ["", "?project_id=a", "?tenant_id=a", "?sort_key=id&sort_dir=desc"]
    for attribute in row.attributes:
        values = theirs.get(attribute.name)
        for value in values if isinstance(values, list) else [values]:
            if attribute.filter and isinstance(value, str | int):
                queries.append(f"?{attribute.name}={value}")
    for query in queries:
        found = town.entries(PATHS[kind] + query, project="b", roles=roles)
        assert not town.foreign & {one["id"] for one in found}, query


@pytest.mark.parametrize("kind", KINDS)
def test_a_marker_does_not_tell_that_somebody_else_s_thing_is_there(town: Town, kind: str) -> None:
    for key in (town.own["a"][kind]["id"], "00000000-0000-0000-0000-000000000000"):
        path = f"{PATHS[kind]}?limit=5&marker={key}"
        assert town.api.request("GET", path, project="b")[0] == 404


def test_by_what_one_may_not_see_one_finds_only_what_is_one_s_own(town: Town) -> None:
    """As in Neutron, whose tests have a member seek networks by provider attributes."""
    hidden = [
        (path, attribute.name)
        for path, row in BY_PATH.items()
        for attribute in row.attributes
        if attribute.filter and attribute.may_see == ADMIN
    ]
    assert ("ports", "binding:host_id") in hidden
    everything = {"networks": town.entries("/networks"), "ports": town.entries("/ports")}
    for path, name in hidden:
        own = {one["id"] for one in town.entries(f"/{path}", project="a", roles="member")}
        for value in {one[name] for one in everything[path]} - {None, ""}:
            query = f"/{path}?{name}={value}"
            same = {one["id"] for one in town.entries(query)}
            found = town.entries(query, project="a", roles="member")
            assert same, "an administrator finds all"
            assert {one["id"] for one in found} == same & own
            assert not [one for one in found if name in one]


def test_who_has_no_role_of_ours_finds_nothing(town: Town) -> None:
    for kind in KINDS:
        assert town.entries(PATHS[kind], project="a", roles="something") == []
        path = f"{PATHS[kind]}/{town.own['a'][kind]['id']}"
        assert town.api.request("GET", path, project="a", roles="something")[0] == 404


def test_who_is_of_no_project_owns_nothing(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [one["id"] for one in town.entries("/ports") if one["project_id"] == ""]
    assert ports, "those of gateways"
    stranger = Caller("", frozenset({"member"}))
    monkeypatch.setattr(town.api.service.authenticator, "caller", lambda headers: stranger)
    assert town.entries("/ports") == []
    for key in ports:
        assert town.api.request("GET", f"/ports/{key}")[0] == 404
        assert town.api.request("DELETE", f"/ports/{key}")[0] == 404


def test_quotas_and_agents_are_no_tenant_s_business(town: Town) -> None:
    for path in ("quotas", "quotas/a", "quotas/a/details", "network-ip-availabilities"):
        assert town.api.request("GET", f"/{path}", project="b")[0] == 403
    for method, path in (("PUT", "quotas/b"), ("DELETE", "quotas/b")):
        body = {"quota": {"port": -1}}
        assert town.api.request(method, f"/{path}", body, project="b")[0] == 403
    assert town.entries("/agents", project="b") == []
    for path in ("report", "ports", "routers", "config"):
        status, _ = town.api.request("PUT", f"/agent/v1/{path}", [], project="b")
        assert status == 403
