"""Scorers, clocks and calls whose pace a test of the engine decides."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from typing import Any

import numpy as np

from ebm.errors import BadInput
from ebm.steps import Progress
from service.engine import Engine

WAIT = 20.0  # how long a test waits for what must come


class FakeScorer:
    """Energy = first column; each batch is noted, and waits for `gate`."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.entered, self.gate = threading.Event(), threading.Event()
        self.gate.set()

    def energies(self, values: np.ndarray) -> np.ndarray:
        self.batches.append(len(values))
        self.entered.set()
        assert self.gate.wait(WAIT)
        if (values < 0).any():
            raise BadInput("negative")
        return values[:, 0]

    def measure(self, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return energy * 10, energy * 100

    def judge(self, energy: np.ndarray, measured: Any = None, **options: Any) -> Any:
        if options.get("fpr") == 13:
            raise BadInput("unlucky")
        if measured is not None:
            assert np.array_equal(measured, self.measure(energy)), "another request's rows"
        return energy.tolist(), options


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def happens(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, WAIT)


async def answer(task: Any) -> Any:
    return await asyncio.wait_for(task.future, WAIT)


async def held(engine: Engine, scorer: FakeScorer) -> Any:
    """Occupy the thread with a one-row batch until `scorer.gate` opens; returns that task."""
    scorer.entered.clear()
    scorer.gate.clear()
    task = engine.submit_score(scorer, rows(0), timeout_s=WAIT)
    await happens(scorer.entered)
    return task


def rows(*first: float) -> np.ndarray:
    return np.array(first, dtype=float)[:, None]


def counting(n: int, seen: list[str], name: str, gate: threading.Event | None = None) -> Generator[Progress]:
    for i in range(n):
        seen.append(f"{name}{i}")
        if gate is not None:
            assert gate.wait(WAIT)
        yield Progress(i + 1, n)
    return name
