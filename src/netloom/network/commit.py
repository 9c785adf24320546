"""What every plan does when a document changes: the drivers hear of it before the commit.

`created`, `updated` and `deleted` write a document and pass the change to the mechanism drivers:
`precommit` at once, `postcommit` as a task in the same transaction, so that neither can be lost
without the other.
"""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call
from netloom.network.document import Change, Document
from netloom.network.errors import fail
from netloom.network.identity.policy import owner_of_new
from netloom.network.model.attribute import Missing
from netloom.network.model.table import resource


def new_document(call: Call, kind: str, body: dict[str, Any]) -> Document:
    """A document with identity, owner and the table's defaults for what the body leaves out.

    Counts against the owner's quota.
    """
    row = resource(kind)
    document: Document = {"id": call.parts.new_id(), "project_id": ""}
    for attribute in row.attributes:
        name = attribute.name
        if not attribute.shown or name == "tenant_id":
            continue
        if name in body:
            document[name] = body[name]
        elif not isinstance(attribute.default, Missing):
            default = attribute.default
            document[name] = list(default) if isinstance(default, tuple) else default
    document["project_id"] = owner_of_new(call.caller, body)
    if row.tagged:
        document["tags"] = []
    if row.quota:
        check_quota(call, kind, document["project_id"])
    return document


def check_quota(call: Call, kind: str, project_id: str, more: int = 1) -> None:
    """Raise unless the project may have `more` of `kind`.

    Requests that run at the same moment do not see each other's, so that as many may be over the
    limit as run at once; a lock for each project would cost more than that is worth.
    """
    limit = quota_limit(call, kind, project_id)
    if limit >= 0 and call.tx.count(kind, project_id) + more > limit:
        raise fail("OverQuota", overs=[kind])


def quota_limit(call: Call, kind: str, project_id: str) -> int:
    """How many of `kind` the project may have; -1: any number."""
    own = call.tx.relations.quotas(project_id)
    settings = call.settings
    return own.get(kind, settings.quotas.get(kind, settings.default_quota))


def created(call: Call, kind: str, document: Document) -> Document:
    """Store a new document."""
    call.tx.insert(kind, document)
    _tell(call, Change(kind, "create", None, document))
    return document


def updated(call: Call, kind: str, before: Document, after: Document) -> Document:
    """Store a changed document; nothing happens if it is the same."""
    if before == after:
        return before
    call.tx.update(kind, before, after)
    _tell(call, Change(kind, "update", before, after))
    return after


def deleted(call: Call, kind: str, document: Document) -> None:
    """Remove a document."""
    call.tx.delete(kind, document)
    _tell(call, Change(kind, "delete", document, None))


def told(call: Call, change: Change) -> None:
    """Tell the drivers of a change that was stored by other means (in bulk)."""
    _tell(call, change)


def _tell(call: Call, change: Change) -> None:
    for driver in call.parts.drivers.mechanisms:
        driver.precommit(change, call.tx)
        if change.kind in driver.postcommit_kinds:
            call.tx.add_task(driver.name, change)


def extended(
    call: Call, change: Change, body: dict[str, Any], network: Document | None = None
) -> None:
    """Let the extension drivers judge the request and complete the document."""
    for driver in call.parts.drivers.extensions:
        driver.process(change, body, network)
