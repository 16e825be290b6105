from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from ebm.config import Frozen, read_yaml, validate
from ebm.data import BuiltinData, DataConfig, FileData, load, load_builtin, make_table, normal_mask
from ebm.errors import BadConfig, BadInput


class Holder(Frozen):
    data: DataConfig


def test_digits():
    table = load(BuiltinData(name="digits"))
    assert table.values.shape == (1797, 8, 8)
    assert (table.values.min(), table.values.max()) == (0, 16)
    assert table.columns is None
    assert table.labels is not None and sorted(set(table.labels.tolist())) == list(range(10))


def test_breast_cancer():
    table = load(BuiltinData(name="breast_cancer", normal=("benign",)))
    assert table.values.shape == (569, 30)
    assert table.columns is not None and table.columns[:2] == ["mean radius", "mean texture"]
    assert table.labels is not None
    assert int(normal_mask(table, ("benign",)).sum()) == 357
    assert set(table.labels.tolist()) == {"malignant", "benign"}


def test_file_relative_to_the_configuration(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b,kind\n1,2,ok\n3,4,bad\n5,6,ok\n")
    (tmp_path / "c.yaml").write_text("data: {kind: file, path: rows.csv, label_column: kind, normal: [ok]}\n")
    config = read_yaml(Holder, tmp_path / "c.yaml").data
    assert isinstance(config, FileData)
    table = load(config, tmp_path)
    np.testing.assert_array_equal(normal_mask(table, config.normal), [True, False, True])
    np.testing.assert_array_equal(table.values, [[1, 2], [3, 4], [5, 6]])
    assert TypeAdapter(DataConfig).validate_python(config.model_dump(mode="json")) == config


def test_labels_path_is_relative_too(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(3))
    np.save(tmp_path / "y.npy", np.array([1, 0, 1]))
    config = FileData(path="x.npy", labels_path="y.npy", normal=(1,))
    table = load(config, tmp_path)
    assert table.labels is not None and table.labels.tolist() == [1, 0, 1]


def test_absolute_paths_stay(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(3))
    assert len(load(FileData(path=str(tmp_path / "x.npy")), Path("elsewhere"))) == 3


def test_missing_file(tmp_path):
    with pytest.raises(BadInput, match="gone.csv: no such file"):
        load(FileData(path="gone.csv"), tmp_path)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"kind": "file", "path": "x.csv", "lable_column": "y"}, "lable_column"),
        ({"kind": "builtin", "name": "iris"}, "name"),
        ({"kind": "builtin", "name": "digits", "normal": []}, "normal"),
        ({"kind": "builtin", "name": "digits", "normal": [True]}, "normal"),
        ({"kind": "url", "path": "x"}, "data"),
        ({"path": "x"}, "data"),
        ({"kind": "file", "path": ""}, "path"),
    ],
)
def test_bad_configurations(values, message):
    with pytest.raises(BadConfig, match=f"c.yaml: data.*{message}|c.yaml: {message}"):
        validate(Holder, {"data": values}, "c.yaml")


def test_labels_that_do_not_occur():
    with pytest.raises(BadInput, match="built-in digits: no row is labelled 10; labels: 0, 1, 2"):
        load(BuiltinData(name="digits", normal=(1, 10)))


def test_normal_without_labels():
    table = make_table(np.eye(2), "x.npy")
    with pytest.raises(BadInput, match="x.npy: .*have no labels"):
        normal_mask(table, ["ok"])
    assert normal_mask(table, None).all()


def test_labels_compare_as_text():
    numbers = make_table(np.eye(3), "t", labels=[0, 1, 0])
    words = make_table(np.eye(3), "t", labels=["0", "1", "0"])
    for table in (numbers, words):
        for normal in ([0], ["0"]):
            np.testing.assert_array_equal(normal_mask(table, normal), [True, False, True])


@pytest.mark.parametrize(
    "labels, expected",
    [
        ([1.0, 2.0], [1, 2]),
        ([1.5, 2.0], ["1.5", "2.0"]),
        ([True, False], ["True", "False"]),
        ([b"u", b"v"], ["u", "v"]),
        (np.array([[4], [5]], np.uint8), [4, 5]),
    ],
)
def test_label_types(labels, expected):
    table = make_table(np.eye(2), "t", labels=labels)
    assert table.labels is not None and table.labels.tolist() == expected


@pytest.mark.parametrize("labels", [[1.0, np.nan], ["a", ""], np.array(["a", None], dtype=object)])
def test_missing_labels(labels):
    with pytest.raises(BadInput, match="t: row 1: the label is missing"):
        make_table(np.eye(2), "t", labels=labels)


def test_rows_keep_labels_and_names():
    table = load_builtin("breast_cancer")
    assert table.labels is not None
    some = table.rows(np.array([5, 2]))
    np.testing.assert_array_equal(some.values, table.values[[5, 2]])
    assert some.labels is not None and some.labels.tolist() == table.labels[[5, 2]].tolist()
    assert some.columns == table.columns
    assert len(table.rows(normal_mask(table, ["benign"]))) == 357


def test_fingerprint_follows_content_and_not_source():
    base = make_table(np.eye(3), "a", columns=["x", "y", "z"], labels=[0, 1, 2])
    assert (
        base.fingerprint()
        == make_table(np.eye(3), "b", columns=["x", "y", "z"], labels=[0, 1, 2]).fingerprint()
    )
    others = [
        make_table(np.eye(3) * 2, "a", columns=["x", "y", "z"], labels=[0, 1, 2]),
        make_table(np.eye(3), "a", columns=["x", "y", "w"], labels=[0, 1, 2]),
        make_table(np.eye(3), "a", columns=["x", "y", "z"], labels=[0, 1, 1]),
        make_table(np.eye(3), "a", columns=["x", "y", "z"]),
        make_table(np.eye(3), "a", labels=[0, 1, 2]),
        make_table(np.eye(3)[..., None], "a", labels=[0, 1, 2]),
    ]
    assert len({t.fingerprint() for t in (base, *others)}) == 7
