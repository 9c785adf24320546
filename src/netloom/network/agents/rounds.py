"""The life that the DHCP and L3 agents share: follow, report, and reconcile in rounds.

A round has the whole wish; what of it stands already, the agent knows. A round that fails is tried
again after a pause; what becomes known in between waits for the next one. After `RESYNC_S` without
any, the agent is in `doubt` of what it knows, and the round looks at everything again: somebody
else may have taken something away.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from netloom.base.errors import NetloomError
from netloom.base.log import get_logger
from netloom.network.agents.links import DatabaseLink
from netloom.network.agents.plugs import WANTED, Plugs
from netloom.network.agents.rooms import rooms_here
from netloom.network.agents.service import ServiceLink
from netloom.network.agents.settings import RoomSettings
from netloom.network.watch.client import follow
from netloom.network.watch.replica import Replica
from netloom.ovsdb.idl import Idl

log = get_logger("network_agent")
RETRY_S = 0.5
RESYNC_S = 30.0


class RoomAgent(ABC):
    """An agent whose work is in namespaces. `rundir` is where the switch's sockets are."""

    def __init__(
        self, settings: RoomSettings, service: ServiceLink, rundir: Path, owner: str
    ) -> None:
        self.settings = settings
        self.service = service
        self.replica = Replica()
        self.doubt = False
        self._dirty = asyncio.Event()
        idl = Idl("Open_vSwitch", WANTED)
        self._database = DatabaseLink(str(rundir / "db.sock"), idl, self._dirty.set)
        self.plugs = Plugs(idl, self._database, settings.integration_bridge, owner)

    def wake(self) -> None:
        """Have another round."""
        self._dirty.set()

    def strangers(self, prefix: str, wanted: Iterable[str]) -> set[str]:
        """This agent's namespaces that nobody wants: of things deleted while no agent looked.
        `wanted` are ids; names are the prefix and an id."""
        noted = self.settings.noted_rooms() & rooms_here(prefix)
        return noted - {f"{prefix}{key}" for key in wanted}

    @abstractmethod
    async def reconcile(self) -> None:
        """One round."""

    @abstractmethod
    def report(self) -> Mapping[str, Any]:
        """What the agent says of itself."""

    async def run(self) -> None:
        """For ever."""
        interval_s = float(self.settings.report_interval)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._database.run())
            tasks.create_task(self._follow())
            tasks.create_task(self.service.report_for_ever(self.report(), interval_s))
            tasks.create_task(self._work())

    async def _follow(self) -> None:
        async for _ in follow(self.service.client, self.replica):
            self._dirty.set()

    async def _work(self) -> None:
        while True:
            try:
                async with asyncio.timeout(RESYNC_S):
                    await self._dirty.wait()
            except TimeoutError:
                self.doubt = True
            self._dirty.clear()
            if not self.replica.revision:
                continue
            try:
                await self.reconcile()
                self.doubt = False
            except (NetloomError, OSError, TimeoutError) as error:
                log.warn_rl("%s; trying again", str(error) or type(error).__name__)
                await asyncio.sleep(RETRY_S)
                self._dirty.set()
