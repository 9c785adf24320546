"""The network service without a socket: requests in, answers out, on a database in memory."""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from netloom.base.clock import ManualClock
from netloom.network.api.dispatch import Service
from netloom.network.api.message import Request
from netloom.network.call import Parts
from netloom.network.identity.noauth import NoAuth
from netloom.network.ml2.drivers import Drivers, load_drivers
from netloom.network.settings import Settings
from netloom.network.store.database import Database
from netloom.network.store.schema import METADATA

SETTINGS = Settings(
    connection="sqlite://",
    tenant_network_types=("vxlan",),
    vxlan_vni_ranges=((1, 1000),),
    network_vlan_ranges=MappingProxyType({"physnet1": ((100, 102),)}),
)
WALL_MS = 1_700_000_000_000
Json = Any


class Api:
    """A service of its own. Requests come from an administrator unless a project is named."""

    def __init__(self, seed: int = 1, drivers: Drivers | None = None, **settings: Any) -> None:
        self.clock = ManualClock(0, WALL_MS)
        self.settings = replace(SETTINGS, **settings)
        self.database = Database("sqlite://", self.clock)
        METADATA.create_all(self.database.engine)
        source = random.Random(seed)
        parts = Parts(
            self.settings,
            drivers or load_drivers(self.settings),
            source.randrange,
            lambda: str(uuid.UUID(int=source.getrandbits(128), version=4)),
            self.clock.wall_ms,
        )
        self.service = Service(self.database, parts, NoAuth())

    def request(
        self,
        method: str,
        path: str,
        body: Json = None,
        project: str = "",
        roles: str = "member",
        **headers: str,
    ) -> tuple[int, Json]:
        """Status and content of the answer; `body` may be bytes."""
        bare, _, query = path.partition("?")
        if project:
            headers |= {"x-project-id": project, "x-roles": roles}
        data = body if isinstance(body, bytes) else b""
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        prefix = "" if path.startswith("/agent/") else "/v2.0"
        outcome = self.service.handle(Request(method, prefix + bare, pairs, headers, data))
        answer = outcome.response
        return answer.status, json.loads(answer.body) if answer.body else None

    def make(self, kind: str, project: str = "", **attributes: Json) -> Json:
        """Create something of a kind (its name in bodies); fails the test if it is refused."""
        path = f"/{kind.replace('_', '-')}s"
        status, content = self.request("POST", path, {kind: attributes}, project)
        assert status == 201, content
        return content[kind]

    def show(self, kind: str, key: str, project: str = "") -> Json:
        status, content = self.request("GET", f"/{kind.replace('_', '-')}s/{key}", project=project)
        assert status == 200, content
        return content[kind]

    def change(self, kind: str, key: str, project: str = "", **attributes: Json) -> Json:
        """Update something; fails the test if it is refused."""
        path = f"/{kind.replace('_', '-')}s/{key}"
        status, content = self.request("PUT", path, {kind: attributes}, project)
        assert status == 200, content
        return content[kind]

    def remove(self, kind: str, key: str, project: str = "") -> None:
        status, content = self.request(
            "DELETE", f"/{kind.replace('_', '-')}s/{key}", project=project
        )
        assert status == 204, content

    def list(self, path: str, project: str = "") -> list[Json]:
        """The entries of a collection; `path` may have a query."""
        status, content = self.request("GET", path, project=project)
        assert status == 200, content
        return next(value for key, value in content.items() if not key.endswith("_links"))

    def refused(
        self, status: int, kind: str, method: str, path: str, body: Json = None, project: str = ""
    ) -> str:
        """The message of an answer that must be this error."""
        found, content = self.request(method, path, body, project)
        assert (found, content["NeutronError"]["type"]) == (status, kind), content
        return content["NeutronError"]["message"]

    def subnet(self, cidr: str = "10.0.0.0/24", project: str = "", **more: Json) -> Json:
        """A subnet on a network of its own, unless `network_id` says on which."""
        if "network_id" not in more:
            more["network_id"] = self.make("network", project)["id"]
        version = 6 if ":" in cidr else 4
        return self.make("subnet", project, cidr=cidr, ip_version=version, **more)

    def external(self, cidr: str = "203.0.113.0/24") -> Json:
        """An external network with a subnet."""
        network = self.make(
            "network",
            **{
                "router:external": True,
                "provider:network_type": "flat",
                "provider:physical_network": "outside",
            },
        )
        self.subnet(cidr, network_id=network["id"], enable_dhcp=False)
        return network

    def report(self, agent_type: str, host: str, **configurations: Json) -> Json:
        """An agent's report."""
        body = {
            "agent_type": agent_type,
            "host": host,
            "binary": "netloom",
            "configurations": configurations,
        }
        status, content = self.request("PUT", "/agent/v1/report", body)
        assert status == 200, content
        return content

    def l2_agent(self, host: str, tunneling_ip: str = "192.0.2.1") -> Json:
        """An Open vSwitch agent that reaches every kind of network."""
        return self.report(
            "Open vSwitch agent",
            host,
            tunnel_types=["vxlan", "gre", "geneve"],
            bridge_mappings={"physnet1": "br-eth"},
            tunneling_ip=tunneling_ip,
        )

    def rows(self, table: str) -> int:
        """How many rows a table of the database has."""
        with self.database.engine.connect() as connection:
            return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() or 0)
