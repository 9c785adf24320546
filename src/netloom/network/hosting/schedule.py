"""Which DHCP agents serve a network.

What is scheduled is told to those who watch as a pseudo-document of kind `network_schedule` or
`router_schedule`: `{"id": network or router, "agents": [ids], "hosts": [names]}`.
"""

from __future__ import annotations

from netloom.network.call import Call
from netloom.network.document import Document
from netloom.network.hosting.zones import DHCP_AGENT, in_zones


def alive(call: Call, agents: list[Document]) -> list[Document]:
    """Those that reported lately and are administratively up."""
    if not agents:
        return []
    beats = call.tx.relations.heartbeats()
    oldest = call.parts.wall_ms() - call.settings.agent_down_time * 1000
    return [
        agent for agent in agents if agent["admin_state_up"] and beats.get(agent["id"], 0) >= oldest
    ]


def tell_schedule(call: Call, kind: str, key: str) -> None:
    """Put the present schedule of a network or router into the journal."""
    ids = call.tx.relations.agents_of(kind, key)
    agents = call.tx.find("agent", id=ids) if ids else []
    call.tx.note(
        f"{kind}_schedule",
        {"id": key, "agents": ids, "hosts": sorted(agent["host"] for agent in agents)},
    )


def least_loaded(call: Call, kind: str, agents: list[Document]) -> list[Document]:
    """Agents, those that have least first."""
    load: dict[str, int] = {}
    for _, agent_id in call.tx.relations.schedules(kind):
        load[agent_id] = load.get(agent_id, 0) + 1
    return sorted(agents, key=lambda agent: (load.get(agent["id"], 0), agent["host"]))


def schedule_network(call: Call, network: Document) -> bool:
    """Give a network with DHCP the agents it lacks; whether that changed something."""
    settings = call.settings
    if not settings.network_auto_schedule:
        return False
    agents = call.tx.find("agent", agent_type=DHCP_AGENT)
    if not agents:
        return False
    have = set(call.tx.relations.agents_of("network", network["id"]))
    up = alive(call, agents)
    missing = settings.dhcp_agents_per_network - len(have & {agent["id"] for agent in up})
    if missing <= 0 or not _wants_dhcp(call, network):
        return False
    hints = network.get("availability_zone_hints") or []
    candidates = [agent for agent in up if agent["id"] not in have and in_zones(agent, hints)]
    chosen = least_loaded(call, "network", candidates)[:missing]
    for agent in chosen:
        call.tx.relations.schedule("network", network["id"], agent["id"])
    if chosen:
        tell_schedule(call, "network", network["id"])
    return bool(chosen)


def _wants_dhcp(call: Call, network: Document) -> bool:
    subnets = call.tx.find("subnet", network_id=network["id"])
    return any(subnet["enable_dhcp"] for subnet in subnets)
