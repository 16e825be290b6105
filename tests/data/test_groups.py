"""Rows that belong together never fall on two sides of a split."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ebm.data import ReadOptions, make_table, read, split_normal
from ebm.errors import BadConfig, BadInput
from ebm.runs import prepare
from ebm.training.config import TrainConfig

SIZES = st.lists(st.integers(1, 9), min_size=3, max_size=30)


def parts(split):
    return split.train, split.calibration, split.test


@given(SIZES, st.integers(0, 2**32 - 1))
def test_no_group_is_on_two_sides(sizes, seed):
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    n = len(groups)
    if int(0.6 * n) < 2 or int(0.2 * n) < 1:
        return
    try:
        split = split_normal(n, 0.6, 0.2, seed, groups)
    except BadInput as error:
        assert "groups (option 'group')" in str(error)
        return
    np.testing.assert_array_equal(np.sort(np.concatenate(parts(split))), np.arange(n))
    seen = [set(groups[part]) for part in parts(split)]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    assert all(seen), "each part that is wanted has a group"
    # No part is further from its share than two of the largest groups: one it got, or one it gave.
    wanted = (int(0.6 * n), int(0.2 * n), n - int(0.6 * n) - int(0.2 * n))
    for part, want in zip(parts(split), wanted, strict=True):
        assert abs(len(part) - want) <= 2 * max(sizes)


def test_single_rows_meet_the_shares_exactly():
    split = split_normal(100, 0.5, 30, 0, np.arange(100))
    assert [len(part) for part in parts(split)] == [50, 30, 20]
    split = split_normal(100, 1.0, 0, 0, np.arange(100) // 10)
    assert [len(part) for part in parts(split)] == [100, 0, 0]


def test_groups_of_ten_meet_shares_of_ten():
    groups = np.repeat(np.arange(20), 10)
    split = split_normal(200, 0.6, 0.2, 3, groups)
    assert [len(part) for part in parts(split)] == [120, 40, 40]
    assert 60 < split.train.mean() < 140  # at random, not by position


def test_the_seed_decides():
    groups = np.random.default_rng(0).integers(0, 30, 200)
    a, b, c = (split_normal(200, 0.6, 0.2, seed, groups) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.train, b.train)
    np.testing.assert_array_equal(a.test, b.test)
    assert not np.array_equal(a.train, c.train)


def test_three_groups_are_enough():
    split = split_normal(30, 0.6, 0.2, 0, np.repeat(["a", "b", "c"], 10))
    assert [len(part) for part in parts(split)] == [10, 10, 10]


def test_groups_too_few():
    with pytest.raises(BadInput, match=r"of 1 groups \(option 'group'\).*none is left for calibration"):
        split_normal(10, 0.6, 0.2, 0, np.zeros(10))
    with pytest.raises(BadInput, match="1 rows are left for training"):
        for seed in range(9):  # once the single row comes first
            split_normal(4, 2, 2, seed, np.array([0, 0, 0, 1]))


@pytest.fixture
def folder(tmp_path):
    for i in range(12):
        name = f"part{i // 3}_frame{i % 3}.png"
        side = "bad" if i >= 9 else "good"
        (tmp_path / side).mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), 10 * i, np.uint8)).save(tmp_path / side / name)
    return tmp_path


def test_a_pattern_groups_files(folder):
    table = read(folder, ReadOptions(group="(part[0-9]+)_"))
    assert table.groups is not None and table.labels is not None
    assert table.groups.tolist() == [f"part{k}" for k in (3, 3, 3, 0, 0, 0, 1, 1, 1, 2, 2, 2)]
    kept = table.rows(table.labels == "good")
    assert (
        kept.groups is not None and kept.groups.tolist() == np.repeat(["part0", "part1", "part2"], 3).tolist()
    )
    by_path = read(folder, ReadOptions(group="^(good|bad)/"))
    assert by_path.groups is not None and set(by_path.groups) == {"good", "bad"}
    assert read(folder).groups is None
    assert len({t.fingerprint() for t in (table, by_path, read(folder))}) == 3


def test_patterns_that_do_not_fit(folder):
    with pytest.raises(BadInput, match=r"/bad/part3_frame0.png: option 'group': .* finds nothing") as caught:
        read(folder, ReadOptions(group="(part[0-2])_"))
    assert caught.value.row == 0
    with pytest.raises(BadConfig, match="option 'group': 'part' has 0 groups in brackets, not one"):
        read(folder, ReadOptions(group="part"))
    with pytest.raises(BadConfig, match=r"option 'group': '\(part' is not a regular expression"):
        read(folder, ReadOptions(group="(part"))


def test_a_run_keeps_groups_whole(folder):
    values = {
        "name": "x",
        "data": {"kind": "file", "path": str(folder), "normal": ["good"], "group": "(part[0-9]+)_"},
        "preprocessing": {"kind": "image"},
        "split": {"train": 0.4, "calibration": 0.3},
        "terms": [{"name": "k", "energy": {"kind": "kernel"}}],
    }
    rows = prepare(TrainConfig.model_validate(values))
    assert len(rows.anomalies) == 3
    found = [
        sorted({int(image[0, 0]) // 30 for image in part})
        for part in (rows.train, rows.calibration, rows.test)
    ]
    assert sorted(sum(found, [])) == [0, 1, 2], "each part of three frames is on one side"


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.arrow"])
@pytest.mark.parametrize("cells", ["numbers", "mixed"])
def test_a_column_groups_rows(tmp_path, name, cells):
    table = pa.table({"a": [1.0, 2, 3], "photo": ["p", "q", "p"], "kind": ["x", "y", "x"]})
    if cells == "mixed":
        table = table.append_column("word", pa.array(["u", "v", "w"]))
    if name == "x.csv":
        table.to_pandas().to_csv(tmp_path / name, index=False)
    elif name == "x.arrow":
        with pa.ipc.new_file(str(tmp_path / name), table.schema) as sink:
            sink.write_table(table)
    else:
        pq.write_table(table, tmp_path / name)
    got = read(tmp_path / name, ReadOptions(label_column="kind", group="photo"), cells)
    assert got.groups is not None and got.groups.tolist() == ["p", "q", "p"]
    assert got.labels is not None and got.labels.tolist() == ["x", "y", "x"]
    assert got.columns == ["a", "word"][: 1 + (cells == "mixed")]
    same = read(tmp_path / name, ReadOptions(label_column="kind", group="kind", ignore=("photo",)), cells)
    assert same.groups is not None and same.groups.tolist() == ["x", "y", "x"]
    with pytest.raises(BadInput, match="no column 'frame'"):
        read(tmp_path / name, ReadOptions(group="frame"), cells)


def test_an_array_groups_images(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.arange(12.0).reshape(3, 2, 2), photo=[7, 7, 8])
    got = read(tmp_path / "x.npz", ReadOptions(group="photo"))
    assert got.groups is not None and got.groups.tolist() == ["7", "7", "8"]
    with pytest.raises(BadInput, match=r"no array 'frame'.*option 'group'"):
        read(tmp_path / "x.npz", ReadOptions(group="frame"))
    with pytest.raises(BadInput, match=r"x.npz: groups of shape \(3, 2, 2\) for 3 rows"):
        read(tmp_path / "x.npz", ReadOptions(values_key="images", group="images"))


def test_a_row_without_a_group():
    with pytest.raises(BadInput, match=r"t: row 1: its group is missing \(option 'group'\)"):
        make_table(np.eye(3), "t", groups=["a", None, "b"])


def test_formats_without_groups(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(3))
    with pytest.raises(BadConfig, match="option 'group' does not apply"):
        read(tmp_path / "x.npy", ReadOptions(group="(.)"))
