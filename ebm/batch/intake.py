"""Blocks of a source as rows that a model takes, and those that it cannot."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ebm.batch.cells import Found, matrix, numbers_of_text, typed_of_text
from ebm.batch.columns import choose, own_columns
from ebm.data.streams import Bad, Block, Source
from ebm.data.table import Values, take_rows
from ebm.data.tabular import number_column
from ebm.detector import Detector
from ebm.errors import BadInput
from ebm.preprocessing import Mixed
from ebm.preprocessing.checks import column_name
from ebm.sieve import sieve

pc: Any = pyarrow.compute
FLOATS = (pa.float32(), pa.float64())
CSV = (".csv", ".csv.gz")


@dataclass(frozen=True, eq=False)
class Taken:
    """What a model takes of one block of n rows, and what it makes of them.

    result: of the rows that it takes; None where there is none.
    kept: (k,) their positions in the block; None where all n are taken.
    table: the own columns of all n rows.
    used: the names in `table` of the model's columns, in its order; () where `table` does not hold them.
    bad: the rows that it does not take, ascending, by their numbers in the file.
    """

    result: Any
    kept: np.ndarray | None
    table: pa.Table
    used: tuple[str, ...]
    bad: tuple[Bad, ...]


class Intake:
    """What `detector` takes of the blocks of `source`.

    Raises:
        BadInput: a column is missing, or another number of columns.
    """

    def __init__(self, detector: Detector, source: Source):
        self.detector, self.name = detector, source.name
        self.schema = detector.manifest.input
        self.columns, self.width = detector.columns, math.prod(detector.input_shape)
        self.text = bool(getattr(source, "text", source.name.lower().endswith(CSV)))
        self.named = source.columns is not None
        frame = bool(self.schema.get("frame"))
        self.kinds = {c["name"]: c["type"] for c in self.schema["columns"]} if frame else {}
        known = self.schema.get("columns", ())
        self._needed = [c["name"] for c in known if "nullable" in c and not c["nullable"]] if frame else []
        if source.columns is not None and detector.kind == "tabular":
            choose(source.columns, self.columns, self.width, True, self.name)
        self._matched = False

    def take(self, block: Block, use: Callable[[Values], Any]) -> Taken:
        """What `use` makes of the good rows of a block, in the form that the model's preprocessing takes.

        `use` is tried on all rows first: only where it raises BadInput are the bad ones looked for.

        Raises:
            BadInput: what is wrong is not of single rows: a column is missing, or holds what the model never takes.
        """
        bad = {one.row - block.start.row: one for one in block.bad}
        if block.values is not None:
            values, used = block.values, ()
            table = block.table
            if table is None:
                table = own_columns(values, self.columns, block.start.row)
                used = tuple(table.column_names) if values.ndim == 2 else ()
        else:
            assert block.table is not None
            values, table, used = self._of_table(block.table, bad, block.start.row)
        at = np.setdiff1d(np.arange(len(table)), list(bad), assume_unique=True) if bad else None
        if at is not None:
            values = take_rows(values, at)
        result = None
        if len(values):
            try:
                result = use(values)
            except BadInput as error:
                self._check_form(values, error)
                values, at = self._sift(values, at, bad, block.start.row)
                result = use(values) if len(values) else None
            self._matched = True
        return Taken(result, at, table, used, tuple(bad[row] for row in sorted(bad)))

    def _of_table(
        self, table: pa.Table, bad: dict[int, Bad], first: int
    ) -> tuple[Values, pa.Table, tuple[str, ...]]:
        used = choose(table.column_names, self.columns, self.width, self.named, self.name)
        if not self.named:
            used = tuple(self.columns or [f"x{i}" for i in range(self.width)])
            table = table.rename_columns(used)
        names = tuple(self.kinds) or used

        def note(j: int, found: Found) -> None:
            shown = column_name(j, names if self.named or self.columns else None)
            key = names[j] if self.named or self.columns else j
            for row, problem in found.items():
                bad.setdefault(row, Bad(first + row, f"{shown}{problem}", key))

        if self.kinds:
            typed = []
            for j, (column, kind) in enumerate(zip(used, self.kinds.values(), strict=True)):
                cells = table[column]
                if self.text:
                    cells, found = typed_of_text(cells, kind)
                    note(j, found)
                typed.append(cells)
            return pa.table(typed, names=names), table, used
        columns: list[np.ndarray | pa.ChunkedArray] = []
        for j, name in enumerate(used):
            if self.text:
                numbers, found = numbers_of_text(table[name])
                note(j, found)
                columns.append(numbers)
            elif table[name].type in FLOATS and not table[name].null_count:
                columns.append(table[name])
            else:
                columns.append(number_column(table[name], name, self.name))
        return matrix(columns), table, used

    def _sift(
        self, values: Values, at: np.ndarray | None, bad: dict[int, Bad], first: int
    ) -> tuple[Values, np.ndarray]:
        """The good rows of `values`, at positions `at` of the block, and their positions; adds the others to `bad`."""
        transform = self.detector.preprocessor.transform
        places = np.arange(len(values)) if at is None else at

        def blame(position: int, detail: str, column: str | int | None) -> None:
            row = int(places[position])
            bad[row] = Bad(first + row, detail, column)

        suspects = self._suspects(values)
        sure = np.flatnonzero(~suspects)
        good: list[np.ndarray] = []
        if len(sure):
            _, kept, errors = sieve(_rows(values, sure), _checked(transform))
            good.append(sure[kept])
            for one in errors:
                blame(int(sure[one.row]), _after_row(one.detail), one.column)
        seen: dict[bytes, tuple[str, str | int | None]] = {}
        for position in np.flatnonzero(suspects).tolist():
            row = _rows(values, np.array([position]))
            shape = _pattern(row)
            if shape not in seen:
                try:
                    transform(row)
                    good.append(np.array([position]))
                    continue
                except BadInput as error:
                    detail, column = _after_row(str(error)), error.column
                    if not _explains(row, column, self.columns):
                        blame(position, detail, column)
                        continue
                    seen[shape] = detail, column
            blame(position, *seen[shape])
        kept = np.sort(np.concatenate(good)) if good else np.zeros(0, np.intp)
        return _rows(values, kept), places[kept]

    def _check_form(self, values: Values, error: BadInput) -> None:
        """Raise `error`, with the name of the source, where no row of this form could ever be taken."""
        if self._matched:
            return
        transform = self.detector.preprocessor.transform
        try:
            if isinstance(values, np.ndarray):
                transform(np.zeros_like(values[:1]))
            else:
                nulls = [pa.nulls(1, field.type) for field in values.schema]
                row = pa.table(nulls, schema=values.schema)
                assert isinstance(self.detector.preprocessor, Mixed)  # no other takes tables
                self.detector.preprocessor.transform(row, allow_missing=True)
        except BadInput:
            raise BadInput(f"{self.name}: {error}", row=error.row, column=error.column) from None

    def _suspects(self, values: Values) -> np.ndarray:
        """(n,) bool: rows that are likely to be the cause, found without trying each."""
        if isinstance(values, np.ndarray):
            if values.dtype.kind != "f":
                return np.zeros(len(values), bool)
            return np.asarray(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
        suspects = np.zeros(len(values), bool)
        for name in self._needed:
            suspects |= np.asarray(pc.is_null(values[name], nan_is_null=True))
        return suspects


def _rows(values: Values, index: np.ndarray) -> Any:
    return take_rows(values, index.astype(np.int64))


def _checked(transform: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def check(rows: Any) -> Any:
        transform(rows)
        return rows

    return check


def _after_row(detail: str) -> str:
    """What follows "row 3, " in a message."""
    head, comma, rest = detail.partition(", ")
    return rest if comma and head.startswith("row ") and head[4:].isdecimal() else detail


def _pattern(row: Values) -> bytes:
    """Which cells of a row are missing or infinite: rows alike in this are refused for the same reason."""
    if isinstance(row, np.ndarray):
        return np.packbits(np.isnan(row)).tobytes() + np.packbits(np.isinf(row)).tobytes()
    return np.packbits([bool(column.null_count) for column in row.columns]).tobytes()


def _explains(row: Values, column: str | int | None, columns: list[str] | None) -> bool:
    """Whether what was found is about a cell that is missing or infinite, not about its value."""
    if column is None:
        return False
    if isinstance(row, np.ndarray):
        j = columns.index(column) if columns and isinstance(column, str) else column
        return row.ndim == 2 and isinstance(j, int) and not np.isfinite(row[0, j])
    return isinstance(column, str) and column in row.column_names and row[column].null_count > 0
