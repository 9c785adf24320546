"""Tokens that end or are revoked, a keystone that is away, and the watch of their bearers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from tests.support.network_api import Api

from netloom.base.clock import ManualClock
from netloom.network.api.hub import Hub
from netloom.network.api.stream import stream_changes
from netloom.network.errors import ApiError
from netloom.network.identity.keystone import REFUSED_MS, Keystone

OPTIONS = {"auth_url": "http://k:5000", "username": "neutron", "password": "secret"}
#: 2030-01-01T00:00:00Z
WALL_MS = 1_893_456_000_000
HEADERS = {"x-auth-token": "t"}


class Cloud:
    """A keystone with one token, "t", of an administrator, good for an hour."""

    def __init__(self) -> None:
        self.clock = ManualClock(0, WALL_MS)
        self.ends: str | None = "2030-01-01T01:00:00.000000Z"
        self.is_revoked = self.is_away = False
        self.asked = 0
        self.keystone = Keystone(OPTIONS, self.clock, httpx.MockTransport(self._handle))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("nobody there")
        if request.method == "POST":
            return httpx.Response(201, headers={"X-Subject-Token": "own"})
        self.asked += 1
        if self.is_revoked or request.headers["X-Subject-Token"] != "t":
            return httpx.Response(404)
        token: dict[str, Any] = {"roles": [{"name": "admin"}], "project": {"id": "p"}}
        if self.ends is not None:
            token["expires_at"] = self.ends
        return httpx.Response(200, json={"token": token})

    def status(self, token: str = "t") -> int:
        try:
            self.keystone.caller({"x-auth-token": token})
        except ApiError as error:
            return error.status
        return 200


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_a_token_is_believed_for_five_minutes_without_asking(cloud: Cloud) -> None:
    assert not cloud.keystone.answers_at_once(HEADERS)
    assert cloud.status() == 200
    cloud.clock.advance(299_999)
    assert cloud.keystone.answers_at_once(HEADERS)
    assert (cloud.status(), cloud.asked) == (200, 1)
    cloud.clock.advance(1)
    assert not cloud.keystone.answers_at_once(HEADERS)
    assert (cloud.status(), cloud.asked) == (200, 2)


def test_a_token_that_ends_is_not_believed_any_longer_than_that(cloud: Cloud) -> None:
    cloud.ends = "2030-01-01T00:00:30.000000Z"
    assert cloud.status() == 200
    cloud.clock.advance(29_999)
    assert cloud.status() == 200
    cloud.clock.advance(1)
    assert cloud.status() == 401, "also if keystone's clock were behind"


def test_a_token_without_an_end_is_asked_about_again(cloud: Cloud) -> None:
    cloud.ends = None
    assert cloud.status() == 200
    cloud.clock.advance(300_000)
    assert (cloud.status(), cloud.asked) == (200, 2)


def test_a_refused_token_does_not_make_us_ask_each_time(cloud: Cloud) -> None:
    assert [cloud.status("bad") for _ in range(5)] == [401] * 5
    assert cloud.asked == 1
    assert cloud.keystone.answers_at_once({"x-auth-token": "bad"})
    cloud.clock.advance(REFUSED_MS)
    assert (cloud.status("bad"), cloud.asked) == (401, 2)


def test_what_was_begun_ends_when_the_token_is_revoked(cloud: Cloud) -> None:
    assert cloud.keystone.may_go_on(HEADERS)
    cloud.is_revoked = True
    assert cloud.keystone.may_go_on(HEADERS), "keystone was asked a moment ago"
    cloud.clock.advance(300_000)
    assert not cloud.keystone.may_go_on(HEADERS)


def test_what_was_begun_goes_on_while_keystone_is_away_but_not_beyond_the_token(
    cloud: Cloud,
) -> None:
    assert cloud.keystone.may_go_on(HEADERS)
    cloud.is_away = True
    cloud.clock.advance(300_000)
    assert cloud.status() == 503, "nothing new begins"
    assert cloud.keystone.may_go_on(HEADERS)
    cloud.clock.advance(3_300_000)
    assert not cloud.keystone.may_go_on(HEADERS)
    assert not cloud.keystone.may_go_on({"x-auth-token": "never seen"})


def test_a_watch_ends_when_its_right_does() -> None:
    api = Api()
    api.make("network", name="before")

    async def watched() -> list[dict[str, Any]]:
        hub, rights = Hub(api.database), iter([True, True, False])

        async def run(work: Any) -> Any:
            return work()

        async def may_go_on() -> bool:
            return next(rights)

        stream = stream_changes(api.database, hub, 0, run, may_go_on)
        lines = [json.loads(await anext(stream))]
        hub.published(lines[0]["revision"])
        api.make("network", name="meanwhile")
        hub.published(lines[0]["revision"] + 1)
        async for line in stream:
            lines.append(json.loads(line))
            # What is made now comes after the right has ended.
            api.make("network", name="after")
            hub.published(lines[-1]["revision"] + 1)
        return lines

    names = [
        change["body"]["name"]
        for line in asyncio.run(watched())
        for change in line["changes"]
        if change["kind"] == "network"
    ]
    assert names == ["before", "meanwhile"]
