"""Values that no honest client sends: each is answered, none by an error of ours."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest
from starlette.requests import Request as HttpRequest
from tests.support.network_api import Api

from netloom.network.api import app
from netloom.network.api.app import Application
from netloom.network.api.hub import Hub
from netloom.network.api.message import MAX_BODY, Request
from netloom.network.api.stream import stream_changes
from netloom.network.errors import ApiError
from netloom.network.model.attribute import Missing
from netloom.network.model.table import BY_PATH

TEXTS = ("", "\0", "a\0b", "²", "9" * 30, "-1", "1e3", "'", '"', "\\", "%", "None", "null", "[]",
         "ip_address=\0", "ip_address=", "2001:db8::/999", "1.2.3.4/33", "x" * 5000,
         "9223372036854775808")  # fmt: skip
VALUES: tuple[Any, ...] = (None, True, 0, -1, 10**30, 1.5, 1e308, "", "\0", "²", "x" * 70_000, [],
          [None], [[]], {}, {"a": 1}, {"": None}, [{"ip_address": "\0"}], ["\0"], "\ud800", 2**63,
          "9" * 30, [{"subnet_id": 5}], {"network_id": 5}, {"network_id": "\0"})  # fmt: skip


@pytest.fixture(scope="module")
def api() -> Api:
    return Api()


@pytest.fixture(scope="module")
def things(api: Api) -> dict[str, str]:
    """A tenant's thing of some kinds, by the path of the kind."""
    network = api.make("network", "a")["id"]
    return {
        "networks": network,
        "subnets": api.subnet(network_id=network, project="a")["id"],
        "ports": api.make("port", "a", network_id=network)["id"],
        "routers": api.make("router", "a")["id"],
        "security-groups": api.make("security_group", "a", name="g")["id"],
    }


def sent(api: Api, method: str, path: str, content: Any, project: str = "", **headers: str) -> int:
    status, answer = api.request(method, path, json.dumps(content).encode(), project, **headers)
    assert status < 500, (method, path, str(content)[:100], answer)
    return status


@pytest.mark.parametrize("path", sorted(BY_PATH))
def test_queries(api: Api, path: str) -> None:
    names = {one.name for one in BY_PATH[path].attributes if one.filter}
    names |= {"limit", "marker", "fields", "page_reverse", "sort_key", "tags", "nosuch"}
    for text in TEXTS:
        value = quote(text, safe="")
        queries = [f"{name}={value}" for name in sorted(names)]
        queries += [f"sort_key={value}&sort_dir=asc", f"limit=1&marker={value}"]
        for query in queries:
            for project in ("", "a"):
                status, answer = api.request("GET", f"/{path}?{query}", project=project)
                assert status < 500, (query, answer)
        status, answer = api.request("GET", f"/{path}/{text}")
        assert status < 500, (text, answer)


@pytest.mark.parametrize("path", sorted(BY_PATH))
def test_bodies(api: Api, things: dict[str, str], path: str) -> None:
    row = BY_PATH[path]
    good = {"network_id": things["networks"], "subnet_id": things["subnets"], "ip_version": 4,
            "cidr": "10.9.0.0/24", "security_group_id": things["security-groups"],
            "direction": "ingress", "prefixes": ["10.0.0.0/8"], "name": "n"}  # fmt: skip
    least = {
        one.name: good.get(one.name, "x")
        for one in row.attributes
        if one.default is Missing.REQUIRED
    }
    for attribute in row.attributes:
        for value in VALUES:
            body = {row.name: {**least, attribute.name: value}}
            sent(api, "POST", f"/{path}", body, "a")
            if path in things:
                body = {row.name: {attribute.name: value}}
                sent(api, "PUT", f"/{path}/{things[path]}", body, "a")
    for value in VALUES:
        assert sent(api, "POST", f"/{path}", value) >= 400


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:12])
def test_bodies_of_actions_agents_and_quotas(api: Api, things: dict[str, str], value: Any) -> None:
    for path, key in things.items():
        for word in ("tags", "add_router_interface", "remove_router_interface", "add_extraroutes"):
            for name in ("tags", "subnet_id", "port_id", "router"):
                sent(api, "PUT", f"/{path}/{key}/{word}", {name: value}, "a")
    for word in ("report", "ports", "routers", "floatingips"):
        one = {"id": things["ports"], "status": value, "host": value}
        for body in (value, [value], [one], {"agent_type": value, "host": value}):
            sent(api, "PUT", f"/agent/v1/{word}", body)
    sent(api, "PUT", "/quotas/a", {"quota": {"network": value}})


@pytest.mark.parametrize("text", ["²", "revision_number=²", "revision_number=" + "9" * 40])
def test_revisions_that_are_none(api: Api, things: dict[str, str], text: str) -> None:
    path = f"/networks/{things['networks']}"
    assert sent(api, "PUT", path, {"network": {"name": "x"}}, **{"if-match": text}) == 400


@pytest.mark.parametrize("since", ["", "²", "-1", "9" * 40, "1.5"])
def test_watches_from_nowhere(api: Api, since: str) -> None:
    refusal = api.service.check_watch(Request("GET", "/agent/v1/watch"), since)
    assert refusal is not None and refusal.response.status == 400


@pytest.mark.parametrize("depth", [900, 100_000])
def test_bodies_that_are_nested_deeply(depth: int) -> None:
    body = "[" * depth + '"\\u0000"' + "]" * depth
    with pytest.raises(ApiError) as caught:
        Request("POST", "/v2.0/networks", body=body.encode()).json()
    assert caught.value.status == 400


def test_words_that_look_like_a_nul_are_welcome() -> None:
    assert Request("POST", "/", body=b'{"name": "\\\\u0000"}').json() == {"name": "\\u0000"}


def arriving(*chunks: bytes, **headers: str) -> HttpRequest:
    """A request whose body comes in these chunks, and then no more."""
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": left.pop(0), "more_body": True}

    scope = {"type": "http", "method": "POST", "path": "/v2.0/networks", "query_string": b"",
             "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
             "scheme": "http", "server": ("h", 1)}  # fmt: skip
    return HttpRequest(scope, receive)


def status_of(api: Api, http: HttpRequest) -> int:
    return int(asyncio.run(Application(api.service)._api(http)).status_code)


def test_a_body_that_never_ends_is_not_waited_for(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "RECEIVE_S", 0.05)
    assert status_of(api, arriving(b'{"network": ')) == 408


def test_a_body_that_is_too_large_is_not_read(api: Api) -> None:
    assert status_of(api, arriving(**{"content-length": str(MAX_BODY + 1)})) == 413
    assert status_of(api, arriving(**{"content-length": "²"})) == 413
    assert status_of(api, arriving(*[b"x" * (1 << 20)] * 17)) == 413


def test_a_watcher_that_does_not_read_holds_up_nobody_and_misses_nothing(api: Api) -> None:
    async def story() -> list[str]:
        hub = Hub(api.database)

        async def run(work: Any) -> Any:
            return work()

        async def may_go_on() -> bool:
            return True

        stream = stream_changes(api.database, hub, 0, run, may_go_on)
        await anext(stream)
        for number in range(300):
            api.make("network", f"p{number // 50}", name=f"late-{number}")
        names: list[str] = []
        hub.published(10**6)
        while "late-299" not in names:
            changes = json.loads(await anext(stream))["changes"]
            names += [one["body"]["name"] for one in changes if one["kind"] == "network"]
        return [name for name in names if name.startswith("late")]

    assert asyncio.run(story()) == [f"late-{number}" for number in range(300)]
