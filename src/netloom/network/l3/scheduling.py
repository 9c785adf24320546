"""Which L3 agent hosts a router; its ports are bound where the agent is."""

from __future__ import annotations

from netloom.network.call import Call
from netloom.network.commit import updated
from netloom.network.document import Document
from netloom.network.hosting.schedule import alive, least_loaded, tell_schedule
from netloom.network.hosting.zones import L3_AGENT, in_zones
from netloom.network.ml2.bind import bind


def schedule_router(call: Call, router: Document) -> bool:
    """Give a router an agent if it has none that is alive; whether that changed something."""
    if not call.settings.router_auto_schedule:
        return False
    if call.tx.relations.agents_of("router", router["id"]):
        return False
    agents = alive(call, call.tx.find("agent", agent_type=L3_AGENT))
    hints = router.get("availability_zone_hints") or []
    chosen = least_loaded(call, "router", [one for one in agents if in_zones(one, hints)])
    if not chosen:
        return False
    return host_router(call, router["id"], chosen[0])


def host_router(call: Call, router_id: str, agent: Document) -> bool:
    """Schedule the router to this agent and bind its ports there."""
    if not call.tx.relations.schedule("router", router_id, agent["id"]):
        return False
    bind_router_ports(call, router_id, agent["host"])
    tell_schedule(call, "router", router_id)
    return True


def unhost_router(call: Call, router_id: str, agent: Document) -> bool:
    """Take the router away from the agent; its ports are bound nowhere."""
    if not call.tx.relations.unschedule("router", router_id, agent["id"]):
        return False
    bind_router_ports(call, router_id, "")
    tell_schedule(call, "router", router_id)
    return True


def bind_router_ports(call: Call, router_id: str, host: str) -> None:
    """Bind every port of a router at `host`."""
    ids = call.tx.relations.router_ports(router_id)
    for port in call.tx.find("port", id=list(ids)) if ids else []:
        after = {**port, "binding:host_id": host}
        bind(call, after, call.require("network", port["network_id"]))
        updated(call, "port", port, after)


def host_of(call: Call, router_id: str) -> str:
    """The host of the router's agent; empty if it has none."""
    agents = call.tx.relations.agents_of("router", router_id)
    found = call.tx.get("agent", agents[0]) if agents else None
    return found["host"] if found else ""
