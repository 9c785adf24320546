"""What agents ask of the service, besides the API that everybody uses and the watch.

    PUT  report            an agent's report (`fleet.reports`); answers the agent
    PUT  ports             [{"id", "status", "host"}]: ACTIVE or DOWN, as the L2 agent finds
    PUT  floatingips       [{"id", "status"}]: as the L3 agent finds
    PUT  routers           [{"id", "status"}]
    GET  config            what agents need to know of the service's configuration

All of them may be repeated without harm. Things that are gone are left out of the answer.
"""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call
from netloom.network.errors import bad_request, fail
from netloom.network.fleet.reports import report

STATUSES = {
    "ports": ("port", frozenset({"ACTIVE", "DOWN", "BUILD", "ERROR"})),
    "floatingips": ("floatingip", frozenset({"ACTIVE", "DOWN", "ERROR"})),
    "routers": ("router", frozenset({"ACTIVE", "DOWN", "ERROR"})),
}


def agent_request(call: Call, method: str, words: list[str], body: Any) -> Any:
    """Answer an agent's request."""
    word = words[0]
    if len(words) == 1 and method == "PUT":
        if word == "report":
            if not isinstance(body, dict):
                raise bad_request("a report is an object")
            agent = report(call, body)
            return {key: value for key, value in agent.items() if not key.startswith("_")}
        if word in STATUSES:
            return {"updated": _set_statuses(call, word, body)}
    if len(words) == 1 and method == "GET" and word == "config":
        return _config(call)
    raise fail("HTTPNotFound", message="The resource could not be found.")


def _set_statuses(call: Call, word: str, body: Any) -> list[str]:
    """Ids of the things that exist; those that already have the status are not touched.

    A port's status counts only from the host where it is bound: an agent that the port has left
    must not take it down.
    """
    kind, allowed = STATUSES[word]
    if not isinstance(body, list):
        raise bad_request("a list of objects with id and status is needed")
    found = []
    for entry in body:
        status = entry.get("status") if isinstance(entry, dict) else None
        if not isinstance(status, str) or status not in allowed:
            raise bad_request(f"not an object with id and status: '{entry}'")
        document = call.tx.get(kind, str(entry.get("id")))
        if document is None:
            continue
        if kind == "port" and entry.get("host") != document["binding:host_id"]:
            continue
        found.append(document["id"])
        if document["status"] != entry["status"]:
            call.tx.update(kind, document, {**document, "status": entry["status"]})
    return found


def _config(call: Call) -> dict[str, Any]:
    settings = call.settings
    return {
        "mechanism_drivers": list(settings.mechanism_drivers),
        "l2_population": "l2population" in settings.mechanism_drivers,
        "enable_security_group": settings.enable_security_group,
        "dns_domain": settings.dns_domain,
        "agent_down_time": settings.agent_down_time,
        "global_physnet_mtu": settings.global_physnet_mtu,
    }
