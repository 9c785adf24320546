"""The ASGI application: HTTP in, `Service.handle` out, and the watch as a stream.

With SQLite a request runs right where it arrived: one process writes at a time anyway, and a thread
would cost more than the query. With PostgreSQL requests run in threads, one connection each, since
they wait for the database and for each other's rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.responses import StreamingResponse
from starlette.routing import Route

from netloom.base.log import get_logger
from netloom.network.api.dispatch import Outcome, Service
from netloom.network.api.hub import Hub
from netloom.network.api.message import JSON_TYPE, MAX_BODY, Request, error_answer, is_number
from netloom.network.api.stream import stream_changes
from netloom.network.errors import ApiError, fail
from netloom.network.tasks import Chores

log = get_logger("network_api")
T = TypeVar("T")
NDJSON = "application/x-ndjson"
#: How long a request may take to arrive.
RECEIVE_S = 60.0
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]


class Application:
    """The parts of a running service; `asgi` is what a server runs."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.hub = Hub(service.database)
        self._chores = Chores(service.database, service.parts)
        self.asgi = Starlette(
            routes=[
                Route("/agent/v1/watch", self._watch, methods=["GET"]),
                Route("/agent/v1/snapshot", self._snapshot, methods=["GET"]),
                Route("/{path:path}", self._api, methods=METHODS),
            ],
            lifespan=self._lifespan,
        )

    async def run(self, work: Callable[[], T]) -> T:
        """Run something that uses the database."""
        if self.service.database.is_sqlite:
            return work()
        return await run_in_threadpool(work)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        async with self.hub.running():
            chores = asyncio.create_task(self._do_chores())
            try:
                yield
            finally:
                chores.cancel()

    async def _do_chores(self) -> None:
        """Now and then: drivers' tasks that failed, agents that are gone."""
        while True:
            await asyncio.sleep(self._chores.pause_s)
            revision = await self.run(self._chores.run_all)
            if revision:
                self.hub.published(revision)

    async def _api(self, http: HttpRequest) -> HttpResponse:
        request = await self._receive(http)
        if isinstance(request, HttpResponse):
            return request
        outcome = await self.run(partial(self.service.handle, request))
        if outcome.revision:
            self.hub.published(outcome.revision)
        if outcome.has_tasks:
            await self.run(self._chores.run_tasks)
        return _written(outcome, self.service)

    async def _receive(self, http: HttpRequest) -> Request | HttpResponse:
        """The request, of somebody whom the authenticator knows by now, or the answer to one that
        is no request."""
        try:
            async with asyncio.timeout(RECEIVE_S):
                request = await _read(http)
        except ApiError as error:
            return _written(Outcome(error_answer(error)), self.service)
        except TimeoutError:
            late = fail("HTTPRequestTimeout", message="The request took too long to arrive.")
            return _written(Outcome(error_answer(late)), self.service)
        authenticator = self.service.authenticator
        if not authenticator.answers_at_once(request.headers):
            # Others are served meanwhile; what it says comes up again in the request.
            with suppress(ApiError):
                await run_in_threadpool(partial(authenticator.caller, request.headers))
        return request

    async def _may_go_on(self, request: Request) -> bool:
        authenticator = self.service.authenticator
        if authenticator.answers_at_once(request.headers):
            return authenticator.may_go_on(request.headers)
        return await run_in_threadpool(partial(authenticator.may_go_on, request.headers))

    async def _snapshot(self, http: HttpRequest) -> HttpResponse:
        request = await self._receive(http)
        if isinstance(request, HttpResponse):
            return request
        kinds = http.query_params.get("kinds", "")
        outcome = await self.run(partial(self.service.snapshot, request, kinds))
        return _written(outcome, self.service)

    async def _watch(self, http: HttpRequest) -> HttpResponse:
        text = http.query_params.get("since", "")
        request = await self._receive(http)
        if isinstance(request, HttpResponse):
            return request
        refusal = await self.run(partial(self.service.check_watch, request, text))
        if refusal is not None:
            return _written(refusal, self.service)
        stream = stream_changes(
            self.service.database,
            self.hub,
            int(text),
            self.run,
            partial(self._may_go_on, request),
        )
        return StreamingResponse(stream, media_type=NDJSON)


async def _read(http: HttpRequest) -> Request:
    """The request without the framework around it."""
    length = http.headers.get("content-length", "0")
    if not is_number(length) or int(length) > MAX_BODY:
        raise fail("HTTPRequestEntityTooLarge", message="Request is too large.")
    chunks: list[bytes] = []
    size = 0
    async for chunk in http.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise fail("HTTPRequestEntityTooLarge", message="Request is too large.")
        chunks.append(chunk)
    return Request(
        http.method,
        http.url.path,
        tuple(http.query_params.multi_items()),
        {name.lower(): value for name, value in http.headers.items()},
        b"".join(chunks),
        f"{http.url.scheme}://{http.url.netloc}",
    )


def _written(outcome: Outcome, service: Service) -> HttpResponse:
    response = outcome.response
    headers: dict[str, Any] = {
        "X-Openstack-Request-Id": f"req-{service.parts.new_id()}",
        **dict(response.headers),
    }
    media = JSON_TYPE if response.body else None
    return HttpResponse(response.body, response.status, headers=headers, media_type=media)
