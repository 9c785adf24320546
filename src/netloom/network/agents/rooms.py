"""Namespaces of agents (`qrouter-…`, `qdhcp-…`) and the devices in them.

A *room* is a namespace with links; a link is a pair of devices: `inner` in the room, with the
port's MAC address and addresses, and `outer` on the host, a port of the integration bridge.
`furnish` makes what is missing and removes what is too much, from what the kernel says, so that
it may be interrupted anywhere and run again.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from netloom.network.agents.commands import run, run_json
from netloom.network.agents.lives import end
from netloom.network.document import Document
from netloom.network.watch.replica import Replica

NETNS = Path("/run/netns")
CLONE_NEWNET = 0x40000000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Link:
    """A port of the service in a room; `addresses` have prefix lengths."""

    port_id: str
    inner: str
    mac: str
    mtu: int
    addresses: tuple[str, ...]

    @property
    def outer(self) -> str:
        return f"tap{self.port_id[:11]}"


@dataclass(frozen=True, slots=True)
class Room:
    """A namespace: its links, and routes as (destination, next hop)."""

    name: str
    links: tuple[Link, ...]
    routes: tuple[tuple[str, str], ...] = ()
    forwards: bool = False


def link_of(replica: Replica, port: Document, prefix: str) -> Link:
    """The link of a port; its inner device's name begins with `prefix`."""
    addresses = []
    for fixed in port["fixed_ips"]:
        subnet = replica.get("subnet", fixed["subnet_id"])
        if subnet is not None:
            addresses.append(f"{fixed['ip_address']}/{subnet['cidr'].partition('/')[2]}")
    network = replica.get("network", port["network_id"]) or {}
    inner = f"{prefix}{port['id'][:11]}"
    mtu = network.get("mtu") or 1500
    return Link(port["id"], inner, port["mac_address"], mtu, tuple(sorted(addresses)))


async def furnish(room: Room) -> None:
    """Make the namespace as wished."""
    if not (NETNS / room.name).exists():
        await run("ip", "netns", "add", room.name)
    await inside(room.name, "ip", "link", "set", "lo", "up")
    if room.forwards:
        for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            await inside(room.name, "sysctl", "-qw", f"{name}=1")
    there = {one["ifname"]: one for one in await run_json("ip", "-j", "-n", room.name, "addr")}
    wanted = {link.inner: link for link in room.links}
    for name in there:
        if name.startswith(("qr-", "qg-", "ns-")) and name not in wanted:
            await run("ip", "-n", room.name, "link", "del", name)
    for link in room.links:
        await _link(room.name, link, there.get(link.inner))
    await _routes(room)


async def _link(room: str, link: Link, there: dict[str, Any] | None) -> None:
    if there is None:
        await run(
            *("ip", "link", "add", link.outer, "type", "veth", "peer", "name", link.inner),
            *("netns", room, "address", link.mac),
        )
    await run("ip", "link", "set", link.outer, "mtu", str(link.mtu), "up")
    await run("ip", "-n", room, "link", "set", link.inner, "mtu", str(link.mtu), "up")
    have = {
        f"{one['local']}/{one['prefixlen']}"
        for one in (there or {}).get("addr_info", ())
        if one["scope"] == "global"
    }
    for address in sorted(have - set(link.addresses)):
        await run("ip", "-n", room, "addr", "del", address, "dev", link.inner)
    for address in link.addresses:
        if address not in have:
            nodad = ("nodad",) if ":" in address else ()
            await run("ip", "-n", room, "addr", "add", address, "dev", link.inner, *nodad)


async def _routes(room: Room) -> None:
    wanted = set(room.routes)
    have = set()
    for version in ("-4", "-6"):
        told = ("ip", version, "-j", "-n", room.name, "route", "show", "proto", "static")
        for one in await run_json(*told):
            destination = one["dst"]
            if destination == "default":
                destination = "0.0.0.0/0" if version == "-4" else "::/0"
            elif "/" not in destination:
                destination += "/32" if version == "-4" else "/128"
            have.add((destination, one.get("gateway", "")))
    for destination, hop in sorted(have - wanted):
        await run("ip", "-n", room.name, "route", "del", destination, "via", hop)
    for destination, hop in sorted(wanted - have):
        words = (destination, "via", hop, "proto", "static")
        await run("ip", "-n", room.name, "route", "replace", *words)


async def inside(room: str, *argv: str, stdin: str = "") -> str:
    """Run a command in the namespace."""
    return await run("nsenter", f"--net={NETNS / room}", *argv, stdin=stdin)


def work_in(room: str, work: Callable[[], T]) -> T:
    """Have something done by a thread that has entered the namespace; what it returns. Sockets
    that it makes stay there."""

    def inside() -> T:
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = os.open(NETNS / room, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.setns(descriptor, CLONE_NEWNET):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            return work()
        finally:
            os.close(descriptor)

    # A thread of its own, as it does not come back from the namespace.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(inside).result()


async def vacate(name: str) -> None:
    """Remove the namespace, what runs in it, and its devices, which a process would keep."""
    for pid in occupants([name]):
        await end(pid)
    if (NETNS / name).exists():
        await run("ip", "netns", "del", name)


def occupants(names: Iterable[str]) -> set[int]:
    """The processes in these namespaces, as far as one may see whose they are."""
    rooms = {_identity(NETNS / name) for name in names} - {None}
    processes = {int(entry) for entry in os.listdir("/proc") if entry.isdigit()} if rooms else ()
    return {pid for pid in processes if _identity(Path(f"/proc/{pid}/ns/net")) in rooms}


def _identity(namespace: Path) -> tuple[int, int] | None:
    try:
        status = namespace.stat()
    except OSError:
        # The process has ended, or belongs to somebody else; or there is no such namespace.
        return None
    return status.st_dev, status.st_ino


def rooms_here(prefix: str) -> set[str]:
    """Names of the namespaces that begin with `prefix`."""
    return {path.name for path in NETNS.glob(f"{prefix}*")} if NETNS.exists() else set()
