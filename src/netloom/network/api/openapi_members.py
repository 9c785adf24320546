"""The part of the OpenAPI document that is not one of the table's resources: what lies below single
things, quotas, and what depends on no data."""

from __future__ import annotations

from typing import Any

from netloom.network.api.members import ACTIONS
from netloom.network.fleet.hosted import WORDS
from netloom.network.model.attribute import Resource
from netloom.network.model.table import RESOURCES, resource

Schema = dict[str, Any]
COUNTED = tuple(row.name for row in RESOURCES if row.quota)
_STRING: Schema = {"type": "string"}
_ERROR = {"$ref": "#/components/responses/error"}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_ROUTES = _array(_object(destination=_STRING, nexthop=_STRING))
_INTERFACE = _object(subnet_id=_STRING, port_id=_STRING)
_PREFIXES = _object(prefixes=_array(_STRING))
_TAGS = _object(tags=_array(_STRING))
#: Word of an action -> what it takes, and what it answers.
_BODIES: dict[str, tuple[Schema, Schema]] = {
    "add_router_interface": (_INTERFACE, _object(**dict.fromkeys(("id", "port_id"), _STRING))),
    "remove_router_interface": (_INTERFACE, _object(**dict.fromkeys(("id", "port_id"), _STRING))),
    "add_extraroutes": (_object(router=_object(routes=_ROUTES)), _object(router=_ROUTES)),
    "remove_extraroutes": (_object(router=_object(routes=_ROUTES)), _object(router=_ROUTES)),
    "onboard_network_subnets": (
        _object(network_id=_STRING),
        _array(_object(id=_STRING, cidr=_STRING)),
    ),
    "add_prefixes": (_PREFIXES, _PREFIXES),
    "remove_prefixes": (_PREFIXES, _PREFIXES),
}


def parameter(name: str) -> Schema:
    """A part of a path."""
    return {"name": name, "in": "path", "required": True, "schema": _STRING}


def _operation(
    name: str, tag: str, text: str, status: str, answer: Schema | None, body: Schema | None = None
) -> Schema:
    done: Schema = {"description": "Done."}
    if answer is not None:
        done["content"] = {"application/json": {"schema": answer}}
    found: Schema = {
        "operationId": name,
        "summary": text,
        "tags": [tag],
        "responses": {status: done, "default": _ERROR},
    }
    if body is not None:
        found["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return found


def member_paths() -> dict[str, Any]:
    """Paths with their operations."""
    found: dict[str, Any] = {}
    for kind, word in ACTIONS:
        found |= _action(resource(kind), word)
    for row in RESOURCES:
        if row.tagged:
            found |= _tags(row)
    for word, (kind, _) in WORDS.items():
        found |= _schedule(word, kind)
    return found | _quotas() | _fixed()


def _action(row: Resource, word: str) -> dict[str, Any]:
    body, answer = _BODIES[word]
    if word.endswith("_extraroutes"):
        answer = _object(router=_reference(row.name))
    text = f"{word.replace('_', ' ').capitalize()}."
    done = _operation(word, row.collection, text, "200", answer, body)
    return {f"/v2.0/{row.path}/{{id}}/{word}": {"parameters": [parameter("id")], "put": done}}


def _tags(row: Resource) -> dict[str, Any]:
    def done(name: str, text: str, status: str, *schemas: Schema | None) -> Schema:
        answer, body = (*schemas, None, None)[:2]
        return _operation(f"{name}_of_{row.name}", row.collection, text, status, answer, body)

    base = f"/v2.0/{row.path}/{{id}}/tags"
    return {
        base: {
            "parameters": [parameter("id")],
            "get": done("list_tags", "The tags of a thing.", "200", _TAGS),
            "post": done("add_tags", "Add tags.", "201", None, _TAGS),
            "put": done("set_tags", "Have these tags only.", "200", _TAGS, _TAGS),
            "delete": done("remove_tags", "Remove all tags.", "204"),
        },
        f"{base}/{{tag}}": {
            "parameters": [parameter("id"), parameter("tag")],
            "get": done("has_tag", "Whether the thing has the tag.", "204"),
            "put": done("add_tag", "Add a tag.", "201"),
            "delete": done("remove_tag", "Remove a tag.", "204"),
        },
    }


def _schedule(word: str, kind: str) -> dict[str, Any]:
    row = resource(kind)
    if word not in ("dhcp-networks", "l3-routers"):
        text = f"The agents that host a {kind}."
        agents = _object(agents=_array(_reference("agent")))
        done = _operation(f"list_{word}", "agents", text, "200", agents)
        return {f"/v2.0/{row.path}/{{id}}/{word}": {"parameters": [parameter("id")], "get": done}}
    base, key = f"/v2.0/agents/{{id}}/{word}", f"{kind}_id"
    hosted = _object(**{row.collection: _array(_reference(kind))})
    by_hand = f"Let the agent host a {kind}."
    body = _object(**{key: _STRING})
    no_longer = _operation(
        f"remove_{word}", "agents", "Let the agent host it no longer.", "204", None
    )
    return {
        base: {
            "parameters": [parameter("id")],
            "get": _operation(f"list_{word}", "agents", "What the agent hosts.", "200", hosted),
            "post": _operation(f"add_{word}", "agents", by_hand, "201", None, body),
        },
        f"{base}/{{{key}}}": {
            "parameters": [parameter("id"), parameter(key)],
            "delete": no_longer,
        },
    }


def _quotas() -> dict[str, Any]:
    limits = _object(**{kind: {"type": "integer"} for kind in COUNTED})
    three = _object(**{name: {"type": "integer"} for name in ("limit", "used", "reserved")})
    details = _object(**dict.fromkeys(COUNTED, three))

    def done(name: str, text: str, answer: Schema, body: Schema | None = None) -> Schema:
        return _operation(name, "quotas", text, "200", answer, body)

    one = "/v2.0/quotas/{project_id}"
    project = [parameter("project_id")]
    quota = _object(quota=limits)
    everyone = _object(quotas=_array(limits))
    reset = _operation("reset_quota", "quotas", "Go back to the default.", "204", None)
    return {
        "/v2.0/quotas": {"get": done("list_quotas", "Limits that are not the default.", everyone)},
        one: {
            "parameters": project,
            "get": done("show_quota", "The limits of a project.", quota),
            "put": done("update_quota", "Set limits.", quota, quota),
            "delete": reset,
        },
        f"{one}/default": {
            "parameters": project,
            "get": done("show_default_quota", "The limits of projects without their own.", quota),
        },
        f"{one}/details": {
            "parameters": project,
            "get": done("show_quota_details", "Limits and use.", _object(quota=details)),
        },
    }


def _fixed() -> dict[str, Any]:
    extension = _object(**dict.fromkeys(("alias", "name", "description", "updated"), _STRING))
    anything: Schema = {"type": "object"}

    def done(name: str, text: str, answer: Schema) -> dict[str, Any]:
        return _operation(name, "discovery", text, "200", answer)

    alias = {
        "parameters": [parameter("alias")],
        "get": done("show_extension", "An extension.", _object(extension=extension)),
    }
    known = _object(extensions=_array(extension))
    return {
        "/": {"get": done("list_versions", "The versions of the API.", anything)},
        "/v2.0": {"get": done("list_resources", "What there is in the API.", anything)},
        "/v2.0/extensions": {"get": done("list_extensions", "What works here.", known)},
        "/v2.0/extensions/{alias}": alias,
        "/v2.0/openapi.json": {"get": done("show_openapi", "This document.", anything)},
    }
