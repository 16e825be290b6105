"""A Parquet or Arrow file with a column of PNG and JPEG bytes, as image data sets are shared."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from ebm.data.columnar import open_columns
from ebm.data.image_rows import ImageFile, image_table
from ebm.data.options import ReadOptions
from ebm.data.table import Table
from ebm.data.tabular import beside_features, groups_of, labels_of
from ebm.errors import BadInput

IMAGE_OPTIONS = {"image_column", "label_column", "group", "ignore", "image_mode", "size"}


def image_column(path: Path, options: ReadOptions) -> str | None:
    """The column that holds images: `options.image_column`, else the only one of bytes, or of structs {bytes, ...} as
    the Hugging Face library writes them; None where the file is a table like any other.

    Raises:
        BadInput: unreadable, no such column, or several.
    """
    with open_columns(path) as file:
        schema = file.schema
    able = [field.name for field in schema if _bytes_type(field.type) and field.name not in options.ignore]
    if options.image_column is not None:
        if options.image_column not in able:
            there = options.image_column in schema.names
            problem = "no column of image bytes is" if there else "there is no column"
            raise BadInput(
                f"{path.name}: {problem} '{options.image_column}' (image_column); such are: {', '.join(able) or 'none'}"
            )
        return options.image_column
    if options.columns is not None or not able:
        return None
    if len(able) > 1:
        raise BadInput(
            f"{path.name}: say which column holds the images (image_column): {', '.join(able[:20])}"
        )
    return able[0]


def read_image_column(path: Path, options: ReadOptions, column: str) -> Table:
    """The images of one column, labels and groups of others; what else the file has is left out.

    Raises:
        BadInput: an image that is missing or cannot be read; names the row. Otherwise as `image_table`.
    """
    options.only(path, IMAGE_OPTIONS)
    beside = beside_features(options)
    with open_columns(path) as file:
        names = file.schema.names
        for name in (column, *beside):
            if names.count(name) != 1:
                many = "two columns are named" if name in names else "no column"
                raise BadInput(f"{path.name}: {many} '{name}' ({', '.join(names[:20])})", column=name)
        arrow = file.read(list(dict.fromkeys([column, *beside])))
        if arrow.num_rows == 0:
            raise BadInput(f"{path.name}: no rows")
        cells = (cell for chunk in arrow[column].chunks for cell in chunk)
        places = (f"{path.name}: row {row}, column '{column}'" for row in itertools.count())
        files = (
            ImageFile(at, "", partial(_bytes, cell, at)) for at, cell in zip(places, cells, strict=False)
        )
        label = options.label_column
        labels = None if label is None else labels_of(arrow[label], path.name)
        groups = groups_of(arrow, options)
        return image_table(files, path.name, options, labels=labels, groups=groups)


def _bytes_type(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and _bytes_type(kind.field(at).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _bytes(cell: Any, source: str) -> bytes:
    value = cell.as_py()
    if isinstance(value, dict):
        if value["bytes"] is None and value.get("path"):
            raise BadInput(f"{source}: holds only the path of an image, not its bytes")
        value = value["bytes"]
    if value is None:
        raise BadInput(f"{source}: the image is missing")
    return value
