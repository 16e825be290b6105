"""What is opened and what is refused, each with a line that names the place."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stream_files import arrow, npy, parquet, table_of

from ebm.data import ReadOptions
from ebm.data.streams import Mark, open_source, source
from ebm.errors import BadConfig, BadInput


@pytest.mark.parametrize(
    "name", ["a.parquet", "a.csv", "a.npy", "a.npz", "a.png", "a.zip", "gone", "a.arrow"]
)
def test_what_is_missing_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=f"{name}: no such file"):
        open_source(tmp_path / name)
    with pytest.raises(BadInput, match=f"{name}: (no such file|unknown kind)"):
        open_source(f"memory://nowhere/{name}")


def test_unknown_kinds(tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"rows\.xlsx: unknown kind of file; expected csv"):
        open_source(tmp_path / "rows.xlsx")
    with pytest.raises(BadInput, match="a folder without files that can be read"):
        open_source(tmp_path)
    os.mkfifo(tmp_path / "rows.csv")
    with pytest.raises(BadInput, match=r"rows\.csv: not a file or a folder"):
        open_source(tmp_path / "rows.csv")


def test_options_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="'label_column' does not apply"):
        open_source(tmp_path / "rows.csv", options=ReadOptions(label_column="y"))


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow", "stream.arrow", "rows.npy"])
def test_no_rows(tmp_path: Path, name: str) -> None:
    table = table_of(0)
    data = {
        "rows.parquet": parquet(table),
        "rows.arrow": arrow(table, 1),
        "stream.arrow": arrow(table, 1, stream=True),
        "rows.npy": npy(np.zeros((0, 3))),
    }
    (tmp_path / name).write_bytes(data[name])
    with pytest.raises(BadInput, match=f"{name}: no rows"):
        open_source(tmp_path / name)


def test_no_columns(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(parquet(pa.table({})))
    (tmp_path / "rows.arrow").write_bytes(arrow(pa.table({}), 1))
    for name in ("rows.parquet", "rows.arrow"):
        with pytest.raises(BadInput, match=f"{name}: no columns"):
            open_source(tmp_path / name)


def test_a_block_that_weighs_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((100, 10)))
    monkeypatch.setattr(source, "MAX_BLOCK_BYTES", 4000)
    assert len(list(open_source(tmp_path / "rows.npy").blocks(50))) == 2
    with pytest.raises(BadInput, match=r"rows\.npy: rows 0 to 50 take over .*; read fewer rows at a time"):
        list(open_source(tmp_path / "rows.npy").blocks(51))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(4), "expected .rows, columns."),
        (np.zeros((4, 0)), "expected .rows, columns."),
        (np.zeros((2, 2, 2, 2, 2)), "expected .rows, columns."),
        (np.zeros((4, 2), complex), "not one of real numbers"),
        (np.array([["a", "b"]]), "not one of real numbers"),
        (np.zeros((4, 2), [("x", "f4")]), "not a plain number"),
    ],
)
def test_arrays_that_are_no_rows(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "rows.npy", array)
    np.savez(tmp_path / "rows.npz", X=array)
    with pytest.raises(BadInput, match=message):
        open_source(tmp_path / "rows.npy")
    with pytest.raises(BadInput, match=r"rows\.npz\['X'\]: .*" + message):
        open_source(tmp_path / "rows.npz")


def test_what_an_npy_header_claims_is_not_believed(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 8), }"
    header = header.ljust(117) + b"\n"
    (tmp_path / "rows.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 64
    )
    with pytest.raises(BadInput, match=r"rows\.npy: the npy header claims 70368744177664 bytes .* holds 64"):
        open_source(tmp_path / "rows.npy")


def test_an_array_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    path.write_bytes(npy(np.zeros((40, 2))))
    found = open_source(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        BadInput, match=r"rows\.npy: row 30: the data end before the header says so"
    ) as caught:
        list(found.blocks(10))
    assert caught.value.row == 30


def test_which_array_of_an_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", a=np.ones((2, 3)), b=np.zeros((4, 3)))
    with pytest.raises(BadInput, match="say which array"):
        open_source(tmp_path / "rows.npz")
    assert open_source(tmp_path / "rows.npz", options=ReadOptions(values_key="b")).n_rows == 4


def test_parquet_rows_within_a_group(tmp_path: Path) -> None:
    """A start inside a row group, at its edge, at the end, and with groups that are empty."""
    path = tmp_path / "rows.parquet"
    with pq.ParquetWriter(path, pa.schema({"x": pa.int64()})) as writer:
        for low, high in ((0, 10), (10, 10), (10, 25)):
            writer.write_table(pa.table({"x": pa.array(range(low, high), pa.int64())}), row_group_size=100)
    found = open_source(path)
    for row in (0, 3, 9, 10, 11, 24):
        first = next(found.blocks(4, Mark(row)))
        assert first.table["x"].to_pylist() == list(range(row, min(row + 4, 25)))
    assert list(found.blocks(4, Mark(25))) == []


def test_feather_of_version_1_says_so(tmp_path: Path) -> None:
    (tmp_path / "rows.feather").write_bytes(b"FEA1" + b"\0" * 40 + b"FEA1")
    with pytest.raises(BadInput, match="Feather of version 1"):
        open_source(tmp_path / "rows.feather")


def test_offsets_in_arrow_that_point_elsewhere_are_refused(tmp_path: Path) -> None:
    table = pa.table({"s": ["aaaa", "bbbb", "cccc"]})
    data = arrow(table, 10)
    offsets = np.array([0, 4, 8, 12], "<i4").tobytes()
    assert data.count(offsets) == 1
    (tmp_path / "rows.arrow").write_bytes(data.replace(offsets, np.array([0, 4, 2**30, 12], "<i4").tobytes()))
    with pytest.raises(BadInput, match=r"rows\.arrow: not a readable Arrow file"):
        list(open_source(tmp_path / "rows.arrow").blocks(10))


class TestFolders:
    def write(self, folder: Path, **parts: pa.Table) -> None:
        for name, table in parts.items():
            pq.write_table(table, folder / f"{name}.parquet")

    def test_parts_of_other_columns_are_refused(self, tmp_path: Path) -> None:
        self.write(tmp_path, a=pa.table({"x": [1], "y": [2]}), b=pa.table({"y": [2], "x": [1]}))
        with pytest.raises(BadInput, match=r"/b\.parquet: columns 'y, x', .*/a\.parquet: columns 'x, y'"):
            open_source(tmp_path)

    def test_parts_of_other_types_are_refused(self, tmp_path: Path) -> None:
        self.write(tmp_path, a=pa.table({"x": [1]}), b=pa.table({"x": ["1"]}))
        with pytest.raises(
            BadInput, match=r"/b\.parquet: column 'x' is string, in the parts before it int64"
        ) as caught:
            open_source(tmp_path)
        assert caught.value.column == "x"

    def test_a_part_that_knows_no_type_takes_that_of_the_others(self, tmp_path: Path) -> None:
        strict = pa.schema([pa.field("x", pa.int64(), nullable=False)], metadata={"by": "hand"})
        nulls = pa.table({"x": pa.nulls(2)})
        self.write(tmp_path, a=nulls, b=pa.table({"x": [1]}, schema=strict), c=nulls, d=pa.table({"x": [2]}))
        blocks = list(open_source(tmp_path).blocks(4))
        assert [cell for block in blocks for cell in block.table["x"].to_pylist()] == [
            None,
            None,
            1,
            None,
            None,
            2,
        ]
        one = pa.schema([("x", pa.int64())])
        assert all(block.table.schema.equals(one, check_metadata=True) for block in blocks)

    def test_kinds_are_not_mixed(self, tmp_path: Path) -> None:
        self.write(tmp_path, a=pa.table({"x": [1]}))
        (tmp_path / "rows.csv").write_text("x\n1\n")
        with pytest.raises(BadInput, match=r"several kinds \(CSV, Parquet\)"):
            open_source(tmp_path)

    def test_files_and_streams_of_arrow_are_not_mixed(self, tmp_path: Path) -> None:
        (tmp_path / "a.arrow").write_bytes(arrow(pa.table({"x": [1]}), 1))
        (tmp_path / "b.arrow").write_bytes(arrow(pa.table({"x": [1]}), 1, stream=True))
        with pytest.raises(BadInput, match="Arrow files and Arrow streams"):
            open_source(tmp_path)

    def test_a_damaged_part_is_named(self, tmp_path: Path) -> None:
        self.write(tmp_path, a=pa.table({"x": [1]}))
        (tmp_path / "b.parquet").write_bytes(b"PAR1")
        with pytest.raises(BadInput, match=r"b\.parquet: not a readable Parquet file"):
            open_source(tmp_path)

    def test_bad_rows_are_numbered_through(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("x,y\n1,2\n3,4\n")
        (tmp_path / "b.csv").write_text("x,y\n5\n6,7\n")
        found = open_source(tmp_path)
        (block,) = found.blocks(10)
        assert [bad.row for bad in block.bad] == [2] and block.bad[0].reason.startswith("row 2 has 1 cell,")
        (block,) = found.blocks(10, list(found.marks(1))[2])
        assert [bad.row for bad in block.bad] == [2] and len(block) == 2

    def test_a_part_with_another_header_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("x,y\n1,2\n")
        (tmp_path / "b.csv").write_text("3,4\n")
        with pytest.raises(BadInput, match=r"/b\.csv: 2 columns without a header, .*/a\.csv: columns 'x, y'"):
            open_source(tmp_path)
