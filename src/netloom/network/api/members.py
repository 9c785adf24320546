"""What lies below single things: actions, tags, schedules, port forwardings; and quotas."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from netloom.network import tags
from netloom.network.api.bodies import read_body
from netloom.network.api.lists import links, parse_query, plain_page, project, shown_names
from netloom.network.api.message import Request, Response, answer
from netloom.network.api.resources import fetch, owned, require_admin, shown, wrong_method
from netloom.network.call import Call, not_found
from netloom.network.counting import quotas
from netloom.network.document import Document
from netloom.network.errors import bad_request, fail, refusal
from netloom.network.fleet.hosted import WORDS, add_hosted, hosted_by, hosts_of, remove_hosted
from netloom.network.identity.policy import may
from netloom.network.l3 import forwardings, interfaces, routes
from netloom.network.l3 import topology as topologies
from netloom.network.model.attribute import Resource
from netloom.network.model.kinds import CIDRS, HOSTROUTES
from netloom.network.model.table import resource
from netloom.network.pools import pools
from netloom.network.pools.onboard import onboard

#: Takes what the action needs of the body, and gives the answer's content.
Action = Callable[[Call, Document, Any], Any]


def _add_routes(call: Call, router: Document, body: Any) -> Any:
    wanted = _checked(HOSTROUTES, "routes", routes.routes_of_body(body))
    return _router_view(call, routes.add_routes(call, router, wanted))


def _remove_routes(call: Call, router: Document, body: Any) -> Any:
    wanted = _checked(HOSTROUTES, "routes", routes.routes_of_body(body))
    return _router_view(call, routes.remove_routes(call, router, wanted))


def _router_view(call: Call, router: Document) -> Any:
    return {"router": shown(call, resource("router"), [router])[0]}


def _prefixes(body: Any) -> list[str]:
    given = body.get("prefixes") if isinstance(body, dict) else None
    if not isinstance(given, list):
        raise bad_request("Missing required parameter 'prefixes' in request body")
    prefixes: list[str] = _checked(CIDRS, "prefixes", given)
    return prefixes


def _checked(kind: Any, name: str, value: Any) -> Any:
    try:
        return kind.check(value)
    except ValueError as error:
        raise refusal(name, error) from None


def _add_prefixes(call: Call, pool: Document, body: Any) -> Any:
    return {"prefixes": pools.add_prefixes(call, pool, _prefixes(body))["prefixes"]}


def _remove_prefixes(call: Call, pool: Document, body: Any) -> Any:
    return {"prefixes": pools.remove_prefixes(call, pool, _prefixes(body))["prefixes"]}


#: (kind, word) -> what PUT of the word does.
ACTIONS: MappingProxyType[tuple[str, str], Action] = MappingProxyType(
    {
        ("router", "add_router_interface"): interfaces.add_interface,
        ("router", "remove_router_interface"): interfaces.remove_interface,
        ("router", "add_extraroutes"): _add_routes,
        ("router", "remove_extraroutes"): _remove_routes,
        ("subnetpool", "onboard_network_subnets"): onboard,
        ("subnetpool", "add_prefixes"): _add_prefixes,
        ("subnetpool", "remove_prefixes"): _remove_prefixes,
    }
)


def member(call: Call, row: Resource, request: Request, words: list[str]) -> Response:
    """A request below one thing: `words` are its id, a word, and perhaps another id."""
    key, word, rest = words[0], words[1], words[2:]
    if (row.name, word) in ACTIONS and not rest:
        if request.method != "PUT":
            raise wrong_method(row, request.method)
        document = owned(call, row, key)
        return answer(200, ACTIONS[row.name, word](call, document, request.json()))
    if word == "tags" and row.tagged and len(rest) <= 1:
        return _tags(call, row, request, key, rest)
    if word.replace("_", "-") in WORDS and len(rest) <= 1:
        return _schedules(call, row, request, key, word.replace("_", "-"), rest)
    if row.name == "floatingip" and word.replace("-", "_") == "port_forwardings":
        return _forwardings(call, row, request, key, rest)
    raise fail("HTTPNotFound", message="The resource could not be found.")


def _tags(call: Call, row: Resource, request: Request, key: str, rest: list[str]) -> Response:
    method = request.method
    if method == "GET":
        document = fetch(call, row, key)
        if not rest:
            return answer(200, {"tags": document["tags"]})
        if rest[0] not in document["tags"]:
            raise fail("TagNotFound", tag=rest[0])
        return Response(204)
    document = owned(call, row, key)
    if method == "PUT" and rest:
        tags.add_tag(call, row.name, document, rest[0])
        return Response(201)
    if method == "PUT":
        after = tags.set_tags(call, row.name, document, tags.checked(request.json()))
        return answer(200, {"tags": after["tags"]})
    if method == "POST" and not rest:
        more = tags.checked(request.json())
        tags.set_tags(call, row.name, document, list(dict.fromkeys([*document["tags"], *more])))
        return Response(201)
    if method == "DELETE":
        if rest:
            tags.remove_tag(call, row.name, document, rest[0])
        else:
            tags.set_tags(call, row.name, document, [])
        return Response(204)
    raise wrong_method(row, method)


def _schedules(
    call: Call, row: Resource, request: Request, key: str, word: str, rest: list[str]
) -> Response:
    """Networks and routers of agents; agents of networks and routers."""
    kind, _ = WORDS[word]
    below_agent = word in ("dhcp-networks", "l3-routers")
    if row.name != ("agent" if below_agent else kind):
        raise fail("HTTPNotFound", message="The resource could not be found.")
    require_admin(call, f"{request.method.lower()}_{word}")
    if request.method == "GET" and not rest:
        if below_agent:
            other = resource(kind)
            found = hosted_by(call, kind, key)
            return answer(200, {other.collection: shown(call, other, found)})
        agents = shown(call, resource("agent"), hosts_of(call, kind, key))
        if kind == "router":
            agents = [{**agent, "ha_state": None} for agent in agents]
        return answer(200, {"agents": agents})
    if below_agent and request.method == "POST" and not rest:
        add_hosted(call, kind, key, request.json())
        return answer(201, None)
    if below_agent and request.method == "DELETE" and rest:
        remove_hosted(call, kind, key, rest[0])
        return Response(204)
    raise wrong_method(row, request.method)


def _forwardings(
    call: Call, parent: Resource, request: Request, key: str, rest: list[str]
) -> Response:
    """Port forwardings of a floating address."""
    row = resource("port_forwarding")
    names = shown_names(row, call, ())
    if len(rest) > 1:
        raise fail("HTTPNotFound", message="The resource could not be found.")
    if request.method == "GET":
        floating = fetch(call, parent, key)
        entries = call.tx.find("port_forwarding", floatingip_id=floating["id"])
        if rest:
            found = [entry for entry in entries if entry["id"] == rest[0]]
            if not found:
                raise not_found(row.name, rest[0])
            return answer(200, {row.name: project(names, found)[0]})
        query = parse_query(row, request)
        page = plain_page(row, entries, query)
        content: dict[str, Any] = {
            row.collection: project(shown_names(row, call, query.fields), page)
        }
        if links(request, query, page):
            content[f"{row.collection}_links"] = links(request, query, page)
        return answer(200, content)
    floating = owned(call, parent, key)
    return _change_forwarding(call, floating, request, rest)


def _change_forwarding(
    call: Call, floating: Document, request: Request, rest: list[str]
) -> Response:
    row = resource("port_forwarding")
    names = shown_names(row, call, ())
    if request.method == "POST" and not rest:
        bodies, many = read_body(row, request.json(), create=True)
        made = []
        for body in bodies:
            current = call.require("floatingip", floating["id"])
            made.append(forwardings.create_forwarding(call, current, body))
        entries = project(names, made)
        return answer(201, {row.collection: entries} if many else {row.name: entries[0]})
    found = call.tx.get(row.name, rest[0]) if rest else None
    if rest and (found is None or found["floatingip_id"] != floating["id"]):
        raise not_found(row.name, rest[0])
    if request.method == "PUT" and found is not None:
        (body,), _ = read_body(row, request.json(), create=False)
        after = forwardings.update_forwarding(call, floating, found, body)
        return answer(200, {row.name: project(names, [after])[0]})
    if request.method == "DELETE" and found is not None:
        forwardings.delete_forwarding(call, floating, found)
        return Response(204)
    raise wrong_method(row, request.method)


def topology(call: Call, request: Request, words: list[str]) -> Response:
    """`auto-allocated-topology/PROJECT`."""
    row = resource("auto_allocated_topology")
    if len(words) != 1:
        raise fail("HTTPNotFound", message="The resource could not be found.")
    right = row.rights.get({"GET": "show", "DELETE": "delete"}.get(request.method, ""))
    if right is None:
        raise wrong_method(row, request.method)
    key = words[0]
    if not may(call, right, {"project_id": topologies.project_of(call, key)}):
        raise fail("PolicyNotAuthorized", rule=f"rule:{request.method.lower()}_{row.name}")
    if request.method == "DELETE":
        topologies.delete_topology(call, key)
        return Response(204)
    fields = [value for name, value in request.query if name == "fields" and value]
    return answer(200, {row.name: topologies.show_topology(call, key, fields)})


def quota(call: Call, request: Request, words: list[str]) -> Response:
    """`quotas`, `quotas/PROJECT`, `.../default`, `.../details`."""
    method = request.method
    if not words:
        if method != "GET":
            raise fail("HTTPMethodNotAllowed", message="Quotas are set for one project.")
        require_admin(call, "get_quota")
        return answer(200, {"quotas": quotas.list_all(call)})
    project_id, rest = words[0], words[1:]
    if project_id in ("tenant", "project") and not rest and method == "GET":
        return answer(200, {"tenant": {"tenant_id": call.caller.project_id}})
    if project_id != call.caller.project_id or method != "GET":
        require_admin(call, "get_quota" if method == "GET" else "update_quota")
    if method == "GET" and not rest:
        return answer(200, {"quota": quotas.show(call, project_id)})
    if method == "GET" and rest == ["default"]:
        return answer(200, {"quota": quotas.defaults(call)})
    if method == "GET" and rest in (["details"], ["details.json"]):
        return answer(200, {"quota": quotas.details(call, project_id)})
    if method == "PUT" and not rest:
        return answer(200, {"quota": quotas.update(call, project_id, request.json())})
    if method == "DELETE" and not rest:
        quotas.reset(call, project_id)
        return Response(204)
    raise fail("HTTPNotFound", message="The resource could not be found.")
