"""The thread of long calls, driven by fakes whose pace the test decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pytest
from engine_fakes import WAIT, FakeClock, FakeScorer, answer, counting, happens, rows

from ebm.errors import BadInput, Cancelled
from ebm.steps import Progress
from service.engine import Engine, Merge
from service.errors import DeadlinePassed, TooMany

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# -- long calls -----------------------------------------------------------------------------------------------------


async def test_long_calls_advance_by_turns_a_chunk_at_a_time(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(chunk_steps=2, active_tasks=2)
    started, gate, seen = threading.Event(), threading.Event(), list[str]()

    def first() -> Generator[Progress]:
        started.set()
        assert gate.wait(WAIT)
        return (yield from counting(3, seen, "a"))

    a = engine.submit_steps(first, timeout_s=WAIT)
    await happens(started)
    others = [engine.submit_steps(lambda name=name: counting(3, seen, name), timeout_s=WAIT) for name in "bc"]
    gate.set()
    assert [await answer(task) for task in (a, *others)] == ["a", "b", "c"]
    assert seen == ["a0", "a1", "b0", "b1", "a2", "c0", "c1", "b2", "c2"]


async def test_scores_do_not_wait_for_a_step_under_way(make_engine: Callable[..., Engine]) -> None:
    engine, scorer = make_engine(), FakeScorer()
    gate, seen = threading.Event(), list[str]()
    task = engine.submit_steps(lambda: counting(1, seen, "x", gate), timeout_s=WAIT)
    assert (await answer(engine.submit_score(scorer, rows(1), timeout_s=WAIT)))[0] == [1]
    assert not task.future.done()
    gate.set()
    assert await answer(task) == "x"


async def test_a_chunk_ends_when_its_time_is_over(make_engine: Callable[..., Engine]) -> None:
    clock, chunks = FakeClock(), list[int]()

    def slow() -> Generator[Progress]:
        for i in range(4):
            clock.now += 1.0
            yield Progress(i, 4)

    engine = make_engine(clock=clock, chunk_steps=100, chunk_s=1.5, on_steps=chunks.append)
    await answer(engine.submit_steps(slow, timeout_s=1000))
    assert chunks[:2] == [2, 2]


async def test_progress_is_told_in_the_event_loop(make_engine: Callable[..., Engine]) -> None:
    engine, told, threads = make_engine(chunk_steps=2), list[int](), set[int]()

    def hear(progress: list[Progress]) -> None:
        threads.add(threading.get_ident())
        told.extend(p.step for p in progress)

    await answer(engine.submit_steps(lambda: counting(5, [], "x"), timeout_s=WAIT, on_progress=hear))
    assert told == [1, 2, 3, 4, 5] and threads == {threading.get_ident()}


async def test_equal_calls_that_wait_together_run_as_one(make_engine: Callable[..., Engine]) -> None:
    engine, sizes = make_engine(active_tasks=1, max_batch_rows=4), list[int]()
    started, gate = threading.Event(), threading.Event()

    def occupied() -> Generator[Progress]:
        started.set()
        assert gate.wait(WAIT)
        yield Progress(1, 1)

    def double(values: np.ndarray) -> Generator[Progress]:
        sizes.append(len(values))
        yield Progress(1, 1)
        if (values < 0).any():
            raise BadInput("negative")
        return values * 2

    def ask(values: np.ndarray, key: str) -> Any:
        merge = Merge((key,), values, double)
        return engine.submit_steps(lambda: double(values), timeout_s=WAIT, merge=merge)

    engine.submit_steps(occupied, timeout_s=WAIT)
    await happens(started)
    a, other, b, too_many = ask(rows(1, 2), "k"), ask(rows(9), "l"), ask(rows(3), "k"), ask(rows(4, 5), "k")
    gate.set()
    assert [(await answer(t)).ravel().tolist() for t in (a, other, b, too_many)] == [
        [2, 4],
        [18],
        [6],
        [8, 10],
    ]
    assert sizes == [3, 1, 2]

    started.clear()
    gate.clear()
    engine.submit_steps(occupied, timeout_s=WAIT)
    await happens(started)
    good, bad = ask(rows(1), "k"), ask(rows(-1), "k")
    gate.set()
    assert (await answer(good)).tolist() == [[2]]
    with pytest.raises(BadInput):
        await answer(bad)


@pytest.mark.parametrize("how", ["deadline", "gone"])
async def test_a_long_call_is_stopped_and_closed_between_chunks(
    make_engine: Callable[..., Engine], how: str
) -> None:
    clock, closed = FakeClock(), threading.Event()
    engine = make_engine(clock=clock, chunk_steps=1)
    reached, gate = threading.Event(), threading.Event()

    def endless() -> Generator[Progress]:
        try:
            while True:
                reached.set()
                assert gate.wait(WAIT)
                yield Progress(1, 2)
        finally:
            closed.set()

    task = engine.submit_steps(endless, timeout_s=5)
    await happens(reached)
    if how == "gone":
        task.give_up()
    else:
        clock.now = 6.0
    gate.set()
    with pytest.raises(Cancelled if how == "gone" else DeadlinePassed):
        await answer(task)
    await happens(closed)


async def test_a_failing_call_fails_alone(make_engine: Callable[..., Engine]) -> None:
    def failing() -> Generator[Progress]:
        yield Progress(1, 2)
        raise ZeroDivisionError

    engine = make_engine()
    with pytest.raises(ZeroDivisionError):
        await answer(engine.submit_steps(failing, timeout_s=WAIT))
    assert await answer(engine.submit_steps(lambda: counting(1, [], "y"), timeout_s=WAIT)) == "y"


async def test_calls_under_way_count_against_the_task_queue(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(task_queue_size=1)
    started, gate = threading.Event(), threading.Event()

    def occupied() -> Generator[Progress]:
        started.set()
        assert gate.wait(WAIT)
        yield Progress(1, 1)

    task = engine.submit_steps(occupied, timeout_s=WAIT)
    await happens(started)
    with pytest.raises(TooMany):
        engine.submit_steps(occupied, timeout_s=WAIT)
    gate.set()
    await answer(task)
    # Whoever has an answer finds the place free again.
    assert await answer(engine.submit_steps(lambda: counting(1, [], "z"), timeout_s=WAIT)) == "z"
