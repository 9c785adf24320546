"""The scheduling sub-resources: what an agent hosts, who hosts a thing, changing that by hand."""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call
from netloom.network.document import Document
from netloom.network.errors import bad_request, fail
from netloom.network.hosting.schedule import tell_schedule
from netloom.network.hosting.zones import DHCP_AGENT, HOSTED_BY, L3_AGENT
from netloom.network.l3.scheduling import host_router, unhost_router


def hosted_by(call: Call, kind: str, agent_id: str) -> list[Document]:
    """The networks or routers that the agent hosts."""
    agent = call.require("agent", agent_id)
    if agent["agent_type"] != HOSTED_BY[kind]:
        return []
    keys = call.tx.relations.scheduled_to(kind, agent_id)
    return call.tx.find(kind, id=keys) if keys else []


def hosts_of(call: Call, kind: str, key: str) -> list[Document]:
    """The agents that host the network or router."""
    call.require(kind, key)
    ids = call.tx.relations.agents_of(kind, key)
    return call.tx.find("agent", id=ids) if ids else []


def _agent(call: Call, kind: str, agent_id: str) -> Document:
    agent = call.tx.get("agent", agent_id)
    if agent is None:
        raise fail("AgentNotFound", id=agent_id)
    wrong = agent["agent_type"] != HOSTED_BY[kind] or not agent["admin_state_up"]
    if wrong:
        raise fail("InvalidDHCPAgent" if kind == "network" else "InvalidL3Agent", id=agent_id)
    return agent


def add_hosted(call: Call, kind: str, agent_id: str, body: Any) -> None:
    """Schedule by hand: the body names the network or router."""
    name = f"{kind}_id"
    key = body.get(name) if isinstance(body, dict) else None
    if not isinstance(key, str):
        raise bad_request(f"Missing required parameter '{name}' in request body")
    agent = _agent(call, kind, agent_id)
    call.require(kind, key)
    if kind == "network":
        if not call.tx.relations.schedule("network", key, agent_id):
            raise fail("NetworkHostedByDHCPAgent", network_id=key, agent_id=agent_id)
        tell_schedule(call, "network", key)
        return
    have = call.tx.relations.agents_of("router", key)
    if agent_id in have:
        # Doing it again is no mistake.
        return
    if have:
        raise fail("RouterHostedByL3Agent", router_id=key, agent_id=have[0])
    host_router(call, key, agent)


def remove_hosted(call: Call, kind: str, agent_id: str, key: str) -> None:
    """Take a network or router away from an agent."""
    agent = call.tx.get("agent", agent_id)
    if agent is None:
        raise fail("AgentNotFound", id=agent_id)
    if kind == "network":
        if not call.tx.relations.unschedule("network", key, agent_id):
            raise fail("NetworkNotHostedByDhcpAgent", network_id=key, agent_id=agent_id)
        tell_schedule(call, "network", key)
    elif not unhost_router(call, key, agent):
        raise fail("RouterNotHostedByL3Agent", router_id=key, agent_id=agent_id)


#: URL word -> (kind that is hosted, type of agent).
WORDS = {
    "dhcp-networks": ("network", DHCP_AGENT),
    "l3-routers": ("router", L3_AGENT),
    "dhcp-agents": ("network", DHCP_AGENT),
    "l3-agents": ("router", L3_AGENT),
}
