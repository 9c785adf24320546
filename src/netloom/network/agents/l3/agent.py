"""The L3 agent at work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netloom.base.log import get_logger
from netloom.network.agents.l3.connections import end_stale
from netloom.network.agents.l3.voice import Voices, announce
from netloom.network.agents.l3.wish import PREFIX, Router, routers_of, ruleset
from netloom.network.agents.rooms import furnish, inside, vacate
from netloom.network.agents.rounds import RoomAgent
from netloom.network.agents.service import ServiceLink
from netloom.network.agents.settings import RoomSettings
from netloom.network.hosting.zones import L3_AGENT

log = get_logger("l3_agent")


def _translates(router: Router) -> tuple[object, ...]:
    return router.source, router.translations


class L3Agent(RoomAgent):
    """Makes the routers of this host; one that it knows unchanged is left alone."""

    def __init__(self, settings: RoomSettings, service: ServiceLink, rundir: Path) -> None:
        super().__init__(settings, service, rundir, "l3")
        self._standing: dict[str, Router] = {}
        self._voices = Voices()

    async def reconcile(self) -> None:
        wanted = {router.id: router for router in routers_of(self.replica, self.settings.host)}
        for key in self._standing.keys() - wanted.keys():
            await self._remove(self._standing[key].room.name)
            del self._standing[key]
        for name in self.strangers(PREFIX, wanted):
            await self._remove(name)
        changed = [router for key, router in wanted.items() if self._standing.get(key) != router]
        for router in wanted.values() if self.doubt else changed:
            self.settings.note_room(router.room.name)
            await furnish(router.room)
            await inside(router.room.name, self.settings.nft, "-f", "-", stdin=ruleset(router))
            await self._end_connections(router)
        await self.plugs.set(link for router in wanted.values() for link in router.room.links)
        for router in changed:
            self._voices.speak(router.room.name, router.advertised)
            self._announce(router)
            self._standing[router.id] = router
        await self._tell(wanted)

    async def _end_connections(self, router: Router) -> None:
        """Those whose translation has gone."""
        before = self._standing.get(router.id)
        if before is None or _translates(before) != _translates(router):
            ended = await asyncio.to_thread(end_stale, router)
            if ended:
                log.info("%s: ended %d connections", router.room.name, ended)

    async def _remove(self, name: str) -> None:
        self._voices.hush(name)
        await vacate(name)

    def _announce(self, router: Router) -> None:
        """Neighbours learn at once of addresses that have moved here."""
        before = self._standing.get(router.id)
        had = (
            {(link.inner, one) for link in before.room.links for one in link.addresses}
            if (before)
            else set()
        )
        for link in router.room.links:
            fresh = [one for one in link.addresses if (link.inner, one) not in had]
            announce(router.room.name, link, fresh)

    async def _tell(self, wanted: Mapping[str, Router]) -> None:
        statuses = {}
        for router in wanted.values():
            for key in router.floating:
                floating = self.replica.get("floatingip", key) or {}
                status = "ACTIVE" if floating.get("router_id") else "DOWN"
                if floating.get("status") != status:
                    statuses[key] = status
        if statuses:
            await self.service.tell_statuses("floatingips", statuses)
        routers = {
            key: "ACTIVE"
            for key in wanted
            if (self.replica.get("router", key) or {}).get("status") != "ACTIVE"
        }
        if routers:
            await self.service.tell_statuses("routers", routers)

    def report(self) -> Mapping[str, Any]:
        return {
            "agent_type": L3_AGENT,
            "binary": "neutron-l3-agent",
            "topic": "l3_agent",
            "configurations": {
                "agent_mode": "legacy",
                "handle_internal_only_routers": True,
                "interface_driver": "openvswitch",
                "log_agent_heartbeats": False,
            },
        }
