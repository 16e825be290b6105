"""What a model takes, looked up once a model, and rows checked against it."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ebm import cells
from ebm.detector import Detector
from ebm.preprocessing import Mixed, ScaleImage

# Far from what float32 cannot hold even after a division by the smallest sd: no cell needs a closer look.
SAFE = 1e18


@dataclass(frozen=True, eq=False)
class Takes:
    """The input of a model.

    numbers: whether all cells are numbers, so that rows are an array (n, *shape); else they are an Arrow table.
    shapes: of one row, as it may come: images also flat or with their one channel.
    kinds: type of each column by its name, of models with columns of many types.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    shapes: frozenset[tuple[int, ...]]
    width: int
    columns: list[str] | None
    known: frozenset[str]
    numbers: bool
    kinds: dict[str, str]
    schema: dict[str, Any]

    @property
    def most_columns(self) -> int:
        """Columns of a table that may come, those that are ignored included."""
        return 2 * self.width + 1000


_known: weakref.WeakKeyDictionary[Detector, Takes] = weakref.WeakKeyDictionary()


def takes(detector: Detector) -> Takes:
    """What `detector` takes."""
    found = _known.get(detector)
    if found is None:
        found = _known[detector] = _look(detector)
    return found


def _look(detector: Detector) -> Takes:
    schema, shape, columns = detector.preprocessor.schema(), detector.input_shape, detector.columns
    shapes = {shape}
    if detector.kind == "image":
        shapes |= {(math.prod(shape),), (schema["height"], schema["width"], schema["channels"])}
    mixed = isinstance(detector.preprocessor, Mixed)
    kinds = {column["name"]: column["type"] for column in schema["columns"]} if mixed else {}
    return Takes(
        name=detector.name,
        kind=detector.kind,
        shape=shape,
        shapes=frozenset(shapes),
        width=math.prod(shape),
        columns=columns,
        known=frozenset(columns or ()),
        numbers=all(kind == "numeric" for kind in kinds.values()),
        kinds=kinds,
        schema=schema,
    )


def as_input(rows: Any, detector: Detector, *, nulls: bool = False) -> np.ndarray | pa.Table:
    """Rows as the model scores them, (n, *input_shape), checked by the model's own preprocessing.

    Args:
        nulls: let cells be missing, as NaN of numbers, whether or not the model knows of such.

    Raises:
        BadInput: wrong width or shape, ragged rows, a cell of the wrong type, no rows; names row and column.
    """
    wanted = takes(detector)
    if wanted.numbers:
        found = _usual(rows, wanted)
        if found is not None:
            return found
    if nulls:
        return _with_nulls(rows, detector)
    if isinstance(detector.preprocessor, Mixed):
        # Types do not depend on the rows, so that requests can share a batch.
        checked = detector.preprocessor.rows(rows)
        if isinstance(checked, np.ndarray):
            detector.preprocessor.transform(checked)  # numbers that only the encoding finds too large
        return checked
    transformed = detector.preprocessor.transform(rows)
    # `transform` has seen every cell; this cast cannot fail, and float64 keeps what JSON said.
    return np.asarray(rows, dtype=np.float64).reshape(len(transformed), *wanted.shape)


def _with_nulls(rows: Any, detector: Detector) -> np.ndarray | pa.Table:
    preprocessor = detector.preprocessor
    if isinstance(preprocessor, Mixed | ScaleImage):
        found = preprocessor.rows(rows, allow_missing=True)
        preprocessor.transform(found, allow_missing=True)
        return found
    array = cells.numbers(rows, preprocessor.columns)
    preprocessor.transform(np.where(np.isnan(array), 0, array))  # says what else is wrong
    return array


def _usual(rows: Any, wanted: Takes) -> np.ndarray | None:
    """Rows in which there is nothing to look for: numbers of the right shape, finite and of usual size."""
    try:
        array = np.asarray(rows)
    except (ValueError, OverflowError):
        return None
    if array.dtype.kind not in "fiub" or array.shape[1:] not in wanted.shapes or not len(array):
        return None
    if array.dtype != np.float32:
        array = array.astype(np.float64, copy=False)
    # The sum of squares bounds every cell, in one pass; NaN and infinity fail the comparison, too.
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.vdot(array, array) < SAFE**2:
            return None
    return array if array.ndim == len(wanted.shape) + 1 else array.reshape(len(array), *wanted.shape)
