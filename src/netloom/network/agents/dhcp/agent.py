"""The DHCP agent at work: ports, namespaces, and one dnsmasq each.

A dnsmasq outlives the agent; the next one finds it by its pid file. Hosts, options and names are
files that it reads again on SIGHUP; other command lines need another process. One that ends by
itself is replaced at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from netloom.base.log import get_logger
from netloom.network.agents.commands import CommandFailed
from netloom.network.agents.dhcp.wish import OWNER, PREFIX, Server, device_id, servers_of
from netloom.network.agents.links import SwitchFailed
from netloom.network.agents.lives import Lives, command_line, end
from netloom.network.agents.rooms import furnish, inside, occupants, vacate
from netloom.network.agents.rounds import RoomAgent
from netloom.network.agents.service import ServiceLink
from netloom.network.agents.settings import RoomSettings
from netloom.network.hosting.zones import DHCP_AGENT

log = get_logger("dhcp_agent")


class DhcpAgent(RoomAgent):
    """Serves the networks of this host."""

    def __init__(self, settings: RoomSettings, service: ServiceLink, rundir: Path) -> None:
        super().__init__(settings, service, rundir, "dhcp")
        self._standing: dict[str, Server] = {}
        self._lives = Lives()

    async def reconcile(self) -> None:
        settings = self.settings
        servers = servers_of(self.replica, settings.host, settings.dns_domain)
        wanted = {server.network_id: server for server in servers}
        for key in self._standing.keys() - wanted.keys():
            await self._remove(f"{PREFIX}{key}")
            del self._standing[key]
        for name in self.strangers(PREFIX, wanted):
            await self._remove(name)
        for key, server in wanted.items():
            if server.room is None:
                await self._make_port(server)
            elif self.doubt or self._standing.get(key) != server:
                settings.note_room(server.room.name)
                await furnish(server.room)
                await self._serve(server)
                self._standing[key] = server
        await self.plugs.set(
            link for server in servers if server.room is not None for link in server.room.links
        )

    async def _remove(self, name: str) -> None:
        await self._stop(name.removeprefix(PREFIX))
        await vacate(name)

    async def _make_port(self, server: Server) -> None:
        """Have the service make the port, if it has not yet: the watch may be behind what this
        agent asked for in its last round."""
        key = {
            "network_id": server.network_id,
            "device_id": device_id(self.settings.host, server.network_id),
        }
        body = {
            **key,
            "device_owner": OWNER,
            "binding:host_id": self.settings.host,
            "fixed_ips": [{"subnet_id": subnet} for subnet in server.subnets],
        }
        client = self.service.client
        try:
            known = await client.get("/v2.0/ports", params={**key, "fields": "id"})
            if not known.raise_for_status().json()["ports"]:
                (await client.post("/v2.0/ports", json={"port": body})).raise_for_status()
        except httpx.HTTPError as error:
            raise SwitchFailed(f"no port for DHCP: {error}") from None

    def _folder(self, network: str) -> Path:
        return Path(self.settings.state_path) / "dhcp" / network

    async def _serve(self, server: Server) -> None:
        folder = self._folder(server.network_id)
        folder.mkdir(parents=True, exist_ok=True)
        files = {"host": server.hosts, "opts": server.opts, "addn_hosts": server.names}
        changed = [_write(folder / name, text) for name, text in files.items()]
        command = [
            *(self.settings.dnsmasq, "--no-hosts", "--no-resolv", "--strict-order"),
            *("--conf-file=/dev/null", "--bind-interfaces", "--except-interface=lo"),
            f"--pid-file={folder / 'pid'}",
            f"--dhcp-hostsfile={folder / 'host'}",
            f"--addn-hosts={folder / 'addn_hosts'}",
            f"--dhcp-optsfile={folder / 'opts'}",
            f"--dhcp-leasefile={folder / 'leases'}",
            # No group: in a user namespace none may be changed to, not even one's own.
            *("--dhcp-authoritative", "--user=root", "--group="),
            *server.options,
        ]
        line = folder / "command"
        text = "\n".join(command)
        pid = self._pid(server.network_id)
        if pid is not None and line.exists() and line.read_text() == text:
            if any(changed):
                # One that has just ended is started again by who watches it.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGHUP)
        else:
            assert server.room is not None
            await self._stop(server.network_id)
            await self._stop_unknown(server.room.name, folder / "pid")
            await inside(server.room.name, *command)
            _write(line, text)
        self._watch(server.network_id)

    def _watch(self, network: str) -> None:
        pid = self._pid(network)
        if pid is None:
            raise CommandFailed(f"{self.settings.dnsmasq} ended as soon as it had begun")

        def ended() -> None:
            log.warn("%s: dnsmasq (pid %d) ended; another one starts", network, pid)
            self._standing.pop(network, None)
            self.wake()

        self._lives.watch(network, pid, ended)

    def _pid(self, network: str) -> int | None:
        """The process of the network's dnsmasq, if it runs."""
        pidfile = self._folder(network) / "pid"
        try:
            pid = int(pidfile.read_text())
        except (OSError, ValueError):
            return None
        return pid if str(pidfile).encode() in command_line(pid) else None

    async def _stop(self, network: str) -> None:
        """End it, and wait for that: it removes its pid file as it goes."""
        self._lives.forget(network)
        pid = self._pid(network)
        if pid is not None:
            await end(pid)

    async def _stop_unknown(self, room: str, pidfile: Path) -> None:
        """End what an agent started that was killed before there was a pid file."""
        for pid in occupants([room]):
            if str(pidfile).encode() in command_line(pid):
                await end(pid)

    def report(self) -> Mapping[str, Any]:
        return {
            "agent_type": DHCP_AGENT,
            "binary": "neutron-dhcp-agent",
            "topic": "dhcp_agent",
            "configurations": {
                "dhcp_driver": "dnsmasq",
                "dhcp_lease_duration": 86400,
                "log_agent_heartbeats": False,
            },
        }


def _write(path: Path, text: str) -> bool:
    """Replace the file at once, as dnsmasq may read it at any time; False if it says so already."""
    if path.exists() and path.read_text() == text:
        return False
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)
    return True
