"""Jobs by kind and state as a Prometheus gauge: as the database said some seconds ago, for nobody waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.errors import KNOWN
from service.jobs_http.access import JobAccess

EVERY_S = 10.0


class JobsCollector(Collector):
    """Asks the store again where what it said is old, and shows what it said before."""

    def __init__(self, access: JobAccess):
        self.access = access
        self._counts: Mapping[tuple[str, str], int] = {}
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    def collect(self) -> Iterator[Metric]:
        self._ask()
        family = GaugeMetricFamily("ebm_jobs", "Jobs that are kept, by state", labels=["kind", "state"])
        for (kind, state), n in sorted(self._counts.items()):
            family.add_metric([kind, state], n)
        yield family

    def _ask(self) -> None:
        counts = getattr(self.access.store, "counts", None)
        now = time.monotonic()
        # A server that never had a job makes no database for its metrics.
        if counts is None or now - self._asked_at < EVERY_S or not self.access.data_dir.is_dir():
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # registered before the server runs
            return
        self._asked_at = now

        async def ask() -> None:
            try:
                self._counts = await self.access.call(counts)
            except KNOWN:
                self._counts = {}  # nothing is known: better than what is not so any more

        self._asking = loop.create_task(ask())
