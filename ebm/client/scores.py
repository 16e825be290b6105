"""Scores as columns of numpy, joined from parts, and beside the frame that was scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa

from ebm.client.columns import numbers_of

if TYPE_CHECKING:
    import pandas as pd

FIELDS = ("energy", "anomaly_score", "p_value", "is_anomaly", "rank")
Frame = TypeVar("Frame")


@dataclass(frozen=True, eq=False)
class Scores:
    """What a model says of n rows, in the order sent; every field of the first five is (n,).

    energy: float64, unnormalised, lower = more normal; NaN where the row could not be scored (on_error="null").
    anomaly_score: float64; higher = more anomalous. NaN as above.
    p_value: float64, conformal: uniform on normal rows. NaN as above.
    is_anomaly: bool; p_value <= fpr, or Benjamini-Hochberg at fdr over all rows of the call.
    rank: int64, 1 = the most anomalous row of the call, ties share the smaller rank; 0 = not scored.
    errors: why a row was not scored, by its index.
    note: a line where the rate asked for is finer than the calibration set resolves.
    """

    energy: np.ndarray
    anomaly_score: np.ndarray
    p_value: np.ndarray
    is_anomaly: np.ndarray
    rank: np.ndarray
    model: str
    version: str
    fpr: float | None
    fdr: float | None
    errors: dict[int, str]
    note: str | None

    def __len__(self) -> int:
        return len(self.energy)

    def to_arrow(self) -> pa.Table:
        """The five columns; null where a row was not scored."""
        unknown = self.rank == 0
        return pa.table({name: pa.array(getattr(self, name), mask=unknown) for name in FIELDS})

    def to_pandas(self) -> pd.DataFrame:
        """The five columns; NaN, False and 0 where a row was not scored."""
        import pandas

        return pandas.DataFrame({name: getattr(self, name) for name in FIELDS})

    def join(self, frame: Frame) -> Frame:
        """`frame` (pandas, polars or Arrow; not changed) with the five columns added, row beside row.

        Raises:
            ValueError: another number of rows, or a column that is there already.
        """
        any_frame: Any = frame
        columns = any_frame.column_names if isinstance(frame, pa.Table) else list(any_frame.columns)
        if len(any_frame) != len(self):
            raise ValueError(f"the frame has {len(any_frame)} rows, {len(self)} were scored")
        twice = sorted(set(FIELDS) & {str(name) for name in columns})
        if twice:
            raise ValueError(f"the frame has a column {twice[0]!r} already")
        if isinstance(frame, pa.Table):
            table = self.to_arrow()
            for name in FIELDS:
                any_frame = any_frame.append_column(name, table[name])
            return any_frame
        if hasattr(frame, "iloc"):
            return any_frame.assign(**{name: getattr(self, name) for name in FIELDS})
        return any_frame.with_columns(**{name: _series(any_frame, self.to_arrow()[name]) for name in FIELDS})


def _series(frame: Any, column: pa.ChunkedArray) -> Any:
    """A polars series, without importing polars: it is there, for the frame is."""
    return type(frame)(pa.table({"column": column}))["column"]


def scores_of(document: dict[str, Any]) -> Scores:
    """Scores from the JSON of an answer."""
    return Scores(
        **{name: numbers_of(document, name) for name in FIELDS[:3]},
        is_anomaly=np.array([flag is True for flag in document["is_anomaly"]], dtype=bool),
        rank=np.array([rank or 0 for rank in document["rank"]], dtype=np.int64),
        model=document["model"],
        version=document["version"],
        fpr=document["fpr"],
        fdr=document["fdr"],
        errors={one["row"]: one["detail"] for one in document.get("errors") or ()},
        note=document["note"],
    )


def joined(parts: Sequence[Scores], *, fdr: float | None) -> Scores:
    """The parts of one call as one: ranks, and labels by `fdr`, over all rows."""
    if len(parts) == 1:
        return parts[0]
    # Here, for scipy takes a while to load and most calls have one part.
    from scipy.stats import rankdata

    from ebm.calibration import benjamini_hochberg

    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS}
    scored = columns["rank"] > 0
    columns["rank"][scored] = rankdata(-columns["anomaly_score"][scored], method="min")
    if fdr is not None:
        columns["is_anomaly"][scored] = benjamini_hochberg(columns["p_value"][scored], fdr)
    starts = np.cumsum([0, *(len(part) for part in parts)])
    errors = {
        int(start) + row: detail
        for start, part in zip(starts, parts, strict=False)
        for row, detail in part.errors.items()
    }
    first = parts[0]
    return Scores(
        **columns,
        model=first.model,
        version=first.version,
        fpr=None if fdr is not None else first.fpr,
        fdr=fdr,
        errors=errors,
        note=first.note,
    )
