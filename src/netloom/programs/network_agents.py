"""`netloom network agent`: wires an agent to its switch and to the service."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import httpx

from netloom.base.clock import SystemClock
from netloom.base.errors import ConfigError, NetloomError
from netloom.base.log import get_logger
from netloom.base.paths import rundir
from netloom.network.agents.dhcp.agent import DhcpAgent
from netloom.network.agents.l2.agent import L2Agent
from netloom.network.agents.l3.agent import L3Agent
from netloom.network.agents.rounds import RoomAgent
from netloom.network.agents.service import ServiceLink
from netloom.network.agents.settings import (
    L2Settings,
    RoomSettings,
    load_l2_settings,
    load_room_settings,
)
from netloom.network.agents.tokens import TokenAuth
from netloom.network.identity.credentials import read_credentials

log = get_logger("network_agent")
#: How long an agent may take to leave.
LEAVE_S = 2.0
S = TypeVar("S", L2Settings, RoomSettings)
L2_FILES = ("/etc/neutron/plugins/ml2/openvswitch_agent.ini",)


L3_FILES = ("/etc/neutron/l3_agent.ini",)
DHCP_FILES = ("/etc/neutron/dhcp_agent.ini",)


def _texts(config_files: list[Path], usual: tuple[str, ...]) -> list[tuple[str, str]]:
    chosen = config_files or [Path(name) for name in usual if Path(name).exists()]
    try:
        return [(str(path), path.read_text()) for path in chosen]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(error)) from None


def read_l2_settings(config_files: list[Path]) -> L2Settings:
    """The settings of these files, or of the usual one if it exists."""
    settings = load_l2_settings(_texts(config_files, L2_FILES))
    return replace(settings, host=settings.host or socket.gethostname())


def read_room_settings(config_files: list[Path], usual: tuple[str, ...]) -> RoomSettings:
    """The settings of the DHCP or L3 agent, likewise."""
    settings = load_room_settings(_texts(config_files, usual))
    return replace(settings, host=settings.host or socket.gethostname())


def open_client(server_url: str, auth: httpx.Auth | None = None) -> httpx.AsyncClient:
    """A client of the service at an http(s) URL, or `unix:PATH`."""
    if server_url.startswith("unix:"):
        transport = httpx.AsyncHTTPTransport(uds=server_url.removeprefix("unix:"))
        return httpx.AsyncClient(base_url="http://localhost", transport=transport, auth=auth)
    return httpx.AsyncClient(base_url=server_url, trust_env=False, auth=auth)


def run_l2_agent(settings: L2Settings) -> int:
    """Run until a signal ends it; the exit status."""
    asyncio.run(_until_signal(settings, L2Agent))
    return 0


def run_l3_agent(config_files: list[Path]) -> int:
    """Likewise."""
    asyncio.run(_until_signal(read_room_settings(config_files, L3_FILES), L3Agent))
    return 0


def run_dhcp_agent(config_files: list[Path]) -> int:
    """Likewise."""
    asyncio.run(_until_signal(read_room_settings(config_files, DHCP_FILES), DhcpAgent))
    return 0


async def _until_signal(
    settings: S, make: Callable[[S, ServiceLink, Path], L2Agent | RoomAgent]
) -> None:
    auth = None
    if settings.keystone:
        auth = TokenAuth(read_credentials(settings.keystone), SystemClock())
    async with open_client(settings.server_url, auth) as client:
        agent = make(settings, ServiceLink(client, settings.host), Path(rundir()))
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            await _run(agent, stop)
        finally:
            if auth is not None:
                await auth.aclose()


async def _run(agent: L2Agent | RoomAgent, stop: asyncio.Event) -> None:
    work, told = asyncio.create_task(agent.run()), asyncio.create_task(stop.wait())
    await asyncio.wait((work, told), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if not work.done() and isinstance(agent, L2Agent):
        try:
            async with asyncio.timeout(LEAVE_S):
                await agent.leave()
        except (NetloomError, OSError, TimeoutError) as error:
            log.warn("did not leave in good order: %s", str(error) or type(error).__name__)
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
