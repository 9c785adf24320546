"""`netloom network agent`: wires an agent to its switch and to the service."""

from __future__ import annotations

import asyncio
import signal
import socket
from dataclasses import replace
from pathlib import Path

import httpx

from netloom.base.errors import ConfigError
from netloom.base.paths import rundir
from netloom.network.agents.l2.agent import L2Agent
from netloom.network.agents.service import ServiceLink
from netloom.network.agents.settings import L2Settings, load_l2_settings

L2_FILES = ("/etc/neutron/plugins/ml2/openvswitch_agent.ini",)


def read_l2_settings(config_files: list[Path]) -> L2Settings:
    """The settings of these files, or of the usual one if it exists."""
    chosen = config_files or [Path(name) for name in L2_FILES if Path(name).exists()]
    try:
        texts = [(str(path), path.read_text()) for path in chosen]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(error)) from None
    settings = load_l2_settings(texts)
    return replace(settings, host=settings.host or socket.gethostname())


def run_l2_agent(settings: L2Settings) -> int:
    """Run until a signal ends it; the exit status."""
    asyncio.run(_l2_agent(settings))
    return 0


def open_client(server_url: str) -> httpx.AsyncClient:
    """A client of the service at an http(s) URL, or `unix:PATH`."""
    if server_url.startswith("unix:"):
        transport = httpx.AsyncHTTPTransport(uds=server_url.removeprefix("unix:"))
        return httpx.AsyncClient(base_url="http://localhost", transport=transport)
    return httpx.AsyncClient(base_url=server_url, trust_env=False)


async def _l2_agent(settings: L2Settings) -> None:
    async with open_client(settings.server_url) as client:
        agent = L2Agent(settings, ServiceLink(client, settings.host), Path(rundir()))
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            await agent.run()
        except asyncio.CancelledError:
            # A signal's doing.
            return
