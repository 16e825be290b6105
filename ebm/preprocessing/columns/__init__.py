"""The types of column that a mixed table may have, and how the type of a new one is found."""

from __future__ import annotations

from typing import Annotated

import pyarrow as pa
from pydantic import Field

from ebm.preprocessing.columns.base import CellError, Column, is_text, pc, plain, refuse_kind
from ebm.preprocessing.columns.categorical import Categorical, Empty
from ebm.preprocessing.columns.moments import Datetime, Time, looks_like_moments
from ebm.preprocessing.columns.numeric import Boolean, Numeric, is_number
from ebm.preprocessing.columns.text import parse_text

AnyColumn = Annotated[Numeric | Boolean | Categorical | Datetime | Time | Empty, Field(discriminator="type")]


def learn(name: str, cells: pa.Array | pa.ChunkedArray, max_levels: int) -> AnyColumn:
    """The type and the encoding of a column, from its training cells.

    A dictionary (pandas' and polars' categories) is categorical even where its values are numbers; text that is ISO
    8601 dates throughout is a datetime.

    Raises:
        CellError: an infinite or too large number, or a type that has no encoding.
    """
    kind = cells.type
    cells_plain = plain(cells)
    if pa.types.is_null(cells_plain.type):
        return Empty(name=name)
    if pa.types.is_dictionary(kind):
        return Categorical.fit(name, cells_plain, max_levels)
    if pa.types.is_boolean(kind):
        return Boolean.fit(name, cells_plain)
    if is_number(kind):
        return Numeric.fit(name, cells_plain)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Datetime.fit(name, cells_plain)
    if pa.types.is_time(kind):
        return Time.fit(name, cells_plain)
    if is_text(kind):
        if looks_like_moments(cells_plain):
            days_only = pc.max(pc.utf8_length(cells_plain)).as_py() == len("2000-01-01")
            return Datetime.fit(name, pc.cast(cells_plain, pa.date32()) if days_only else cells_plain)
        return Categorical.fit(name, cells_plain, max_levels)
    raise refuse_kind(cells_plain, f"a number, text, boolean or time ({kind})")


__all__ = [
    "AnyColumn",
    "Boolean",
    "Categorical",
    "CellError",
    "Column",
    "Datetime",
    "Empty",
    "Numeric",
    "Time",
    "learn",
    "parse_text",
    "plain",
]
