"""The network service from a client's side: creates, reads and lists of ports.

The service runs as `netloom network serve` on SQLite with two workers; clients are threads with a
connection each. The figures of Neutron were taken once, on this kind of machine, from a service of
its own with its own database; a list is scaled by its length from the one of 1,400 ports.
"""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.facts import FactTable
from netloom.lab.process import Process

PORT = 19696
#: Recorded: ports created each second, ports read each second, seconds to list one port of many.
NEUTRON_CREATES, NEUTRON_READS, NEUTRON_LISTED_S = 6.0, 19.0, 0.9 / 1400
CREATE_GOAL, READ_GOAL = 50.0, 20.0
CREATES, READS, BULK, CLIENTS = 300, 1000, 50, 4
LISTS = (1000, 10_000)
CONFIG = """\
[DEFAULT]
api_workers = 2
bind_host = 127.0.0.1
bind_port = {port}
[database]
connection = sqlite:///{directory}/network.sqlite
[quotas]
default_quota = -1
quota_network = -1
quota_subnet = -1
quota_port = -1
[ml2]
tenant_network_types = vxlan
mechanism_drivers = openvswitch
[ml2_type_vxlan]
vni_ranges = 1:10000
"""


class Client:
    """One connection."""

    def __init__(self, port: int = PORT) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def request(self, method: str, path: str, body: Any = None) -> Any:
        text = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json"}
        self.connection.request(method, f"/v2.0/{path}", text, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {content.decode()}")
        return json.loads(content) if content else None


def rate(count: int, work: Callable[[], None]) -> float:
    """How many a second, if `work` does `count`."""
    began = time.monotonic()
    work()
    return count / (time.monotonic() - began)


class Bench:
    """A service with one large network."""

    def __init__(self) -> None:
        self.client = Client()
        network = self.client.request("POST", "networks", {"network": {"name": "n"}})
        self.network: str = network["network"]["id"]
        body = {"network_id": self.network, "cidr": "10.0.0.0/16", "ip_version": 4}
        self.client.request("POST", "subnets", {"subnet": body})

    def create(self, client: Client, count: int) -> None:
        for _ in range(count):
            client.request("POST", "ports", {"port": {"network_id": self.network}})

    def create_bulk(self, count: int, size: int) -> None:
        ports = [{"network_id": self.network} for _ in range(size)]
        while count > 0:
            self.client.request("POST", "ports", {"ports": ports[:count]})
            count -= size

    def create_by_many(self, clients: int, count: int) -> None:
        with ThreadPoolExecutor(clients) as pool:
            share = count // clients
            list(pool.map(lambda _: self.create(Client(), share), range(clients)))

    def ids(self) -> list[str]:
        listed = self.client.request("GET", "ports?fields=id")["ports"]
        return [one["id"] for one in listed]

    def read(self, ids: list[str], count: int) -> None:
        for number in range(count):
            self.client.request("GET", f"ports/{ids[number % len(ids)]}")

    def list_s(self, length: int) -> float:
        """Seconds to list all ports, of which there are then `length`, whole."""
        self.create_bulk(length - len(self.ids()), 1000)
        began = time.monotonic()
        listed = self.client.request("GET", "ports")["ports"]
        took = time.monotonic() - began
        if len(listed) < length:
            raise SystemExit(f"{len(listed)} ports instead of {length}")
        return took / len(listed) * length


def measure(creates: int, reads: int, lists: tuple[int, ...]) -> FactTable:
    """All figures, against a service that runs."""
    table = FactTable("Network API", "Neutron (recorded)")
    bench = Bench()
    bench.create(bench.client, 10)
    for what, work in (
        ("ports created, one client", lambda: bench.create(bench.client, creates)),
        (f"ports created, bulks of {BULK}", lambda: bench.create_bulk(creates, BULK)),
        (f"ports created, {CLIENTS} clients", lambda: bench.create_by_many(CLIENTS, creates)),
    ):
        table.add(what, "1/s", rate(creates, work), NEUTRON_CREATES, CREATE_GOAL)
    ids = bench.ids()
    read = rate(reads, lambda: bench.read(ids, reads))
    table.add("ports read, one by one", "1/s", read, NEUTRON_READS, READ_GOAL)
    for length in lists:
        theirs = NEUTRON_LISTED_S * length
        what = f"list of {length} ports"
        table.add(what, "s", bench.list_s(length), theirs, READ_GOAL, lower=True)
    return table


def main(creates: int = CREATES, reads: int = READS, lists: tuple[int, ...] = LISTS) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        config = directory / "neutron.conf"
        config.write_text(CONFIG.format(port=PORT, directory=directory))
        words = ("network", "serve", "--config-file", str(config))
        service = Process(directory, "service", words)
        service.start()
        try:
            _wait(service)
            measure(creates, reads, lists).print()
        finally:
            service.kill(15)


def _wait(service: Process) -> None:
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        try:
            Client().request("GET", "networks")
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(service.log.read_text())
