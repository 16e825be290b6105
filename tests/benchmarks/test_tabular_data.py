"""The split protocol: who trains, who tests, and how many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _tabular_data import ROWS, load, names, split, standardiser


def numbered(normals: int, anomalies: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that carry their own number."""
    total = normals + anomalies
    return np.arange(total, dtype=np.float64)[:, None], np.arange(total) >= normals


def test_half_of_the_normal_rows_train_and_everything_else_tests() -> None:
    values, labels = numbered(11, 4)
    rows = split(values, labels, seed=0)
    assert len(rows.train) == 5 and len(rows.test) == 10
    assert set(rows.train[:, 0]) <= set(range(11))
    assert sorted([*rows.train[:, 0], *rows.test[:, 0]]) == list(range(15))
    assert np.array_equal(rows.test[:, 0] >= 11, rows.labels == 1)


def test_contaminated_training_takes_half_of_all_rows() -> None:
    values, labels = numbered(60, 40)
    rows = split(values, labels, seed=0, contaminated=True)
    assert len(rows.train) == len(rows.test) == 50
    assert 0 < (rows.train[:, 0] >= 60).sum() < 40
    assert sorted([*rows.train[:, 0], *rows.test[:, 0]]) == list(range(100))


def test_a_seed_is_one_split_and_another_seed_another() -> None:
    values, labels = numbered(30, 5)
    assert np.array_equal(split(values, labels, 3).train, split(values, labels, 3).train)
    assert not np.array_equal(split(values, labels, 3).train, split(values, labels, 4).train)


def test_large_sets_are_drawn_without_replacement() -> None:
    values, labels = numbered(2 * ROWS, ROWS)
    rows = split(values, labels, 0)
    drawn = [*rows.train[:, 0], *rows.test[:, 0]]
    assert len(drawn) == len(set(drawn)) == ROWS
    # Plain draws: a third of the rows are anomalies, give or take five standard deviations.
    assert abs(rows.labels.sum() - ROWS / 3) < 5 * np.sqrt(ROWS * 2 / 9)


@pytest.mark.parametrize(("normals", "anomalies"), [(10, 0), (0, 10), (3, 2)])
def test_a_split_that_measures_nothing_is_refused(normals: int, anomalies: int) -> None:
    with pytest.raises(ValueError, match="nothing to measure"):
        split(*numbered(normals, anomalies), seed=0)


def test_constant_columns_keep_their_unit() -> None:
    mean, deviation = standardiser(np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert mean.tolist() == [2.0, 5.0] and deviation.tolist() == [1.0, 1.0]
    assert standardiser(np.array([[0.0], [4.0]]))[1].tolist() == [2.0]


def test_a_folder_is_read_in_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        np.savez(tmp_path / f"{name}.npz", X=np.ones((3, 2), dtype=np.float32), y=np.array([[0], [1], [0]]))
    assert names(tmp_path) == ["a", "b"]
    values, labels = load(tmp_path, "a")
    assert values.dtype == np.float64 and labels.tolist() == [False, True, False]


def test_an_archive_whose_labels_do_not_fit_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.ones((3, 2)), y=np.zeros(2))
    with pytest.raises(ValueError, match=r"X is \(3, 2\) and y \(2,\)"):
        load(tmp_path, "a")


def test_a_folder_without_sets_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no \.npz files here"):
        names(tmp_path)
