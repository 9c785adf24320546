"""Agents are somebody: requests to the service with a keystone token, which is renewed in time.

    httpx.AsyncClient(base_url=url, auth=TokenAuth(credentials, clock))

A token is asked for with the first request, again before it ends, and again when the service does
not take it (it may have been revoked, or keystone may have changed its keys). Then the request is
sent once more. If keystone cannot be asked, the request fails like one that the service does not
answer, and whoever sent it tries again.
"""

from __future__ import annotations

import asyncio
import re
from calendar import timegm
from collections.abc import AsyncGenerator
from typing import Any

import httpx

from netloom.base.clock import Clock
from netloom.base.log import get_logger
from netloom.network.identity.credentials import Credentials
from netloom.network.identity.keystone import verification

log = get_logger("network_agent")
TIMEOUT_S = 10.0
UNAUTHORIZED, CREATED = 401, 201
#: A token is renewed when this share of its life is left, at most `EARLY_MS`.
EARLY_SHARE = 5
EARLY_MS = 300_000


class TokenAuth(httpx.Auth):
    """See the module. `transport` replaces the network in tests."""

    def __init__(
        self,
        credentials: Credentials,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        verify = verification(credentials)
        self._client = httpx.AsyncClient(
            timeout=TIMEOUT_S, transport=transport, verify=verify, trust_env=False
        )
        self._token = ""
        self._renew_ms = 0
        #: One question at a time: the watch and the reports share the token.
        self._asking = asyncio.Lock()

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """The request with a token; once more with a new one if that is refused."""
        token = await self._current(request)
        request.headers["X-Auth-Token"] = token
        response = yield request
        if response.status_code == UNAUTHORIZED:
            if self._token == token:
                self._token = ""
            request.headers["X-Auth-Token"] = await self._current(request)
            yield request

    async def _current(self, request: httpx.Request) -> str:
        async with self._asking:
            if not self._token or self._clock.now_ms() >= self._renew_ms:
                await self._renew(request)
            return self._token

    async def _renew(self, request: httpx.Request) -> None:
        credentials = self._credentials
        answer = await self._client.post(credentials.tokens_url, json=credentials.request_body())
        if answer.status_code != CREATED:
            user = credentials.username or credentials.user_id
            text = f"keystone gives '{user}' no token: {answer.status_code} {reason(answer)}"
            raise httpx.RequestError(text.rstrip(), request=request)
        self._token = answer.headers["X-Subject-Token"]
        try:
            life_ms = life_of(answer.json()["token"])
        except (ValueError, KeyError, TypeError) as error:
            text = f"keystone does not say how long its token lives: {error}"
            raise httpx.RequestError(text, request=request) from error
        self._renew_ms = self._clock.now_ms() + life_ms - min(EARLY_MS, life_ms // EARLY_SHARE)
        log.info("a token for the next %d s", life_ms // 1000)

    async def aclose(self) -> None:
        """End the connection to keystone."""
        await self._client.aclose()


def life_of(token: dict[str, Any]) -> int:
    """How long keystone says that a token lives, in ms. Both times are keystone's, so that the
    clocks of two machines need not agree."""
    return max(0, _ms(token["expires_at"]) - _ms(token["issued_at"]))


def _ms(text: str) -> int:
    """A time as keystone writes it (`2030-01-01T00:00:00.000000Z`) as ms since 1970."""
    found = re.fullmatch(r"(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)(\.\d+)?Z", text)
    if found is None:
        raise ValueError(f"not a time: '{text}'")
    seconds = timegm(tuple(map(int, found.groups()[:6])))
    return seconds * 1000 + int(float(found[7] or 0) * 1000)


def reason(answer: httpx.Response) -> str:
    """Keystone's explanation, if it has one."""
    try:
        text: str = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return text
