"""The L2 agent at work: follow the service and the switch, reconcile, report.

One loop does all the changing (`_reconcile`); whoever learns something new only wakes it. Each
round starts from what is: facts of the database, replica of the service, flows that are in. It
ends with the service told which ports work. Nothing waits for anything else to have happened
before: what is not there yet wakes the loop when it comes.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from netloom.base.errors import NetloomError
from netloom.base.log import get_logger
from netloom.network.agents.flow import by_key
from netloom.network.agents.l2.bridges import Numbers, integration_flows, provider_flows
from netloom.network.agents.l2.facts import WANTED, BridgeFact, Facts, read_facts
from netloom.network.agents.l2.restoring import LIMIT_S, RestoreWait
from netloom.network.agents.l2.switch_apply import transaction_for
from netloom.network.agents.l2.switch_plan import patch_names, plan_switch
from netloom.network.agents.l2.tunnels import TunnelBridge, tunnel_flows
from netloom.network.agents.l2.values import PATCH_INT, TUNNEL_TABLES, Wish
from netloom.network.agents.l2.wish import Vlans, derive_wish
from netloom.network.agents.links import DatabaseLink, FlowLink, SwitchFailed
from netloom.network.agents.service import ServiceLink
from netloom.network.agents.settings import L2Settings
from netloom.network.watch.client import follow
from netloom.network.watch.derive import L2_AGENT, ports_of_host
from netloom.network.watch.replica import Replica
from netloom.ovsdb.idl import Idl

log = get_logger("l2_agent")
RETRY_S, SWITCH_RETRY_S = 0.5, 0.1


class L2Agent:
    """See the module. `rundir` is where the switch's sockets are."""

    def __init__(self, settings: L2Settings, service: ServiceLink, rundir: Path) -> None:
        self.settings = settings
        self.replica = Replica()
        self._service = service
        self._rundir = rundir
        self._dirty = asyncio.Event()
        self._idl = Idl("Open_vSwitch", WANTED)
        database = settings.ovsdb_connection.removeprefix("unix:") or str(rundir / "db.sock")
        self._database = DatabaseLink(database, self._idl, self._dirty.set)
        self._flows: dict[str, FlowLink] = {}
        self._vlans = Vlans()
        self._numbers = Numbers()
        self._restoring = RestoreWait(self._idl, self._database.commit)

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._database.run())
            tasks.create_task(self._follow())
            tasks.create_task(
                self._service.report_for_ever(report_of(self.settings), self._interval_s)
            )
            tasks.create_task(self._work())
            tasks.create_task(self._release_late())

    async def leave(self) -> None:
        """Before the end: have no switch wait for this agent."""
        await self._restoring.leave()

    async def _release_late(self) -> None:
        await asyncio.sleep(LIMIT_S)
        if not self._restoring.has_filled:
            await self._restoring.release()

    @property
    def _interval_s(self) -> float:
        return float(self.settings.report_interval)

    async def _follow(self) -> None:
        async for _ in follow(self._service.client, self.replica):
            self._dirty.set()

    async def _work(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await self._reconcile()
            except (NetloomError, OSError, TimeoutError) as error:
                log.warn_rl("%s; trying again", str(error) or type(error).__name__)
                # Packets may wait for flows; the service has time.
                soon = isinstance(error, SwitchFailed)
                await asyncio.sleep(SWITCH_RETRY_S if soon else RETRY_S)
                self._dirty.set()

    async def _reconcile(self) -> None:
        if not self._idl.synced:
            return
        settings = self.settings
        names = {settings.integration_bridge, settings.tunnel_bridge}
        facts = read_facts(self._idl, names | set(settings.bridge_mappings.values()))
        integration = facts.get(settings.integration_bridge)
        wish = None
        if integration is not None and self.replica.revision:
            wish = derive_wish(self.replica, integration, settings, self._vlans)
        if steps := plan_switch(wish, facts, settings):
            await self._database.commit(transaction_for(self._idl, steps))
        if wish is None or integration is None:
            return
        await self._apply_flows(wish, integration, facts)
        await self._tell(wish, integration)

    async def _apply_flows(self, wish: Wish, integration: BridgeFact, facts: Facts) -> None:
        patches: dict[str, tuple[int, int]] = {}
        for physical, bridge in self.settings.bridge_mappings.items():
            here, there = patch_names(bridge)
            fact = facts.get(bridge)
            numbers = (integration.ofport(here), fact.ofport(there) if fact else 0)
            if all(numbers):
                patches[physical] = numbers
                flows = by_key(provider_flows(wish.networks, physical, numbers[1]))
                await self._link(bridge).apply(flows)
        wanted = by_key(integration_flows(wish, patches, self._numbers))
        await self._link(integration.name).apply(wanted)
        tunnels = facts.get(self.settings.tunnel_bridge)
        if self.settings.tunnel_types and tunnels is not None and tunnels.ofport(PATCH_INT):
            bridge_ports = self._tunnel_bridge(tunnels)
            await self._link(tunnels.name).apply(by_key(tunnel_flows(wish, bridge_ports)))
        if self._is_complete(facts):
            await self._restoring.follow(
                tuple(sorted((name, link.n_fills) for name, link in self._flows.items()))
            )

    def _is_complete(self, facts: Facts) -> bool:
        """Has every bridge of this agent been there?"""
        bridges = {self.settings.integration_bridge, *self.settings.bridge_mappings.values()}
        if self.settings.tunnel_types:
            bridges.add(self.settings.tunnel_bridge)
        # One that nobody made is not waited for.
        return all(name in self._flows for name in bridges & facts.keys())

    def _tunnel_bridge(self, fact: BridgeFact) -> TunnelBridge:
        ports = {
            (port.type, dict(port.options).get("remote_ip", "")): port.ofport
            for port in fact.ports.values()
            if port.type in TUNNEL_TABLES and port.ofport
        }
        settings = self.settings
        responder = settings.arp_responder and settings.l2_population
        return TunnelBridge(fact.ofport(PATCH_INT), ports, settings.l2_population, responder)

    def _link(self, bridge: str) -> FlowLink:
        link = self._flows.get(bridge)
        if link is None:
            link = FlowLink(str(self._rundir / f"{bridge}.mgmt"), self._dirty.set)
            self._flows[bridge] = link
        return link

    async def _tell(self, wish: Wish, integration: BridgeFact) -> None:
        """The service hears what differs from what it believes."""
        plugged = {
            port.id for port in wish.ports if integration.ports[port.name].tag == port.network.vlan
        }
        statuses = {}
        for port in ports_of_host(self.replica, self.settings.host):
            status = "ACTIVE" if port["id"] in plugged else "DOWN"
            if port["binding:vif_type"] == "ovs" and port["status"] != status:
                statuses[port["id"]] = status
        if statuses and not await self._service.tell_statuses("ports", statuses):
            await asyncio.sleep(RETRY_S)
            self._dirty.set()


def report_of(settings: L2Settings) -> dict[str, Any]:
    """What the agent says of itself."""
    return {
        "agent_type": L2_AGENT,
        "binary": "neutron-openvswitch-agent",
        "topic": "N/A",
        "configurations": {
            "arp_responder_enabled": settings.arp_responder,
            "bridge_mappings": dict(settings.bridge_mappings),
            "datapath_type": settings.datapath_type,
            "enable_distributed_routing": False,
            "integration_bridge": settings.integration_bridge,
            "l2_population": settings.l2_population,
            "ovs_hybrid_plug": False,
            "tunnel_types": list(settings.tunnel_types),
            "tunneling_ip": settings.local_ip,
        },
    }
