"""Pictures as rows: the values of a whole reading, and a bad row for each that cannot be read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from stream_files import picture

from ebm.cli.pictures import read_pictures
from ebm.data import ReadOptions
from ebm.data.streams import image_source, open_place, open_source
from ebm.data.streams.image_source import ImageFolder
from ebm.errors import BadInput, Unsupported

GRAY = {"kind": "image", "height": 6, "width": 5, "channels": 1, "low": 0.0, "high": 16.0}
COLOUR = GRAY | {"channels": 3, "low": -1.0, "high": 1.0}


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of several sizes, modes, kinds and depths."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "in"
    shapes = [(6, 5), (6, 5, 3), (9, 5), (3, 2), (40, 31, 3), (6, 5, 4)]
    names = ["b.png", "a/z.PNG", "a/x.jpg", "a.png", "a/b/c.jpeg", "ü.png"]
    for name, shape in zip(names, shapes, strict=True):
        save(folder / name, rng.integers(0, 256, shape, np.uint8))
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_bytes(b"x")
    return folder


@pytest.mark.parametrize("schema", [GRAY, COLOUR])
def test_values_and_names_are_those_of_a_whole_reading(folder: Path, schema: dict[str, Any]) -> None:
    (folder / ".hidden.png").unlink()  # a whole reading fails at it
    names, values = read_pictures(folder, schema)
    source = open_source(folder, schema=schema)
    blocks = list(source.blocks(4))
    assert [name for block in blocks for name in block.table["file"].to_pylist()] == names
    got = np.concatenate([block.values for block in blocks])
    assert got.dtype == np.float32 and np.array_equal(got, values)
    assert source.decoder.fitted == 3
    one = open_source(folder / "a.png", schema=schema)
    (block,) = one.blocks(5)
    assert block.table["file"].to_pylist() == ["a.png"]
    assert np.array_equal(block.values, values[names.index("a.png")][None])


def test_without_a_model_all_are_like_the_first_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not a picture")
    for i in range(3):
        (tmp_path / f"b{i}.png").write_bytes(picture(i))
    (tmp_path / "c.png").write_bytes(picture(0, (7, 7)))
    (block,) = open_source(tmp_path).blocks(10)
    assert block.values.shape == (5, 4, 5)
    assert np.array_equal(block.values[1], np.asarray(Image.open(io.BytesIO(picture(0)))))
    assert [bad.row for bad in block.bad] == [0, 4]
    assert "c.png: 7 x 7 pixels" in block.bad[1].reason


def test_what_cannot_be_read_is_a_bad_row_that_names_the_file(folder: Path, monkeypatch) -> None:
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:60])
    (folder / "a" / "y.png").write_bytes(b"")
    monkeypatch.setattr(image_source, "AT_ONCE", 2)
    source = open_source(folder, schema=GRAY)
    (folder / "a" / "z.PNG").unlink()  # after it was listed
    blocks = list(source.blocks(3))
    names = [name for block in blocks for name in block.table["file"].to_pylist()]
    bad = {bad.row: bad.reason for block in blocks for bad in block.bad}
    assert sorted(names[row] for row in bad) == ["a/y.png", "a/z.PNG", "b.png"]
    assert all(names[row] in reason for row, reason in bad.items())
    values = np.concatenate([block.values for block in blocks])
    assert len(values) == len(names) == 7
    assert all((values[row] == 0).all() == (row in bad) for row in range(7))
    (last,) = source.blocks(3, blocks[2].start)
    assert last.bad == blocks[2].bad


def test_pictures_that_are_too_large_are_bad_rows(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(image_source, "MAX_FILE_BYTES", 200)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in folder.rglob("*.*"):
            archive.write(path, path.relative_to(folder))
    for place in (folder, tmp_path / "in.zip"):
        (block,) = open_source(place, schema=GRAY).blocks(10)
        assert [block.table["file"][bad.row].as_py() for bad in block.bad] == ["a/b/c.jpeg", "a/x.jpg"]


def test_a_damaged_member_of_a_zip_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(3):
            archive.writestr(f"{i}.png", picture(i, (6, 5)))
    data = bytearray(path.read_bytes())
    at = data.index(picture(1, (6, 5)))
    data[at + 50] ^= 1
    path.write_bytes(data)
    (block,) = open_source(path, schema=GRAY).blocks(10)
    assert [bad.row for bad in block.bad] == [1]
    assert "in.zip/1.png: cannot be unpacked" in block.bad[0].reason


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path.joinpath(b"a\xff.png".decode("utf-8", "surrogateescape"))
    path.write_bytes(picture(0))
    source = open_source(tmp_path, schema=GRAY)
    (block,) = source.blocks(1)
    assert block.table["file"].to_pylist() == ["a\ufffd.png"] and block.bad == ()
    assert len(source.identity()["listing"]) == 64


def test_a_column_of_images(tmp_path: Path) -> None:
    cells = [picture(0, (6, 5)), None, b"no", picture(3, (9, 5))]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3, 4], "image": cells, "more": cells}), path)
    with pytest.raises(BadInput, match="image, more"):
        open_source(path, schema=GRAY)
    source = open_source(path, schema=GRAY, options=ReadOptions(image_column="image"))
    (block,) = source.blocks(10)
    assert source.columns == ["id", "more"] == block.table.column_names
    assert block.table["id"].to_pylist() == [1, 2, 3, 4]
    assert [(bad.row, bad.column) for bad in block.bad] == [(1, "image"), (2, "image")]
    assert block.bad[0].reason == "row 1, column 'image': the image is missing"
    assert block.values.shape == (4, 6, 5) and block.values[3].any()
    # A model of a table, or none, gets the bytes as any other column.
    for schema in (None, {"kind": "table"}):
        (plain,) = open_source(path, schema=schema).blocks(10)
        assert plain.values is None and plain.table["image"].to_pylist() == cells


def test_a_table_of_pixels_stays_a_table(tmp_path: Path) -> None:
    pq.write_table(pa.table({"p0": [1.0], "p1": [2.0]}), tmp_path / "rows.parquet")
    (block,) = open_source(tmp_path / "rows.parquet", schema=GRAY).blocks(10)
    assert block.values is None and block.table.num_columns == 2


def test_only_models_of_pictures_take_pictures(folder: Path) -> None:
    with pytest.raises(Unsupported, match="rows of a table"):
        open_source(folder, schema={"kind": "table"})
    with pytest.raises(Unsupported, match="the model takes 2"):
        open_source(folder, schema=GRAY | {"channels": 2})


def test_pictures_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(BadInput, match="none of its 1 PNG or JPEG files"):
        open_source(tmp_path)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(BadInput, match=r"in\.zip: no PNG or JPEG files"):
        open_source(tmp_path / "in.zip", schema=GRAY)


def test_a_connection_that_fails_is_no_bad_row() -> None:
    place = open_place("memory://pictures-that-vanish/a.png")
    with place.open("wb") as file:
        file.write(picture(0))
    source = open_source("memory://pictures-that-vanish", schema=GRAY)
    assert isinstance(source, ImageFolder)
    place.remove()
    with pytest.raises(BadInput, match=r"a\.png: no such file"):
        list(source.blocks(1))
