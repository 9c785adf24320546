"""Following the service over HTTP: a snapshot, then the stream, for ever.

    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        async for deltas in follow(client, replica):
            ...   # plan and apply

The stream may end at any moment: then it goes on from the replica's revision; if the service no
longer has what follows, from a new snapshot, whose difference comes as deltas like any other. An
empty list is a sign of life: the agent sees all there is. Pauses between attempts grow to
`LONGEST_PAUSE_S`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import msgspec

from netloom.base.errors import ProtocolError
from netloom.base.log import get_logger
from netloom.network.watch.replica import Delta, Expired, Lines, Replica

log = get_logger("network_watch")
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
#: Without a sign of life for so long the connection is taken for dead.
SILENCE_S = 20.0


async def follow(client: httpx.AsyncClient, replica: Replica) -> AsyncIterator[list[Delta]]:
    """What changes, as it changes."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            if not replica.revision:
                yield await load(client, replica)
            async for deltas in stream(client, replica):
                pause_s = FIRST_PAUSE_S
                yield deltas
        except Expired:
            replica.revision = 0
            continue
        except (httpx.HTTPError, ProtocolError, OSError) as error:
            log.warn_rl("the watch was cut: %s", str(error) or type(error).__name__)
        await asyncio.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, pause_s * 2)


async def load(client: httpx.AsyncClient, replica: Replica) -> list[Delta]:
    """Load a snapshot; what it changes."""
    answer = await client.get("/agent/v1/snapshot", timeout=SILENCE_S * 3)
    answer.raise_for_status()
    return replica.load(msgspec.json.decode(answer.content))


async def stream(client: httpx.AsyncClient, replica: Replica) -> AsyncIterator[list[Delta]]:
    """Changes from the replica's revision on, until the connection ends."""
    timeout = httpx.Timeout(SILENCE_S)
    parameters = {"since": str(replica.revision)}
    async with client.stream(
        "GET", "/agent/v1/watch", params=parameters, timeout=timeout
    ) as answer:
        if answer.status_code == 410:
            raise Expired
        answer.raise_for_status()
        lines = Lines()
        async for data in answer.aiter_bytes():
            for line in lines.feed(data):
                yield replica.apply(line)
