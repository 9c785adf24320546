"""Lists: filters, order, pages, fields.

Filters on columns narrow the query; the others, and orders other than by id, are applied to the
documents as they are shown. A page by id without such filters is cut by the database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from netloom.network.api.message import Request, is_number
from netloom.network.call import Call, not_found
from netloom.network.document import Document
from netloom.network.errors import Refused, bad_request, fail, refusal
from netloom.network.identity.policy import READERS, is_visible, scope_of
from netloom.network.model.administration import agent_type
from netloom.network.model.attribute import ADMIN, Resource
from netloom.network.model.kinds import BOOLEAN, Kind
from netloom.network.operations import OPERATIONS
from netloom.network.store.queries import Page, listing
from netloom.network.store.schema import COLUMNS

RESERVED = frozenset({"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"})
TAG_FILTERS = ("tags", "tags-any", "not-tags", "not-tags-any")
#: Filters that clients send under another name.
ALIASES = {"tenant_id": "project_id", "subnets": "subnets"}
#: Attributes whose stored columns can differ from what the caller is shown.
COMPUTED = frozenset({"shared", "alive", "status"})


@dataclass(frozen=True, slots=True)
class Query:
    """What the URL of a list says."""

    filters: dict[str, list[str]]
    tags: dict[str, list[str]]
    fields: tuple[str, ...]
    sort: tuple[tuple[str, bool], ...]
    limit: int | None
    marker: str | None
    reverse: bool


def parse_query(row: Resource, request: Request, max_limit: int = -1) -> Query:
    """Read and judge the URL's query."""
    values: dict[str, list[str]] = {}
    for name, value in request.query:
        values.setdefault(name, []).append(value)
    if "tenant_id" in values and "project_id" in values:
        raise fail("TenantIdProjectIdFilterConflict")
    filters, tags, unknown = {}, {}, []
    for name, given in values.items():
        if name in RESERVED:
            continue
        if name in TAG_FILTERS and row.tagged:
            tags[name] = [tag for text in given for tag in text.split(",")]
        elif name in row.by_name and row.by_name[name].filter:
            _check_booleans(row.by_name[name].kind, given)
            filters[ALIASES.get(name, name)] = given
        else:
            unknown.append(name)
    if unknown:
        raise bad_request(f"{unknown} is invalid attribute for filtering")
    return Query(
        filters,
        tags,
        tuple(name for name in values.get("fields", ()) if name),
        _sort(row, values),
        _limit(values.get("limit", [""])[-1], max_limit),
        values.get("marker", [""])[-1] or None,
        values.get("page_reverse", [""])[-1].lower() == "true",
    )


def _check_booleans(kind: Kind, given: list[str]) -> None:
    if kind is not BOOLEAN:
        return
    for text in given:
        try:
            kind.check(text)
        except Refused as error:
            raise refusal("filter", error) from None


def _limit(text: str, largest: int) -> int | None:
    if not text:
        return largest if largest > 0 else None
    if not is_number(text):
        reason = f"Limit must be an integer 0 or greater and not '{text}'"
        raise fail("BadRequest", resource="limit", msg=reason)
    number = int(text) or None
    if largest > 0:
        number = min(number or largest, largest)
    return number


def _sort(row: Resource, values: dict[str, list[str]]) -> tuple[tuple[str, bool], ...]:
    keys, directions = values.get("sort_key", []), values.get("sort_dir", [])
    if not keys:
        return ()
    if len(keys) != len(directions):
        raise bad_request("The number of sort_keys and sort_dirs must be same")
    absent = [key for key in keys if key not in row.by_name or not row.by_name[key].sort]
    if absent:
        raise bad_request(f"{absent} is invalid attribute for sort_keys")
    wrong = [word for word in directions if word not in ("asc", "desc")]
    if wrong:
        raise bad_request(
            f"{wrong} is invalid value for sort_dirs, valid value is 'asc' and 'desc'"
        )
    return tuple((ALIASES.get(key, key), word == "desc") for key, word in zip(keys, directions))


def list_documents(call: Call, row: Resource, query: Query) -> list[Document]:
    """What the caller sees of a kind that is stored, filtered, in order, one page."""
    kind = row.name
    columns = {key: column for column, key in COLUMNS[kind].items()}
    in_sql: dict[str, list[Any]] = {}
    later: dict[str, list[str]] = {}
    for name, given in query.filters.items():
        if kind == "agent" and name == "agent_type":
            in_sql[name] = [agent_type(text) for text in given]
        elif name in columns and "" not in given and name != "revision_number":
            in_sql[columns[name]] = given
        elif kind == "port" and name == "security_groups":
            in_sql["id"] = sorted(
                call.tx.relations.ports_in_groups(given)
                & set(in_sql.get("id", call.tx.relations.ports_in_groups(given)))
            )
        else:
            later[name] = given
    if not call.caller.is_admin and not call.caller.roles & READERS:
        return []
    cut = not later and not query.tags and not query.sort
    if query.marker is not None:
        mark = call.tx.get(kind, query.marker)
        if mark is None or not is_visible(call, row, mark):
            raise not_found(kind, query.marker)
    page = Page(query.marker, query.limit, query.reverse) if cut else Page()
    if any(not values for values in in_sql.values()):
        return []
    documents = listing(call.tx, kind, in_sql, scope_of(call.caller), page)
    shown = OPERATIONS[kind].view(call, documents)
    if cut:
        return shown[::-1] if query.reverse else shown
    return _page(order(query, select(row, shown, later, query)), query)


def select(
    row: Resource, documents: list[Document], filters: dict[str, list[str]], query: Query
) -> list[Document]:
    """The documents that pass the filters."""
    tests = [_test(row, name, given) for name, given in filters.items()]
    tests += [_tag_test(name, set(tags)) for name, tags in query.tags.items()]
    return [document for document in documents if all(test(document) for test in tests)]


def _test(row: Resource, name: str, given: list[str]) -> Callable[[Document], bool]:
    if name == "fixed_ips":
        return _fixed_ips_test(given)
    kind = row.by_name[name].kind
    wanted: list[Any] = []
    for text in given:
        try:
            wanted.append(kind.check(text))
        except ValueError:
            # Nothing can have this value, so nothing is found.
            continue
    # Numbers that are shown as text, and what only the server sets, are compared as they are.
    wanted += given
    if name in ("security_groups", "availability_zones"):
        return lambda document: bool(set(document.get(name) or ()) & set(given))
    return lambda document: (
        document.get(name) in wanted or (document.get(name) is None and "" in given)
    )


def _fixed_ips_test(given: list[str]) -> Callable[[Document], bool]:
    """`ip_address=...`, `subnet_id=...`, `ip_address_substr=...`: one of each named kind."""
    wanted: dict[str, list[str]] = {}
    for text in given:
        key, _, value = text.partition("=")
        if key not in ("ip_address", "subnet_id", "ip_address_substr"):
            raise bad_request(f"Invalid data format for fixed IP: '{text}'")
        wanted.setdefault(key, []).append(value)

    def matches(entry: dict[str, str]) -> bool:
        return all(
            any(value in entry["ip_address"] for value in values)
            if key == "ip_address_substr"
            else entry[key] in values
            for key, values in wanted.items()
        )

    return lambda document: any(matches(entry) for entry in document["fixed_ips"])


def _tag_test(name: str, tags: set[str]) -> Callable[[Document], bool]:
    if name == "tags":
        return lambda document: tags <= set(document["tags"])
    if name == "tags-any":
        return lambda document: bool(tags & set(document["tags"]))
    if name == "not-tags":
        return lambda document: not tags <= set(document["tags"])
    return lambda document: not tags & set(document["tags"])


def order(query: Query, documents: list[Document]) -> list[Document]:
    """Sorted by the keys asked for, then by id."""
    keys = query.sort or (("id", False),)
    for key, descending in reversed(keys):
        documents = sorted(
            documents, key=lambda document: _rank(document.get(key)), reverse=descending
        )
    return documents


def _rank(value: Any) -> tuple[int, Any]:
    """Nothing before numbers before text."""
    if value is None:
        return 0, 0
    if isinstance(value, bool | int):
        return 1, value
    return 2, str(value)


def _page(documents: list[Document], query: Query) -> list[Document]:
    if query.reverse:
        documents = documents[::-1]
    if query.marker is not None:
        ids = [document["id"] for document in documents]
        documents = documents[ids.index(query.marker) + 1 :] if query.marker in ids else []
    if query.limit is not None:
        documents = documents[: query.limit]
    return documents[::-1] if query.reverse else documents


def plain_page(row: Resource, documents: list[Document], query: Query) -> list[Document]:
    """Filters, order and page of things that are not stored as such."""
    chosen = select(row, documents, query.filters, query)
    if query.sort:
        chosen = order(query, chosen)
    return chosen[: query.limit] if query.limit is not None else chosen


def links(request: Request, query: Query, documents: Sequence[Document]) -> list[dict[str, str]]:
    """Where the next and the previous page are."""
    if query.limit is None or (documents and "id" not in documents[0]):
        return []
    kept = [
        (name, value) for name, value in request.query if name not in ("marker", "page_reverse")
    ]
    found = []

    def href(document: int, *more: tuple[str, str]) -> str:
        """From the end of the list when there is nothing on this page to begin at."""
        marker = [("marker", documents[document]["id"])] if documents else []
        return f"{request.base}{request.path}?{urlencode([*kept, *marker, *more])}"

    full = len(documents) >= query.limit
    if full or query.reverse:
        found.append({"rel": "next", "href": href(-1)})
    if full or not query.reverse:
        found.append({"rel": "previous", "href": href(0, ("page_reverse", "True"))})
    return found


def shown_names(row: Resource, call: Call, fields: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the attributes that the caller sees, of those asked for."""
    admin = call.caller.is_admin
    names = [
        attribute.name
        for attribute in row.attributes
        if attribute.shown and (admin or attribute.may_see != ADMIN)
    ]
    return tuple(name for name in names if not fields or name in fields)


def project(names: tuple[str, ...], documents: Sequence[Document]) -> list[Document]:
    """Documents with these attributes only."""
    with_tenant = "tenant_id" in names
    plain = [name for name in names if name != "tenant_id"]
    shown = []
    for document in documents:
        entry = {name: document[name] for name in plain if name in document}
        if with_tenant and "project_id" in document:
            entry["tenant_id"] = document["project_id"]
        shown.append(entry)
    return shown
