"""A real keystone's tokens: who may do what, and agents that have to be somebody too."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from tests.support.keystone import BRIEF_S, PASSWORD, Identity, keystone
from tests.support.network_server import MAIN, Server, network_server
from tests.support.peers import SOURCE, wait_until

from netloom.base.clock import SystemClock
from netloom.network.agents.tokens import TokenAuth
from netloom.network.api.stream import QUIET_S
from netloom.network.identity.credentials import read_credentials
from netloom.network.watch.client import follow
from netloom.network.watch.replica import Replica
from netloom.programs.network_agents import open_client

# A keystone takes its time to start where there is much else to do.
pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]
SECTION = """\
[keystone_authtoken]
auth_url = {url}
auth_type = password
username = neutron
password = {password}
project_name = service
user_domain_name = Default
project_domain_id = default
"""
AGENT = """\
[DEFAULT]
host = {host}
[netloom]
server_url = {server}
[agent]
report_interval = 1
"""


class Site(NamedTuple):
    identity: Identity
    server: Server

    def client(self, user: str, project: str, is_brief: bool = False) -> httpx.Client:
        token = self.identity.token(user, project, is_brief=is_brief)
        headers = {"X-Auth-Token": token}
        return httpx.Client(
            base_url=f"{self.server.url}/v2.0", headers=headers, timeout=60, trust_env=False
        )

    def agents(self) -> list[dict[str, Any]]:
        with self.client("neutron", "service") as admin:
            answer = admin.get("/agents")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["agents"]
        return found

    def section(self, password: str = PASSWORD) -> str:
        """An agent's, whose tokens end soon."""
        return SECTION.format(url=self.identity.brief_url, password=password)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with keystone(folder / "keystone") as identity:
        identity.add_user("neutron", "service", "admin")
        identity.add_user("ann", "blue", "member")
        identity.add_user("bob", "red", "member")
        identity.add_user("eve", "blue", "reader")
        section = SECTION.format(url=identity.url, password=PASSWORD) + "token_cache_time = 1\n"
        options = f"[DEFAULT]\nauth_strategy = keystone\n{section}"
        (folder / "network").mkdir()
        with network_server(folder / "network", more=options) as server:
            yield Site(identity, server)


def test_projects_never_see_each_other_s_things(site: Site) -> None:
    ann, bob = site.client("ann", "blue"), site.client("bob", "red")
    made = ann.post("/networks", json={"network": {"name": "private"}})
    assert made.status_code == 201
    network = made.json()["network"]
    assert network["project_id"] == site.identity.projects["blue"]
    path = f"/networks/{network['id']}"
    assert ann.get(path).status_code == 200
    assert bob.get(path).status_code == 404
    assert bob.delete(path).status_code == 404
    assert bob.get("/networks").json() == {"networks": []}
    everything = site.client("neutron", "service").get("/networks").json()["networks"]
    assert network["id"] in [one["id"] for one in everything]


def test_a_reader_looks_and_a_member_is_no_administrator(site: Site) -> None:
    body = {"network": {"name": "looked-at"}}
    ann, eve = site.client("ann", "blue"), site.client("eve", "blue")
    key = ann.post("/networks", json=body).json()["network"]["id"]
    assert eve.get(f"/networks/{key}").status_code == 200
    assert eve.post("/networks", json=body).status_code == 403
    assert eve.delete(f"/networks/{key}").status_code == 403
    wanted = {"network": {"provider:network_type": "flat"}}
    assert ann.post("/networks", json=wanted).status_code == 403
    assert "provider:network_type" not in ann.get(f"/networks/{key}").json()["network"]
    snapshot = httpx.get(f"{site.server.url}/agent/v1/snapshot", headers=ann.headers, timeout=60)
    assert snapshot.status_code == 403, "agents' business"


@pytest.mark.parametrize("token", ["", "nonsense", "gAAAAABl" + "x" * 200])
def test_who_has_no_good_token_is_nobody(site: Site, token: str) -> None:
    headers = {"X-Auth-Token": token} if token else {}
    for path in ("/v2.0/networks", "/agent/v1/snapshot", "/agent/v1/watch?since=0"):
        assert httpx.get(f"{site.server.url}{path}", headers=headers, timeout=60).status_code == 401


def test_a_token_that_has_ended_is_no_longer_good(site: Site) -> None:
    began, statuses = time.monotonic(), set[int]()
    ann = site.client("ann", "blue", is_brief=True)

    def is_over() -> bool:
        status = ann.get("/networks").status_code
        if time.monotonic() - began < BRIEF_S - 2:
            assert status == 200
        statuses.add(status)
        return status == 401

    assert wait_until(is_over, BRIEF_S + 60)
    assert statuses <= {200, 401}


@pytest.mark.parametrize("how", ["ended", "revoked"])
def test_a_watch_ends_with_its_token(site: Site, how: str) -> None:
    # On a busy machine a brief token may end before it is used.
    assert any(watch_to_its_end(site, how) for _ in range(5))


def watch_to_its_end(site: Site, how: str) -> bool:
    """Whether the watch began; it ends, or the test fails."""
    began = time.monotonic()
    token = site.identity.token("neutron", "service", is_brief=how == "ended")
    url, headers = f"{site.server.url}/agent/v1/watch?since=0", {"X-Auth-Token": token}
    with httpx.stream("GET", url, headers=headers, timeout=60, trust_env=False) as answer:
        if answer.status_code == 401 and how == "ended":
            return False
        assert answer.status_code == 200
        lines = answer.iter_lines()
        assert "revision" in next(lines)
        if how == "revoked":
            site.identity.revoke(token)
        assert all("expired" not in line for line in lines)
    # The signs of life come every five seconds, and with them the next look at the token.
    passed_s = time.monotonic() - began
    assert passed_s < 60 + BRIEF_S + 2 * QUIET_S
    assert how == "revoked" or passed_s > BRIEF_S - 2
    assert httpx.get(url, headers=headers, timeout=60).status_code == 401
    return True


def test_an_agent_follows_the_service_as_a_user(site: Site) -> None:
    options = {"auth_url": site.identity.url, "username": "neutron", "password": PASSWORD}

    async def first_look() -> Replica:
        replica = Replica()
        auth = TokenAuth(read_credentials(options), SystemClock())
        async with open_client(site.server.url, auth) as client:
            async for _ in follow(client, replica):
                return replica
        return replica

    with site.client("ann", "blue") as ann:
        ann.post("/networks", json={"network": {"name": "followed"}})
    names = [network["name"] for network in asyncio.run(first_look()).all("network")]
    assert "followed" in names


@contextmanager
def l2_agent(site: Site, folder: Path, host: str, section: str) -> Iterator[Path]:
    """An agent of a host whose switch does not run; its log."""
    config = folder / "openvswitch_agent.ini"
    config.write_text(AGENT.format(host=host, server=site.server.url) + section)
    log = folder / "agent.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "network", "l2-agent", "--config-file", str(config)],
            env={**os.environ, "PYTHONPATH": str(SOURCE), "OVS_RUNDIR": str(folder)},
            stdout=output,
            stderr=output,
        )
    try:
        yield log
    finally:
        process.terminate()
        assert process.wait(60) == 0


def test_an_agent_s_token_is_renewed_before_it_ends(site: Site, tmp_path: Path) -> None:
    def reported_s() -> float:
        """From the agent's first report to its last."""
        for one in site.agents():
            if one["host"] == "renewed":
                times = [
                    datetime.fromisoformat(one[key])
                    for key in ("created_at", "heartbeat_timestamp")
                ]
                return (times[1] - times[0]).total_seconds()
        return 0.0

    with l2_agent(site, tmp_path, "renewed", site.section()) as log:
        assert wait_until(lambda: reported_s() > BRIEF_S + 1, BRIEF_S + 60), log.read_text()
    assert not re.search(r": 401\b", log.read_text()), log.read_text()


def test_an_agent_with_a_wrong_password_says_so_and_is_not_heard(
    site: Site, tmp_path: Path
) -> None:
    with l2_agent(site, tmp_path, "stranger", site.section("wrong")) as log:
        text = "keystone gives 'neutron' no token: 401"
        assert wait_until(lambda: text in log.read_text(), 60), log.read_text()
    assert "stranger" not in [one["host"] for one in site.agents()]
