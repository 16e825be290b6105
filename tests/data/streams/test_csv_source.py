"""CSV: text as it was written, rows of another width as bad rows, and files that are refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ebm.data import ReadOptions
from ebm.data.streams import Bad, csv_records, csv_source, open_source
from ebm.data.tabular import header_of
from ebm.errors import BadInput


def source_of(tmp_path: Path, data: bytes, name: str = "rows.csv", header: bool | None = None):
    path = tmp_path / name
    path.write_bytes(data)
    return open_source(path, options=ReadOptions(header=header))


def test_cells_are_as_they_were_written(tmp_path: Path) -> None:
    data = b'a,b\n1.50,NA\n 007 ,"x"\n"",""\n1e5,"a ""b"", c"\n'
    (block,) = source_of(tmp_path, data).blocks(10)
    assert block.table is not None
    assert block.table.to_pydict() == {"a": ["1.50", " 007 ", "", "1e5"], "b": ["NA", "x", "", 'a "b", c']}


def test_a_row_of_another_width_is_bad_and_null_and_the_others_stay(tmp_path: Path, monkeypatch) -> None:
    lines = [b"a,b"] + [b"%d,x" % i for i in range(40)]
    lines[4] = b"3"
    lines[5] = b"4,x,y,z"
    lines[40] = b"39,"
    lines[20:20] = [b"", b""]
    for size in (7, 1 << 20):
        monkeypatch.setattr(csv_records, "BYTES", size)
        source = source_of(tmp_path, b"\n".join(lines))
        blocks = list(source.blocks(16))
        assert [len(block) for block in blocks] == [16, 16, 8]
        cells = [cell for block in blocks for cell in block.table["a"].to_pylist()]
        assert cells == [None if i in (3, 4) else str(i) for i in range(40)]
        assert [block.table["b"].to_pylist() for block in blocks][2][-1] == ""
        assert [bad for block in blocks for bad in block.bad] == [
            Bad(3, "row 3 has 1 cell, the header has 2"),
            Bad(4, "row 4 has 4 cells, the header has 2"),
        ]
        again = list(source.blocks(2, blocks[0].start._replace(row=0)))
        assert again[1].bad[0].row == 3 and again[2].bad[0].row == 4


def test_a_mark_of_utf8_before_a_quote(tmp_path: Path) -> None:
    source = source_of(tmp_path, b'\xef\xbb\xbf"x\ny",1\nz,2\n', header=False)
    assert next(source.blocks(1)).table["0"].to_pylist() == ["x\ny"]
    assert [mark.row for mark in source.marks(1)] == [0, 1]


def test_all_rows_may_be_bad(tmp_path: Path) -> None:
    (block,) = source_of(tmp_path, b"1,2\n3\n4\n", header=True).blocks(5)
    assert [bad.row for bad in block.bad] == [0, 1]
    assert block.table.to_pylist() == [{"1": None, "2": None}] * 2
    (block,) = source_of(tmp_path, b"1,2\n3\n").blocks(5)
    assert block.bad == (Bad(1, "row 1 has 1 cell, the first row has 2"),)


@pytest.mark.parametrize(
    "first",
    ["a,b", "1,2", "1,b", "0,1", "NA,1", '"x\ny",1', "1.5,-2e3", '"a ""q""",b', " 1, 2", "nan,", "1,ü"],
)
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_the_header_rule_is_that_of_whole_files(tmp_path: Path, first: str, bom: bytes) -> None:
    data = bom + first.encode() + b"\n7,8\n"
    names, named = header_of(data, "rows.csv", None)
    source = source_of(tmp_path, data)
    (block,) = source.blocks(5)
    assert block.table.column_names == names
    assert source.columns == (names if named else None)
    assert len(block) == 2 - named
    assert block.table.column(0)[-1].as_py() == "7"
    if not named:
        assert block.table.column(0)[0].as_py() == first.split(",")[0]


@pytest.mark.parametrize(
    ("data", "message", "row"),
    [
        (b"", "empty", None),
        (b"\na,b\n", "starts with an empty line", None),
        (b"a,b\n", "no rows", None),
        (b"a,b\n\n\r\n", "no rows", None),
        (b"a,a\n1,2\n", "two columns are named 'a'", None),
        (b"a,\n1,2\n", "column 1 has no name", None),
        (b"a,b\n1,2\n3,\xff\n", "row 1: .*not UTF-8", 1),
        (b"a,b\n1,2\n3\n4,\xff\n", "row 2: .*not UTF-8", 2),
        ("a,b\n1,ü\n".encode("latin-1"), "row 0: .*not UTF-8", 0),
        ("a,b\n1,2\n".encode("utf-16"), "not a readable CSV file", None),
        (b'a,b\n1,2\n"3,4\n5,6\n', "row 1: a quote is not closed", 1),
        (b'"a,b\n1,2\n', "rows.csv", None),
    ],
)
def test_files_that_are_refused(tmp_path: Path, data: bytes, message: str, row: int | None) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        list(source_of(tmp_path, data).blocks(10))
    assert caught.value.row == row and str(caught.value).startswith("rows.csv: ")


@pytest.mark.parametrize("cut", [1, 4, 9, 40])
def test_a_gzip_file_that_is_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    data = gzip.compress(b"a,b\n" + b"1,2\n" * 100_000)[:-cut]
    with pytest.raises(BadInput, match=r"rows\.csv\.gz: not a readable CSV file: .*[Tt]runcated"):
        list(source_of(tmp_path, data, "rows.csv.gz").blocks(10_000))


def test_what_is_no_gzip_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"rows\.csv\.gz: not a readable CSV file"):
        source_of(tmp_path, b"a,b\n1,2\n", "rows.csv.gz")


def test_a_first_line_without_an_end_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(csv_source, "MAX_HEADER", 1 << 17)
    with pytest.raises(BadInput, match="the first line is longer than"):
        source_of(tmp_path, b"a," * (1 << 18))


def test_a_mark_behind_the_end_reads_nothing(tmp_path: Path) -> None:
    """Of a file that shrank: reading does not begin anew."""
    source = source_of(tmp_path, b"a\n1\n2\n3\n")
    mark = list(source.marks(2))[1]
    (tmp_path / "rows.csv").write_bytes(b"a\n")
    assert list(source.blocks(2, mark)) == []
