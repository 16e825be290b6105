"""The small model that is served, the rows that are sent, and the requests that carry them."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

COLUMNS, BLOCK_ROWS = 64, 256
ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "models"
CONFIG = Path(__file__).with_name("service_model.yaml")
JSON, NPY = "application/json", "application/x-npy"


@dataclass(frozen=True)
class Workplace:
    """A temporary folder with what the servers serve: `models` holds the small model and the shipped ones."""

    folder: Path

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def small(self) -> Path:
        return self.models / "small" / "1"


def correlated_rows(n: int, seed: int) -> np.ndarray:
    """Rows (n, 64), float32: eight hidden causes and some noise, on scales from .1 to 10."""
    rng = np.random.default_rng(0)
    mixing, scale = rng.normal(size=(8, COLUMNS)), 10 ** rng.uniform(-1, 1, COLUMNS)
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 8)) @ mixing + 0.5 * rng.normal(size=(n, COLUMNS))
    return (rows * scale).astype(np.float32)


def prepare(folder: Path, n_steps: int | None = None) -> Workplace:
    """Train and publish the small model in `folder`, beside a copy of the shipped digits. `n_steps`: for tests."""
    from ebm.artifact import publish
    from ebm.card import model_card
    from ebm.config import read_yaml
    from ebm.runs import train
    from ebm.training.config import TrainConfig

    place = Workplace(folder)
    np.save(folder / "rows.npy", correlated_rows(4000, 1))
    config = read_yaml(TrainConfig, CONFIG)
    if n_steps is not None:
        (term,) = config.terms
        loop = term.training.model_copy(update={"n_steps": n_steps})
        config = config.model_copy(update={"terms": (term.model_copy(update={"training": loop}),)})
    detector = train(config, base_dir=folder)
    publish(detector, place.models, model_card(detector.manifest))
    shutil.copytree(SHIPPED / "digits", place.models / "digits")
    return place


def publish_copy(place: Workplace, version: str) -> None:
    """Version `version` of the small model: the same weights, written beside and renamed into place."""
    target = place.models / "small" / version
    beside = target.with_name(f".{version}.tmp")
    shutil.copytree(place.small, beside)
    manifest = json.loads((beside / "manifest.json").read_text()) | {"version": version}
    (beside / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    beside.rename(target)


def http(path: str, body: bytes, content_type: str = JSON, accept: str = JSON) -> bytes:
    """One request as bytes; every server gets the same headers."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nAccept: {accept}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def as_instances(rows: np.ndarray) -> bytes:
    """{"instances": [[...]]} with four decimals a number."""
    return orjson.dumps({"instances": _decimals(rows)})


def as_tensor(rows: np.ndarray) -> bytes:
    """The same rows as an Open Inference Protocol request."""
    data = [value for row in _decimals(rows) for value in row]
    tensor: dict[str, Any] = {"name": "input", "shape": list(rows.shape), "datatype": "FP32", "data": data}
    return orjson.dumps({"inputs": [tensor]})


def as_npy(rows: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(rows, np.float32))
    return file.getvalue()


def single_rows(n: int = 64) -> list[np.ndarray]:
    return list(correlated_rows(n, 2).reshape(n, 1, COLUMNS))


def blocks(n: int = 16) -> list[np.ndarray]:
    return list(correlated_rows(n * BLOCK_ROWS, 3).reshape(n, BLOCK_ROWS, COLUMNS))


def digit_rows(n_requests: int, rows: int) -> list[np.ndarray]:
    """Rows of the shipped digits' data, as the digits model takes them."""
    from sklearn.datasets import load_digits

    values = np.asarray(load_digits(return_X_y=True)[0], np.float32)
    take = np.random.default_rng(4).integers(0, len(values), (n_requests, rows))
    return [values[i] for i in take]


def _decimals(rows: np.ndarray) -> list[list[float]]:
    return [[round(float(value), 4) for value in row] for row in rows]
