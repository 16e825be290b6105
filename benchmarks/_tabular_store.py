"""Finished cells in one CSV, so that an interrupted run goes on, and several may write at once."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

KEY = ("training", "set", "seed", "method")
FIGURES = ("auroc", "auprc", "fit_s", "score_s", "n_train", "n_test", "d", "normals")
FLAGGED = ("flagged_01", "flagged_05", "flagged_10")
COLUMNS = (*KEY, "version", *FIGURES, *FLAGGED, "error")


class Cell(NamedTuple):
    """What was trained on ("normal" or "contaminated"), the set, the seed and the method's name."""

    training: str
    set: str
    seed: int
    method: str


class Cells:
    """The CSV of cells. A cell is its method's figure at one version; other methods' cells are never touched."""

    def __init__(self, path: Path):
        self.path = path
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.found: dict[Cell, dict[str, Any]] = {}
        self.read()

    def read(self) -> None:
        """Take in what this and other processes have stored."""
        self.found = {}
        if self.path.exists():
            with self.path.open(newline="") as file:
                for row in csv.DictReader(file):
                    cell = Cell(row["training"], row["set"], int(row["seed"]), row["method"])
                    self.found[cell] = {k: _value(k, row[k]) for k in COLUMNS if k not in KEY}

    def has(self, cell: Cell, version: str) -> bool:
        return self.found.get(cell, {}).get("version") == version

    def add(self, cell: Cell, version: str, figures: dict[str, Any]) -> None:
        with self._locked():
            self.read()
            self.found[cell] = (
                dict.fromkeys(COLUMNS[len(KEY) :]) | {"error": ""} | figures | {"version": version}
            )
            self._write()

    def forget(self, methods: list[str], training: str, sets: list[str]) -> None:
        """Drop the cells of these methods on these sets, to have them computed anew."""
        with self._locked():
            self.read()
            gone = [c for c in self.found if c.method in methods and c.training == training and c.set in sets]
            for cell in gone:
                del self.found[cell]
            self._write()

    def note(self, training: str, methods: list[str], run: dict[str, Any]) -> None:
        """Keep the provenance of these methods' cells in a JSON beside the CSV, in place of what was said before."""
        with self._locked():
            runs = [r | {"methods": [m for m in r["methods"] if r["training"] != training or m not in methods]}
                    for r in self.runs()]  # fmt: skip
            runs = [*(r for r in runs if r["methods"]), {"training": training, "methods": methods} | run]
            self._replace(".json", json.dumps(runs, indent=1) + "\n")

    def runs(self) -> list[dict[str, Any]]:
        """What `note` kept, one entry a run."""
        beside = self.path.with_suffix(".json")
        return json.loads(beside.read_text()) if beside.exists() else []

    def _write(self) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for cell, figures in sorted(self.found.items()):
            writer.writerow([*cell, *(_text(figures[name]) for name in COLUMNS[len(KEY) :])])
        self._replace(self.path.suffix, text.getvalue())

    def _replace(self, suffix: str, text: str) -> None:
        beside = self.path.with_suffix(".tmp")
        beside.write_text(text)
        os.replace(beside, self.path.with_suffix(suffix))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def _value(name: str, text: str) -> Any:
    if name in ("version", "error"):
        return text
    return float(text) if text else None


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
