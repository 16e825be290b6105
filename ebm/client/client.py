"""The two clients: the same operations, run with and without `await`."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, closing
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx
from httpx_sse import EventSource
from tenacity import AsyncRetrying, Retrying

from ebm.client import batch, catalogue, comparing, composing, explaining, making, restoring, scoring
from ebm.client.calls import Call, Steps
from ebm.client.connection import DEFAULT_URL, Connection, Operation, checked, failures_named
from ebm.client.errors import ClientError
from ebm.client.making import Event, event_of
from ebm.client.retries import Retries

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(operation: Callable[P, Steps[T]]) -> Callable[Concatenate[Client, P], T]:
    @functools.wraps(operation)
    def method(self: Client, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(operation(*args, **kwargs))

    return method


def _awaited(
    operation: Callable[P, Steps[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    @functools.wraps(operation)
    async def method(self: AsyncClient, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(operation(*args, **kwargs))

    return method


def _streaming(call_of: Callable[P, Call]) -> Callable[Concatenate[Client, P], Iterator[Event]]:
    @functools.wraps(call_of)
    def method(self: Client, *args: P.args, **kwargs: P.kwargs) -> Iterator[Event]:
        return self._stream(call_of(*args, **kwargs))

    return method


def _streaming_awaited(
    call_of: Callable[P, Call],
) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[Event]]:
    @functools.wraps(call_of)
    def method(self: AsyncClient, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Event]:
        return self._stream(call_of(*args, **kwargs))

    return method


class Client(Connection):
    """The server from Python. Threads may share one.

        with Client("http://127.0.0.1:8000") as client:
            scores = client.score("pumps", frame, fpr=0.01)
            flagged = scores.join(frame)

    Every method raises `Problem` (a subclass by kind) for what the server refuses, `NoAnswer` where it was not reached,
    and `TimedOut`.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float | None = 60.0,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        """As `Connection`; and `transport`, for httpx: proxies, certificates, or an application in this process."""
        super().__init__(api_key=api_key, timeout=timeout, retries=retries, clock=clock)
        self._sleep = sleep
        self._http = httpx.Client(base_url=base_url, transport=transport)

    def close(self) -> None:
        """Close the connections, those of `with_options` too."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        operation = self._begin()
        try:
            call = next(steps)
            while True:
                try:
                    response = self._send(call, operation)
                except ClientError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(response)
        except StopIteration as stop:
            return stop.value

    def _send(self, call: Call, operation: Operation, *, stream: bool = False) -> httpx.Response:
        def attempt() -> httpx.Response:
            with failures_named():
                request = self._http.build_request(**self._request(call, operation))
                response = self._http.send(request, stream=stream)
                if stream and response.status_code >= 400:
                    response.read()
            return checked(response)

        retrying = Retrying(sleep=self._sleep, **self.retries.options(operation.deadline, self._clock))
        return retrying(attempt)

    def _stream(self, call: Call) -> Iterator[Event]:
        response = self._send(call, self._begin(), stream=True)
        with closing(response), failures_named():
            for event in EventSource(response).iter_sse():
                yield event_of(event)

    models = _blocking(catalogue.models)
    model = _blocking(catalogue.model)
    limits = _blocking(catalogue.limits)
    ready = _blocking(catalogue.ready)
    reload = _blocking(catalogue.reload)
    drift = _blocking(catalogue.drift)

    score = _blocking(scoring.score)
    compose_score = _blocking(composing.compose_score)
    classify = _blocking(comparing.classify)
    compare = _blocking(comparing.compare)
    explain = _blocking(explaining.explain)

    denoise = _blocking(restoring.denoise)
    impute = _blocking(restoring.impute)
    impute_draws = _blocking(restoring.impute_draws)
    generate = _blocking(making.generate)
    compose_generate = _blocking(composing.compose_generate)
    generate_stream = _streaming(making.stream)

    submit_job = _blocking(batch.submit)
    jobs = _blocking(batch.jobs)
    job = _blocking(batch.job)
    job_result = _blocking(batch.result)
    cancel_job = _blocking(batch.cancel)


class AsyncClient(Connection):
    """`Client` with `await`, for one event loop:

    async with AsyncClient("http://127.0.0.1:8000") as client:
        scores = await client.score("pumps", frame, fpr=0.01)
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float | None = 60.0,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        """As `Client`."""
        super().__init__(api_key=api_key, timeout=timeout, retries=retries, clock=clock)
        self._sleep = sleep
        self._http = httpx.AsyncClient(base_url=base_url, transport=transport)

    async def close(self) -> None:
        """Close the connections, those of `with_options` too."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, steps: Steps[T]) -> T:
        operation = self._begin()
        try:
            call = next(steps)
            while True:
                try:
                    response = await self._send(call, operation)
                except ClientError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(response)
        except StopIteration as stop:
            return stop.value

    async def _send(self, call: Call, operation: Operation, *, stream: bool = False) -> httpx.Response:
        async def attempt() -> httpx.Response:
            with failures_named():
                request = self._http.build_request(**self._request(call, operation))
                response = await self._http.send(request, stream=stream)
                if stream and response.status_code >= 400:
                    await response.aread()
            return checked(response)

        retrying = AsyncRetrying(sleep=self._sleep, **self.retries.options(operation.deadline, self._clock))
        return await retrying(attempt)

    async def _stream(self, call: Call) -> AsyncIterator[Event]:
        response = await self._send(call, self._begin(), stream=True)
        # httpx's AsyncClient closes a response by `aclose`, as contextlib.aclosing expects.
        async with aclosing(response):
            with failures_named():
                async for event in EventSource(response).aiter_sse():
                    yield event_of(event)

    models = _awaited(catalogue.models)
    model = _awaited(catalogue.model)
    limits = _awaited(catalogue.limits)
    ready = _awaited(catalogue.ready)
    reload = _awaited(catalogue.reload)
    drift = _awaited(catalogue.drift)

    score = _awaited(scoring.score)
    compose_score = _awaited(composing.compose_score)
    classify = _awaited(comparing.classify)
    compare = _awaited(comparing.compare)
    explain = _awaited(explaining.explain)

    denoise = _awaited(restoring.denoise)
    impute = _awaited(restoring.impute)
    impute_draws = _awaited(restoring.impute_draws)
    generate = _awaited(making.generate)
    compose_generate = _awaited(composing.compose_generate)
    generate_stream = _streaming_awaited(making.stream)

    submit_job = _awaited(batch.submit)
    jobs = _awaited(batch.jobs)
    job = _awaited(batch.job)
    job_result = _awaited(batch.result)
    cancel_job = _awaited(batch.cancel)
