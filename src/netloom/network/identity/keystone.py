"""Tokens of an OpenStack Identity service (keystone), version 3.

The service has a user of its own (`[keystone_authtoken]`, see `credentials`), with whose token it
asks keystone who the bearer of another token is. What keystone says is believed for
`token_cache_time` seconds (300), and of nobody longer than the token is good for. That somebody is
nobody is believed as well, but briefly.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import httpx

from netloom.base.clock import Clock
from netloom.base.log import get_logger
from netloom.network.document import Caller
from netloom.network.errors import ApiError, fail
from netloom.network.identity.credentials import Credentials, read_credentials

log = get_logger("network_keystone")
T = TypeVar("T")
UNAVAILABLE = "ServiceUnavailable"
CACHE_S = 300
TIMEOUT_S = 10.0
#: Cached tokens; when there are more, all are forgotten.
CACHE_SIZE = 4096
#: How long a token that keystone refused is refused without asking again.
REFUSED_MS = 10_000


class _Known(NamedTuple):
    """`ends_ms`: until when the token is good, if nobody revokes it."""

    caller: Caller
    until_ms: int
    ends_ms: int


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
        #: Refused tokens -> until when.
        self._refused: dict[str, int] = {}

    def answers_at_once(self, headers: dict[str, str]) -> bool:
        """Whether `caller` will not have to ask keystone."""
        token, now_ms = headers.get("x-auth-token", ""), self._clock.now_ms()
        known = self._known.get(token)
        if known is not None and known.until_ms > now_ms:
            return True
        return not token or self._refused.get(token, 0) > now_ms

    def caller(self, headers: dict[str, str]) -> Caller:
        """Whose token this is."""
        token, now_ms = headers.get("x-auth-token", ""), self._clock.now_ms()
        known = self._known.get(token)
        if known is None or known.until_ms <= now_ms:
            if not token or self._refused.get(token, 0) > now_ms:
                raise _unauthorized()
            known = self._learn(token, now_ms)
        return known.caller

    def may_go_on(self, headers: dict[str, str]) -> bool:
        """Whether what an administrator began may go on. While keystone cannot be asked, a token
        is believed as long as it would be good."""
        try:
            return self.caller(headers).is_admin
        except ApiError as error:
            if error.kind != UNAVAILABLE:
                return False
        known = self._known.get(headers.get("x-auth-token", ""))
        return known is not None and known.ends_ms > self._clock.now_ms()

    def _learn(self, token: str, now_ms: int) -> _Known:
        try:
            described = self._ask(token)
            ends_ms = now_ms + _left_ms(described, self._clock.wall_ms(), self._cache_ms)
            if ends_ms <= now_ms:
                raise _unauthorized()
        except ApiError as error:
            if error.kind != UNAVAILABLE:
                self._known.pop(token, None)
                _put(self._refused, token, now_ms + REFUSED_MS)
            raise
        until_ms = min(now_ms + self._cache_ms, ends_ms)
        known = _Known(caller_of(described), until_ms, ends_ms)
        _put(self._known, token, known)
        return known

    def _ask(self, token: str) -> dict[str, Any]:
        """What keystone says of a token. Several threads may ask at once."""
        try:
            answer = self._get(token, self._own_token or self._authenticate())
            if answer.status_code == 401:
                # Our own token has ended.
                answer = self._get(token, self._authenticate())
        except httpx.HTTPError as error:
            log.warn("keystone does not answer: %s", error)
            raise fail(UNAVAILABLE) from error
        if answer.status_code == 404:
            raise _unauthorized()
        if answer.status_code != 200:
            log.warn("keystone answers %d", answer.status_code)
            raise fail(UNAVAILABLE)
        described: dict[str, Any] = answer.json()["token"]
        return described

    def _get(self, token: str, own_token: str) -> httpx.Response:
        headers = {"X-Auth-Token": own_token, "X-Subject-Token": token}
        return self._client.get(self._credentials.tokens_url, headers=headers)

    def _authenticate(self) -> str:
        credentials = self._credentials
        answer = self._client.post(credentials.tokens_url, json=credentials.request_body())
        if answer.status_code != 201:
            log.warn("keystone refuses the service's own user: %d", answer.status_code)
            raise fail(UNAVAILABLE)
        self._own_token = answer.headers["X-Subject-Token"]
        return self._own_token


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


def _left_ms(token: dict[str, Any], wall_ms: int, otherwise_ms: int) -> int:
    """How long a token is good for; `otherwise_ms` if keystone does not say so."""
    try:
        ends = datetime.fromisoformat(token["expires_at"])
    except (KeyError, TypeError, ValueError):
        return otherwise_ms
    return int(ends.timestamp() * 1000) - wall_ms


def _put(cache: dict[str, T], token: str, value: T) -> None:
    if len(cache) >= CACHE_SIZE:
        cache.clear()
    cache[token] = value


def _unauthorized() -> ApiError:
    return fail("HTTPUnauthorized", message="The request you have made requires authentication.")
