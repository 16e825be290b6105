"""Which columns of a file a model takes, and the file's own columns beside what is new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ebm.errors import BadInput

INDEX = "__index_level_"  # what pandas calls an index that it writes beside the columns


def choose(
    names: Sequence[str], columns: Sequence[str] | None, width: int, named: bool, source: str
) -> tuple[str, ...]:
    """The columns to take, in the model's order: by name where file and model have names, wherever they stand; else
    the file must have exactly the model's, in order.

    Args:
        names: the file's; columns: the model's, where it has names.
        named: whether the file's are names, and not numbers in place of them.

    Raises:
        BadInput: a column is missing or there twice, or another number of columns.
    """
    wanted = list(columns or [f"x{i}" for i in range(width)])
    if named:
        for name in wanted:
            if list(names).count(name) > 1:
                raise BadInput(f"{source}: two columns are named '{name}'", column=name)
        missing = [c for c in wanted if c not in names]
        if not missing:
            return tuple(wanted)
        if columns is not None:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise BadInput(f"{source}: column '{missing[0]}' is missing{more}", column=missing[0])
    there = [name for name in names if not name.startswith(INDEX)]
    if len(there) != width:
        raise BadInput(f"{source}: row 0 has {len(there)} columns, the model takes {width}", row=0)
    return tuple(there)


def replace_columns(table: pa.Table, new: dict[str, Any]) -> pa.Table:
    """`table` with the columns of `new` in place of those of the same name, the rest appended."""
    for name, values in new.items():
        column = values if isinstance(values, pa.ChunkedArray | pa.Array) else pa.array(values)
        at = table.column_names.index(name) if name in table.column_names else -1
        table = table.append_column(name, column) if at < 0 else table.set_column(at, name, column)
    return table


def own_columns(values: np.ndarray, columns: Sequence[str] | None, first_row: int = 0) -> pa.Table:
    """Arrays have no column names: flat rows get the model's, pictures only their row number."""
    if values.ndim == 2:
        names = columns or [f"x{i}" for i in range(values.shape[1])]
        return pa.table({name: values[:, i] for i, name in enumerate(names)})
    return pa.table({"row": np.arange(first_row, first_row + len(values))})
