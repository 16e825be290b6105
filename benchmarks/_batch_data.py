"""The models and the files of benchmarks/batch.py: rows around the shipped models' own, 1% of them shifted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
CONFIG = Path(__file__).with_name("_batch_model.yaml")
TABLES, DIGITS = "tables", "digits"
MODELS = {"breast-cancer": TABLES, "network": TABLES, "digits": DIGITS}  # and the rows that each scores
BLOCK = 2**17
SHIFTED = 0.01
FOLDER_PARTS = 8
Layout = Literal["parquet", "folder", "csv"]


@dataclass(frozen=True)
class Workplace:
    """A temporary folder: models, files of rows, outputs."""

    folder: Path

    @property
    def models(self) -> Path:
        return self.folder / "models"

    def version(self, model: str) -> Path:
        (version,) = (self.models / model).iterdir()
        return version

    def rows(self, data: str, n: int, layout: Layout = "parquet", seed: int = 0) -> Path:
        """A file, or a folder of `FOLDER_PARTS`, of n rows; made on first use."""
        suffix = "" if layout == "folder" else f".{layout}"
        place = self.folder / f"{data}-{n}-{seed}{suffix}"
        if not place.exists():
            beside = self.folder / f"beside{suffix}"
            if layout == "folder":
                beside.mkdir()
                share = -(-n // FOLDER_PARTS)
                for part in range(FOLDER_PARTS):
                    here = min(share, n - part * share)
                    if here > 0:
                        _write(beside / f"part-{part:03d}.parquet", data, here, seed + part, part * share)
            else:
                _write(beside, data, n, seed, 0)
            beside.rename(place)
        return place

    def output(self, name: str) -> Path:
        """A place to write to, empty."""
        place = self.folder / name
        self.remove(place)
        return place

    @staticmethod
    def remove(place: Path) -> None:
        for one in place.parent.glob(place.name + "*"):
            shutil.rmtree(one) if one.is_dir() else one.unlink()


def prepare(folder: Path, n_steps: int | None = None) -> Workplace:
    """Train and publish the network, beside copies of the shipped models. `n_steps`: for tests."""
    from ebm.artifact import publish
    from ebm.card import model_card
    from ebm.config import read_yaml
    from ebm.runs import train
    from ebm.training.config import TrainConfig

    place = Workplace(folder)
    config = read_yaml(TrainConfig, CONFIG)
    if n_steps is not None:
        (term,) = config.terms
        loop = term.training.model_copy(update={"n_steps": n_steps})
        config = config.model_copy(update={"terms": (term.model_copy(update={"training": loop}),)})
    detector = train(config, base_dir=folder)
    publish(detector, place.models, model_card(detector.manifest))
    for name in ("breast-cancer", "digits"):
        shutil.copytree(ROOT / "models" / name, place.models / name)
    return place


def columns_of(data: str) -> list[str]:
    """Names of the columns that the models read."""
    from sklearn.datasets import load_breast_cancer

    return list(load_breast_cancer().feature_names) if data == TABLES else [f"pixel_{i}" for i in range(64)]


def blocks(data: str, n: int, seed: int) -> Iterator[np.ndarray]:
    """Rows (k, d), float32, n in all: training rows with a tenth of a standard deviation of noise, and one in a hundred
    of them with three columns shifted by five."""
    from sklearn.datasets import load_breast_cancer, load_digits

    if data == TABLES:
        values, labels = load_breast_cancer(return_X_y=True)
        values = values[labels == 1]
    else:
        values = load_digits().data
    values = values.astype(np.float32)
    scale, rng = values.std(0), np.random.default_rng(seed)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        rows = values[rng.integers(0, len(values), size)]
        rows += 0.1 * scale * rng.standard_normal(rows.shape, dtype=np.float32)
        odd = np.flatnonzero(rng.random(size) < SHIFTED)
        columns = rng.integers(0, values.shape[1], (len(odd), 3))
        rows[odd[:, None], columns] += 5 * scale[columns]
        yield rows if data == TABLES else rows.clip(0, 16)


def _write(place: Path, data: str, n: int, seed: int, first: int) -> None:
    """Tables have two columns that no model reads, a number and a text, which the output keeps; images are the pixels
    and nothing else."""
    names = columns_of(data)
    own = [("number", pa.int64()), ("site", pa.string())] if data == TABLES else []
    schema = pa.schema([*own, *((name, pa.float32()) for name in names)])
    csv = place.suffix == ".csv"
    with pc.CSVWriter(place, schema) if csv else pq.ParquetWriter(place, schema) as writer:
        for rows in blocks(data, n, seed):
            numbers = np.arange(first, first + len(rows))
            sites = pa.array(["north", "east", "south"]).take(pa.array(numbers % 3))
            columns = [pa.array(numbers), sites][: len(own)] + [pa.array(column) for column in rows.T]
            writer.write_table(pa.table(columns, schema=schema))
            first += len(rows)
