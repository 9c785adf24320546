"""Reports of agents: who is there, with which configuration, and what follows from that.

An agent reports every few seconds. A report that says nothing new only moves the heartbeat, which
no one is told of. The first report, or one with another configuration, is journalled, binds the
host's ports that waited for it, and schedules what lacked an agent.
"""

from __future__ import annotations

from typing import Any

from netloom.base.clock import format_time
from netloom.network.call import Call
from netloom.network.document import Document
from netloom.network.errors import bad_request
from netloom.network.hosting.schedule import alive, schedule_network, tell_schedule
from netloom.network.hosting.zones import DEFAULT_ZONE, DHCP_AGENT, L3_AGENT
from netloom.network.l3.scheduling import host_router, schedule_router, unhost_router
from netloom.network.ml2.bind import rebind

#: What an agent says of itself; the first four are needed.
REPORTED = ("agent_type", "binary", "host", "topic", "configurations", "availability_zone")
API_TIME = "%Y-%m-%d %H:%M:%S"


def report(call: Call, body: dict[str, Any]) -> Document:
    """Take an agent's report; the agent as it is now."""
    for name in REPORTED[:3]:
        if not isinstance(body.get(name), str) or not body[name]:
            raise bad_request(f"an agent's report needs '{name}'")
    if not isinstance(body.get("configurations", {}), dict):
        raise bad_request("'configurations' must be an object")
    now_ms = call.parts.wall_ms()
    found = call.tx.find("agent", agent_type=body["agent_type"], host=body["host"])
    said = {name: body[name] for name in REPORTED if name in body}
    if not found:
        agent = _new_agent(call, said, now_ms)
        call.tx.insert("agent", agent)
    else:
        agent = {**found[0], **said}
        if body.get("start_flag"):
            agent["started_at"] = format_time(API_TIME, now_ms, utc=True)
        was_alive = bool(alive(call, [found[0]]))
        call.tx.relations.beat(agent["id"], now_ms)
        if agent == found[0] and was_alive:
            return agent
        agent["_heartbeat_ms"] = now_ms
        call.tx.update("agent", found[0], agent)
    _follow(call, agent)
    return agent


def _new_agent(call: Call, said: dict[str, Any], now_ms: int) -> Document:
    zone = DEFAULT_ZONE if said["agent_type"] in (DHCP_AGENT, L3_AGENT) else None
    return {
        "id": call.parts.new_id(),
        "project_id": "",
        "topic": "",
        "configurations": {},
        "availability_zone": zone,
        "admin_state_up": True,
        "description": None,
        "resources_synced": None,
        "started_at": format_time(API_TIME, now_ms, utc=True),
        "_heartbeat_ms": now_ms,
        **said,
    }


def _follow(call: Call, agent: Document) -> None:
    """What there is to do once the agent is there."""
    rebind(call, agent["host"])
    if agent["agent_type"] == DHCP_AGENT:
        for network in call.tx.find("network"):
            schedule_network(call, network)
    elif agent["agent_type"] == L3_AGENT:
        for router in call.tx.find("router"):
            if router["external_gateway_info"] or call.tx.relations.router_ports(router["id"]):
                schedule_router(call, router)


def update_agent(call: Call, before: Document, body: dict[str, Any]) -> Document:
    """An agent that an administrator describes, or takes out of service."""
    after = {**before, **body, "_heartbeat_ms": call.tx.relations.heartbeats()[before["id"]]}
    return call.tx.update("agent", before, after)


def delete_agent(call: Call, agent: Document) -> None:
    """Forget an agent; what it hosted waits for another."""
    for router in call.tx.relations.scheduled_to("router", agent["id"]):
        unhost_router(call, router, agent)
    networks = call.tx.relations.scheduled_to("network", agent["id"])
    for network in networks:
        call.tx.relations.unschedule("network", network, agent["id"])
        tell_schedule(call, "network", network)
    call.tx.delete("agent", agent)


def view_agents(call: Call, agents: list[Document]) -> list[Document]:
    """Agents as the API shows them: alive or not, times in the old format."""
    beats = call.tx.relations.heartbeats()
    oldest = call.parts.wall_ms() - call.settings.agent_down_time * 1000
    shown = []
    for agent in agents:
        beat = beats.get(agent["id"], 0)
        shown.append(
            {
                **agent,
                "alive": beat >= oldest,
                "heartbeat_timestamp": format_time(API_TIME, beat, utc=True),
                "created_at": agent["created_at"].replace("T", " ").removesuffix("Z"),
            }
        )
    return shown


def fail_over(call: Call) -> int:
    """Take networks (and, if configured, routers) from agents that are gone; how many moved."""
    moved = 0
    agents = call.tx.find("agent", agent_type=[DHCP_AGENT, L3_AGENT])
    up = {agent["id"] for agent in alive(call, agents)}
    gone = [agent for agent in agents if agent["id"] not in up]
    for agent in gone:
        others = [
            one for one in agents if one["id"] in up and one["agent_type"] == agent["agent_type"]
        ]
        if not others:
            continue
        if agent["agent_type"] == DHCP_AGENT and call.settings.allow_automatic_dhcp_failover:
            moved += _move_networks(call, agent)
        elif agent["agent_type"] == L3_AGENT and call.settings.allow_automatic_l3agent_failover:
            moved += _move_routers(call, agent, others)
    return moved


def _move_networks(call: Call, agent: Document) -> int:
    keys = call.tx.relations.scheduled_to("network", agent["id"])
    for key in keys:
        call.tx.relations.unschedule("network", key, agent["id"])
        if not schedule_network(call, call.require("network", key)):
            tell_schedule(call, "network", key)
    return len(keys)


def _move_routers(call: Call, agent: Document, others: list[Document]) -> int:
    keys = call.tx.relations.scheduled_to("router", agent["id"])
    for position, key in enumerate(keys):
        unhost_router(call, key, agent)
        host_router(call, key, others[position % len(others)])
    return len(keys)
