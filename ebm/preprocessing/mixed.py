"""Tables of numbers, booleans, categories and times, with nulls."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field

from ebm.config import Frozen
from ebm.errors import BadArtifact, BadInput
from ebm.preprocessing.columns import AnyColumn, CellError, Numeric
from ebm.preprocessing.columns.numeric import LARGEST
from ebm.preprocessing.frames import as_table, is_frame
from ebm.preprocessing.learning import learn_array, learn_table
from ebm.preprocessing.matching import Raw, accept_column, match_columns, match_numbers, naming, numbers
from ebm.preprocessing.number_block import MISSING, NumberBlock
from ebm.preprocessing.stored import decode_model, encode_model

CHUNK = 65_536  # rows encoded at a time; bounds memory, not results


class Fitted(Frozen):
    """All that was learnt. `frame`: `inverse` gives a table; `named`: rows are matched by column names."""

    frame: bool
    named: bool
    columns: tuple[AnyColumn, ...] = Field(min_length=1)


class Mixed:
    """Every column by its type (`ebm.preprocessing.columns`), side by side: rows of d columns -> D coordinates.

    Numbers become z-scores, booleans one coordinate, categories one a level, times z-scores and cycles; all with mean
    0 and, feature by feature, a mean squared distance of 2 between two random training rows.  Columns that had nulls in
    training take nulls, and encode that they are null.  Columns that say the same as m - 1 others count 1/m each.

    Frames (pandas, polars, Arrow, a mapping of columns, a list of records) are matched by name, in any order; arrays
    and lists of rows by position.

    Args:
        max_levels: the most frequent levels of a category that have a coordinate of their own; fewer where a table has
            so many categories that their coordinates would exceed 8,192.
    """

    kind = "tabular"

    def __init__(self, max_levels: int = 32) -> None:
        self.max_levels = max_levels
        self._fitted: Fitted | None = None

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def columns(self) -> list[str] | None:
        fitted = self._require_fitted()
        return [column.name for column in fitted.columns] if fitted.named else None

    @property
    def shape(self) -> tuple[int, ...]:
        self._require_fitted()
        return (len(self._owners),)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (len(self._require_fitted().columns),)

    @property
    def frame(self) -> bool:
        """Whether it was fitted on a table, which `inverse` then gives back, rather than on an array."""
        return self._require_fitted().frame

    @property
    def owners(self) -> np.ndarray:
        """(D,) int64: the user's column that each coordinate encodes."""
        self._require_fitted()
        return self._owners.copy()

    @property
    def discrete(self) -> np.ndarray:
        """(D,) bool: coordinates that take few values (levels, booleans, null indicators)."""
        columns = self._require_fitted().columns
        return np.array([flag for column in columns for flag in column.discrete], dtype=bool)

    def coordinates_of(self, column: int | str) -> np.ndarray:
        """The coordinates (k,) that encode a column, by index or name.

        Raises:
            BadInput: no such column.
        """
        names = [c.name for c in self._require_fitted().columns]
        if isinstance(column, str):
            if column not in names:
                raise BadInput(f"no column '{column}'", column=column)
            column = names.index(column)
        return np.flatnonzero(self._owners == column)

    # -- fitting ----------------------------------------------------------------------------------------------------

    def fit(self, values: Any, columns: list[str] | None = None) -> Self:
        """Learn types, ranges and levels from rows (N, d): a frame, an array, or lists of cells.

        Args:
            columns: names for an array; a frame brings its own.

        Raises:
            BadInput: not a table, fewer than two rows, nothing that varies, infinities, cells of several kinds in one
                column, or a type that has no encoding; names row and column.
        """
        frame = is_frame(values)
        array = None if frame else numbers(values)
        if array is not None:
            learnt = learn_array(array, columns)
            self._set(Fitted(frame=False, named=columns is not None, columns=learnt))
            return self
        table = as_table(values, columns)
        learnt = learn_table(table, columns is not None or frame, self.max_levels)
        self._set(Fitted(frame=True, named=columns is not None or frame, columns=learnt))
        return self

    # -- rows in and out --------------------------------------------------------------------------------------------

    def transform(self, values: Any, *, allow_missing: bool = False) -> np.ndarray:
        """Rows (N, d) in user units -> (N, D) float32, finite.

        Args:
            allow_missing: encode nulls also in columns that had none in training: as the mean, 0.

        Raises:
            BadInput: a column missing, unknown or of the wrong type, an infinity, a null in a column that had none in
                training; names row and column.
        """
        raw = self._match(values)
        n = len(raw) if isinstance(raw, np.ndarray) else len(raw[0])
        if n <= CHUNK:
            return self._encode(self._accept(raw, allow_missing, 0), 0)
        out = np.empty((n, len(self._owners)), np.float32)
        for start in range(0, n, CHUNK):
            rows = slice(start, start + CHUNK)
            part = raw[rows] if isinstance(raw, np.ndarray) else [column[rows] for column in raw]
            out[rows] = self._encode(self._accept(part, allow_missing, start), start)
        return out

    def rows(self, values: Any, *, allow_missing: bool = False) -> np.ndarray | pa.Table:
        """Rows checked and in the model's own form, which `transform` takes without a second thought: (N, d) float64
        with NaN for nulls where all columns are numbers, else a table whose types do not depend on the rows.

        Raises:
            BadInput: as `transform`, but for numbers that only the encoding finds too large.
        """
        accepted = self._accept(self._match(values), allow_missing, 0)
        if isinstance(accepted, np.ndarray):
            return accepted.astype(np.float64)
        return pa.table(accepted, names=[column.name for column in self._require_fitted().columns])

    def missing(self, values: Any) -> np.ndarray:
        """(N, d) bool: where rows in user units are null."""
        accepted = self._accept(self._match(values), True, 0)
        if isinstance(accepted, np.ndarray):
            return np.isnan(accepted)
        return np.stack([c.is_null().to_numpy(zero_copy_only=False) for c in accepted], axis=1)

    def inverse(self, values: np.ndarray) -> Any:
        """(N, D) -> the nearest rows in user units: (N, d) float32 with NaN for nulls, or a
        `pyarrow.Table` where it was fitted on one (the nearest level, whole numbers where training had them)."""
        fitted = self._require_fitted()
        z = np.asarray(values, dtype=np.float64)
        if z.ndim != 2 or z.shape[1] != len(self._owners):
            raise BadInput(f"shape {z.shape} does not end in the model's {len(self._owners)} coordinates")
        if self._numbers is not None and not fitted.frame:
            return self._numbers.decode(z)
        arrays = []
        for j, column in enumerate(fitted.columns):
            mine = z[:, self._starts[j] : self._starts[j + 1]]
            arrays.append(column.decode(mine * np.sqrt(column.copies)))
        return pa.table(arrays, names=[column.name for column in fitted.columns])

    def _match(self, values: Any) -> np.ndarray | list[Raw]:
        fitted = self._require_fitted()
        if self._numbers is not None and not is_frame(values):
            return match_numbers(values, self._names, len(fitted.columns))
        return match_columns(values, [column.name for column in fitted.columns], fitted.named)

    def _accept(
        self, raw: np.ndarray | list[Raw], allow_missing: bool, first_row: int
    ) -> np.ndarray | list[pa.Array]:
        """Checked cells: numbers as an array (N, d) where all columns are numbers, else Arrow, column by column."""
        columns = self._require_fitted().columns
        if isinstance(raw, np.ndarray):
            assert self._numbers is not None
            return self._numbers.check(raw, allow_missing, first_row)
        accepted: list[pa.Array] = []
        for j, (column, cells) in enumerate(zip(columns, raw, strict=True)):
            with naming(j, self._names, first_row):
                accepted.append(accept_column(column, cells))
                if accepted[-1].null_count and not (column.nullable or allow_missing):
                    row = int(accepted[-1].is_null().to_numpy(zero_copy_only=False).argmax())
                    raise CellError(row, MISSING)
        if self._numbers is None:
            return accepted
        return np.stack([cells.to_numpy(zero_copy_only=False) for cells in accepted], axis=1)

    def _encode(self, cells: np.ndarray | list[pa.Array], first_row: int) -> np.ndarray:
        if isinstance(cells, np.ndarray):
            assert self._numbers is not None
            return self._numbers.encode(cells, first_row)
        out = np.empty((len(cells[0]), len(self._owners)), np.float32)
        for j, column in enumerate(self._require_fitted().columns):
            z = column.encode(cells[j]) / np.sqrt(column.copies)
            with naming(j, self._names, first_row):
                out[:, self._starts[j] : self._starts[j + 1]] = _bounded(z)
        return out

    # -- on disk ----------------------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        return {"schema": encode_model(self._require_fitted())}

    def load_arrays(self, arrays: dict[str, np.ndarray]) -> Self:
        fitted = decode_model(arrays, "schema", Fitted)
        if len({column.name for column in fitted.columns}) < len(fitted.columns):
            raise BadArtifact("preprocessing: array 'schema' has two columns of one name")
        if not fitted.frame and not all(isinstance(column, Numeric) for column in fitted.columns):
            raise BadArtifact("preprocessing: array 'schema' has columns that no array holds")
        self._set(fitted)
        return self

    def example(self) -> list[Any]:
        """A usual row, as JSON writes it."""
        return [column.example for column in self._require_fitted().columns]

    def schema(self) -> dict[str, Any]:
        fitted = self._require_fitted()
        columns = [column.describe() for column in fitted.columns]
        return {"kind": self.kind, "named": fitted.named, "frame": fitted.frame, "columns": columns}

    def _set(self, fitted: Fitted) -> None:
        self._fitted, columns = fitted, fitted.columns
        widths = [column.width for column in columns]
        self._names = [column.name for column in columns] if fitted.named else None
        self._starts = np.concatenate([[0], np.cumsum(widths)])
        self._owners = np.repeat(np.arange(len(columns)), widths).astype(np.int64)
        numbers_only = all(isinstance(column, Numeric) for column in columns)
        self._numbers = NumberBlock(columns, self._names) if numbers_only else None

    def _require_fitted(self) -> Fitted:
        if self._fitted is None:
            raise RuntimeError("fit() or load_arrays() comes first")
        return self._fitted


def _bounded(z: np.ndarray) -> np.ndarray:
    if not (np.abs(z) <= LARGEST).all():
        raise CellError(int((np.abs(z) > LARGEST).any(axis=1).argmax()), "is too large for float32")
    return z


class MixedConfig(Frozen):
    """`Mixed`; see there for `max_levels`."""

    kind: Literal["mixed"] = "mixed"
    max_levels: int = Field(default=32, ge=1, le=1024)

    def build(self) -> Mixed:
        return Mixed(self.max_levels)
