"""Answers that depend on no data: versions, the list of resources, extensions, the OpenAPI page."""

from __future__ import annotations

from typing import Any

from netloom.network.api.message import Request, Response, answer
from netloom.network.api.openapi import openapi
from netloom.network.call import Parts
from netloom.network.errors import fail
from netloom.network.model.extensions import extensions
from netloom.network.model.table import BY_PATH

#: Below `/v2.0/`.
OPENAPI = "openapi.json"


def static_answer(request: Request, parts: Parts) -> Response | None:
    """The answer, if the path is one of these; no credentials are needed for versions."""
    path = request.path.rstrip("/") or "/"
    if path == "/":
        return answer(200, {"versions": [_version(request.base)]})
    if path == "/v2.0":
        return answer(200, {"resources": _resources(request.base)})
    if path == "/healthcheck":
        return Response(200, b'"OK"')
    words = path.split("/")
    if words[:2] != ["", "v2.0"]:
        return None
    if words[2].removesuffix(".json") == "extensions":
        return _extensions(request, parts, words[3:])
    if words[2:] == [OPENAPI]:
        return answer(200, openapi())
    return None


def _version(base: str) -> dict[str, Any]:
    return {
        "id": "v2.0",
        "status": "CURRENT",
        "links": [{"rel": "self", "href": f"{base}/v2.0/"}],
    }


def _resources(base: str) -> list[dict[str, Any]]:
    return [
        {
            "links": [{"rel": "self", "href": f"{base}/v2.0/{row.path}"}],
            "name": row.name,
            "collection": row.collection,
        }
        for row in BY_PATH.values()
    ]


def _extensions(request: Request, parts: Parts, words: list[str]) -> Response:
    known = extensions(parts.drivers.extensions)
    if not words:
        return answer(200, {"extensions": [entry.shown() for entry in known]})
    alias = words[0].removesuffix(".json")
    for entry in known:
        if entry.alias == alias:
            return answer(200, {"extension": entry.shown()})
    raise fail("ExtensionsNotFound", extensions=[alias])
