"""The scoring thread, and the end of both, driven by fakes whose pace the test decides."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pytest
from engine_fakes import WAIT, FakeClock, FakeScorer, answer, counting, happens, held, rows

from ebm.errors import BadInput, Cancelled
from ebm.steps import Progress
from service.engine import Engine
from service.errors import DeadlinePassed, ShuttingDown, TooMany

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# -- scores ---------------------------------------------------------------------------------------------------------


async def test_what_waits_becomes_one_batch_and_each_gets_its_own_rows(
    make_engine: Callable[..., Engine],
) -> None:
    engine, scorer = make_engine(), FakeScorer()
    await held(engine, scorer)
    a = engine.submit_score(scorer, rows(1, 2), timeout_s=WAIT, fpr=0.1)
    b = engine.submit_score(scorer, rows(3), timeout_s=WAIT, fpr=0.2)
    scorer.gate.set()
    assert await answer(a) == ([1, 2], {"fpr": 0.1})
    assert await answer(b) == ([3], {"fpr": 0.2})
    assert scorer.batches == [1, 3]


async def test_models_are_never_joined(make_engine: Callable[..., Engine]) -> None:
    engine, scorer, other = make_engine(), FakeScorer(), FakeScorer()
    await held(engine, scorer)
    a = engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    b = engine.submit_score(other, rows(2), timeout_s=WAIT)
    scorer.gate.set()
    assert (await answer(a))[0] == [1] and (await answer(b))[0] == [2]
    assert other.batches == [1]


async def test_each_batch_is_observed_with_its_model(make_engine: Callable[..., Engine]) -> None:
    seen: list[Any] = []
    engine, scorer = make_engine(on_batch=lambda *batch: seen.append(batch)), FakeScorer()
    await answer(engine.submit_score(scorer, rows(1, 2), timeout_s=WAIT, model="m"))
    ((model, requests, anomaly_score, p_value),) = seen
    assert (model, requests, anomaly_score.tolist(), p_value.tolist()) == ("m", 1, [10, 20], [100, 200])


async def test_many_rows_are_scored_in_parts_that_leave_room_for_others(
    make_engine: Callable[..., Engine],
) -> None:
    engine, scorer = make_engine(max_batch_rows=4), FakeScorer()
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


async def test_a_part_is_as_long_as_it_may_take(make_engine: Callable[..., Engine]) -> None:
    """A scorer of a millisecond a row, with 100 ms a part: after one batch has shown its pace, parts of about 100."""

    class Slow(FakeScorer):
        def energies(self, values: np.ndarray) -> np.ndarray:
            until = time.thread_time() + 0.001 * len(values)
            while time.thread_time() < until:
                pass
            return super().energies(values)

    engine, scorer = make_engine(part_s=0.1), Slow()
    await answer(engine.submit_score(scorer, rows(*range(64)), timeout_s=WAIT))
    await answer(engine.submit_score(scorer, rows(*range(300)), timeout_s=WAIT))
    # Sizes are told apart to within a factor of two.
    assert scorer.batches[0] == 64 and 64 <= scorer.batches[1] <= 150


async def test_what_takes_no_time_is_scored_in_the_event_loop(make_engine: Callable[..., Engine]) -> None:
    class Noting(FakeScorer):
        def __init__(self) -> None:
            super().__init__()
            self.threads: list[int] = []

        def energies(self, values: np.ndarray) -> np.ndarray:
            self.threads.append(threading.get_ident())
            return super().energies(values)

    here = threading.get_ident()
    engine, scorer = make_engine(inline_s=1e9, max_batch_rows=2), Noting()
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


async def test_a_bad_request_fails_alone(make_engine: Callable[..., Engine]) -> None:
    engine, scorer = make_engine(), FakeScorer()
    await held(engine, scorer)
    good = engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    bad = engine.submit_score(scorer, rows(-1), timeout_s=WAIT)
    unlucky = engine.submit_score(scorer, rows(2), timeout_s=WAIT, fpr=13)
    scorer.gate.set()
    assert (await answer(good))[0] == [1]
    for task, message in ((bad, "negative"), (unlucky, "unlucky")):
        with pytest.raises(BadInput, match=message):
            await answer(task)


async def test_a_full_queue_refuses_with_the_time_it_takes(make_engine: Callable[..., Engine]) -> None:
    engine, scorer = make_engine(queue_size=3), FakeScorer()
    await held(engine, scorer)
    for _ in range(2):
        engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    engine._scoring._rate = 0.25  # requests a second, lately
    with pytest.raises(TooMany, match="3 requests") as caught:
        engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    assert caught.value.headers == {"Retry-After": "12"}
    scorer.gate.set()


async def test_few_requests_of_many_rows_fill_the_queue_too(make_engine: Callable[..., Engine]) -> None:
    engine, scorer = make_engine(queue_rows=5), FakeScorer()
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
    make_engine: Callable[..., Engine],
) -> None:
    clock = FakeClock()
    engine, scorer = make_engine(clock=clock), FakeScorer()
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


# -- the end --------------------------------------------------------------------------------------------------------


async def test_stop_finishes_what_was_accepted_and_takes_no_more(make_engine: Callable[..., Engine]) -> None:
    engine, scorer = make_engine(chunk_steps=1, active_tasks=1), FakeScorer()
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


async def test_stop_fails_what_cannot_be_finished_in_time(make_engine: Callable[..., Engine]) -> None:
    engine, scorer = make_engine(chunk_steps=1, active_tasks=1, max_batch_rows=1), FakeScorer()
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
