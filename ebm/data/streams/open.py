"""One function that opens whatever is named: a file, a folder or a URL."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ebm.data.options import ReadOptions
from ebm.data.streams.arrow_source import open_arrow
from ebm.data.streams.csv_source import CsvSource
from ebm.data.streams.image_cells import ImageCells, Tables, image_column_of
from ebm.data.streams.image_source import SUFFIXES, ImageFolder, ImageZip, is_picture
from ebm.data.streams.listing import Listing, list_files
from ebm.data.streams.npy_source import NpySource
from ebm.data.streams.parquet_source import ParquetSource
from ebm.data.streams.parts import PartsSource
from ebm.data.streams.place import Place
from ebm.data.streams.places import open_place
from ebm.data.streams.source import StreamSource
from ebm.data.streams.whole_source import IdxSource
from ebm.errors import BadInput

OPTIONS = {"header", "values_key", "image_column"}
Open = Callable[[Place, ReadOptions], StreamSource]

# To add a format: its source, and one line here. TABLES may be parts of a folder, too.
TABLES: dict[str, tuple[str, Open]] = {
    "Parquet": (r"\.(parquet|pq)$", lambda place, _: ParquetSource(place)),
    "Arrow": (r"\.(arrow|feather)$", lambda place, _: open_arrow(place)),
    "CSV": (r"\.csv(\.gz)?$", lambda place, options: CsvSource(place, options.header)),
    "npy": (r"\.npy$", lambda place, _: NpySource(place)),
}
OTHERS: list[tuple[str, Open]] = [
    (r"\.npz$", lambda place, options: NpySource(place, options.values_key)),
    (r"[.-]idx(\d-ubyte)?(\.gz)?$", lambda place, _: IdxSource(place)),
]
KINDS = "csv, csv.gz, parquet, arrow, npy, npz, idx, png, jpeg, or a folder of such or a zip of images"


def open_source(
    place: str | Path | Place,
    *,
    schema: Mapping[str, Any] | None = None,
    options: ReadOptions | None = None,
) -> StreamSource:
    """A `Source` of the rows of a file, a folder of files of one kind, or a URL.

    Args:
        schema: of the model's input (`Manifest.input`). Pictures are brought to its size and range; without one they
            must all be like the first, and keep 0 to 255. A model of images takes them from the column of a table, too.
        options: `header`, `values_key`, `image_column`; others mean nothing here.

    Raises:
        BadInput: missing, of an unknown kind, damaged, or without rows; names the place.
        BadConfig: an option that does not apply. Unsupported: pictures, but the model takes none.
    """
    place, options = open_place(place), options or ReadOptions()
    options.only(str(place), OPTIONS)
    if place.path is not None and not (place.path.is_file() or place.path.is_dir()):
        raise BadInput(f"{place}: {'not a file or a folder' if place.exists() else 'no such file'}")
    source = _folder(place, schema, options) if place.is_dir() else _file(place, schema, options)
    if schema is not None and schema.get("kind") == "image" and isinstance(source, Tables):
        column = (
            None
            if source.schema is None
            else image_column_of(source.schema, options.image_column, source.name)
        )
        source = source if column is None else ImageCells(source, column, schema)
    if source.columns == []:
        raise BadInput(f"{source.name}: no columns")
    if source.n_rows == 0 or (source.n_rows is None and next(source.blocks(1), None) is None):
        raise BadInput(f"{source.name}: no rows")
    return source


def _file(place: Place, schema: Mapping[str, Any] | None, options: ReadOptions) -> StreamSource:
    name = place.name.lower()
    for pattern, opener in [*TABLES.values(), *OTHERS]:
        if re.search(pattern, name):
            return opener(place, options)
    if name.endswith(".zip"):
        return ImageZip(place, schema)
    if is_picture(name):
        return ImageFolder(place, schema)
    raise BadInput(f"{place}: unknown kind of file; expected {KINDS}")


def _folder(place: Place, schema: Mapping[str, Any] | None, options: ReadOptions) -> StreamSource:
    listing = list_files(place, lambda name: not name.startswith("_"))
    found: dict[str, list[str]] = defaultdict(list)
    for name in listing.names:
        lower = name.lower()
        kinds = [kind for kind, (pattern, _) in TABLES.items() if re.search(pattern, lower)]
        if kinds or lower.endswith(SUFFIXES):
            found[kinds[0] if kinds else "image"].append(name)
    if not found:
        raise BadInput(f"{place}: a folder without files that can be read; expected {KINDS}")
    if len(found) > 1:
        raise BadInput(
            f"{place}: holds files of several kinds ({', '.join(sorted(found))}); name one file, or move some"
        )
    kind, names = next(iter(found.items()))
    if kind == "image":
        return ImageFolder(place, schema)
    opener = TABLES[kind][1]
    return PartsSource(Listing(place, names, listing.digest), lambda part: opener(part, options))
