"""What holds for every resource: bodies, filters, pages, tags, revisions, quotas, errors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.network_api import Api

from netloom.network.api.message import Request
from netloom.network.model.table import RESOURCES


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "Resource body required"),
        (b"{", "Body contains invalid data"),
        (b"\xff\xfe", "Body contains invalid data"),
        (b"[" * 5000, "Body contains invalid data"),
        ([], "Body contains invalid data"),
        ({"nets": {}}, "Unable to find 'network' in request body"),
        ({"network": []}, "Invalid input. Reason: the resource must be an object."),
        ({"network": {"colour": 1}}, "Unrecognized attribute(s) 'colour'"),
        ({"network": {"status": "UP"}}, "Attribute 'status' not allowed in POST"),
        (
            {"network": {"name": None}},
            "Invalid input for name. Reason: 'None' is not a valid string.",
        ),
        ({"network": {"name": 7}}, "Invalid input for name. Reason: '7' is not a valid string."),
        ({"networks": []}, "Resources required"),
        ({"networks": {}}, "Resources required"),
        (
            {"network": {"project_id": "a", "tenant_id": "b"}},
            "'project_id' and 'tenant_id' do not match",
        ),
    ],
)
def test_bad_bodies_are_answered_and_nothing_is_stored(
    api: Api, body: object, message: str
) -> None:
    assert api.refused(400, "HTTPBadRequest", "POST", "/networks", body) == message
    assert api.rows("networks") == api.rows("journal") == 0


def test_a_name_has_255_characters_at_most(api: Api) -> None:
    assert api.make("network", name="ü" * 255)["name"] == "ü" * 255
    api.refused(400, "HTTPBadRequest", "POST", "/networks", {"network": {"name": "x" * 256}})
    api.refused(400, "HTTPBadRequest", "POST", "/networks", {"network": {"name": "a\0b"}})


def test_what_is_required_is_named(api: Api) -> None:
    message = api.refused(400, "HTTPBadRequest", "POST", "/ports", {"port": {}})
    assert message == "Failed to parse request. Required attribute 'network_id' not specified"


def test_read_only_attributes_stay(api: Api) -> None:
    network = api.make("network")
    path = f"/networks/{network['id']}"
    message = api.refused(400, "HTTPBadRequest", "PUT", path, {"network": {"id": "x"}})
    assert message == "Cannot update read-only attribute id"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/networks/none", 404),
        ("PATCH", "/networks", 405),
        ("DELETE", "/networks", 405),
        ("POST", "/networks/x", 405),
        ("PUT", "/security-group-rules/x", 405),
        ("GET", "/networks/x/y/z/w", 404),
        ("POST", "/agents", 405),
        ("POST", "/availability_zones", 405),
        ("GET", "/network-ip-availabilities/x", 404),
    ],
)
def test_what_is_not_there_is_said_so(api: Api, method: str, path: str, status: int) -> None:
    found, content = api.request(method, path, {} if method in ("POST", "PUT") else None)
    assert found == status
    assert content["NeutronError"].keys() == {"type", "message", "detail"}


def test_many_are_made_together_or_not_at_all(api: Api) -> None:
    many = {"networks": [{"name": f"n{number}"} for number in range(5)]}
    status, content = api.request("POST", "/networks", many)
    assert (status, len(content["networks"])) == (201, 5)
    assert api.rows("journal") == 1
    key = content["networks"][0]["id"]
    fixed = [{"ip_address": "10.0.0.7"}]
    api.subnet(network_id=key)
    ports = [
        {"network_id": key},
        {"network_id": key, "fixed_ips": fixed},
        {"network_id": key, "fixed_ips": fixed},
    ]
    api.refused(409, "IpAddressAlreadyAllocated", "POST", "/ports", {"ports": ports})
    assert api.rows("ports") == api.rows("ip_allocations") == 0


def test_lists_are_filtered_sorted_and_cut(api: Api) -> None:
    for number in range(5):
        api.make("network", name=f"n{number}", admin_state_up=number != 3)
    names = [one["name"] for one in api.list("/networks?sort_key=name&sort_dir=desc&limit=2")]
    assert names == ["n4", "n3"]
    assert [one["name"] for one in api.list("/networks?admin_state_up=False")] == ["n3"]
    assert len(api.list("/networks?name=n1&name=n2")) == 2
    assert api.list("/networks?fields=name&name=n1") == [{"name": "n1"}]
    assert len(api.list("/networks?provider:network_type=vxlan")) == 5
    assert api.list("/networks?shared=True") == []


def test_pages_link_to_each_other(api: Api) -> None:
    for number in range(5):
        api.make("network", name=f"n{number}")
    seen: list[str] = []
    path = "/networks?limit=2"
    while path:
        _, content = api.request("GET", path)
        seen += [one["id"] for one in content["networks"]]
        found = [one for one in content.get("networks_links", ()) if one["rel"] == "next"]
        path = found[0]["href"].partition("/v2.0")[2] if found else ""
    assert seen == sorted(seen)
    assert len(set(seen)) == 5
    back = api.list(f"/networks?limit=2&marker={seen[4]}&page_reverse=True")
    assert [one["id"] for one in back] == seen[2:4]
    by_name = api.list("/networks?limit=2&sort_key=name&sort_dir=asc")
    after = api.list(f"/networks?limit=2&sort_key=name&sort_dir=asc&marker={by_name[1]['id']}")
    assert [one["name"] for one in by_name + after] == ["n0", "n1", "n2", "n3"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("colour=blue", "['colour'] is invalid attribute for filtering"),
        ("sort_key=colour&sort_dir=asc", "['colour'] is invalid attribute for sort_keys"),
        ("sort_key=id", "The number of sort_keys and sort_dirs must be same"),
        (
            "sort_key=id&sort_dir=up",
            "['up'] is invalid value for sort_dirs, valid value is 'asc' and 'desc'",
        ),
        (
            "sort_key=id&sort_dir=asc&sort_dir=asc",
            "The number of sort_keys and sort_dirs must be same",
        ),
    ],
)
def test_bad_queries_are_answered(api: Api, query: str, message: str) -> None:
    assert api.refused(400, "HTTPBadRequest", "GET", f"/networks?{query}") == message


def test_ports_are_found_by_their_addresses(api: Api) -> None:
    subnet = api.subnet()
    for address in ("10.0.0.7", "10.0.0.77"):
        api.make("port", network_id=subnet["network_id"], fixed_ips=[{"ip_address": address}])
    assert len(api.list("/ports?fixed_ips=ip_address%3D10.0.0.7")) == 1
    assert len(api.list("/ports?fixed_ips=ip_address_substr%3D0.7")) == 2
    assert len(api.list(f"/ports?fixed_ips=subnet_id%3D{subnet['id']}")) == 2


def test_tags_are_set_and_found(api: Api) -> None:
    key = api.make("network")["id"]
    api.make("network")
    path = f"/networks/{key}/tags"
    assert api.request("PUT", path, {"tags": ["b", "a"]})[1] == {"tags": ["a", "b"]}
    assert api.request("PUT", f"{path}/c")[0] == 201
    assert api.request("POST", path, {"tags": ["d"]})[0] == 201
    assert api.request("GET", f"{path}/c")[0] == 204
    api.refused(404, "TagNotFound", "GET", f"{path}/z")
    assert len(api.list("/networks?tags=a,b")) == 1
    assert len(api.list("/networks?tags=a,z")) == 0
    assert len(api.list("/networks?tags-any=a,z")) == 1
    assert len(api.list("/networks?not-tags=a,b")) == 1
    assert len(api.list("/networks?not-tags-any=a,z")) == 1
    assert api.request("DELETE", f"{path}/a")[0] == 204
    assert api.request("DELETE", path)[0] == 204
    assert api.show("network", key)["tags"] == []
    api.refused(400, "InvalidInput", "PUT", path, {"tags": "x"})
    api.refused(400, "HTTPBadRequest", "PUT", path, {"tags": [{}]})


def test_a_change_can_be_tied_to_a_revision(api: Api) -> None:
    network = api.make("network")
    path = f"/networks/{network['id']}"
    body = {"network": {"name": "x"}}
    right = {"if-match": f"revision_number={network['revision_number']}"}
    assert api.request("PUT", path, body, **right)[0] == 200
    status, content = api.request("PUT", path, body, **right)
    assert (status, content["NeutronError"]["type"]) == (412, "RevisionNumberConstraintFailed")
    assert api.request("DELETE", path, **{"if-match": "x"})[0] == 400
    assert api.request("DELETE", path, **{"if-match": "revision_number=2"})[0] == 204


def test_times_and_revisions_move(api: Api) -> None:
    network = api.make("network")
    assert network["created_at"] == "2023-11-14T22:13:20Z"
    api.clock.advance(5000)
    after = api.change("network", network["id"], description="x")
    assert (after["updated_at"], after["revision_number"]) == ("2023-11-14T22:13:25Z", 2)
    same = api.change("network", network["id"], description="x")
    assert same["revision_number"] == 2


def test_quotas_limit_and_are_shown(api: Api) -> None:
    assert api.request("PUT", "/quotas/p1", {"quota": {"network": 1}})[0] == 200
    api.make("network", "p1")
    message = api.refused(409, "OverQuota", "POST", "/networks", {"network": {}}, "p1")
    assert message == "Quota exceeded for resources: ['network']."
    details = api.request("GET", "/quotas/p1/details", project="p1")[1]["quota"]["network"]
    assert details == {"limit": 1, "used": 1, "reserved": 0}
    api.refused(400, "HTTPBadRequest", "PUT", "/quotas/p1", {"quota": {"network": 0}})
    forced = {"quota": {"network": 0, "force": True}}
    assert api.request("PUT", "/quotas/p1", forced)[1]["quota"]["network"] == 0
    api.refused(403, "PolicyNotAuthorized", "PUT", "/quotas/p1", forced, "p1")
    api.refused(403, "PolicyNotAuthorized", "GET", "/quotas/p2", project="p1")
    api.refused(400, "HTTPBadRequest", "PUT", "/quotas/p1", {"quota": {"gold": 1}})
    assert api.request("GET", "/quotas")[1]["quotas"][0]["project_id"] == "p1"
    assert api.request("DELETE", "/quotas/p1")[0] == 204
    api.refused(404, "TenantQuotaNotFound", "DELETE", "/quotas/p1")
    assert api.request("GET", "/quotas/p1/default")[1]["quota"]["network"] == 100


def test_a_reader_looks_and_changes_nothing(api: Api) -> None:
    network = api.make("network", "p1")
    path = f"/networks/{network['id']}"
    assert api.request("GET", path, project="p1", roles="reader")[0] == 200
    for method, target, body in (
        ("PUT", path, {"network": {"name": "x"}}),
        ("DELETE", path, None),
        ("POST", "/networks", {"network": {}}),
    ):
        status, content = api.request(method, target, body, "p1", "reader")
        assert (status, content["NeutronError"]["type"]) == (403, "PolicyNotAuthorized")
    assert api.request("GET", path, project="p1", roles="stranger")[0] == 404


def test_only_extensions_of_neutron_are_announced(api: Api) -> None:
    reference = Path(__file__).parents[3] / "docs/reference/network-extensions.txt"
    known = set(reference.read_text().split())
    aliases = {one["alias"] for one in api.list("/extensions")}
    assert aliases <= known
    assert {"router", "security-group", "port-security", "dns-integration"} <= aliases
    assert api.request("GET", "/extensions/router")[1]["extension"]["alias"] == "router"
    api.refused(404, "ExtensionsNotFound", "GET", "/extensions/vpnaas")
    assert "port-security" not in {
        one["alias"] for one in Api(extension_drivers=()).list("/extensions")
    }


def test_attributes_belong_to_announced_extensions(api: Api) -> None:
    aliases = {one["alias"] for one in api.list("/extensions")}
    named = {one.extension for row in RESOURCES for one in row.attributes if one.extension}
    named |= {row.extension for row in RESOURCES if row.extension}
    assert named <= aliases


def test_the_openapi_document_has_every_operation(api: Api) -> None:
    document = api.request("GET", "/openapi.json")[1]
    for row in RESOURCES:
        for operation, path in (("list", ""), ("create", ""), ("update", "/{id}")):
            if operation in row.rights and not row.parent:
                method = {"list": "get", "create": "post", "update": "put"}[operation]
                assert method in document["paths"][f"/v2.0/{row.path}{path}"]
    assert "cidr" in document["components"]["schemas"]["subnet_create"]["properties"]


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    ]


def test_every_operation_of_the_openapi_document_is_there(api: Api) -> None:
    document = api.request("GET", "/openapi.json")[1]
    found = operations(document)
    assert len(found) > 120
    for method, path, operation in found:
        target = re.sub(r"\{\w+\}", "00000000-0000-0000-0000-000000000000", path)
        request = Request(method.upper(), target, (), {}, b"{}")
        response = api.service.handle(request).response
        if "{" not in path and method == "get":
            assert response.status == 200, (method, path)
        text = response.body.decode()
        assert response.status not in (405, 500), (method, path, operation["operationId"], text)
        assert "The resource could not be found." not in text, (method, path)


def test_the_openapi_document_is_sound(api: Api) -> None:
    document = api.request("GET", "/openapi.json")[1]
    text = json.dumps(document)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        place = document
        for word in reference.split("/"):
            place = place[word]
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    for path, item in document["paths"].items():
        declared = {one["name"] for one in item.get("parameters", ()) if one["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)\}", path)), path


def test_versions_are_shown_to_everybody(api: Api) -> None:
    answer = api.service.handle(Request("GET", "/", base="http://x:1")).response
    (version,) = json.loads(answer.body)["versions"]
    assert (version["id"], version["links"][0]["href"]) == ("v2.0", "http://x:1/v2.0/")
