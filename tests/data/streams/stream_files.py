"""Files of every kind that sources read, with what they hold, in any folder."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ebm.data.streams import START, Mark, Place, Source

IMAGE = {"kind": "image", "height": 4, "width": 5, "channels": 1, "low": -1.0, "high": 1.0}


def table_of(n: int, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    x[rng.random(n) < 0.1] = np.nan
    words = rng.choice(["", "a", 'quo"te', "com,ma", "line\nbreak", "über", "\u2028", " "], size=n)
    return pa.table(
        {
            "x": pa.array(x, mask=rng.random(n) < 0.2),
            "n": pa.array(rng.integers(-5, 5, n)),
            "word": pa.array(words.tolist()),
            "kind": pa.array(words.tolist()).dictionary_encode(),
            "list": pa.array([list(range(i % 3)) for i in range(n)]),
            "__index_level_0__": pa.array(np.arange(n)),
        }
    )


def text_of(table: pa.Table) -> pa.Table:
    """As a CSV file gives it: cells as text."""
    columns = [[str(cell) for cell in column.to_pylist()] for column in table.columns]
    return pa.table([pa.array(column, pa.string()) for column in columns], names=table.column_names)


def csv_of(table: pa.Table, header: bool = True, end: str = "\n") -> bytes:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if set(text) & set('",\r\n') or text == "" else text

    rows = list(zip(*[column.to_pylist() for column in table.columns], strict=True))
    lines = [",".join(map(cell, row)) for row in ([table.column_names] * header) + rows]
    return (end.join(lines) + end).encode()


def write(place: Place, data: bytes) -> Place:
    with place.open("wb") as file:
        file.write(data)
    return place


def bytes_of(save: Callable[[io.BytesIO], Any]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


def parquet(table: pa.Table, **options: Any) -> bytes:
    return bytes_of(lambda file: pq.write_table(table, file, **options))


def arrow(table: pa.Table, batch: int, stream: bool = False, compression: str | None = None) -> bytes:
    file = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression, emit_dictionary_deltas=stream)
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(file, table.schema, options=options) as writer:
        writer.write_table(table.unify_dictionaries(), max_chunksize=batch)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    return bytes_of(lambda file: np.save(file, array, allow_pickle=False))


def picture(seed: int, size: tuple[int, int] = (4, 5)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    return bytes_of(lambda file: Image.fromarray(pixels).save(file, "png"))


Made = tuple[
    Place, Any, dict[str, Any]
]  # the place, what it holds (a table or an array), arguments of open_source
MAKERS: dict[str, Callable[[Place, int], Made]] = {}


def maker(name: str) -> Callable[[Callable[[Place, int], Made]], Any]:
    return lambda function: MAKERS.setdefault(name, function)


def simple(
    name: str, ending: str, data: Callable[[pa.Table], bytes], text: bool = False, **options: Any
) -> None:
    def make(folder: Place, n: int) -> Made:
        table = text_of(table_of(n)) if text else table_of(n)
        return write(folder.joinpath("rows" + ending), data(table)), table, options

    MAKERS[name] = make


simple("parquet", ".parquet", lambda table: parquet(table, row_group_size=13))
simple("parquet of one group", ".PQ", parquet)
simple("arrow file", ".arrow", lambda table: arrow(table, 11))
simple("arrow file, packed", ".feather", lambda table: arrow(table, 11, compression="zstd"))
simple("arrow stream", ".arrow", lambda table: arrow(table, 9, stream=True))
simple("csv", ".csv", csv_of, text=True)
simple(
    "csv with CRLF, BOM, blank lines",
    ".csv",
    lambda table: b"\xef\xbb\xbf" + csv_of(table, end="\r\n\r\n"),
    text=True,
)
simple("csv with CR, no last line end", ".csv", lambda table: csv_of(table, end="\r")[:-1], text=True)
simple("csv.gz", ".csv.gz", lambda table: gzip.compress(csv_of(table)), text=True)


@maker("csv.gz of several members, empty ones too")
def _(folder: Place, n: int) -> Made:
    table = text_of(table_of(n))
    data = csv_of(table)
    cuts = [data[i : i + 101] for i in range(0, len(data), 101)]
    packed = gzip.compress(b"") + b"".join(gzip.compress(cut) + gzip.compress(b"") for cut in cuts)
    return write(folder.joinpath("rows.csv.gz"), packed), table, {}


@maker("csv without a header")
def _(folder: Place, n: int) -> Made:
    table = pa.table({"0": [str(i) for i in range(n)], "1": [f"{i / 7}" for i in range(n)]})
    return write(folder.joinpath("rows.csv"), csv_of(table, header=False)), table, {}


def array_of(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, *shape)).astype(np.float32)


def arrays(name: str, ending: str, data: Callable[[np.ndarray], bytes], *shape: int) -> None:
    def make(folder: Place, n: int) -> Made:
        array = array_of(n, *shape)
        return write(folder.joinpath("rows" + ending), data(array)), array, {}

    MAKERS[name] = make


arrays("npy", ".npy", npy, 3)
arrays("npy of images", ".npy", npy, 4, 5, 3)
arrays("npy, columns first", ".npy", lambda array: npy(np.asfortranarray(array)), 4, 5)
arrays("npy, big-endian", ".npy", lambda array: npy(array.astype(">f4")), 3)
arrays("npz", ".npz", lambda array: bytes_of(lambda f: np.savez(f, X=array, y=np.zeros(len(array)))), 3)
arrays("npz, packed", ".npz", lambda array: bytes_of(lambda f: np.savez_compressed(f, data=array)), 4, 5)
arrays(
    "npz, columns first",
    ".npz",
    lambda array: bytes_of(lambda f: np.savez_compressed(f, X=np.asfortranarray(array))),
    3,
)


@maker("folder of parquet")
def _(folder: Place, n: int) -> Made:
    table = table_of(n)
    cuts = [0, 0, 17, 17, 40, n]
    for i in range(5):
        part = table.slice(cuts[i], cuts[i + 1] - cuts[i])
        where = folder.joinpath("below") if i == 4 else folder
        where.mkdirs()
        write(where.joinpath(f"part-{i:04}.parquet"), parquet(part, row_group_size=5))
    # "below" sorts before "part-"; what begins with _ or . is not data.
    write(folder.joinpath("_SUCCESS.parquet"), b"")
    write(folder.joinpath("_summary.json"), b"{}")
    write(folder.joinpath("_rejects.csv"), b"row\n")
    return folder, pa.concat_tables([table.slice(40), table.slice(0, 40)]), {}


@maker("folder of csv")
def _(folder: Place, n: int) -> Made:
    table = text_of(table_of(n))
    for i in range(4):
        data = csv_of(table.slice(i * n // 4, (i + 1) * n // 4 - i * n // 4))
        name = f"part-{i}.csv" + ".gz" * (i == 2)
        write(folder.joinpath(name), gzip.compress(data) if i == 2 else data)
    return folder, table, {}


@maker("folder of arrow streams")
def _(folder: Place, n: int) -> Made:
    table = table_of(n).drop_columns(["kind"])
    for i in range(3):
        part = table.slice(i * n // 3, (i + 1) * n // 3 - i * n // 3)
        write(folder.joinpath(f"{i}.arrow"), arrow(part, 4, stream=True))
    return folder, table, {}


@maker("folder of npy")
def _(folder: Place, n: int) -> Made:
    array = array_of(n, 3)
    write(folder.joinpath("b.npy"), npy(array[20:]))
    write(folder.joinpath("a.npy"), npy(array[:20]))
    return folder, array, {}


def pixels_of(data: bytes) -> np.ndarray:
    pixels = np.asarray(Image.open(io.BytesIO(data))).astype(np.float64)
    return (-1.0 + pixels * (2.0 / 255.0)).astype(np.float32)


@maker("folder of images")
def _(folder: Place, n: int) -> Made:
    folder.joinpath("z").mkdirs()
    for i in range(n):
        write(folder.joinpath("z" if i % 2 else ".", f"{i:03}.png"), picture(i))
    order = [*range(0, n, 2), *range(1, n, 2)]
    return folder, np.stack([pixels_of(picture(i)) for i in order]), {"schema": IMAGE}


@maker("zip of images")
def _(folder: Place, n: int) -> Made:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("__MACOSX/._000.png", b"x")
        for i in reversed(range(n)):
            archive.writestr(f"{i:03}.png", picture(i))
    place = write(folder.joinpath("images.zip"), file.getvalue())
    return place, np.stack([pixels_of(picture(i)) for i in range(n)]), {"schema": IMAGE}


@maker("parquet with images")
def _(folder: Place, n: int) -> Made:
    table = pa.table({"image": [{"bytes": picture(i), "path": None} for i in range(n)], "id": np.arange(n)})
    place = write(folder.joinpath("rows.parquet"), parquet(table, row_group_size=13))
    return place, np.stack([pixels_of(picture(i)) for i in range(n)]), {"schema": IMAGE}


def whole(source: Source, rows: int, start: Mark = START) -> Any:
    """All blocks from `start` on, as one table or array, once their shape was checked."""
    at, blocks = start, list(source.blocks(rows, start))
    for i, block in enumerate(blocks):
        assert block.start == at and block.bad == ()
        assert len(block) == rows if i < len(blocks) - 1 else 0 < len(block) <= rows
        for part in (block.table, block.values):
            assert part is None or len(part) == len(block)
        assert block.values is None or block.values.dtype.isnative
        at = block.end
    if blocks and blocks[0].values is not None:
        return np.concatenate([block.values for block in blocks if block.values is not None])
    return pa.concat_tables([block.table for block in blocks if block.table is not None])


def same(got: Any, expected: Any) -> bool:
    if isinstance(expected, np.ndarray):
        return got.dtype == expected.dtype and np.array_equal(got, expected)
    return got.schema.equals(expected.schema) and [str(c.to_pylist()) for c in got.columns] == [
        str(c.to_pylist()) for c in expected.columns
    ]
