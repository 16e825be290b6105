"""The script on a folder of two tiny sets, with detectors whose figures are known."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import tabular
from _tabular_data import Split
from _tabular_methods import METHODS, Method, Scorer, prepare
from _tabular_run import run
from _tabular_store import Cell, Cells

ROWS = Split(np.zeros((4, 1)), np.array([[0.0], [3.0], [1.0], [2.0]]), np.array([0, 1, 0, 1]))


def first_column(train: np.ndarray, seed: int, contaminated: bool) -> Scorer:  # noqa: ARG001
    return Scorer(lambda rows: rows[:, 0], lambda rows: np.where(rows[:, 0] > 0, 0.04, 0.5))


def broken(train: np.ndarray, seed: int, contaminated: bool) -> Scorer:  # noqa: ARG001
    raise ValueError("no such\nluck")


def endless(train: np.ndarray, seed: int, contaminated: bool) -> Scorer:  # noqa: ARG001
    until = time.process_time() + 60
    while time.process_time() < until:
        pass
    raise AssertionError("the limit did not hold")


def infinite(train: np.ndarray, seed: int, contaminated: bool) -> Scorer:  # noqa: ARG001
    return Scorer(lambda rows: np.full(len(rows), np.inf))


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    for fit in (first_column, broken, endless, infinite):
        monkeypatch.setitem(METHODS, fit.__name__, Method(fit, "1", ()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "sets").mkdir()
    for name in ("one", "two"):
        values = rng.normal(size=(40, 3)) + np.repeat([0.0, 4.0], [30, 10])[:, None]
        np.savez(tmp_path / "sets" / f"{name}.npz", X=values, y=np.repeat([0, 1], [30, 10]))
    np.savez(tmp_path / "sets" / "void.npz", X=np.zeros((9, 3)), y=np.zeros(9))
    return tmp_path / "sets"


def test_figures_of_a_perfect_ranking() -> None:
    found = run("first_column", ROWS, 0, False, cpu_seconds=30)
    assert (found["auroc"], found["auprc"], found["n_train"], found["n_test"]) == (1.0, 1.0, 4, 4)
    assert found["d"] == 1 and found["normals"] == 2
    assert (found["flagged_01"], found["flagged_05"], found["flagged_10"]) == (0, 1, 1)


def test_failures_are_recorded_with_their_reason() -> None:
    assert run("broken", ROWS, 0, False, 30) == {"error": "ValueError: no such luck"}
    assert run("infinite", ROWS, 0, False, 30) == {"error": "ValueError: 4 of 4 scores not finite"}


def test_a_cell_that_computes_too_long_is_ended() -> None:
    assert run("endless", ROWS, 0, False, cpu_seconds=1) == {"error": "more than 1 CPU seconds"}


def test_a_run_goes_on_where_it_stopped(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "t.csv"
    measured: list[Cell] = []
    monkeypatch.setattr(
        tabular, "run", lambda *a: measured.append(a[0]) or {"auroc": 0.5, "auprc": 0.5, "fit_s": 0.0}
    )

    def call(*more: str) -> int:
        measured.clear()
        monkeypatch.setattr("sys.argv", ["tabular.py", "--data-dir", str(folder), "--out", str(out), *more])
        tabular.main()
        return len(measured)

    assert call("--methods", "knn5", "broken", "--seeds", "0") == 4
    assert call("--methods", "knn5", "broken", "--seeds", "0") == 0
    assert call("--methods", "knn5", "broken", "--seeds", "0", "1") == 4
    assert call("--methods", "knn5", "--redo", "knn5", "--seeds", "0", "1") == 4
    assert len(Cells(out).found) == 2 * 3 * 2
    assert "nothing to measure" in Cells(out).found[Cell("normal", "void", 0, "knn5")]["error"]
    assert str(folder) not in out.with_suffix(".md").read_text() + out.with_suffix(".json").read_text()
    capsys.readouterr()
    monkeypatch.setattr("sys.argv", ["tabular.py", "--out", str(out)])
    tabular.main()
    assert "| knn5 | 0.500 (2) | 1.50 | 0.500 (2) | 1.50 |" in capsys.readouterr().out


def test_report_names_failures_and_draws(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "ebm", METHODS["first_column"])
    out = tmp_path / "t.csv"
    chosen = ["--methods", "ebm", "knn5", "broken", "--seeds", "0", "--title", "Two sets"]
    monkeypatch.setattr("sys.argv", ["tabular.py", "--data-dir", str(folder), "--out", str(out), *chosen])
    tabular.main()
    text = out.with_suffix(".md").read_text()
    assert "Two sets, 3 sets." in text and "- broken: ValueError: no such luck: one 0, two 0" in text
    assert "### False positives of `ebm`" in text and "### Half B: 1 sets\n\ntwo." in text
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", [n for n in METHODS if METHODS[n].peer and METHODS[n].slow == 0])
def test_every_quick_peer_puts_a_far_row_last(name: str) -> None:
    prepare([name])
    rng = np.random.default_rng(0)
    scorer = METHODS[name].fit(rng.normal(size=(60, 3)) * [1, 100, 0.01], 0, False)
    scores = scorer.score(np.vstack([np.zeros((20, 3)), np.array([[8.0, 800.0, 0.08]])]))
    assert scores.argmax() == 20
    assert METHODS[name].version.startswith("pyod 3") and scorer.p_values is None


def test_knn_methods_are_the_distance_to_the_first_and_fifth_neighbour() -> None:
    train = np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0], [0.0]]) * 10
    for name, steps in (("1nn", 3), ("knn5", 6)):
        found = METHODS[name].fit(train, 0, False).score(np.array([[50.0]]))
        assert found == pytest.approx([10 * steps / train.std()])


def test_unknown_methods_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tabular.arguments(["--methods", "knn7"])
    assert "unknown method knn7" in capsys.readouterr().err
