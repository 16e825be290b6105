"""The default for tables in one call: from rows to a calibrated detector."""

from __future__ import annotations

from typing import Any

import numpy as np

from ebm.detector import Detector
from ebm.fitting import fit
from ebm.preprocessing.frames import as_table, is_frame
from ebm.training import presets
from ebm.training.config import ModelConfig

NETWORK_FROM, NETWORK_UP_TO = 500, 512  # rows, columns: where "auto" trains the network


def tabular_config(
    n_rows: int,
    n_columns: int,
    *,
    contamination: float | str | None = None,
    seed: int = 0,
    network: bool | str = "auto",
    device: str = "cpu",
    name: str = "tabular",
) -> ModelConfig:
    """The configuration that `fit_tabular` uses for a table of that size; arguments as there."""
    if network == "auto":
        network = n_rows >= NETWORK_FROM and n_columns <= NETWORK_UP_TO
    values = presets.tabular(network=bool(network))
    return ModelConfig.model_validate(
        values
        | {
            "name": name,
            "seed": seed,
            "accelerator": "cpu" if device == "cpu" else "cuda",
            "contamination": contamination,
        }
    )


def fit_tabular(values: Any, columns: list[str] | None = None, **options: Any) -> Detector:
    """A calibrated detector of rows `values`: (N, d) numbers with NaN for nulls, or a frame (pandas, polars, Arrow).

    Args:
        contamination: the share of anomalies among the rows, "auto" where it is unknown, None where all are normal;
            see `ebm.trimming`.
        seed: same rows, same seed, same device: same detector.
        network: whether a score-matched network joins the kernel energies; "auto": from 500 rows on, up to 512
            columns.
        device: "cpu" or "cuda".
        name: of the model, should it be published.

    Raises:
        BadInput: rows that cannot be used; names row and column.
    """
    return fit_tabular_with_scores(values, columns, **options)[0]


def fit_tabular_with_scores(
    values: Any, columns: list[str] | None = None, **options: Any
) -> tuple[Detector, np.ndarray]:
    """`fit_tabular`, and the leave-one-out anomaly scores (N,) of the rows, in their order.

    Of more than 10,000 rows, those beyond the 10,000 that calibrate are scored by the detector as it is: among so many,
    a row's own weight is small.
    """
    if is_frame(values) and not hasattr(values, "shape"):
        values = as_table(values)  # records, a mapping of columns: their length is not the rows'
    n_columns = len(columns) if columns is not None else _width(values)
    config = tabular_config(len(values), n_columns, **options)
    result = fit(config, values, columns=columns)
    if len(result.index) == len(values):
        scores = np.empty(len(values))
    else:
        scores = result.detector.score(values).anomaly_score
    scores[result.index] = result.scores
    return result.detector, scores


def _width(values: Any) -> int:
    shape = getattr(values, "shape", None)
    if shape is not None and len(shape) == 2:
        return int(shape[1])
    return len(values[0]) if not is_frame(values) and len(values) else 1
