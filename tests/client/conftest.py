"""Servers that are functions, clocks that are numbers, and both clients behind one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ebm.client import AsyncClient, Client

STREAMS = ("generate_stream", "follow_job")
Handler = Callable[[httpx.Request], httpx.Response]


class Clock:
    """Seconds that pass by sleeping only."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


class Caller:
    """Runs a method of `Client`, or the same of `AsyncClient`, against `handler`; keeps what was sent."""

    def __init__(self, kind: str):
        self.kind, self.clock = kind, Clock()
        self.sent: list[httpx.Request] = []

    def __call__(self, handler: Handler, method: str, *args: Any, **options: Any) -> Any:
        settings = {
            name: options.pop(name)
            for name in ("timeout", "retries", "api_key", "base_url")
            if name in options and (name, method) != ("timeout", "wait_for_job")  # which has its own
        }

        def record(request: httpx.Request) -> httpx.Response:
            self.sent.append(request)
            return handler(request)

        transport = httpx.MockTransport(record)
        if self.kind == "sync":
            with Client(transport=transport, clock=self.clock, sleep=self.clock.sleep, **settings) as client:
                found = getattr(client, method)(*args, **options)
                return list(found) if method in STREAMS else found

        async def run() -> Any:
            sleep = self.clock.sleep_async
            async with AsyncClient(transport=transport, clock=self.clock, sleep=sleep, **settings) as client:
                if method in STREAMS:
                    return [event async for event in getattr(client, method)(*args, **options)]
                return await getattr(client, method)(*args, **options)

        return asyncio.run(run())


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)
