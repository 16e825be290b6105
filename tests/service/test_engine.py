"""The inference thread, driven by fakes whose pace the test decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import pytest

from ebm.errors import BadInput, Cancelled
from service.engine import Engine
from service.errors import DeadlinePassed, ShuttingDown, TooMany

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

    def judge(self, energy: np.ndarray, **options: Any) -> tuple[list[float], dict[str, Any]]:
        if options.get("fpr") == 13:
            raise BadInput("unlucky")
        return energy.tolist(), options


@pytest.fixture
def make() -> Iterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def start(**options: Any) -> Engine:
        engines.append(Engine(**{"chunk_s": 1e9, **options}))
        engines[-1].start()
        return engines[-1]

    yield start
    for engine in engines:
        engine.stop(drain_s=0)


def held(engine: Engine, scorer: FakeScorer) -> Any:
    """Occupy the thread with a one-row batch until `scorer.gate` opens; returns that task."""
    scorer.entered.clear()
    scorer.gate.clear()
    task = engine.submit_score(scorer, rows(0), timeout_s=WAIT)
    assert scorer.entered.wait(WAIT)
    return task


def rows(*first: float) -> np.ndarray:
    return np.array(first, dtype=float)[:, None]


def test_what_waits_becomes_one_batch_and_each_gets_its_own_rows(make: Callable[..., Engine]) -> None:
    engine, scorer = make(), FakeScorer()
    held(engine, scorer)
    a = engine.submit_score(scorer, rows(1, 2), timeout_s=WAIT, fpr=0.1)
    b = engine.submit_score(scorer, rows(3), timeout_s=WAIT, fpr=0.2)
    scorer.gate.set()
    assert a.future.result(WAIT) == ([1, 2], {"fpr": 0.1})
    assert b.future.result(WAIT) == ([3], {"fpr": 0.2})
    assert scorer.batches == [1, 3]


def test_models_are_never_joined(make: Callable[..., Engine]) -> None:
    engine, scorer, other = make(), FakeScorer(), FakeScorer()
    held(engine, scorer)
    a = engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    b = engine.submit_score(other, rows(2), timeout_s=WAIT)
    scorer.gate.set()
    assert a.future.result(WAIT)[0] == [1] and b.future.result(WAIT)[0] == [2]
    assert other.batches == [1]


def test_a_batch_has_at_most_max_batch_rows(make: Callable[..., Engine]) -> None:
    engine, scorer = make(max_batch_rows=3), FakeScorer()
    held(engine, scorer)
    tasks = [engine.submit_score(scorer, rows(1, 2), timeout_s=WAIT) for _ in range(3)]
    scorer.gate.set()
    assert [task.future.result(WAIT)[0] for task in tasks] == [[1, 2]] * 3
    assert scorer.batches == [1, 2, 2, 2]


def test_a_bad_request_fails_alone(make: Callable[..., Engine]) -> None:
    engine, scorer = make(), FakeScorer()
    held(engine, scorer)
    good = engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    bad = engine.submit_score(scorer, rows(-1), timeout_s=WAIT)
    unlucky = engine.submit_score(scorer, rows(2), timeout_s=WAIT, fpr=13)
    scorer.gate.set()
    assert good.future.result(WAIT)[0] == [1]
    for task, message in ((bad, "negative"), (unlucky, "unlucky")):
        with pytest.raises(BadInput, match=message):
            task.future.result(WAIT)


def test_a_full_queue_refuses_with_retry_after(make: Callable[..., Engine]) -> None:
    engine, scorer = make(queue_size=2, retry_after_s=7), FakeScorer()
    held(engine, scorer)
    for _ in range(2):
        engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    with pytest.raises(TooMany) as caught:
        engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    assert caught.value.headers == {"Retry-After": "7"}
    scorer.gate.set()


def test_waiting_requests_stop_at_their_deadline_or_when_the_client_goes(make: Callable[..., Engine]) -> None:
    now = [0.0]
    engine, scorer = make(clock=lambda: now[0]), FakeScorer()
    held(engine, scorer)
    late = engine.submit_score(scorer, rows(1), timeout_s=5)
    gone = engine.submit_score(scorer, rows(2), timeout_s=WAIT)
    gone.cancel()
    now[0] = 6.0
    scorer.gate.set()
    with pytest.raises(DeadlinePassed):
        late.future.result(WAIT)
    with pytest.raises(Cancelled):
        gone.future.result(WAIT)
    assert scorer.batches == [1]


def counting(n: int, seen: list[str], name: str, gate: threading.Event | None = None) -> Generator[int]:
    for i in range(n):
        seen.append(f"{name}{i}")
        if gate is not None:
            assert gate.wait(WAIT)
        yield i
    return name


def test_long_tasks_advance_by_turns_a_chunk_at_a_time(make: Callable[..., Engine]) -> None:
    engine, scorer = make(chunk_steps=2, active_tasks=2), FakeScorer()
    first = held(engine, scorer)
    seen: list[str] = []
    tasks = [engine.submit_steps(lambda name=name: counting(3, seen, name), timeout_s=WAIT) for name in "abc"]
    scorer.gate.set()
    assert [task.future.result(WAIT) for task in tasks] == ["a", "b", "c"]
    assert first.future.result(WAIT)[0] == [0]
    assert seen == ["a0", "a1", "b0", "b1", "a2", "b2", "c0", "c1", "c2"]


def test_scores_are_served_between_two_chunks(make: Callable[..., Engine]) -> None:
    engine, scorer = make(chunk_steps=1), FakeScorer()
    gate, seen = threading.Event(), list[str]()
    task = engine.submit_steps(lambda: counting(50, seen, "x", gate), timeout_s=WAIT)
    score = engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    done_after: list[int] = []
    score.future.add_done_callback(lambda _: done_after.append(len(seen)))
    gate.set()
    assert task.future.result(WAIT) == "x"
    assert done_after and done_after[0] <= 2


def test_a_chunk_ends_when_its_time_is_over(make: Callable[..., Engine]) -> None:
    now = [0.0]
    chunks: list[int] = []

    def slow() -> Generator[None]:
        for _ in range(4):
            now[0] += 1.0
            yield

    engine = make(clock=lambda: now[0], chunk_steps=100, chunk_s=1.5, on_steps=chunks.append)
    engine.submit_steps(slow, timeout_s=1000).future.result(WAIT)
    assert chunks[:2] == [2, 2]


@pytest.mark.parametrize("how", ["deadline", "gone"])
def test_a_long_task_is_stopped_and_closed_between_chunks(make: Callable[..., Engine], how: str) -> None:
    now, closed = [0.0], threading.Event()
    engine = make(clock=lambda: now[0], chunk_steps=1)
    reached, gate = threading.Event(), threading.Event()

    def endless() -> Generator[None]:
        try:
            while True:
                reached.set()
                assert gate.wait(WAIT)
                yield
        finally:
            closed.set()

    task = engine.submit_steps(endless, timeout_s=5)
    assert reached.wait(WAIT)
    if how == "gone":
        task.cancel()
    else:
        now[0] = 6.0
    gate.set()
    with pytest.raises(Cancelled if how == "gone" else DeadlinePassed):
        task.future.result(WAIT)
    assert closed.wait(WAIT)


def test_a_failing_task_fails_alone(make: Callable[..., Engine]) -> None:
    def failing() -> Generator[None]:
        yield
        raise ZeroDivisionError

    engine = make()
    task = engine.submit_steps(failing, timeout_s=WAIT)
    with pytest.raises(ZeroDivisionError):
        task.future.result(WAIT)
    assert engine.submit_steps(lambda: counting(1, [], "y"), timeout_s=WAIT).future.result(WAIT) == "y"


def test_tasks_under_way_count_against_the_task_queue(make: Callable[..., Engine]) -> None:
    engine = make(task_queue_size=1)
    started, gate = threading.Event(), threading.Event()

    def occupied() -> Generator[None]:
        started.set()
        assert gate.wait(WAIT)
        yield

    task = engine.submit_steps(occupied, timeout_s=WAIT)
    assert started.wait(WAIT)
    with pytest.raises(TooMany):
        engine.submit_steps(occupied, timeout_s=WAIT)
    gate.set()
    task.future.result(WAIT)
    # Whoever has an answer finds the place free again.
    assert engine.submit_steps(lambda: counting(1, [], "z"), timeout_s=WAIT).future.result(WAIT) == "z"


def test_stop_finishes_what_was_accepted_and_takes_no_more(make: Callable[..., Engine]) -> None:
    engine, scorer = make(chunk_steps=1, active_tasks=1), FakeScorer()
    held(engine, scorer)
    score = engine.submit_score(scorer, rows(1), timeout_s=WAIT)
    tasks = [engine.submit_steps(lambda: counting(5, [], "t"), timeout_s=WAIT) for _ in range(2)]
    stopper = threading.Thread(target=engine.stop, args=(WAIT,))
    stopper.start()
    scorer.gate.set()
    stopper.join(WAIT)
    assert score.future.result(0)[0] == [1]
    assert [task.future.result(0) for task in tasks] == ["t", "t"]
    assert not engine.accepting
    with pytest.raises(ShuttingDown):
        engine.submit_score(scorer, rows(1), timeout_s=WAIT)


def test_stop_fails_what_cannot_be_finished_in_time(make: Callable[..., Engine]) -> None:
    engine = make(chunk_steps=1, active_tasks=1)
    closed = threading.Event()

    def endless() -> Generator[None]:
        try:
            while True:
                yield
        finally:
            closed.set()

    tasks = [engine.submit_steps(endless, timeout_s=1000) for _ in range(2)]
    engine.stop(drain_s=0)
    for task in tasks:
        with pytest.raises(ShuttingDown):
            task.future.result(WAIT)
    assert closed.is_set() or tasks[0].steps is None
