"""Agents' tokens: asked for, renewed in time, replaced when refused; their configuration."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest

from netloom.base.clock import ManualClock
from netloom.base.errors import ConfigError
from netloom.network.agents.service import ServiceLink
from netloom.network.agents.settings import load_l2_settings, load_room_settings
from netloom.network.agents.tokens import TokenAuth
from netloom.network.identity.credentials import Credentials, read_credentials

SECTION = "[keystone_authtoken]\nauth_url = http://k:5000\nusername = neutron\npassword = secret\n"
OPTIONS = {"auth_url": "http://k:5000", "username": "neutron", "password": "secret"}


class Cloud:
    """A keystone whose tokens live for an hour, and a service that takes the newest one."""

    def __init__(self) -> None:
        self.given = 0
        self.revoked: set[str] = set()
        self.seen: list[str] = []
        self.password = "secret"
        self.clock = ManualClock()
        auth = TokenAuth(read_credentials(OPTIONS), self.clock, self.transport(self.keystone))
        self.client = httpx.AsyncClient(
            base_url="http://service", auth=auth, transport=self.transport(self.service)
        )

    @staticmethod
    def transport(work: Callable[[httpx.Request], httpx.Response]) -> httpx.MockTransport:
        return httpx.MockTransport(work)

    def keystone(self, request: httpx.Request) -> httpx.Response:
        user = json.loads(request.content)["auth"]["identity"]["password"]["user"]
        if user["password"] != self.password:
            return httpx.Response(401, json={"error": {"message": "who are you?"}})
        self.given += 1
        times = {"issued_at": "2030-01-01T00:00:00.0Z", "expires_at": "2030-01-01T01:00:00.0Z"}
        token = {"X-Subject-Token": f"t{self.given}"}
        return httpx.Response(201, headers=token, json={"token": times})

    def service(self, request: httpx.Request) -> httpx.Response:
        token = request.headers["X-Auth-Token"]
        self.seen.append(token)
        return httpx.Response(401 if token in self.revoked else 200, json=[])

    def ask(self) -> int:
        return self.asks(1)[0]

    def asks(self, number: int) -> list[int]:
        async def all_at_once() -> list[int]:
            answers = await asyncio.gather(*(self.client.get("/x") for _ in range(number)))
            return [answer.status_code for answer in answers]

        return asyncio.run(all_at_once())


def test_a_token_is_asked_for_once_and_used_until_it_ends() -> None:
    cloud = Cloud()
    assert cloud.asks(3) == [200, 200, 200]
    cloud.clock.advance(54 * 60_000)
    cloud.ask()
    assert cloud.seen == ["t1"] * 4
    cloud.clock.advance(60_000)
    cloud.ask()
    assert cloud.seen[-1] == "t2", "five minutes before its end it is renewed"


def test_a_refused_token_is_replaced_and_the_request_sent_again() -> None:
    cloud = Cloud()
    cloud.ask()
    cloud.revoked.add("t1")
    assert cloud.ask() == 200
    assert cloud.seen == ["t1", "t1", "t2"]
    cloud.revoked.add("t2")
    cloud.revoked.add("t3")
    assert cloud.ask() == 401, "tried once more, not for ever"


def test_without_a_token_a_request_fails_like_any_other() -> None:
    cloud = Cloud()
    cloud.password = "changed"
    with pytest.raises(httpx.RequestError, match=r"gives 'neutron' no token: 401 who are you\?"):
        cloud.ask()
    assert not asyncio.run(ServiceLink(cloud.client, "h").put("report", {}))


def test_users_and_projects_go_by_names_or_ids() -> None:
    body = read_credentials(OPTIONS).request_body()["auth"]
    domain = {"name": "Default"}
    user = {"name": "neutron", "password": "secret", "domain": domain}
    assert body["identity"]["password"] == {"user": user}
    assert body["scope"] == {"project": {"name": "service", "domain": domain}}
    ids = Credentials("http://k/v3/", user_id="u", password="p", project_id="x")
    assert ids.tokens_url == "http://k/v3/auth/tokens"
    body = ids.request_body()["auth"]
    assert body["identity"]["password"] == {"user": {"id": "u", "password": "p"}}
    assert body["scope"] == {"project": {"id": "x"}}
    domains = Credentials("http://k", username="u", user_domain_id="d", system_scope="all")
    body = domains.request_body()["auth"]
    assert body["identity"]["password"]["user"]["domain"] == {"id": "d"}
    assert body["scope"] == {"system": {"all": True}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"\[keystone_authtoken\] auth_url"),
        ({"auth_url": "http://k"}, r"\[keystone_authtoken\] username"),
        ({**OPTIONS, "auth_type": "v3kerberos"}, "'v3kerberos' is not one of password"),
        ({**OPTIONS, "system_scope": "some"}, "only 'all' is possible"),
    ],
)
def test_credentials_that_cannot_work_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_credentials(options)


def test_the_agents_files_have_credentials() -> None:
    for load in (load_l2_settings, load_room_settings):
        assert dict(load([("a.ini", SECTION)]).keystone) == OPTIONS
        with pytest.raises(ConfigError, match="did you mean password") as caught:
            load([("a.ini", SECTION + "pasword = x\n")])
        assert "a.ini:5" in str(caught.value)


def test_neutron_conf_may_come_before_an_agent_s_own_file() -> None:
    neutron = "[DEFAULT]\ncore_plugin = ml2\nbind_port = 9696\n[database]\nconnection = x\n"
    mine = "[DEFAULT]\nhost = h\ninterface_driver = openvswitch\nresync_interval = 5\n"
    settings = load_room_settings([("neutron.conf", neutron + SECTION), ("dhcp.ini", mine)])
    assert (settings.host, settings.keystone["username"]) == ("h", "neutron")


class Warnings:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str, *args: object) -> None:
        self.said.append(text % args)


def test_what_would_change_traffic_is_refused_and_the_rest_warned_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="'true' is not possible: routers have one agent"):
        load_l2_settings([("o.ini", "[agent]\nenable_distributed_routing = true\n")])
    with pytest.raises(ConfigError, match="'dvr' is not possible"):
        load_room_settings([("l3.ini", "[DEFAULT]\nagent_mode = dvr\n")])
    with pytest.raises(ConfigError, match=r"did you mean local_ip"):
        load_l2_settings([("o.ini", "[ovs]\nlocal_ipp = 1\n")])
    log = Warnings()
    monkeypatch.setattr("netloom.network.agents.options.log", log)
    load_l2_settings([("o.ini", "[agent]\npolling_interval = 2\n")])
    assert log.said == [
        "o.ini:2: [agent] polling_interval has no effect: changes are watched, not asked for"
    ]
