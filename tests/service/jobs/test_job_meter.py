"""Rates and times left of running jobs."""

from __future__ import annotations

import itertools

import pytest

from service.jobs import meter as meters
from service.jobs.job import JobProgress
from service.jobs.meter import Meter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(meters.time, "monotonic", lambda: now[0])
    return now


def noted(meter: Meter, *args: object, **options: object) -> JobProgress:
    meter.note(*args, **options)  # type: ignore[arg-type]
    found = meter.progress()
    assert found is not None
    return found


def test_the_rate_is_of_the_last_seconds_and_not_of_earlier_attempts(clock: list[float]) -> None:
    meter = Meter()
    assert meter.progress() is None
    meter.begin(5000, 10_000)  # done before
    clock[0] += 2
    found = noted(meter, 5200, 10_000, anomalies=3, rejected=1)
    assert (found.done, found.total, found.anomalies, found.rejected) == (5200, 10_000, 3, 1)
    assert found.per_second == 100 and found.eta_s == 48
    for done in range(5201, 5231):  # ten rows a second from now on
        clock[0] += 1
        if done % 10 == 0:
            found = noted(meter, 5200 + (done - 5200) * 10, 10_000)
    assert found.per_second == pytest.approx(10)


def test_without_a_total_there_is_no_time_left(clock: list[float]) -> None:
    meter = Meter()
    meter.begin(0, None)
    assert noted(meter, 0, None).per_second is None
    clock[0] += 1
    found = noted(meter, 10, None)
    assert found.per_second == 10 and found.eta_s is None


@pytest.mark.usefixtures("clock")
def test_work_that_begins_has_a_total_but_has_not_got_on() -> None:
    told: list[int] = []
    meter = Meter(lambda: told.append(1))
    meter.begin(40, 1000)
    assert meter.progress() == JobProgress(done=40, total=1000) and not meter.got_on and told == []
    noted(meter, 80, 1000)
    assert meter.got_on and told == [1]


def test_less_than_a_second_has_no_rate(clock: list[float]) -> None:
    meter = Meter()
    meter.begin(0, 4)
    clock[0] += 0.99
    found = noted(meter, 2, 4)
    assert found.per_second is None and found.eta_s is None
    clock[0] += 0.01
    assert noted(meter, 4, 4).per_second == 4


def test_terms_count_their_own_steps_and_no_figure_is_infinite(clock: list[float]) -> None:
    meter = Meter()
    noted(meter, 900, 1000, "steps", term="a")
    clock[0] += 1
    found = noted(meter, 10, 1000, "steps", term="b", figures={"loss": float("nan"), "real": 1.5})
    assert found.per_second is None and found.term == "b" and found.figures == {"real": 1.5}


def test_the_first_note_is_told_and_memory_is_bounded(clock: list[float]) -> None:
    told: list[int] = []
    meter = Meter(lambda: told.append(1))
    for n in itertools.islice(itertools.count(), 10_000):
        clock[0] += 0.01
        meter.note(n, None)
    assert told == [1] and len(meter._notes) < 60
