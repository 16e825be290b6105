"""Parquet and Arrow files with a column of image bytes; and Arrow files as tables."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ebm.data import ReadOptions, read
from ebm.data.picture_size import fit_to
from ebm.errors import BadConfig, BadInput

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (4, 6, 5)).astype(np.uint8)
NAMES = ["x.parquet", "x.pq", "x.feather", "file.arrow", "stream.arrow"]


def encode(image, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


BYTES = [encode(image) for image in GRAY]


def write(path, columns, rows_each=3):
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    if path.suffix in (".parquet", ".pq"):
        pq.write_table(table, path, row_group_size=rows_each)
    elif path.suffix == ".feather":
        feather.write_feather(table, str(path), chunksize=rows_each)
    else:
        new = pa.ipc.new_stream if path.name == "stream.arrow" else pa.ipc.new_file
        with new(str(path), table.schema) as sink:
            sink.write_table(table, rows_each)
    return path


def structs(cells):
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    return pa.array([{"bytes": cell, "path": None} for cell in cells], kind)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["binary", "large_binary", "struct"])
def test_images_come_back(tmp_path, name, form):
    cells = structs(BYTES) if form == "struct" else pa.array(BYTES, getattr(pa, form)())
    path = write(tmp_path / name, {"id": list("abcd"), "image": cells, "label": [3, 1, 3, 0]})
    table = read(path, ReadOptions(label_column="label"))
    np.testing.assert_array_equal(table.values, GRAY)
    assert table.labels is not None and table.labels.tolist() == [3, 1, 3, 0]
    assert table.columns is None and table.source == name
    assert read(path).labels is None


def test_size_and_mode(tmp_path):
    images = [GRAY[0], RNG.integers(0, 256, (11, 4, 3)).astype(np.uint8)]
    path = write(tmp_path / "x.parquet", {"image": [encode(image) for image in images]})
    got = read(path, ReadOptions(size=(8, 8))).values
    np.testing.assert_array_equal(got[1], fit_to(images[1], (8, 8)))
    np.testing.assert_array_equal(got[0, ..., 2], fit_to(images[0], (8, 8)))
    assert read(path, ReadOptions(size=(8, 8), image_mode="L")).values.shape == (2, 8, 8)
    with pytest.raises(BadInput, match="x.parquet: row 1, column 'image': 11 x 4 pixels"):
        read(path)


def test_which_column(tmp_path):
    path = write(tmp_path / "x.parquet", {"image": BYTES, "mask": BYTES[::-1], "n": range(4)})
    with pytest.raises(BadInput, match=r"which column holds the images \(image_column\): image, mask"):
        read(path)
    np.testing.assert_array_equal(read(path, ReadOptions(image_column="mask")).values, GRAY[::-1])
    np.testing.assert_array_equal(read(path, ReadOptions(ignore=("mask",))).values, GRAY)
    with pytest.raises(BadInput, match="there is no column 'photo'"):
        read(path, ReadOptions(image_column="photo"))
    with pytest.raises(BadInput, match="no column of image bytes is 'n'"):
        read(path, ReadOptions(image_column="n"))
    # Columns that are named are a table's, as ever.
    np.testing.assert_array_equal(read(path, ReadOptions(columns=("n",))).values[:, 0], range(4))
    np.testing.assert_array_equal(read(path, ReadOptions(image_column="image"), "mixed").values, GRAY)


@pytest.mark.parametrize(
    "cell, message",
    [
        (BYTES[0][:50], "the image is damaged|not a readable image"),
        (b"no image", "not a readable image: neither PNG nor JPEG"),
        (None, "the image is missing"),
    ],
)
@pytest.mark.parametrize("make", [structs, pa.array])
def test_the_row_at_fault_is_named(tmp_path, cell, message, make):
    path = write(tmp_path / "x.parquet", {"image": make([*BYTES, cell, BYTES[0]])})
    with pytest.raises(BadInput, match=f"x.parquet: row 4, column 'image': ({message})") as caught:
        read(path)
    assert caught.value.row == 4


def test_a_path_is_no_image(tmp_path):
    cells = pa.array([{"bytes": None, "path": "/etc/passwd"}], structs([]).type)
    with pytest.raises(BadInput, match="row 0, column 'image': holds only the path of an image"):
        read(write(tmp_path / "x.parquet", {"image": cells}))


def test_labels_that_are_missing(tmp_path):
    path = write(tmp_path / "x.parquet", {"image": BYTES, "label": ["a", None, "b", "b"]})
    with pytest.raises(BadInput, match="x.parquet: row 1: the label is missing"):
        read(path, ReadOptions(label_column="label"))
    with pytest.raises(BadInput, match="x.parquet: no column 'y'"):
        read(path, ReadOptions(label_column="y"))
    with pytest.raises(BadConfig, match="option 'allow_missing' does not apply"):
        read(path, ReadOptions(allow_missing=True))
    with pytest.raises(BadInput, match="no rows"):
        read(write(tmp_path / "empty.parquet", {"image": pa.array([], pa.binary())}))


@pytest.mark.parametrize("name", NAMES[2:])
def test_arrow_files_are_tables_too(tmp_path, name):
    x = RNG.normal(size=(5, 2)).astype(np.float32)
    path = write(tmp_path / name, {"b": x[:, 1], "a": x[:, 0], "kind": list("uvuvu")})
    table = read(path, ReadOptions(columns=("a", "b"), label_column="kind"))
    np.testing.assert_array_equal(table.values, x)
    assert table.columns == ["a", "b"]
    assert table.labels is not None and table.labels.tolist() == list("uvuvu")
    mixed = read(path, None, "mixed").values
    assert isinstance(mixed, pa.Table) and mixed.column_names == ["b", "a", "kind"]


@pytest.mark.parametrize("name", NAMES[2:])
def test_every_truncated_arrow_file_is_one_line(tmp_path, name):
    path = write(tmp_path / name, {"image": BYTES})
    whole = path.read_bytes()
    complete = 0
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        try:
            complete += len(read(path)) < 4  # a stream may end after any batch
        except BadInput as error:
            assert str(error).startswith(name) and "\n" not in str(error)
    assert complete <= len(whole) // 7 * (name == "stream.arrow")
