"""An agent's side of the service: its reports, and what it tells of the state of things."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from netloom.base.log import get_logger

log = get_logger("network_agent")
TIMEOUT_S = 30.0


class ServiceLink:
    """Requests to the service; what fails is logged and tried again by whoever asked."""

    def __init__(self, client: httpx.AsyncClient, host: str) -> None:
        self.client = client
        self._host = host

    async def report_for_ever(
        self,
        agent: Mapping[str, Any],
        interval_s: float,
        on_first: Callable[[], None] | None = None,
    ) -> None:
        """A heartbeat every `interval_s`; sooner if one fails."""
        started = True
        while True:
            body = {**agent, "host": self._host, "start_flag": started}
            if await self.put("report", body):
                if started and on_first is not None:
                    on_first()
                started = False
                await asyncio.sleep(interval_s)
            else:
                await asyncio.sleep(min(1.0, interval_s))

    async def tell_statuses(self, kind: str, statuses: Mapping[str, str]) -> bool:
        """Tell the status of things by id; whether the service took it."""
        body = [
            {"id": key, "status": status, "host": self._host}
            for key, status in sorted(statuses.items())
        ]
        return await self.put(kind, body)

    async def put(self, word: str, body: object) -> bool:
        """Whether the service took it."""
        try:
            answer = await self.client.put(f"/agent/v1/{word}", json=body, timeout=TIMEOUT_S)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            log.warn_rl("%s: %s", word, str(error) or type(error).__name__)
            return False
        return True
