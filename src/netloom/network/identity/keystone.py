"""Tokens of an OpenStack Identity service (keystone), version 3.

The service has a user of its own (`[keystone_authtoken]`, see `credentials`), with whose token it
asks keystone who the bearer of another token is. What keystone says is believed for
`token_cache_time` seconds (300).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx

from netloom.base.clock import Clock
from netloom.base.log import get_logger
from netloom.network.document import Caller
from netloom.network.errors import ApiError, fail
from netloom.network.identity.credentials import Credentials, read_credentials

log = get_logger("network_keystone")
CACHE_S = 300
TIMEOUT_S = 10.0
#: Cached tokens; when there are more, all are forgotten.
CACHE_SIZE = 4096


class _Known(NamedTuple):
    caller: Caller
    until_ms: int


class Keystone:
    """Asks keystone about tokens. `transport` replaces the network in tests."""

    def __init__(
        self,
        options: Mapping[str, str],
        clock: Clock,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._clock = clock
        self._credentials = read_credentials(options)
        self._client = httpx.Client(
            timeout=TIMEOUT_S,
            transport=transport,
            verify=verification(self._credentials),
            trust_env=False,
        )
        self._own_token = ""
        self._cache_ms = int(options.get("token_cache_time", CACHE_S)) * 1000
        self._known: dict[str, _Known] = {}

    def caller(self, headers: dict[str, str]) -> Caller:
        """Whose token this is."""
        token = headers.get("x-auth-token", "")
        if not token:
            raise _unauthorized()
        now_ms = self._clock.now_ms()
        known = self._known.get(token)
        if known is None or known.until_ms <= now_ms:
            known = _Known(self._ask(token), now_ms + self._cache_ms)
            if len(self._known) >= CACHE_SIZE:
                self._known.clear()
            self._known[token] = known
        return known.caller

    def _ask(self, token: str) -> Caller:
        try:
            answer = self._get(token)
            if answer.status_code == 401:
                # Our own token may have ended.
                self._own_token = ""
                answer = self._get(token)
        except httpx.HTTPError as error:
            log.warn("keystone does not answer: %s", error)
            raise fail("ServiceUnavailable") from error
        if answer.status_code in (401, 404):
            raise _unauthorized()
        if answer.status_code != 200:
            log.warn("keystone answers %d", answer.status_code)
            raise fail("ServiceUnavailable")
        return caller_of(answer.json()["token"])

    def _get(self, token: str) -> httpx.Response:
        if not self._own_token:
            self._own_token = self._authenticate()
        return self._client.get(
            self._credentials.tokens_url,
            headers={"X-Auth-Token": self._own_token, "X-Subject-Token": token},
        )

    def _authenticate(self) -> str:
        credentials = self._credentials
        answer = self._client.post(credentials.tokens_url, json=credentials.request_body())
        if answer.status_code != 201:
            log.warn("keystone refuses the service's own user: %d", answer.status_code)
            raise fail("ServiceUnavailable")
        return answer.headers["X-Subject-Token"]


def verification(credentials: Credentials) -> bool | ssl.SSLContext:
    """How httpx checks keystone's certificate."""
    if credentials.trusts_anybody:
        return False
    return ssl.create_default_context(cafile=credentials.cafile) if credentials.cafile else True


def caller_of(token: dict[str, Any]) -> Caller:
    """The caller that keystone's description of a token means."""
    roles = frozenset(role["name"].lower() for role in token.get("roles", ()))
    project = token.get("project") or {}
    return Caller(project.get("id", ""), roles, (token.get("user") or {}).get("id", ""))


def _unauthorized() -> ApiError:
    return fail("HTTPUnauthorized", message="The request you have made requires authentication.")
