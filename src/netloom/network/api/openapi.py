"""The OpenAPI 3.0 document of the API, derived from the resource table."""

from __future__ import annotations

from typing import Any

from netloom.network.api.openapi_members import member_paths, parameter
from netloom.network.model.attribute import Attribute, Missing, Resource
from netloom.network.model.table import RESOURCES, resource

TOKEN = "X-Auth-Token"
_ERROR = {"$ref": "#/components/responses/error"}


#: How lists are cut and put in order.
_PAGES = ("limit", "marker", "page_reverse", "sort_key", "sort_dir")
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "revision_number=N: refuse if it is another one by now.",
    "schema": {"type": "string"},
}


def openapi() -> dict[str, Any]:
    """The document."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for row in RESOURCES:
        schemas |= _schemas(row)
        paths |= _paths(row)
    paths |= member_paths()
    return {
        "openapi": "3.0.3",
        "info": {"title": "OpenStack Networking API", "version": "2.0"},
        "paths": paths,
        "security": [{"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": TOKEN}},
            "schemas": schemas,
            "responses": {
                "error": {
                    "description": "The request was not carried out.",
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {
                                    "NeutronError": {
                                        "type": "object",
                                        "properties": {
                                            "type": {"type": "string"},
                                            "message": {"type": "string"},
                                            "detail": {"type": "string"},
                                        },
                                    }
                                },
                            }
                        }
                    },
                }
            },
        },
    }


def _schema(attribute: Attribute) -> dict[str, Any]:
    found = dict(attribute.kind.schema)
    if not isinstance(attribute.default, Missing):
        default = attribute.default
        found["default"] = list(default) if isinstance(default, tuple) else default
    if attribute.text:
        found["description"] = attribute.text
    if attribute.extension:
        found["x-extension"] = attribute.extension
    return found


def _object(attributes: list[Attribute], *, create: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "object",
        "properties": {attribute.name: _schema(attribute) for attribute in attributes},
    }
    needed = [one.name for one in attributes if one.default is Missing.REQUIRED]
    if create and needed:
        found["required"] = needed
    return found


def _schemas(row: Resource) -> dict[str, Any]:
    found = {row.name: _object([one for one in row.attributes if one.shown])}
    if "create" in row.rights:
        found[f"{row.name}_create"] = _object(
            [one for one in row.attributes if one.post], create=True
        )
    if "update" in row.rights:
        found[f"{row.name}_update"] = _object([one for one in row.attributes if one.put])
    return found


def _wrapped(row: Resource, suffix: str = "") -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {row.name: {"$ref": f"#/components/schemas/{row.name}{suffix}"}},
    }
    return {"application/json": {"schema": schema}}


def _several(row: Resource) -> dict[str, Any]:
    """A body that creates one thing or many."""
    reference = {"$ref": f"#/components/schemas/{row.name}_create"}
    one = {"type": "object", "required": [row.name], "properties": {row.name: reference}}
    items = {"type": "array", "items": reference}
    many = {"type": "object", "required": [row.collection], "properties": {row.collection: items}}
    return {"application/json": {"schema": {"oneOf": [one, many]}}}


def _operation(row: Resource, operation: str, status: str, suffix: str = "") -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done."}
    if status != "204":
        done["content"] = _wrapped(row)
    found: dict[str, Any] = {
        "operationId": f"{operation}_{row.name}",
        "summary": row.text,
        "tags": [row.collection],
        "responses": {status: done, "default": _ERROR},
    }
    if suffix:
        content = _several(row) if operation == "create" else _wrapped(row, suffix)
        found["requestBody"] = {"content": content}
    if row.standard and operation in ("update", "delete"):
        found["parameters"] = [_IF_MATCH]
    return found


def _paths(row: Resource) -> dict[str, Any]:
    base, parameters = f"/v2.0/{row.path}", []
    if row.parent:
        parent = resource(row.parent)
        base = f"/v2.0/{parent.path}/{{{row.parent_key}}}/{row.collection}"
        parameters.append(parameter(row.parent_key))
    collection: dict[str, Any] = {"parameters": parameters} if parameters else {}
    single: dict[str, Any] = {"parameters": [*parameters, parameter("id")]}
    if "list" in row.rights:
        collection["get"] = _list(row)
    if "create" in row.rights:
        collection["post"] = _operation(row, "create", "201", "_create")
    if "show" in row.rights:
        single["get"] = _operation(row, "show", "200")
    if "update" in row.rights:
        single["put"] = _operation(row, "update", "200", "_update")
    if "delete" in row.rights:
        single["delete"] = _operation(row, "delete", "204")
    found = {base: collection} if collection.keys() - {"parameters"} else {}
    if len(single) > 1:
        found[f"{base}/{{id}}"] = single
    return found


def _list(row: Resource) -> dict[str, Any]:
    filters = [attribute.name for attribute in row.attributes if attribute.filter]
    content = {
        "type": "object",
        "properties": {
            row.collection: {
                "type": "array",
                "items": {"$ref": f"#/components/schemas/{row.name}"},
            }
        },
    }
    return {
        "operationId": f"list_{row.collection}",
        "summary": row.text,
        "tags": [row.collection],
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "string"}}
            for name in (*filters, "fields", *_PAGES)
        ],
        "responses": {
            "200": {"description": "Done.", "content": {"application/json": {"schema": content}}},
            "default": _ERROR,
        },
    }
