"""What every reader returns: values, and what is known about their columns and labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ebm.data.hashing import update_with_column
from ebm.data.picture_size import Size, fit_all
from ebm.errors import BadConfig, BadInput
from ebm.preprocessing.checks import as_numbers, clip_text, require_finite, to_float32

Values = np.ndarray | pa.Table


@dataclass(frozen=True)
class Table:
    """Rows in user units.

    values: (N, d), (N, H, W) or (N, H, W, C), float32; finite unless missing cells were allowed (NaN). Or, where a
        reader was asked for mixed types and found more than complete numbers, an Arrow table.
    columns: d names, for tables that have names.
    labels: (N,) int64 or str, where the source has labels.
    source: what to name in messages, e.g. the file.
    groups: (N,) str, where rows belong together: what they belong to.
    """

    values: Values
    columns: list[str] | None
    labels: np.ndarray | None
    source: str
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, index: np.ndarray) -> Table:
        """The rows chosen by an index array or a boolean mask."""
        labels = None if self.labels is None else self.labels[index]
        groups = None if self.groups is None else self.groups[index]
        return Table(take_rows(self.values, index), self.columns, labels, self.source, groups)

    def fingerprint(self) -> str:
        """sha256 over shape, values, column names, labels and groups: the same data give the same hex string."""
        labels = None if self.labels is None else [str(label) for label in self.labels]
        facts = [list(self.values.shape), self.columns, labels]
        head = json.dumps(facts if self.groups is None else [*facts, self.groups.tolist()])
        digest = hashlib.sha256(head.encode())
        if isinstance(self.values, np.ndarray):
            digest.update(np.ascontiguousarray(self.values, dtype="<f4").tobytes())
        else:
            for column in self.values.columns:
                update_with_column(digest, column)
        return digest.hexdigest()


def take_rows(values: Values, index: np.ndarray) -> Values:
    """The rows chosen by an index array or a boolean mask."""
    if isinstance(values, np.ndarray):
        return values[index]
    return values.filter(pa.array(index)) if index.dtype == bool else values.take(pa.array(index))


def concat_rows(parts: Sequence[Values]) -> Values:
    """All rows of several arrays, or of several tables of the same columns."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)  # type: ignore[arg-type]
    return pa.concat_tables(parts, promote_options="permissive")  # type: ignore[arg-type]


def make_table(
    values: Any,
    source: str,
    *,
    columns: Sequence[str] | None = None,
    labels: Any = None,
    groups: Any = None,
    size: Size | None = None,
    allow_missing: bool = False,
) -> Table:
    """Check what a reader found, and cast it; fit images to `size`, where it is given.

    Raises:
        BadInput: no rows or columns, impossible shape, a cell that is no finite number (NaN passes with
            `allow_missing`), or labels or groups that do not match the rows.
        BadConfig: a `size` for rows that are no images.
    """
    array = as_numbers(values, columns, source)
    if array.ndim not in (2, 3, 4) or 0 in array.shape:
        wanted = "(rows, columns), (N, H, W) or (N, H, W, C)"
        raise BadInput(f"{source}: shape {array.shape}, expected {wanted}")
    require_finite(array, columns, source, allow_missing=allow_missing)
    values32 = to_float32(array, columns, source)
    if size is not None:
        values32 = _fitted(values32, size, source)
    n = len(values32)
    return Table(
        values32,
        None if columns is None else list(columns),
        None if labels is None else tidy_labels(labels, n, source),
        source,
        None if groups is None else tidy_groups(groups, n, source),
    )


def _fitted(values: np.ndarray, size: Size, source: str) -> np.ndarray:
    if values.ndim == 2:
        raise BadConfig(f"{source}: option 'size' is for images; these are rows of {values.shape[1]} numbers")
    missing = np.isnan(values).reshape(len(values), -1).any(1)
    if missing.any() and values.shape[1:3] != size:
        row = int(missing.argmax())
        raise BadInput(
            f"{source}: row {row} misses pixels, so it cannot be fitted to another 'size'", row=row
        )
    return fit_all(values, size)


def tidy_groups(groups: Any, n_rows: int, source: str) -> np.ndarray:
    """What each row belongs to, as strings; (N,).

    Raises:
        BadInput: wrong length, or a row of which it is not known.
    """
    try:
        return tidy_labels(groups, n_rows, source).astype(str)
    except BadInput as error:
        about = (
            str(error)
            .replace("the label is missing", "its group is missing")
            .replace("labels of", "groups of")
        )
        raise BadInput(f"{about} (option 'group')", row=error.row) from None


def tidy_labels(labels: Any, n_rows: int, source: str) -> np.ndarray:
    """Labels as int64 where all are whole numbers, else as strings; (N,).

    Raises:
        BadInput: wrong length, or a label that is missing.
    """
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or len(array) != n_rows:
        raise BadInput(f"{source}: labels of shape {array.shape} for {n_rows} rows")
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            row = int((~np.isfinite(array)).argmax())
            raise BadInput(f"{source}: row {row}: the label is missing", row=row)
        whole = array.astype(np.int64)
        return whole if (whole == array).all() else array.astype(str)
    out: list[str] = []
    for row, label in enumerate(array.tolist()):
        if label is None or label == "" or label != label:
            raise BadInput(f"{source}: row {row}: the label is missing", row=row)
        out.append(label.decode("utf-8", "replace") if isinstance(label, bytes) else str(label))
    return np.array(out)


def normal_mask(table: Table, normal: Sequence[str | int] | None) -> np.ndarray:
    """(N,) bool: which rows count as normal. None means all of them.

    Labels are compared as text, so that 0 and "0" are the same label.

    Raises:
        BadInput: the table has no labels, or a wanted label does not occur in it.
    """
    if normal is None:
        return np.ones(len(table), dtype=bool)
    if table.labels is None:
        raise BadInput(
            f"{table.source}: normal labels {list(normal)} were named, but the data have no labels"
        )
    labels = table.labels.astype(str)
    present = sorted(set(labels.tolist()))
    for label in normal:
        if str(label) not in present:
            raise BadInput(
                f"{table.source}: no row is labelled {clip_text(label)}; labels: {', '.join(present[:20])}"
            )
    return np.isin(labels, [str(label) for label in normal])
