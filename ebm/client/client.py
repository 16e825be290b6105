"""The two clients: the same operations, run with and without `await`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, closing
from typing import TypeVar

import httpx
from httpx_sse import EventSource
from tenacity import AsyncRetrying, Retrying

from ebm.client import (
    batch,
    catalogue,
    comparing,
    composing,
    downloads,
    explaining,
    making,
    restoring,
    scoring,
)
from ebm.client.calls import Call, Pause, Save, Steps
from ebm.client.connection import DEFAULT_URL, Connection, Operation, checked, failures_named
from ebm.client.errors import ClientError
from ebm.client.making import Event, event_of
from ebm.client.methods import awaited, blocking, streaming, streaming_awaited
from ebm.client.retries import Retries

T = TypeVar("T")


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
                if isinstance(call, Pause):
                    self._sleep(call.seconds)
                    operation = self._begin(operation)
                    call = steps.send(self._clock())
                    continue
                try:
                    if isinstance(call, Save):
                        response = self._save(call, operation)
                    else:
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

    def _save(self, save: Save, operation: Operation) -> httpx.Response:
        response = self._send(save.call, operation, stream=True)
        with closing(response), failures_named():
            mode = save.begin(response)
            if mode is None:
                response.read()
            else:
                with save.path.open(mode) as file:
                    for piece in response.iter_bytes():
                        file.write(piece)
        return response

    def _stream(self, call: Call) -> Iterator[Event]:
        response = self._send(call, self._begin(), stream=True)
        with closing(response), failures_named():
            for event in EventSource(response).iter_sse():
                if event.data:  # a comment that keeps the connection is none
                    yield event_of(event)

    models = blocking(catalogue.models)
    model = blocking(catalogue.model)
    limits = blocking(catalogue.limits)
    ready = blocking(catalogue.ready)
    reload = blocking(catalogue.reload)
    drift = blocking(catalogue.drift)

    score = blocking(scoring.score)
    compose_score = blocking(composing.compose_score)
    classify = blocking(comparing.classify)
    compare = blocking(comparing.compare)
    explain = blocking(explaining.explain)

    denoise = blocking(restoring.denoise)
    impute = blocking(restoring.impute)
    impute_draws = blocking(restoring.impute_draws)
    generate = blocking(making.generate)
    compose_generate = blocking(composing.compose_generate)
    generate_stream = streaming(making.stream)

    submit_job = blocking(batch.submit)
    jobs = blocking(batch.jobs)
    job = blocking(batch.job)
    wait_for_job = blocking(batch.wait)
    follow_job = streaming(batch.follow)
    job_result = blocking(batch.result)
    job_rejects = blocking(batch.rejects)
    download_job_result = blocking(downloads.download)
    cancel_job = blocking(batch.cancel)


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
                if isinstance(call, Pause):
                    await self._sleep(call.seconds)
                    operation = self._begin(operation)
                    call = steps.send(self._clock())
                    continue
                try:
                    if isinstance(call, Save):
                        response = await self._save(call, operation)
                    else:
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

    async def _save(self, save: Save, operation: Operation) -> httpx.Response:
        response = await self._send(save.call, operation, stream=True)
        async with aclosing(response):
            with failures_named():
                mode = save.begin(response)
                if mode is None:
                    await response.aread()
                else:
                    with save.path.open(mode) as file:
                        async for piece in response.aiter_bytes():
                            file.write(piece)
        return response

    async def _stream(self, call: Call) -> AsyncIterator[Event]:
        response = await self._send(call, self._begin(), stream=True)
        # httpx's AsyncClient closes a response by `aclose`, as contextlib.aclosing expects.
        async with aclosing(response):
            with failures_named():
                async for event in EventSource(response).aiter_sse():
                    if event.data:
                        yield event_of(event)

    models = awaited(catalogue.models)
    model = awaited(catalogue.model)
    limits = awaited(catalogue.limits)
    ready = awaited(catalogue.ready)
    reload = awaited(catalogue.reload)
    drift = awaited(catalogue.drift)

    score = awaited(scoring.score)
    compose_score = awaited(composing.compose_score)
    classify = awaited(comparing.classify)
    compare = awaited(comparing.compare)
    explain = awaited(explaining.explain)

    denoise = awaited(restoring.denoise)
    impute = awaited(restoring.impute)
    impute_draws = awaited(restoring.impute_draws)
    generate = awaited(making.generate)
    compose_generate = awaited(composing.compose_generate)
    generate_stream = streaming_awaited(making.stream)

    submit_job = awaited(batch.submit)
    jobs = awaited(batch.jobs)
    job = awaited(batch.job)
    wait_for_job = awaited(batch.wait)
    follow_job = streaming_awaited(batch.follow)
    job_result = awaited(batch.result)
    job_rejects = awaited(batch.rejects)
    download_job_result = awaited(downloads.download)
    cancel_job = awaited(batch.cancel)
