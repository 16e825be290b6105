"""Round trips through every format, and one-line errors that name the culprit."""

import gzip
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ebm.data import ReadOptions, read
from ebm.errors import BadConfig, BadInput

X = np.round(np.random.default_rng(0).normal(size=(6, 3)), 4)
IMAGES = np.random.default_rng(1).integers(0, 256, (4, 5, 3)).astype(np.uint8)
CLASSES = np.array([3, 1, 3, 0])
NAMES = ["a", "b", "c"]


def csv_text(x=X, names=NAMES):
    return "\n".join([",".join(names), *(",".join(repr(float(v)) for v in row) for row in x)]) + "\n"


def idx_bytes(array, code=0x08):
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + shape + array.tobytes()


def write_table(path):
    if path.name.endswith(".csv"):
        path.write_text(csv_text())
    elif path.name.endswith(".csv.gz"):
        path.write_bytes(gzip.compress(csv_text().encode()))
    elif path.suffix == ".npy":
        np.save(path, X)
    elif path.suffix == ".npz":
        np.savez_compressed(path, X=X)
    else:
        pq.write_table(pa.table(dict(zip(NAMES, X.T, strict=True))), path)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet", "t.pq", "t.npy", "t.npz", "T.NPY"])
def test_tables_come_back(tmp_path, name):
    table = read(write_table(tmp_path / name.lower()).rename(tmp_path / name))
    np.testing.assert_array_equal(table.values, X.astype(np.float32))
    assert table.values.dtype == np.float32
    assert table.columns == (None if "np" in name.lower() else NAMES)
    assert table.labels is None
    assert table.source == name
    assert len(table) == 6


@pytest.mark.parametrize("name", ["x-idx3-ubyte", "x.idx3-ubyte.gz", "x.idx", "x.idx.gz"])
def test_idx_comes_back_with_labels(tmp_path, name):
    pack = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(pack(idx_bytes(IMAGES)))
    (tmp_path / f"labels-{name}").write_bytes(pack(idx_bytes(CLASSES.astype(np.uint8))))
    table = read(tmp_path / name, ReadOptions(labels_path=str(tmp_path / f"labels-{name}")))
    np.testing.assert_array_equal(table.values, IMAGES)
    assert table.labels is not None
    np.testing.assert_array_equal(table.labels, CLASSES)


@pytest.mark.parametrize(
    "code, dtype", [(0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")]
)
def test_idx_of_every_type(tmp_path, code, dtype):
    values = np.array([[1, -2], [3, 100]], dtype=dtype)
    (tmp_path / "x.idx").write_bytes(idx_bytes(values, code))
    np.testing.assert_array_equal(read(tmp_path / "x.idx").values, values.astype(np.float32))


@pytest.mark.parametrize(
    "keys", [("X", "y"), ("x", "y"), ("images", "labels"), ("data", "target"), ("other", None)]
)
def test_npz_finds_its_arrays(tmp_path, keys):
    arrays = {keys[0]: IMAGES} | ({keys[1]: CLASSES} if keys[1] else {})
    np.savez(tmp_path / "t.npz", **arrays)
    table = read(tmp_path / "t.npz")
    np.testing.assert_array_equal(table.values, IMAGES)
    assert (table.labels is None) == (keys[1] is None)


def test_npz_by_key(tmp_path):
    np.savez(tmp_path / "t.npz", p=X, q=IMAGES, r=np.array(["u", "v", "u", "v"]))
    table = read(tmp_path / "t.npz", ReadOptions(values_key="q", label_key="r"))
    assert table.values.shape == IMAGES.shape
    assert table.labels is not None and table.labels.tolist() == ["u", "v", "u", "v"]
    with pytest.raises(BadInput, match=r"t.npz: say which .* arrays: p, q, r"):
        read(tmp_path / "t.npz")
    with pytest.raises(BadInput, match="no array 'z'; arrays: p, q, r"):
        read(tmp_path / "t.npz", ReadOptions(values_key="z"))


def test_npy_layouts(tmp_path):
    for array in (
        np.asfortranarray(X),
        IMAGES[..., None].repeat(3, -1),
        X > 0,
        X.astype(">f8"),
        X.astype("f2"),
    ):
        np.save(tmp_path / "t.npy", array)
        np.testing.assert_array_equal(read(tmp_path / "t.npy").values, array.astype(np.float32))


def test_npy_with_a_file_of_labels(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", np.arange(6)[:, None])
    labels = read(tmp_path / "x.npy", ReadOptions(labels_path=str(tmp_path / "y.npy"))).labels
    assert labels is not None and labels.tolist() == list(range(6))
    np.save(tmp_path / "y.npy", np.arange(5))
    with pytest.raises(BadInput, match=r"x.npy: labels of shape \(5,\) for 6 rows"):
        read(tmp_path / "x.npy", ReadOptions(labels_path=str(tmp_path / "y.npy")))


def npy_claiming(shape, data=b"\0" * 24, descr="<f8"):
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize(
    "shape", [(10**9, 10), (2**62, 2**62), (1, 4), (1, 2), (-1, 3), (10**30, 1)], ids=str
)
def test_npy_header_is_not_believed(tmp_path, shape):
    (tmp_path / "big.npy").write_bytes(npy_claiming(shape))
    with pytest.raises(BadInput, match="big.npy: the npy header claims"):
        read(tmp_path / "big.npy")
    np.savez(tmp_path / "big.npz", y=np.zeros(1))
    import zipfile

    with zipfile.ZipFile(tmp_path / "big.npz", "a") as archive:
        archive.writestr("X.npy", npy_claiming(shape))
    with pytest.raises(BadInput, match=r"big.npz\['X'\]: the npy header claims"):
        read(tmp_path / "big.npz")


def test_npy_claim_that_holds_is_believed(tmp_path):
    (tmp_path / "ok.npy").write_bytes(npy_claiming((1, 3)))
    assert read(tmp_path / "ok.npy").values.shape == (1, 3)


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "o.npy", np.array([[1, "a"], [2, None]], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "o.npz", X=np.load(tmp_path / "o.npy", allow_pickle=True))
    for name in ("o.npy", "o.npz"):
        with pytest.raises(BadInput, match=f"{name}.*never unpickled"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    "array, word",
    [
        (np.array([["1", "2"]]), "'1' is not a number"),
        (np.array([[1 + 2j]]), "is not a number"),
        (np.arange(3.0), r"shape \(3,\)"),
        (np.float64(3), "single value"),
        (np.empty((0, 3)), "no rows"),
        (np.empty((3, 0)), "shape"),
        (np.zeros((2, 2, 2, 2, 2)), "shape"),
        (np.array([[1, 2], [3, np.nan]]), "row 1, column 1 is missing"),
        (np.array([[1, 2], [np.inf, 3]]), "row 1, column 0 is infinite"),
        (np.array([[1, 2], [3, -1e39]]), "row 1, column 1 is too large"),
    ],
)
def test_unusable_arrays(tmp_path, array, word):
    np.save(tmp_path / "t.npy", array)
    with pytest.raises(BadInput, match=f"^t.npy: .*{word}"):
        read(tmp_path / "t.npy")


def test_missing_cells_on_request(tmp_path):
    np.save(tmp_path / "t.npy", np.array([[1, np.nan]]))
    assert np.isnan(read(tmp_path / "t.npy", ReadOptions(allow_missing=True)).values[0, 1])
    np.save(tmp_path / "t.npy", np.array([[np.inf, np.nan]]))
    with pytest.raises(BadInput, match="infinite"):
        read(tmp_path / "t.npy", ReadOptions(allow_missing=True))


@pytest.mark.parametrize(
    "name", ["t.csv", "t.csv.gz", "t.parquet", "t.npy", "t.npz", "t-idx3-ubyte", "t.idx.gz"]
)
@pytest.mark.parametrize(
    "data", [b"", b"\0", b"garbage\0\xff" * 9, b"\0\0\x08\x03\0\0", b"\x1f\x8b\x08garbage"]
)
def test_garbage(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput, match=f"^{name}: ") as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.parquet", "t.npy", "t.npz"])
def test_truncated(tmp_path, name):
    whole = write_table(tmp_path / name).read_bytes()
    for length in range(0, len(whole) - 1, 7):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(BadInput, match=f"^{name}: "):
            read(tmp_path / name)


def test_truncated_or_overlong_idx(tmp_path):
    whole = idx_bytes(IMAGES)
    path = tmp_path / "t.idx"
    for data in (*(whole[:k] for k in range(len(whole))), whole + b"x"):
        path.write_bytes(data)
        with pytest.raises(BadInput, match="^t.idx: "):
            read(path)
    path.write_bytes(b"\0\0\x08\x03" + b"\xff" * 12 + b"data")
    with pytest.raises(BadInput, match="claims .* holds only 4"):
        read(path)


def test_missing_file_and_unknown_kind(tmp_path):
    with pytest.raises(BadInput, match="nowhere.csv: no such file"):
        read(tmp_path / "nowhere.csv")
    (tmp_path / "x.xlsx").write_bytes(b"")
    with pytest.raises(BadInput, match="x.xlsx: unknown kind of file; expected csv"):
        read(tmp_path / "x.xlsx")
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(BadInput, match="y.npy: no such file"):
        read(tmp_path / "x.npy", ReadOptions(labels_path=str(tmp_path / "y.npy")))


@pytest.mark.parametrize("name", ["t.npy", "t.npz", "t.parquet"])
def test_options_of_another_format_are_refused(tmp_path, name):
    with pytest.raises(BadConfig, match=f"{name}: option 'header' does not apply"):
        read(write_table(tmp_path / name), ReadOptions(header=True))


def test_image_mode_is_no_option_of_idx(tmp_path):
    (tmp_path / "t.idx").write_bytes(idx_bytes(IMAGES))
    with pytest.raises(BadConfig, match="'image_mode'"):
        read(tmp_path / "t.idx", ReadOptions(image_mode="L"))
    Image.fromarray(IMAGES[0]).save(tmp_path / "a.png")
    with pytest.raises(BadConfig, match="'label_column'"):
        read(tmp_path, ReadOptions(label_column="a"))
