"""The inference threads, driven by fakes whose pace the test decides."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import pytest

from ebm.errors import BadInput, Cancelled
from ebm.steps import Progress
from service.engine import Engine
from service.engine.tasks import Merge
from service.errors import DeadlinePassed, ShuttingDown, TooMany

WAIT = 20.0  # how long a test waits for what must come
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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


@pytest.fixture
def make() -> Iterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def start(**options: Any) -> Engine:
        engines.append(Engine(**{"chunk_s": 1e9, "part_s": 1e9, **options}))
        engines[-1].start()
        return engines[-1]

    yield start
    for engine in engines:
        engine.stop(drain_s=0)


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


# -- scores ---------------------------------------------------------------------------------------------------------


async def test_what_waits_becomes_one_batch_and_each_gets_its_own_rows(make: Callable[..., Engine]) -> None:
    engine, scorer = make(), FakeScorer()
    await held(engine, scorer)
    a = engine.submit_score(scorer, rows(1, 2), timeout_s=WAIT, fpr=0.1)
    b = engine.submit_score(scorer, rows(3), timeout_s=WAIT, fpr=0.2)
    scorer.gate.set()
    assert await answer(a) == ([1, 2], {"fpr": 0.1})
    assert await answer(b) == ([3], {"fpr": 0.2})
    assert scorer.batches == [1, 3]


async def test_models_are_never_joined(make: Callable[..., Engine]) -> None:
    engine, scorer, other = make(), FakeScorer(), FakeScorer()
    await held(engine, scorer)
    a = engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    b = engine.submit_score(other, rows(2), timeout_s=WAIT)
    scorer.gate.set()
    assert (await answer(a))[0] == [1] and (await answer(b))[0] == [2]
    assert other.batches == [1]


async def test_each_batch_is_observed_with_its_model(make: Callable[..., Engine]) -> None:
    seen: list[Any] = []
    engine, scorer = make(on_batch=lambda *batch: seen.append(batch)), FakeScorer()
    await answer(engine.submit_score(scorer, rows(1, 2), timeout_s=WAIT, model="m"))
    ((model, requests, anomaly_score, p_value),) = seen
    assert (model, requests, anomaly_score.tolist(), p_value.tolist()) == ("m", 1, [10, 20], [100, 200])


async def test_many_rows_are_scored_in_parts_that_leave_room_for_others(make: Callable[..., Engine]) -> None:
    engine, scorer = make(max_batch_rows=4), FakeScorer()
    await held(engine, scorer)
    big = engine.submit_score(scorer, rows(*range(1, 9)), timeout_s=WAIT)
    small = [engine.submit_score(scorer, rows(10 + i), timeout_s=WAIT) for i in range(3)]
    order: list[str] = []
    big.future.add_done_callback(lambda _: order.append("big"))
    small[1].future.add_done_callback(lambda _: order.append("small"))
    scorer.gate.set()
    assert (await answer(big))[0] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [(await answer(task))[0] for task in small] == [[10], [11], [12]]
    # Two of the big one's rows beside two small ones; two beside the last; and what is left alone.
    assert scorer.batches == [1, 4, 3, 4]
    assert order == ["small", "big"]


async def test_a_part_is_as_long_as_it_may_take(make: Callable[..., Engine]) -> None:
    """A scorer of a millisecond a row, with 100 ms a part: after one batch has shown its pace, parts of about 100."""

    class Slow(FakeScorer):
        def energies(self, values: np.ndarray) -> np.ndarray:
            until = time.thread_time() + 0.001 * len(values)
            while time.thread_time() < until:
                pass
            return super().energies(values)

    engine, scorer = make(part_s=0.1), Slow()
    await answer(engine.submit_score(scorer, rows(*range(64)), timeout_s=WAIT))
    await answer(engine.submit_score(scorer, rows(*range(300)), timeout_s=WAIT))
    # Sizes are told apart to within a factor of two.
    assert scorer.batches[0] == 64 and 64 <= scorer.batches[1] <= 150


async def test_what_takes_no_time_is_scored_in_the_event_loop(make: Callable[..., Engine]) -> None:
    class Noting(FakeScorer):
        def __init__(self) -> None:
            super().__init__()
            self.threads: list[int] = []

        def energies(self, values: np.ndarray) -> np.ndarray:
            self.threads.append(threading.get_ident())
            return super().energies(values)

    here = threading.get_ident()
    engine, scorer = make(inline_s=1e9, max_batch_rows=2), Noting()
    for _ in range(2):  # at first nothing is known of its pace
        await answer(engine.submit_score(scorer, rows(1), timeout_s=WAIT))
        await asyncio.sleep(0.05)  # the thread has turned to waiting again
    assert scorer.threads[0] != here and scorer.threads[1] == here
    # More than a batch may hold: the rest is for the thread, which may be at it at once.
    tasks = [engine.submit_score(scorer, rows(i, i + 1), timeout_s=WAIT) for i in range(3)]
    assert [(await answer(task))[0] for task in tasks] == [[0, 1], [1, 2], [2, 3]]
    assert scorer.threads[2] == here and here not in scorer.threads[3:]
    # While the thread is busy, nothing waits for it in the event loop.
    await held(engine, other := FakeScorer())
    waits = engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    await asyncio.sleep(0.01)
    assert not waits.future.done()
    other.gate.set()
    await answer(waits)
    assert engine.depth() == {"score": 0, "task": 0}


async def test_a_bad_request_fails_alone(make: Callable[..., Engine]) -> None:
    engine, scorer = make(), FakeScorer()
    await held(engine, scorer)
    good = engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    bad = engine.submit_score(scorer, rows(-1), timeout_s=WAIT)
    unlucky = engine.submit_score(scorer, rows(2), timeout_s=WAIT, fpr=13)
    scorer.gate.set()
    assert (await answer(good))[0] == [1]
    for task, message in ((bad, "negative"), (unlucky, "unlucky")):
        with pytest.raises(BadInput, match=message):
            await answer(task)


async def test_a_full_queue_refuses_with_the_time_it_takes(make: Callable[..., Engine]) -> None:
    engine, scorer = make(queue_size=3), FakeScorer()
    await held(engine, scorer)
    for _ in range(2):
        engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    engine._scoring._rate = 0.25  # requests a second, lately
    with pytest.raises(TooMany, match="3 requests") as caught:
        engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    assert caught.value.headers == {"Retry-After": "12"}
    scorer.gate.set()


async def test_few_requests_of_many_rows_fill_the_queue_too(make: Callable[..., Engine]) -> None:
    engine, scorer = make(queue_rows=5), FakeScorer()
    await held(engine, scorer)
    waits = engine.submit_score(scorer, rows(1, 2, 3), timeout_s=WAIT)
    with pytest.raises(TooMany, match="full of rows"):
        engine.submit_score(scorer, rows(1, 2), timeout_s=WAIT)
    scorer.gate.set()
    await answer(waits)
    # Alone, a request may be larger than the queue.
    assert len((await answer(engine.submit_score(scorer, rows(*range(9)), timeout_s=WAIT)))[0]) == 9
    assert engine.depth() == {"score": 0, "task": 0}


async def test_waiting_requests_stop_at_their_deadline_or_when_the_client_goes(
    make: Callable[..., Engine],
) -> None:
    clock = FakeClock()
    engine, scorer = make(clock=clock), FakeScorer()
    await held(engine, scorer)
    late = engine.submit_score(scorer, rows(1), timeout_s=5)
    gone = engine.submit_score(scorer, rows(2), timeout_s=WAIT)
    gone.give_up()
    clock.now = 6.0
    scorer.gate.set()
    with pytest.raises(DeadlinePassed):
        await answer(late)
    with pytest.raises(Cancelled):
        await answer(gone)
    assert scorer.batches == [1]


# -- long calls -----------------------------------------------------------------------------------------------------


async def test_long_calls_advance_by_turns_a_chunk_at_a_time(make: Callable[..., Engine]) -> None:
    engine = make(chunk_steps=2, active_tasks=2)
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


async def test_scores_do_not_wait_for_a_step_under_way(make: Callable[..., Engine]) -> None:
    engine, scorer = make(), FakeScorer()
    gate, seen = threading.Event(), list[str]()
    task = engine.submit_steps(lambda: counting(1, seen, "x", gate), timeout_s=WAIT)
    assert (await answer(engine.submit_score(scorer, rows(1), timeout_s=WAIT)))[0] == [1]
    assert not task.future.done()
    gate.set()
    assert await answer(task) == "x"


async def test_a_chunk_ends_when_its_time_is_over(make: Callable[..., Engine]) -> None:
    clock, chunks = FakeClock(), list[int]()

    def slow() -> Generator[Progress]:
        for i in range(4):
            clock.now += 1.0
            yield Progress(i, 4)

    engine = make(clock=clock, chunk_steps=100, chunk_s=1.5, on_steps=chunks.append)
    await answer(engine.submit_steps(slow, timeout_s=1000))
    assert chunks[:2] == [2, 2]


async def test_progress_is_told_in_the_event_loop(make: Callable[..., Engine]) -> None:
    engine, told, threads = make(chunk_steps=2), list[int](), set[int]()

    def hear(progress: list[Progress]) -> None:
        threads.add(threading.get_ident())
        told.extend(p.step for p in progress)

    await answer(engine.submit_steps(lambda: counting(5, [], "x"), timeout_s=WAIT, on_progress=hear))
    assert told == [1, 2, 3, 4, 5] and threads == {threading.get_ident()}


async def test_equal_calls_that_wait_together_run_as_one(make: Callable[..., Engine]) -> None:
    engine, sizes = make(active_tasks=1, max_batch_rows=4), list[int]()
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
    make: Callable[..., Engine], how: str
) -> None:
    clock, closed = FakeClock(), threading.Event()
    engine = make(clock=clock, chunk_steps=1)
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


async def test_a_failing_call_fails_alone(make: Callable[..., Engine]) -> None:
    def failing() -> Generator[Progress]:
        yield Progress(1, 2)
        raise ZeroDivisionError

    engine = make()
    with pytest.raises(ZeroDivisionError):
        await answer(engine.submit_steps(failing, timeout_s=WAIT))
    assert await answer(engine.submit_steps(lambda: counting(1, [], "y"), timeout_s=WAIT)) == "y"


async def test_calls_under_way_count_against_the_task_queue(make: Callable[..., Engine]) -> None:
    engine = make(task_queue_size=1)
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


# -- the end --------------------------------------------------------------------------------------------------------


async def test_stop_finishes_what_was_accepted_and_takes_no_more(make: Callable[..., Engine]) -> None:
    engine, scorer = make(chunk_steps=1, active_tasks=1), FakeScorer()
    await held(engine, scorer)
    score = engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    tasks = [engine.submit_steps(lambda: counting(5, [], "t"), timeout_s=WAIT) for _ in range(2)]
    stopping = asyncio.create_task(asyncio.to_thread(engine.stop, WAIT))
    scorer.gate.set()
    await asyncio.wait_for(stopping, WAIT)
    assert (await answer(score))[0] == [1]
    assert [await answer(task) for task in tasks] == ["t", "t"]
    assert not engine.accepting
    with pytest.raises(ShuttingDown):
        engine.submit_score(scorer, rows(1), timeout_s=WAIT)


async def test_stop_fails_what_cannot_be_finished_in_time(make: Callable[..., Engine]) -> None:
    engine, scorer = make(chunk_steps=1, active_tasks=1, max_batch_rows=1), FakeScorer()
    reached, closed = threading.Event(), threading.Event()

    def endless() -> Generator[Progress]:
        try:
            while True:
                reached.set()
                yield Progress(1, 2)
        finally:
            closed.set()

    tasks = [engine.submit_steps(endless, timeout_s=1000) for _ in range(2)]
    await held(engine, scorer)
    score = engine.submit_score(scorer, rows(1, 2), timeout_s=1000)
    await happens(reached)
    stopping = asyncio.create_task(asyncio.to_thread(engine.stop, 0))
    await asyncio.sleep(0.05)  # the order to stop is there before the batch ends
    scorer.gate.set()
    await stopping
    for task in (*tasks, score):
        with pytest.raises(ShuttingDown):
            await answer(task)
    await happens(closed)
