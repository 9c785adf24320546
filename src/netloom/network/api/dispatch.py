"""From a request to an answer: authentication, routing by the resource table, one transaction.

`Service.handle` is the whole API as a function: it does no networking. Errors of every kind become
answers here; what is not an `ApiError` is a bug of ours, which is logged, and told as little as
possible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from netloom.base.log import get_logger
from netloom.network.api import documents, members, resources
from netloom.network.api.lists import parse_query, plain_page, project, shown_names
from netloom.network.api.message import Request, Response, answer, error_answer, is_number
from netloom.network.call import Call, Parts
from netloom.network.counting.availability import availability
from netloom.network.document import Caller
from netloom.network.errors import ApiError, bad_request, fail
from netloom.network.fleet.agent_api import agent_request
from netloom.network.hosting.zones import list_zones
from netloom.network.identity.policy import scope_of
from netloom.network.l3.floatingips import list_pools
from netloom.network.lost import Lost
from netloom.network.model.attribute import Resource
from netloom.network.model.table import BY_PATH
from netloom.network.secgroup.groups import default_group
from netloom.network.store import journal
from netloom.network.store.database import Database
from netloom.network.store.queries import listing
from netloom.network.store.schema import DOCUMENTS

log = get_logger("network_api")
R = TypeVar("R")
#: Kinds that agents watch; the last two are worked out from relations.
WATCHED = (*DOCUMENTS, "network_schedule", "router_schedule")
PREFIX = "/v2.0"
AGENT_PREFIX = "/agent/v1/"
METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})


class Authenticator(Protocol):
    """Who sends a request, by its headers; `ApiError` 401 if nobody we know."""

    def caller(self, headers: dict[str, str]) -> Caller: ...

    def answers_at_once(self, headers: dict[str, str]) -> bool:
        """Whether `caller` asks nobody else, and takes no time."""

    def may_go_on(self, headers: dict[str, str]) -> bool:
        """Whether what an administrator began with these headers may still go on."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, and the revision that the request made (0: none)."""

    response: Response
    revision: int = 0
    has_tasks: bool = False


class Service:
    """The API over one database."""

    def __init__(self, database: Database, parts: Parts, authenticator: Authenticator) -> None:
        self.database = database
        self.parts = parts
        self.authenticator = authenticator

    def handle(self, request: Request) -> Outcome:
        """Answer one request."""
        return self._guarded(request, lambda: self._handle(request))

    def _guarded(self, request: Request, work: Callable[[], R]) -> R | Outcome:
        try:
            return work()
        except ApiError as error:
            log.dbg("%s %s: %s %s", request.method, request.path, error.kind, error.message)
            return Outcome(error_answer(error))
        except Lost as error:
            log.warn("%s %s: gave up: %s", request.method, request.path, error)
            return Outcome(error_answer(fail("ServiceUnavailable")))
        except Exception as error:  # noqa: BLE001 - the last resort of a server
            log.err("%s %s: %s: %s", request.method, request.path, type(error).__name__, error)
            return Outcome(error_answer(fail("HTTPInternalServerError")))

    def snapshot(self, request: Request, kinds: str) -> Outcome:
        """Everything that agents watch, with the revision that it is of."""

        def work() -> Outcome:
            self._require_admin(request)
            wanted = tuple(kinds.split(",")) if kinds else WATCHED
            unknown = sorted(set(wanted) - set(WATCHED))
            if unknown:
                raise bad_request(f"no such kinds: {unknown}")
            revision, found = self.database.read(
                lambda tx: journal.snapshot(tx, wanted), snapshot=True
            )
            return Outcome(answer(200, {"revision": revision, "kinds": found}))

        return self._guarded(request, work)

    def check_watch(self, request: Request, since: str) -> Outcome | None:
        """An answer that refuses the watch; None if it may begin."""

        def work() -> Outcome | None:
            self._require_admin(request)
            if not is_number(since):
                raise bad_request("'since' must be a revision")
            try:
                self.database.read(lambda tx: journal.after(tx, int(since), 1))
            except journal.Expired:
                return Outcome(answer(410, {"error": "expired"}))
            return None

        return self._guarded(request, work)

    def _require_admin(self, request: Request) -> None:
        if not self.authenticator.caller(request.headers).is_admin:
            raise fail("PolicyNotAuthorized", rule="rule:agent_api")

    def _handle(self, request: Request) -> Outcome:
        fixed = documents.static_answer(request, self.parts)
        if fixed is not None:
            return Outcome(fixed)
        if request.method not in METHODS:
            raise fail("HTTPMethodNotAllowed", message=f"no such method: {request.method}")
        if "\0" in request.path or any("\0" in text for pair in request.query for text in pair):
            raise bad_request("Invalid input: a NUL character")
        caller = self.authenticator.caller(request.headers)
        route = self._route(request)
        if request.method == "GET" and not self._makes(request):
            revision = self._make_default_group(request, caller)
            answered = self.database.read(lambda tx: route(Call(tx, caller, self.parts)))
            return Outcome(answered, revision)
        tasks = False

        def work(tx: Any) -> Response:
            nonlocal tasks
            response = route(Call(tx, caller, self.parts))
            tasks = tx.has_tasks
            return response

        response, revision = self.database.run(work)
        return Outcome(response, revision, tasks)

    def _makes(self, request: Request) -> bool:
        """Whether something may be made by looking at it."""
        return request.path.startswith(f"{PREFIX}/auto-allocated-topology/")

    def _make_default_group(self, request: Request, caller: Caller) -> int:
        """Whoever lists security groups sees a default one; the revision if it is new, else 0."""
        project = caller.project_id
        if request.path.rstrip("/") != f"{PREFIX}/security-groups" or not project:
            return 0
        if self.database.read(lambda tx: tx.relations.default_group(project)) is not None:
            return 0
        made = self.database.run(lambda tx: default_group(Call(tx, caller, self.parts), project))
        return made[1]

    def _route(self, request: Request) -> Callable[[Call], Response]:
        """What answers this method and path."""
        if request.path.startswith(AGENT_PREFIX):
            words = request.path.removeprefix(AGENT_PREFIX).split("/")
            return lambda call: _agents_only(call, request, words)
        words = [word for word in request.path.removeprefix(PREFIX).split("/") if word]
        if not request.path.startswith(f"{PREFIX}/") or not words:
            raise fail("HTTPNotFound", message="The resource could not be found.")
        words[-1] = words[-1].removesuffix(".json")
        if words[0] == "quotas":
            return lambda call: members.quota(call, request, words[1:])
        row = BY_PATH.get(words[0].replace("_", "-"))
        if row is None:
            raise fail("HTTPNotFound", message="The resource could not be found.")
        if row.name == "auto_allocated_topology":
            return lambda call: members.topology(call, request, words[1:])
        if row.name in _COMPUTED:
            return lambda call: _computed(call, row, request, words[1:])
        return lambda call: _stored(call, row, request, words[1:])


def _agents_only(call: Call, request: Request, words: list[str]) -> Response:
    resources.require_admin(call, "agent_api")
    return answer(200, agent_request(call, request.method, words, request.json()))


def _stored(call: Call, row: Resource, request: Request, words: list[str]) -> Response:
    method = request.method
    if not words:
        if method == "GET":
            return resources.list_all(call, row, request)
        if method == "POST":
            return resources.create(call, row, request)
        raise resources.wrong_method(row, method)
    if len(words) > 1:
        return members.member(call, row, request, words)
    if method == "GET":
        return resources.show(call, row, request, words[0])
    if method == "PUT":
        return resources.update(call, row, request, words[0])
    if method == "DELETE":
        return resources.delete(call, row, request, words[0])
    raise resources.wrong_method(row, method)


def _zones(call: Call, row: Resource, request: Request) -> list[dict[str, Any]]:
    return list_zones(call)


def _pools(call: Call, row: Resource, request: Request) -> list[dict[str, Any]]:
    return list_pools(call, listing(call.tx, "network", {}, scope_of(call.caller)))


def _providers(call: Call, row: Resource, request: Request) -> list[dict[str, Any]]:
    """Every router is on one node."""
    return [{"service_type": "L3_ROUTER_NAT", "name": "single_node", "default": False}]


def _availability(call: Call, row: Resource, request: Request) -> list[dict[str, Any]]:
    resources.require_admin(call, "get_network_ip_availability")
    versions = [value for name, value in request.query if name == "ip_version"]
    version = int(versions[0]) if versions and versions[0] in ("4", "6") else None
    return availability(call, call.tx.find("network"), version)


#: Kinds that are worked out, not stored.
_COMPUTED: dict[str, Callable[[Call, Resource, Request], list[dict[str, Any]]]] = {
    "availability_zone": _zones,
    "floatingip_pool": _pools,
    "network_ip_availability": _availability,
    "service_provider": _providers,
}


def _computed(call: Call, row: Resource, request: Request, words: list[str]) -> Response:
    if request.method != "GET":
        raise resources.wrong_method(row, request.method)
    entries = _COMPUTED[row.name](call, row, request)
    if words:
        found = [entry for entry in entries if entry.get("network_id") == words[0]]
        if "show" not in row.rights or not found or len(words) > 1:
            raise fail("NetworkNotFound", net_id=words[0])
        return answer(200, {row.name: project(shown_names(row, call, ()), found)[0]})
    kept = tuple(item for item in request.query if item[0] != "ip_version")
    query = parse_query(
        row, Request(request.method, request.path, kept, request.headers, b"", request.base)
    )
    page = plain_page(row, entries, query)
    return answer(200, {row.collection: project(shown_names(row, call, query.fields), page)})
