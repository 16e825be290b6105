"""Explanations of whole detectors: they add up, they name the column at fault, and they give back a normal row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from ebm.data import load_builtin
from ebm.detector import Detector
from ebm.errors import BadInput
from ebm.explain import explanation_figure
from ebm.fitting import fit_detector
from ebm.preprocessing.mixed import MixedConfig
from ebm.training.config import TrainConfig

CONFIG = {
    "name": "kernel",
    "data": {"kind": "builtin", "name": "breast_cancer"},
    "preprocessing": {"kind": "standardize"},
    "terms": [
        {"name": "narrow", "energy": {"kind": "kernel", "bandwidth": 0.2, "neighbour": 5}},
        {"name": "wide", "energy": {"kind": "kernel", "bandwidth": 1.0, "adaptive": 1.0}},
    ],
}


def benign() -> tuple[np.ndarray, list[str]]:
    table = load_builtin("breast_cancer")
    assert table.labels is not None and table.columns is not None
    return table.values[table.labels == "benign"], table.columns


@pytest.fixture(scope="module")
def detector() -> Detector:
    values, columns = benign()
    return fit_detector(TrainConfig.model_validate(CONFIG), values[:180], values[180:270], columns=columns)


@pytest.fixture(scope="module")
def corrupted() -> tuple[np.ndarray, np.ndarray]:
    """60 normal rows with one cell moved by 6 sd, and the columns of these cells."""
    values, _ = benign()
    rng = np.random.default_rng(0)
    rows, columns = values[270:330].copy(), rng.integers(0, 30, 60)
    rows[np.arange(60), columns] += 6 * values[:180].std(0)[columns] * rng.choice([-1, 1], 60)
    return rows, columns


@pytest.mark.parametrize("sparse", [True, False])
def test_contributions_add_up_to_the_energy_above_normal(detector, corrupted, sparse) -> None:
    found = detector.explain(corrupted[0], sparse=sparse)
    np.testing.assert_array_equal(found.energy, detector.energies(corrupted[0]))
    np.testing.assert_array_equal(found.p_value, detector.score(corrupted[0]).p_value)
    gap = found.energy.astype(float) - found.normal_energy
    assert (gap > 0.1).all()
    np.testing.assert_allclose(found.contributions.sum(1), gap, rtol=1e-4)


@pytest.mark.parametrize("sparse", [True, False])
def test_the_column_at_fault_comes_first(detector, corrupted, sparse) -> None:
    rows, columns = corrupted
    found = detector.explain(rows, sparse=sparse)
    assert (found.ranking[:, 0] == columns).mean() > 0.9
    assert found.changed[np.arange(60), columns].all()


@pytest.mark.parametrize("sparse", [True, False])
def test_the_normal_version_is_normal_and_keeps_what_need_not_change(detector, corrupted, sparse) -> None:
    rows, _ = corrupted
    found = detector.explain(rows, sparse=sparse)
    calibration = detector.manifest.calibration
    median = calibration.mean + calibration.sd * np.median(detector.calibration.scores)
    assert found.level == pytest.approx(median)
    assert (found.normal_energy <= median).all()
    np.testing.assert_allclose(
        detector.energies(found.normal_version), found.normal_energy, rtol=1e-5, atol=1e-5
    )
    np.testing.assert_array_equal(found.normal_version[~found.changed], rows[~found.changed])
    assert (found.normal_version[found.changed] != rows[found.changed]).all()
    # Not more normal than asked for: it lies near the row.
    assert (found.normal_energy > median - 0.1 * abs(median)).mean() > 0.9


def test_cells_of_more_digits_than_float32_are_kept(detector, corrupted) -> None:
    rows = corrupted[0].astype(float) * (1 + 1e-9)
    found = detector.explain(rows)
    assert found.changed.sum(1).mean() < 8
    np.testing.assert_array_equal(found.normal_version[~found.changed], rows[~found.changed])


def test_sparse_answers_change_few_columns(detector, corrupted) -> None:
    assert detector.explain(corrupted[0]).changed.sum(1).mean() < 8
    assert detector.explain(corrupted[0], sparse=False).changed.sum(1).mean() > 25


def test_normal_rows_are_their_own_normal_version(detector) -> None:
    values, _ = benign()
    found = detector.explain(values[:30])
    normal = found.energy <= found.level
    assert normal.sum() > 5
    assert (found.contributions[normal] == 0).all() and not found.changed[normal].any()
    np.testing.assert_array_equal(found.normal_version[normal], values[:30][normal])


def test_an_explanation_does_not_depend_on_the_batch(detector, corrupted) -> None:
    whole = detector.explain(corrupted[0][:6])
    for i in range(6):
        alone = detector.explain(corrupted[0][i : i + 1])
        np.testing.assert_allclose(alone.contributions[0], whole.contributions[i], rtol=0.02, atol=0.02)


def test_many_rows_are_explained_part_by_part(detector, corrupted, monkeypatch) -> None:
    whole = detector.explain(corrupted[0])
    monkeypatch.setattr("ebm.explain.MAX_ROWS", 25)
    steps = list(detector.explain_steps(corrupted[0]))
    assert {s.n_total for s in steps} == {60} and [s.step for s in steps] == sorted(s.step for s in steps)
    assert {s.step for s in steps} == {0, 25, 50, 60}
    parts = detector.explain(corrupted[0])
    np.testing.assert_allclose(parts.energy, whole.energy, rtol=1e-5)
    np.testing.assert_array_equal(parts.ranking[:, 0], whole.ranking[:, 0])


def test_rows_that_cannot_be_explained_are_named(detector, corrupted) -> None:
    for value, message in ((np.nan, "is missing"), (np.inf, "infinite"), (1e30, "too far")):
        rows = corrupted[0].astype(float)
        rows[4, 2] = value
        with pytest.raises(BadInput, match=message) as caught:
            detector.explain(rows)
        assert caught.value.row == 4 and caught.value.column == "mean perimeter"
    with pytest.raises(BadInput, match="30 columns"):
        detector.explain(corrupted[0][:, :5])


def test_a_table_has_no_heat_map(detector, corrupted) -> None:
    with pytest.raises(BadInput, match="no heat map"):
        _ = detector.explain(corrupted[0][:1]).heat_map


# -- tables of several types ----------------------------------------------------------------------------------------


def mixed_rows(n: int, seed: int) -> pa.Table:
    """x depends on the kind, y (whole numbers) on x, flag is x > 5; 1 in 10 of `maybe` is null."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    x = np.select([kind == "a", kind == "b"], [0.0, 10.0], 20.0) + rng.normal(size=n)
    y = np.rint(2 * x + rng.normal(size=n)).astype(int)
    maybe = pa.array(x + rng.normal(size=n), mask=rng.random(n) < 0.1)
    return pa.table({"kind": kind, "x": x, "y": y, "flag": x > 5, "maybe": maybe})


@pytest.fixture(scope="module")
def mixed() -> Detector:
    config = TrainConfig.model_validate(CONFIG).model_copy(update={"preprocessing": MixedConfig()})
    config = config.model_copy(update={"terms": config.terms[:1]})
    return fit_detector(config, mixed_rows(400, 0), mixed_rows(100, 1))  # type: ignore[arg-type]


def changed_cell(table: pa.Table, name: str, row: int, value: object) -> pa.Table:
    cells = table[name].to_pylist()
    cells[row] = value
    at = table.column_names.index(name)
    return table.set_column(at, name, pa.array(cells, table[name].type))


def test_a_wrong_category_number_or_flag_is_found_and_put_right(mixed: Detector) -> None:
    rows = mixed_rows(8, 2).slice(0, 6)
    kinds, x = rows["kind"].to_pylist(), rows["x"].to_pylist()
    wrong: list[tuple[str, object]] = [
        ("kind", "b" if kinds[0] == "a" else "a"),
        ("x", x[1] + 40.0),
        ("y", -50),
        ("flag", not x[3] > 5),
        ("kind", "never seen"),
    ]
    for i, (name, value) in enumerate(wrong):
        rows = changed_cell(rows, name, i, value)
    found = mixed.explain(rows)
    assert (
        isinstance(found.normal_version, pa.Table) and found.normal_version.schema.names == rows.schema.names
    )
    for i, (name, value) in enumerate(wrong):
        assert found.name(int(found.ranking[i, 0])) == name, i
        own, normal = found.cell(i, rows.column_names.index(name))
        assert own == value and normal != value
    assert found.cell(0, 0)[1] == kinds[0] and found.cell(3, 3)[1] is (x[3] > 5)
    # It is a row that the model takes, and as normal as it is said to be.
    np.testing.assert_allclose(
        mixed.energies(found.normal_version), found.normal_energy, rtol=1e-4, atol=1e-4
    )
    assert (found.normal_energy[:5] <= found.level).all()
    for j, name in enumerate(rows.column_names):
        for i in np.flatnonzero(~found.changed[:, j]):
            assert found.normal_version[name][i] == rows[name][i]


def test_frames_and_lists_give_the_same_answer(mixed: Detector) -> None:
    rows = changed_cell(mixed_rows(5, 2), "x", 1, 60.0)
    expected = mixed.explain(rows)
    frame: Callable[[], object] = rows.to_pandas
    for other in (frame(), rows.to_pylist(), [list(r.values()) for r in rows.to_pylist()]):
        found = mixed.explain(other)
        np.testing.assert_allclose(found.contributions, expected.contributions, rtol=1e-9)
        assert found.cell(1, 1) == expected.cell(1, 1)


def test_a_frame_may_explain_a_model_of_numbers(detector: Detector, corrupted) -> None:
    rows, _ = corrupted
    _, columns = benign()
    table = pa.table({name: rows[:5, j] for j, name in enumerate(columns)})
    found = detector.explain(table)
    np.testing.assert_allclose(found.contributions, detector.explain(rows[:5]).contributions, rtol=1e-6)
    assert isinstance(found.normal_version, pa.Table)
    with pytest.raises(BadInput, match="'mean radius' is missing"):
        detector.explain(table.drop_columns(["mean radius"]))
    texts = table.set_column(1, "mean texture", pa.array(["much"] * 5))
    with pytest.raises(BadInput, match="'mean texture' holds string"):
        detector.explain(texts)


# -- the figure -----------------------------------------------------------------------------------------------------


def test_the_figure_shows_all_of_the_energy_above_normal(detector: Detector, corrupted) -> None:
    found = detector.explain(corrupted[0][:3])
    figure = explanation_figure(found, 2, top=4)
    axes = figure.axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    assert len(widths) == 5 and sum(widths) == pytest.approx(found.contributions[2].sum())
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[4] == "26 other columns"
    first = int(np.argmax(np.abs(found.contributions[2])))
    own, normal = found.cell(2, first)
    assert labels[0] == f"{found.name(first)} = {own:.4g} \N{RIGHTWARDS ARROW} {normal:.4g}"
    assert f"energy {found.energy[2]:.4g}" in axes.get_title()
    with pytest.raises(BadInput, match="row 3"):
        explanation_figure(found, 3)


def test_the_figure_is_drawn_with_any_text(mixed: Detector) -> None:
    rows = changed_cell(mixed_rows(2, 2), "kind", 0, "costs $1 to $2, or _more_, for a very long name")
    figure = mixed.explain(rows).figure(0)
    label = figure.axes[0].get_yticklabels()[0].get_text()
    assert label.startswith(r"kind = costs \$1 to \$2")
    figure.draw_without_rendering()
