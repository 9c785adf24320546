"""Many clients, two workers, one of them killed: nothing twice, nothing half made."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text
from tests.support.network_server import Server, network_server
from tests.support.peers import wait_until
from tests.support.postgres import postgres

pytestmark = pytest.mark.interop
CLIENTS = 8
ROUNDS = 25

#: What must never be found: a query for each, whose answer must be 0.
BROKEN = {
    "an address without its port": """
        SELECT count(*) FROM ip_allocations a LEFT JOIN ports p ON p.id = a.port_id
        WHERE p.id IS NULL""",
    "an address that the port does not show": """
        SELECT count(*) FROM ip_allocations a JOIN ports p ON p.id = a.port_id
        WHERE p.body NOT LIKE '%' || a.subnet_id || '%'""",
    "as many addresses as ports show": """
        SELECT (SELECT count(*) FROM ip_allocations) - (
            SELECT coalesce(sum(json_array_length(body::json -> 'fixed_ips')), 0) FROM ports)""",
    "a floating address without its port": """
        SELECT count(*) FROM floatingips f WHERE NOT EXISTS (
            SELECT 1 FROM ports p WHERE p.device_id = f.id)""",
    "a floating port without its address": """
        SELECT count(*) FROM ports p WHERE device_owner = 'network:floatingip' AND NOT EXISTS (
            SELECT 1 FROM floatingips f WHERE f.id = p.device_id)""",
    "a network without its segment": """
        SELECT count(*) FROM networks n WHERE NOT EXISTS (
            SELECT 1 FROM segment_allocations s WHERE s.network_id = n.id)""",
    "two networks with one segment": """
        SELECT count(*) - count(DISTINCT body::json -> '_segments' -> 0 ->> 'segmentation_id')
        FROM networks WHERE body LIKE '%vxlan%'""",
    "two ports with one address": """
        SELECT count(*) - count(DISTINCT subnet_id || address_key) FROM ip_allocations""",
    "a document whose revision is not its row's": """
        SELECT count(*) FROM ports
        WHERE (body::json ->> 'revision_number')::bigint <> revision_number""",
}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    with postgres(tmp_path) as url:
        yield url


class Client(threading.Thread):
    """Creates, binds, associates and deletes at random, and remembers what it was told."""

    def __init__(self, server: Server, seed: int, network: str, external: str) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self._http = httpx.Client(base_url=f"{server.url}/v2.0", timeout=60)
        self._network = network
        self._external = external
        #: What there must be at the end: ports and floating addresses, with their addresses.
        self.ports: dict[str, str] = {}
        self.floating: dict[str, str] = {}
        self.wrong: list[str] = []
        self.cut = 0

    def run(self) -> None:
        for step in range(ROUNDS):
            try:
                self._step(step)
            except httpx.TransportError:
                # The worker that had the connection was killed.
                self.cut += 1

    def _send(self, method: str, path: str, body: object, *fine: int) -> httpx.Response:
        answer = self._http.request(method, path, json=body)
        if answer.status_code not in fine:
            self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    def _step(self, step: int) -> None:
        body = {"network_id": self._network, "name": str(step)}
        answer = self._send("POST", "/ports", {"port": body}, 201)
        if answer.status_code == 201:
            port = answer.json()["port"]
            self.ports[port["id"]] = port["fixed_ips"][0]["ip_address"]
            path = f"/ports/{port['id']}"
            self._send("PUT", path, {"port": {"binding:host_id": "h1"}}, 200)
            floating = {"floating_network_id": self._external, "port_id": port["id"]}
            made = self._send("POST", "/floatingips", {"floatingip": floating}, 201)
            if made.status_code == 201:
                one = made.json()["floatingip"]
                self.floating[one["id"]] = one["floating_ip_address"]
        if step % 5 == 0:
            self._send("POST", "/networks", {"network": {}}, 201)
        if step % 3 == 2:
            self._end("/ports", self.ports)
        if step % 4 == 3:
            self._end("/floatingips", self.floating)

    def _end(self, path: str, known: dict[str, str]) -> None:
        if known:
            victim = self._random.choice(sorted(known))
            # Forgotten first: if the answer is lost, nobody knows whether it is gone.
            del known[victim]
            self._send("DELETE", f"{path}/{victim}", None, 204)


def prepare(server: Server) -> tuple[str, str]:
    """A routed network and an external one; their ids."""
    with httpx.Client(base_url=f"{server.url}/v2.0", timeout=60) as http:

        def make(kind: str, **body: object) -> dict[str, str]:
            answer = http.post(f"/{kind}s", json={kind: body})
            assert answer.status_code == 201, answer.text
            found: dict[str, str] = answer.json()[kind]
            return found

        external = make("network", **{"router:external": True})["id"]
        outside = {"network_id": external, "cidr": "198.18.0.0/16", "ip_version": 4}
        make("subnet", **outside, enable_dhcp=False)
        network = make("network")["id"]
        subnet = make("subnet", network_id=network, cidr="10.0.0.0/16", ip_version=4)
        router = make("router", external_gateway_info={"network_id": external})
        path = f"/routers/{router['id']}/add_router_interface"
        assert http.put(path, json={"subnet_id": subnet["id"]}).status_code == 200
    return network, external


@pytest.mark.timeout(300)
def test_killing_a_worker_under_load_breaks_nothing(tmp_path: Path, database: str) -> None:
    with network_server(tmp_path, database, workers=2) as server:
        assert wait_until(lambda: len(server.workers()) == 2)
        network, external = prepare(server)
        clients = [Client(server, seed, network, external) for seed in range(CLIENTS)]
        for client in clients:
            client.start()
        first = server.workers()
        assert wait_until(lambda: sum(len(client.ports) for client in clients) > 40, 60)
        os.kill(first[0], signal.SIGKILL)
        for client in clients:
            client.join()
        assert [text for client in clients for text in client.wrong] == []
        assert wait_until(lambda: len(server.workers()) == 2 and first[0] not in server.workers())
        http = httpx.Client(base_url=f"{server.url}/v2.0", timeout=60)
        there = {
            port["id"]: [one["ip_address"] for one in port["fixed_ips"]]
            for port in http.get("/ports", params={"network_id": network}).json()["ports"]
        }
        floating = {
            one["id"]: one["floating_ip_address"]
            for one in http.get("/floatingips").json()["floatingips"]
        }
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        found = {what: connection.execute(text(query)).scalar() for what, query in BROKEN.items()}
        revisions = connection.execute(text("SELECT count(*), max(revision) FROM journal")).one()
    engine.dispose()
    assert {what: number for what, number in found.items() if number} == {}
    assert revisions[0] > 100
    for client in clients:
        for port, address in client.ports.items():
            assert there[port] == [address], "what a client was told is still so"
        for key, address in client.floating.items():
            assert floating[key] == address
    assert len(floating.values()) == len(set(floating.values()))
    addresses = [address for client in clients for address in client.ports.values()]
    assert len(addresses) == len(set(addresses))


def test_one_worker_hears_what_another_commits(tmp_path: Path, database: str) -> None:
    with network_server(tmp_path, database, workers=2) as server:
        watchers = [httpx.Client(base_url=server.url, timeout=60) for _ in range(6)]
        streams = [client.stream("GET", "/agent/v1/watch?since=0") for client in watchers]
        answers = [stream.__enter__() for stream in streams]
        lines = [answer.iter_lines() for answer in answers]
        made = httpx.post(
            f"{server.url}/v2.0/networks", json={"network": {"name": "told"}}, timeout=60
        )
        assert made.status_code == 201
        key = made.json()["network"]["id"]
        for line in lines:
            assert any(key in text for text in line), "every worker's watchers are told"
        for stream, client in zip(streams, watchers):
            stream.__exit__(None, None, None)
            client.close()
