"""Cells survive, are replaced by version, and never take others along."""

from __future__ import annotations

from pathlib import Path

from _tabular_store import Cell, Cells

ONE, TWO = Cell("normal", "a", 0, "knn5"), Cell("normal", "a", 0, "ebm")


def test_cells_come_back_as_stored(tmp_path: Path) -> None:
    Cells(tmp_path / "t.csv").add(ONE, "pyod 3", {"auroc": 0.75, "n_train": 40, "d": 2})
    Cells(tmp_path / "t.csv").add(TWO, "1", {"error": 'odd, "quoted"'})
    again = Cells(tmp_path / "t.csv")
    assert again.found[ONE]["auroc"] == 0.75 and again.found[ONE]["n_train"] == 40
    assert again.found[ONE]["error"] == "" and again.found[ONE]["flagged_01"] is None
    assert again.found[TWO]["error"] == 'odd, "quoted"' and again.found[TWO]["auroc"] is None


def test_another_version_is_another_cell(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "t.csv")
    cells.add(ONE, "pyod 3", {"auroc": 0.75})
    assert cells.has(ONE, "pyod 3") and not cells.has(ONE, "pyod 4") and not cells.has(TWO, "pyod 3")


def test_two_writers_keep_each_others_cells(tmp_path: Path) -> None:
    first, second = Cells(tmp_path / "t.csv"), Cells(tmp_path / "t.csv")
    first.add(ONE, "1", {"auroc": 0.5})
    second.add(TWO, "1", {"auroc": 0.6})
    first.note("normal", ["knn5"], {"command": "x"})
    second.note("normal", ["ebm"], {"command": "y"})
    assert set(Cells(tmp_path / "t.csv").found) == {ONE, TWO}
    assert [run["methods"] for run in first.runs()] == [["knn5"], ["ebm"]]


def test_redoing_a_method_keeps_the_others_and_the_other_training(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "t.csv")
    kept = [ONE, TWO._replace(training="contaminated"), TWO._replace(set="b")]
    for cell in [TWO, *kept]:
        cells.add(cell, "1", {"auroc": 0.5})
    cells.forget(["ebm"], "normal", ["a"])
    assert set(Cells(tmp_path / "t.csv").found) == set(kept)


def test_a_new_run_of_a_method_takes_the_place_of_its_old_one(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "t.csv")
    cells.note("normal", ["knn5", "ebm"], {"command": "old"})
    cells.note("contaminated", ["ebm"], {"command": "other"})
    cells.note("normal", ["ebm"], {"command": "new"})
    found = [(run["training"], run["methods"], run["command"]) for run in cells.runs()]
    assert found == [
        ("normal", ["knn5"], "old"),
        ("contaminated", ["ebm"], "other"),
        ("normal", ["ebm"], "new"),
    ]
