"""The load generator: raw HTTP/1.1 over kept-alive connections of uvloop, in a process of its own.

    python benchmarks/_service_load.py JOB.json OUT.npz

A closed loop (no `rate`) keeps one request in flight on each connection. An open loop sends `rate` requests a second on
whatever connections are free, at Poisson times; where none is free the request is counted as not sent, so that a late
answer never thins out the load unseen. With `honour_retry_after` a connection that was refused waits as it was told;
else it asks again at once. Requests are rendered beforehand, answers are read by their content-length.
Bounded: `seconds`, `max_requests`, and 127.0.0.1 only.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from array import array
from collections import Counter
from pathlib import Path

import numpy as np
import uvloop
from _service_job import Job, Load

HOST = "127.0.0.1"
TICK_S = 0.001
GRACE_S = 10.0  # how long the last answers may take


class Generator:
    """One run of a job."""

    def __init__(self, job: Job):
        self.job = job
        self.status, self.started, self.took = array("h"), array("d"), array("d")
        self.errors: Counter[str] = Counter()
        self.connections: set[Connection] = set()
        self.free: list[Connection] = []
        self.sent = self.not_sent = self.in_flight = self.turn = 0
        self.begun, self.running = False, True

    def request(self) -> bytes:
        self.turn += 1
        return self.job.requests[self.turn % len(self.job.requests)]

    async def run(self) -> Load:
        job, loop = self.job, asyncio.get_running_loop()
        for start in range(0, job.connections, 64):  # in portions: a listener's backlog is finite
            await asyncio.gather(*(self.connect() for _ in range(min(64, job.connections - start))))
        begin = time.perf_counter()
        end = begin + job.warmup_s + job.seconds
        self.begun = True
        if job.rate is None:
            idle, self.free = self.free, []
            for connection in idle:
                connection.next()
        feeder = loop.create_task(self.feed(job.rate, begin, end)) if job.rate else None
        sent = not_sent = 0
        if job.warmup_s:
            await asyncio.sleep(job.warmup_s)
            sent, not_sent = self.sent, self.not_sent
        cpu, counted = time.process_time(), time.perf_counter()
        while (now := time.perf_counter()) < end and (self.sent < job.max_requests or self.in_flight):
            await asyncio.sleep(min(0.05, end - now))
        stop = time.perf_counter()
        cpu_share = (time.process_time() - cpu) / (stop - counted)
        sent, not_sent = self.sent - sent, self.not_sent - not_sent
        self.running = False
        if feeder is not None:
            await feeder
        deadline = time.perf_counter() + GRACE_S
        while self.in_flight and time.perf_counter() < deadline:
            await asyncio.sleep(0.01)
        unanswered, errors = self.in_flight, dict(self.errors)
        for connection in self.connections:
            connection.transport.close()
        await asyncio.sleep(0.01)
        started, took = np.array(self.started), np.array(self.took)
        answered_at = started + took
        inside = (answered_at >= counted) & (answered_at <= stop)
        return Load(
            seconds=stop - counted,
            status=np.array(self.status)[inside],
            sent_at=started[inside] - counted,
            latency_s=took[inside],
            sent=sent,
            not_sent=not_sent,
            unanswered=unanswered,
            errors=errors,
            cpu_share=cpu_share,
        )

    async def feed(self, rate: float, begin: float, end: float) -> None:
        rng, due = random.Random(self.job.seed), begin
        while self.running and (now := time.perf_counter()) < end:
            while due <= now and self.sent < self.job.max_requests:
                due += rng.expovariate(rate)
                connection = self.take()
                if connection is not None:
                    connection.next()
                else:
                    self.not_sent += 1
            await asyncio.sleep(TICK_S)

    def take(self) -> Connection | None:
        """A free connection; one that the server is closing, having been idle for long, is left to `lost`."""
        while self.free:
            connection = self.free.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    async def connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: Connection(self), HOST, self.job.port)
        except OSError as error:
            self.errors[f"connect: {type(error).__name__}"] += 1
            if self.running:
                await asyncio.sleep(0.05)
                asyncio.get_running_loop().create_task(self.connect())

    def answered(self, connection: Connection, status: int, wait_s: float) -> None:
        self.in_flight -= 1
        self.status.append(status)
        self.started.append(connection.sent_at)
        self.took.append(time.perf_counter() - connection.sent_at)
        if wait_s and self.running:
            asyncio.get_running_loop().call_later(wait_s, self.ready, connection)
        else:
            self.ready(connection)

    def ready(self, connection: Connection) -> None:
        """The connection is idle."""
        if connection.closed or connection.transport.is_closing():  # while it waited as it was told
            return
        closed_loop = self.job.rate is None and self.begun
        if closed_loop and self.running and self.sent < self.job.max_requests:
            connection.next()
        else:
            self.free.append(connection)

    def lost(self, connection: Connection) -> None:
        connection.closed = True
        self.connections.discard(connection)
        if connection in self.free:
            self.free.remove(connection)
        if connection.waiting:
            self.in_flight -= 1
            self.errors["closed before the answer"] += 1
        if self.running:
            asyncio.get_running_loop().create_task(self.connect())


class Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request in flight."""

    def __init__(self, generator: Generator):
        self.generator = generator
        self.buffer, self.size, self.wait_s = b"", 0, 0.0
        self.waiting, self.closed, self.sent_at = False, False, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.generator.connections.add(self)
        self.generator.ready(self)

    def next(self) -> None:
        generator = self.generator
        generator.sent += 1
        generator.in_flight += 1
        self.waiting, self.sent_at = True, time.perf_counter()
        self.transport.write(generator.request())

    def data_received(self, data: bytes) -> None:
        self.buffer = data = self.buffer + data if self.buffer else data
        if not self.size:
            head = data.find(b"\r\n\r\n")
            if head < 0:
                return
            low = data[:head].lower()
            at = low.find(b"content-length:")
            if at < 0:  # chunked: the run would hang, so say it
                self.generator.errors["no content-length"] += 1
                self.transport.close()
                return
            self.size = head + 4 + int(low[at + 15 :].split(b"\r\n", 1)[0])
            self.wait_s = 0.0
            if self.generator.job.honour_retry_after and (at := low.find(b"retry-after:")) >= 0:
                self.wait_s = float(low[at + 12 :].split(b"\r\n", 1)[0])
        if len(data) >= self.size:
            self.buffer, self.size, self.waiting = b"", 0, False
            self.generator.answered(self, int(data[9:12]), self.wait_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self.generator.lost(self)


def run(job: Job) -> Load:
    """Run the job in this process."""
    return uvloop.run(Generator(job).run())


if __name__ == "__main__":
    gc.freeze()
    gc.disable()  # a collection would show as a slow answer
    run(Job.read(Path(sys.argv[1]))).save(Path(sys.argv[2]))
