"""Availability zones: what agents say where they are, and what asks to be there."""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call
from netloom.network.document import Document
from netloom.network.errors import fail

DHCP_AGENT = "DHCP agent"
L3_AGENT = "L3 agent"
#: What is scheduled -> the type of agent that hosts it.
HOSTED_BY = {"network": DHCP_AGENT, "router": L3_AGENT}
DEFAULT_ZONE = "nova"


def check_zone_hints(call: Call, kind: str, hints: list[str]) -> None:
    """Raise unless an agent of the right type is in each zone."""
    if not hints:
        return
    agents = call.tx.find("agent", agent_type=HOSTED_BY[kind])
    known = {agent.get("availability_zone") for agent in agents}
    for hint in hints:
        if hint not in known:
            raise fail("AvailabilityZoneNotFound", availability_zone=hint)


def zones_of(call: Call, kind: str, keys: list[str]) -> dict[str, list[str]]:
    """Network or router id -> the zones of the agents that host it."""
    if len(keys) == 1:
        schedules = [(keys[0], agent) for agent in call.tx.relations.agents_of(kind, keys[0])]
    else:
        schedules = call.tx.relations.schedules(kind)
    if not schedules:
        return {}
    agents = {agent["id"]: agent for agent in call.tx.find("agent")}
    found: dict[str, set[str]] = {}
    for key, agent_id in schedules:
        zone = agents.get(agent_id, {}).get("availability_zone")
        if zone:
            found.setdefault(key, set()).add(zone)
    return {key: sorted(zones) for key, zones in found.items()}


def list_zones(call: Call) -> list[dict[str, Any]]:
    """Every zone that an agent is in, per kind of what it hosts."""
    kinds = {agent_type: kind for kind, agent_type in HOSTED_BY.items()}
    states: dict[tuple[str, str], bool] = {}
    for agent in call.tx.find("agent", agent_type=list(kinds)):
        zone = agent.get("availability_zone")
        if zone:
            place = (zone, kinds[agent["agent_type"]])
            states[place] = states.get(place, False) or bool(agent["admin_state_up"])
    return [
        {"name": name, "resource": kind, "state": "available" if up else "unavailable"}
        for (name, kind), up in sorted(states.items())
    ]


def in_zones(agent: Document, hints: list[str]) -> bool:
    """Whether an agent may host what asks for these zones."""
    return not hints or agent.get("availability_zone") in hints
