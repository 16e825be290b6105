"""What a batch will take, from what others took."""

from __future__ import annotations

import pytest

from service.engine.pace import Pace


class Model:
    pass


def test_nothing_is_known_of_a_new_model() -> None:
    pace, model = Pace(), Model()
    assert pace.expect(model, 1) is None and pace.rows_within(model, 1.0) is None


def test_the_pace_of_a_size_is_learnt() -> None:
    pace, model = Pace(), Model()
    pace.observe(model, 1, 0.1)
    pace.observe(model, 20, 0.2)
    assert pace.expect(model, 1) == pytest.approx(0.1)
    assert pace.expect(model, 31) == pytest.approx(0.2)  # 16 to 31 are one size
    pace.observe(model, 20, 0.3)
    assert pace.expect(model, 20) == pytest.approx(0.23)
    assert pace.expect(Model(), 20) is None


def test_another_size_takes_at_most_in_proportion() -> None:
    pace, model = Pace(), Model()
    pace.observe(model, 16, 0.2)
    assert pace.expect(model, 64) == pytest.approx(0.8)
    assert pace.expect(model, 2) == pytest.approx(0.2)


def test_rows_of_a_time_go_by_the_largest_batch() -> None:
    pace, model = Pace(), Model()
    pace.observe(model, 1, 1.0)
    pace.observe(model, 1000, 1.0)
    assert pace.rows_within(model, 0.5) == 384  # sizes 512 to 1023, on average 768 a second
