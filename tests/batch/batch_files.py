"""Files of random rows, some of which cannot be scored, and what must come out of them."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ebm.batch.spec import BatchSpec, ScoreOptions
from ebm.detector import Detector

COLUMNS = ["a", "b", "c"]
NEW = ["energy", "anomaly_score", "p_value", "is_anomaly"]
WORDS = ["plain", 'x, "y"', "", "größer ✓", "two\nlines"]


@dataclass(frozen=True, eq=False)
class Rows:
    """values: (n, 3) float64, NaN or infinite where a row is bad; table: the same among other columns."""

    values: np.ndarray
    table: pa.Table

    @property
    def good(self) -> np.ndarray:
        return np.isfinite(self.values).all(axis=1)


def random_rows(seed: int, n: int, bad: float = 0.0) -> Rows:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 3)).round(6) * [1, 2, 0.5] + [0, 1, 2]
    values[rng.random(n) < 0.15] += 4
    for row in np.flatnonzero(rng.random(n) < bad):
        values[row, rng.integers(3)] = rng.choice([np.nan, np.inf])
    table = pa.table(
        {
            "id": np.arange(n),
            "c": values[:, 2],
            "word": [WORDS[i] for i in rng.integers(len(WORDS), size=n)],
            "a": values[:, 0],
            "b": values[:, 1],
        }
    )
    return Rows(values, table)


def write_rows(rows: Rows, path: Path) -> Path:
    """As the end of the name says; npy holds the model's columns only."""
    table = rows.table
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=97)
    elif path.suffix == ".arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=89)
    elif path.suffix == ".npy":
        np.save(path, rows.values)
    else:
        opened: Any = gzip.open if path.suffix == ".gz" else open
        with opened(path, "wt", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(table.column_names)
            columns = [column.to_pylist() for column in table.columns]
            for cells in zip(*columns, strict=True):
                writer.writerow(["" if c != c else repr(c) if isinstance(c, float) else c for c in cells])
    return path


def spec_of(source: Path | str, output: Path | str, **more: Any) -> BatchSpec:
    options = {key: more.pop(key) for key in ("fpr", "fdr", "worst") if key in more}
    return BatchSpec(
        model="known", input=str(source), output=str(output), options=ScoreOptions(**options), **more
    )


def read_scores(path: Path) -> pa.Table:
    """The output, whatever its format, as one table; of npy the new columns only."""
    if path.is_dir():
        parts = sorted(p for p in path.iterdir() if p.name.startswith("part-"))
        assert not [p for p in path.iterdir() if p.name.startswith(".")], "nothing is left behind"
        return pa.concat_tables([read_scores(part) for part in parts])
    if path.suffix == ".npy":
        energy, score, p, flag = np.load(path, allow_pickle=False).T
        null = np.isnan(flag)
        flags = pa.array(flag == 1, mask=null)
        columns = [pa.array(c, mask=null) for c in (energy.astype(np.float32), score, p)]
        return pa.table([*columns, flags], names=NEW)
    if path.suffix == ".parquet":
        return pq.ParquetFile(path).read()
    if path.suffix == ".arrow":
        return pa.ipc.open_file(path).read_all()
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    cells = {name: [line[i] for line in lines] for i, name in enumerate(header)}
    typed: dict[str, Any] = dict(cells)
    for name in NEW[:3]:
        typed[name] = pa.array([float(c) if c else None for c in cells[name]], pa.float64())
    typed["energy"] = typed["energy"].cast(pa.float32())
    typed["is_anomaly"] = pa.array([{"true": True, "false": False, "": None}[c] for c in cells["is_anomaly"]])
    return pa.table(typed)


def check_scores(rows: Rows, detector: Detector, output: Path, **rates: float) -> None:
    """Every row of the input is there, in order, with its own columns and what one call in memory says of it."""
    table, good = read_scores(output), rows.good
    assert table.num_rows == len(good)
    if "id" in table.column_names:
        assert table.column_names == [*rows.table.column_names, *NEW]
        assert [int(i) for i in table["id"].to_pylist()] == list(range(len(good)))
        assert table["word"].to_pylist() == rows.table["word"].to_pylist()
        np.testing.assert_array_equal(table["b"].cast(pa.float64()) if table["b"].type == pa.float64() else
            np.array([float(b or "nan") for b in table["b"].to_pylist()]), rows.values[:, 1])  # fmt: skip
    for name in NEW:
        assert (np.asarray(table[name].is_valid()) == good).all(), name
    if good.any():
        expected = detector.score(rows.values[good], **rates)
        for name in NEW:
            found = np.array(table[name].drop_null().to_pylist(), getattr(expected, name).dtype)
            assert found.tobytes() == getattr(expected, name).tobytes(), name


def read_rejects(path: Path) -> list[tuple[int, str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["row", "column", "reason"]
    return [(int(row), column, reason) for row, column, reason in lines]


def rejects_of(output: Path) -> Path:
    return output.with_name(output.name + ".rejects.csv") if output.suffix else output / "_rejects.csv"


def bytes_of(output: Path) -> dict[str, bytes]:
    """All that a run leaves, by name; of the summary what does not depend on when it ran."""
    files = [p for p in output.parent.iterdir() if p.name.startswith(output.name)]
    files += list(output.iterdir()) if output.is_dir() else []
    found = {p.name: p.read_bytes() for p in files if p.is_file()}
    for name, data in found.items():
        if name.endswith("summary.json"):
            found[name] = json.dumps(json.loads(data) | {"seconds": 0, "run": ""}).encode()
    return found
