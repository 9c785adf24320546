"""The operations that every resource has: list, show, create (one or many), update, delete."""

from __future__ import annotations

from typing import Any

from netloom.network.api.bodies import read_body
from netloom.network.api.lists import (
    links,
    list_documents,
    parse_query,
    project,
    shown_names,
)
from netloom.network.api.message import Request, Response, answer, is_number
from netloom.network.call import Call, not_found
from netloom.network.document import Document
from netloom.network.errors import ApiError, bad_request, fail
from netloom.network.identity.policy import enforce, is_visible, may
from netloom.network.model.attribute import ADMIN, Resource
from netloom.network.operations import OPERATIONS, check_together

REVISION = "revision_number="


def wrong_method(row: Resource, method: str) -> ApiError:
    """The resource has no such operation."""
    return fail(
        "HTTPMethodNotAllowed",
        message=f"The method {method} is not allowed for {row.collection}.",
    )


def list_all(call: Call, row: Resource, request: Request) -> Response:
    """GET of a collection."""
    if row.rights["list"] == ADMIN and not call.caller.is_admin:
        return answer(200, {row.collection: []})
    query = parse_query(row, request, call.settings.pagination_max_limit)
    documents = list_documents(call, row, query)
    content: dict[str, Any] = {
        row.collection: project(shown_names(row, call, query.fields), documents)
    }
    found = links(request, query, documents)
    if found:
        content[f"{row.collection}_links"] = found
    return answer(200, content)


def fetch(call: Call, row: Resource, key: str) -> Document:
    """The stored document, if the caller may know of it."""
    document = call.tx.get(row.name, key)
    if document is None or not is_visible(call, row, document):
        raise not_found(row.name, key)
    return document


def shown(call: Call, row: Resource, documents: list[Document], fields: Any = ()) -> list[Document]:
    """Documents as the caller sees them."""
    viewed = OPERATIONS[row.name].view(call, documents)
    return project(shown_names(row, call, tuple(fields)), viewed)


def show(call: Call, row: Resource, request: Request, key: str) -> Response:
    """GET of one."""
    document = fetch(call, row, key)
    fields = [value for name, value in request.query if name == "fields" and value]
    return answer(200, {row.name: shown(call, row, [document], fields)[0]})


def create(call: Call, row: Resource, request: Request) -> Response:
    """POST: one, or many in one transaction."""
    plan = OPERATIONS[row.name].create
    if plan is None:
        raise wrong_method(row, "POST")
    bodies, many = read_body(row, request.json(), create=True)
    if many and not call.settings.allow_bulk:
        raise fail("HTTPNotImplemented", message=f"Bulk operation not supported: {row.collection}")
    check_together(row, bodies)
    documents = []
    for body in bodies:
        owner = body.get("project_id", body.get("tenant_id", call.caller.project_id))
        target = {**body, "project_id": owner}
        if owner != call.caller.project_id and not call.caller.is_admin:
            raise bad_request(
                "Specifying 'project_id' other than the authenticated project in request requires "
                "admin privileges"
            )
        enforce(call, row, "create", target, body)
        documents.append(plan(call, body))
    # A later one of many may have changed an earlier one.
    fresh = [call.tx.get(row.name, one["id"]) or one for one in documents]
    entries = shown(call, row, fresh)
    return answer(201, {row.collection: entries} if many else {row.name: entries[0]})


def update(call: Call, row: Resource, request: Request, key: str) -> Response:
    """PUT: the attributes that the body gives."""
    plan = OPERATIONS[row.name].update
    if plan is None or "update" not in row.rights:
        raise wrong_method(row, "PUT")
    (body,), _ = read_body(row, request.json(), create=False)
    document = fetch(call, row, key)
    enforce(call, row, "update", document, body)
    check_revision(request, document)
    after = plan(call, document, body)
    return answer(200, {row.name: shown(call, row, [after])[0]})


def delete(call: Call, row: Resource, request: Request, key: str) -> Response:
    """DELETE."""
    plan = OPERATIONS[row.name].delete
    if plan is None:
        raise wrong_method(row, "DELETE")
    document = fetch(call, row, key)
    enforce(call, row, "delete", document, {})
    check_revision(request, document)
    plan(call, document)
    return Response(204)


def check_revision(request: Request, document: Document) -> None:
    """Raise unless the document has the revision that `If-Match` names."""
    wanted = request.headers.get("if-match")
    if wanted is None:
        return
    text = wanted.strip().strip('"')
    if not text.startswith(REVISION) or not is_number(text.removeprefix(REVISION)):
        raise bad_request("Revision number etag must be in the format of revision_number=<int>")
    expected = int(text.removeprefix(REVISION))
    if document.get("revision_number") != expected:
        raise fail(
            "RevisionNumberConstraintFailed",
            expected=expected,
            current=document.get("revision_number"),
        )


def owned(call: Call, row: Resource, key: str, operation: str = "update") -> Document:
    """The document, if the caller may change it."""
    document = fetch(call, row, key)
    enforce(call, row, operation, document, {})
    return document


def require_admin(call: Call, what: str) -> None:
    """Raise unless an administrator asks."""
    if not may(call, ADMIN, {}):
        raise fail("PolicyNotAuthorized", rule=f"rule:{what}")
