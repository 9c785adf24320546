"""Lists: what of a kind a caller sees, narrowed by columns, in pages.

A query is built once for each shape (kind, filtered columns, scope, page) and kept. Filters on
attributes that are no columns, and orders other than by id, are the caller's business.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, or_, select

from netloom.network.document import Document
from netloom.network.store.schema import DOCUMENTS, NETWORKS, RBAC_POLICIES, SECURITY_GROUPS
from netloom.network.store.transaction import Transaction


class Page(NamedTuple):
    """Which part of a list by id: `limit` entries after `marker`."""

    marker: str | None = None
    limit: int | None = None
    reverse: bool = False


EVERYTHING = Page()


def listing(
    transaction: Transaction,
    kind: str,
    filters: dict[str, list[Any]],
    project_id: str | None,
    page: Page = EVERYTHING,
) -> list[Document]:
    """Documents by id; `project_id` limits them to what that project sees (None: all)."""
    statement = _statement(
        kind,
        tuple(filters),
        project_id is not None,
        page.marker is not None,
        page.limit is not None,
        page.reverse,
    )
    parameters: dict[str, Any] = {f"in_{name}": values for name, values in filters.items()}
    if project_id is not None:
        parameters["me"] = project_id
    if page.marker is not None:
        parameters["marker"] = page.marker
    if page.limit is not None:
        parameters["limit_"] = page.limit
    return transaction.run(statement, parameters)


@cache
def _statement(
    kind: str, columns: tuple[str, ...], scoped: bool, marked: bool, limited: bool, reverse: bool
) -> Select[str]:
    table = DOCUMENTS[kind]
    wanted = select(table.c.body)
    for column in columns:
        wanted = wanted.where(table.c[column].in_(bindparam(f"in_{column}", expanding=True)))
    if scoped:
        wanted = wanted.where(_visible(kind))
    if marked:
        mark: BindParameter[str] = bindparam("marker")
        wanted = wanted.where(table.c.id < mark if reverse else table.c.id > mark)
    wanted = wanted.order_by(table.c.id.desc() if reverse else table.c.id)
    return wanted.limit(bindparam("limit_")) if limited else wanted


def _shared(kind: str) -> Select[str]:
    return select(RBAC_POLICIES.c.object_id).where(
        RBAC_POLICIES.c.object_type == kind,
        RBAC_POLICIES.c.target_tenant.in_([bindparam("me"), "*"]),
    )


def _visible(kind: str) -> ColumnElement[bool]:
    table = DOCUMENTS[kind]
    own = table.c.project_id == bindparam("me")
    owned_networks = select(NETWORKS.c.id).where(NETWORKS.c.project_id == bindparam("me"))
    if kind in ("network", "security_group", "subnetpool"):
        return or_(own, table.c.id.in_(_shared(kind)))
    if kind == "subnet":
        return or_(
            own,
            table.c.network_id.in_(owned_networks),
            table.c.network_id.in_(_shared("network")),
        )
    if kind == "port":
        return or_(own, table.c.network_id.in_(owned_networks))
    if kind == "security_group_rule":
        owned_groups = select(SECURITY_GROUPS.c.id).where(
            SECURITY_GROUPS.c.project_id == bindparam("me")
        )
        return or_(own, table.c.security_group_id.in_(owned_groups))
    return own
