"""What every source owes: blocks that are the file, in order; a start from every mark; the same marks apart."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from stream_files import MAKERS, same, whole

from ebm.data.streams import open_place, open_source
from ebm.errors import BadInput

SIZES = (1, 2, 7, 64, 1000)


@pytest.mark.parametrize("name", MAKERS)
def test_blocks_are_the_file_from_wherever_they_start(name: str, tmp_path: Path) -> None:
    n = 67
    place, expected, options = MAKERS[name](open_place(tmp_path), n)
    source = open_source(place.url, **options)
    assert source.n_rows in (None, n)
    assert source.text == ("csv" in name)
    identity = source.identity()
    for rows in SIZES:
        assert same(whole(source, rows), expected)
        marks = list(source.marks(rows))
        assert marks == [block.start for block in source.blocks(rows)]
        assert [mark.row for mark in marks] == list(range(0, n, rows))
        for mark in marks[:: max(1, len(marks) // 4)]:
            assert same(
                whole(source, 10, mark),
                expected[mark.row :] if isinstance(expected, np.ndarray) else expected.slice(mark.row),
            )
    assert source.identity() == identity == open_source(place.url, **options).identity()
    source.close()


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "folder of images"])
def test_behind_a_url(name: str) -> None:
    folder = open_place(f"memory://{uuid4().hex}/in")
    place, expected, options = MAKERS[name](folder, 67)
    source = open_source(place.url, **options)
    assert same(whole(source, 20), expected)
    mark = list(source.marks(20))[2]
    assert same(
        whole(source, 20, mark), expected[40:] if isinstance(expected, np.ndarray) else expected.slice(40)
    )
    before = source.identity()
    folder.remove()
    MAKERS[name](folder, 68)
    assert open_source(place.url, **options).identity() != before


@pytest.mark.parametrize("name", MAKERS)
def test_a_change_shows_in_the_identity(name: str, tmp_path: Path) -> None:
    place, _, options = MAKERS[name](open_place(tmp_path), 40)
    before = open_source(place.url, **options).identity()
    MAKERS[name](open_place(tmp_path), 41)
    assert open_source(place.url, **options).identity() != before


@pytest.mark.parametrize("name", [name for name in MAKERS if "folder" not in name])
def test_damage_is_one_line_that_names_the_file(name: str, tmp_path: Path) -> None:
    """Cut off, or with bytes changed: an error, or other rows, but nothing that is no BadInput."""
    place, expected, options = MAKERS[name](open_place(tmp_path), 60)
    assert place.path is not None
    data = place.path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for trial in range(60):
        damaged = bytearray(data[: rng.integers(len(data))] if trial % 2 else data)
        for at in rng.integers(0, max(len(damaged), 1), 0 if trial % 2 else 8):
            damaged[at] = rng.integers(256)
        place.path.write_bytes(damaged)
        try:
            source = open_source(place.url, **options)
            rows = sum(len(block) for block in source.blocks(7))
            assert source.n_rows in (None, rows)
        except BadInput as error:
            refused += 1
            assert place.name in str(error) and "\n" not in str(error)
    assert refused > 0


def test_what_random_access_promises(tmp_path: Path) -> None:
    at_once = {}
    for i, (name, make) in enumerate(MAKERS.items()):
        folder = open_place(tmp_path / str(i))
        folder.mkdirs()
        place, _, options = make(folder, 60)
        at_once[name] = open_source(place.url, **options).random_access
    slow = {name for name, is_random in at_once.items() if not is_random}
    assert slow == {
        "arrow stream",
        "csv.gz",
        "csv.gz of several members, empty ones too",
        "npz, packed",
        "npz, columns first",
        "folder of csv",
        "folder of arrow streams",
    }
