"""`size`: images of any format come at the size that is wanted."""

import struct

import numpy as np
import pytest
from PIL import Image

from ebm.data import FileData, ReadOptions, load, read
from ebm.data.picture_size import fit_to
from ebm.errors import BadConfig, BadInput

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (5, 28, 28)).astype(np.uint8)
GRAY[:, 0], GRAY[:, -1], GRAY[:, :, 0] = 3, 3, 3  # of 108 border pixels most are 3
SIZE = ReadOptions(size=(32, 32))


def padded(images):
    return np.pad(images, ((0, 0), (2, 2), (2, 2)), constant_values=3)


def write(path, images):
    if path.suffix == ".npy":
        np.save(path, images)
    elif path.suffix == ".npz":
        np.savez(path, images=images, labels=np.arange(len(images)))
    elif path.suffix == ".idx":
        path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", *images.shape) + images.tobytes())
    else:
        path.mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(path / f"{i}.png")
    return path


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.idx", "folder"])
def test_28_becomes_32_by_a_frame(tmp_path, name):
    table = read(write(tmp_path / name, GRAY), SIZE)
    np.testing.assert_array_equal(table.values, padded(GRAY))
    assert table.values.dtype == np.float32
    assert (table.labels is not None) == (name == "x.npz")


def test_a_configuration_says_it(tmp_path):
    write(tmp_path / "x.npy", GRAY)
    config = FileData.model_validate({"path": "x.npy", "size": [32, 32]})
    np.testing.assert_array_equal(load(config, tmp_path).values, padded(GRAY))


def test_a_folder_of_many_sizes(tmp_path):
    images = [
        GRAY[0],
        RNG.integers(0, 256, (50, 9)).astype(np.uint8),
        RNG.integers(0, 256, (3, 7, 3)).astype(np.uint8),
    ]
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    got = read(tmp_path, ReadOptions(size=(20, 24))).values
    assert isinstance(got, np.ndarray) and got.shape == (3, 20, 24, 3)  # one is of colour, so all are
    for image, at in zip(images[:2], got, strict=False):
        np.testing.assert_array_equal(at, np.repeat(fit_to(image, (20, 24))[..., None], 3, 2))
    np.testing.assert_array_equal(got[2], fit_to(images[2], (20, 24)))
    gray = read(tmp_path, ReadOptions(size=(20, 24), image_mode="L")).values
    np.testing.assert_array_equal(gray[:2], got[:2, ..., 0])
    with pytest.raises(
        BadInput, match=r"/1.png: 50 x 9 pixels, .* 28 x 28; option 'size': \[height, width\]"
    ) as caught:
        read(tmp_path)
    assert caught.value.row == 1


def test_rows_are_no_images(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(4))
    with pytest.raises(BadConfig, match="x.npy: option 'size' is for images; these are rows of 4 numbers"):
        read(tmp_path / "x.npy", SIZE)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadConfig, match="x.csv: option 'size' does not apply"):
        read(tmp_path / "x.csv", SIZE)


def test_missing_pixels_cannot_be_moved(tmp_path):
    images = GRAY.astype(np.float32)
    images[3, 4, 5] = np.nan
    np.save(tmp_path / "x.npy", images)
    with pytest.raises(BadInput, match="x.npy: row 3 misses pixels"):
        read(tmp_path / "x.npy", ReadOptions(size=(32, 32), allow_missing=True))
    kept = read(tmp_path / "x.npy", ReadOptions(size=(28, 28), allow_missing=True)).values
    np.testing.assert_array_equal(kept, images)


@pytest.mark.parametrize("size", [[32], [0, 32], [32, 5000], [32.5, 32], 32])
def test_sizes_that_are_none(size):
    with pytest.raises(ValueError, match="size"):
        ReadOptions.model_validate({"size": size})
