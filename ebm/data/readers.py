"""One function that reads any supported file, chosen by the end of its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ebm.data.arrays import read_npy, read_npz
from ebm.data.idx import read_idx
from ebm.data.image_column import image_column, read_image_column
from ebm.data.image_zip import read_image_zip
from ebm.data.images import read_image_folder
from ebm.data.mixed import read_mixed_csv, read_mixed_parquet
from ebm.data.options import Cells, ReadOptions
from ebm.data.table import Table
from ebm.data.tabular import read_csv, read_parquet
from ebm.errors import BadInput

Reader = Callable[[Path, ReadOptions], Table]

# To add a format: its reader, and one line here.
READERS: list[tuple[str, Reader]] = [
    (r"\.csv(\.gz)?$", read_csv),
    (r"\.(parquet|pq|arrow|feather)$", read_parquet),
    (r"\.npy$", read_npy),
    (r"\.npz$", read_npz),
    (r"\.zip$", read_image_zip),
    (r"[.-]idx(\d-ubyte)?(\.gz)?$", read_idx),
]
MIXED_READERS: dict[Reader, Callable[[Path, ReadOptions, Cells], Table]] = {
    read_csv: read_mixed_csv,
    read_parquet: read_mixed_parquet,
}


def read(path: Path | str, options: ReadOptions | None = None, cells: Cells = "numbers") -> Table:
    """Read a csv(.gz), parquet, arrow, npy, npz or idx(.gz) file, or a folder or zip of PNG and JPEG images.

    A parquet or arrow file may hold images, too, as bytes in a column.

    Args:
        cells: "mixed" for whoever takes more than numbers: nulls are allowed, and a table that is more than complete
            numbers comes as Arrow. With types by column (a model's), a table always does.

    Raises:
        BadInput: the file is missing, of an unknown kind, damaged, or holds something that is no finite
            number; the message names file, row (0-based) and column.
        BadConfig: an option that does not apply to this format.
    """
    path, options = Path(path), options or ReadOptions()
    if path.is_dir():
        return read_image_folder(path, options)
    if not path.exists():
        raise BadInput(f"{path}: no such file")
    for pattern, reader in READERS:
        if re.search(pattern, path.name, re.IGNORECASE):
            try:
                if reader is read_parquet and (cells == "numbers" or options.image_column is not None):
                    column = image_column(path, options)
                    if column is not None:
                        return read_image_column(path, options, column)
                if cells != "numbers" and reader in MIXED_READERS:
                    return MIXED_READERS[reader](path, options, cells)
                if cells != "numbers" and reader in (read_npy, read_npz):
                    options = options.model_copy(update={"allow_missing": True})
                return reader(path, options)
            except MemoryError:
                raise BadInput(f"{path.name}: too large for this machine's memory") from None
    kinds = "csv, csv.gz, parquet, arrow, npy, npz, idx, idx.gz, or a folder or zip of images"
    raise BadInput(f"{path}: unknown kind of file; expected {kinds}")
