"""Each family alters what it says and nothing else, and masks are where pixels changed."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from _images_data import SIDE, Sizes, Source, load, split, to_model
from _images_families import BESIDE, NINE, PATCHES, RESEMBLED, families, negatives, patched, resembled
from _images_letters import letters
from scipy.ndimage import gaussian_filter

from ebm.errors import BadInput
from ebm.negatives import CORRUPTIONS, LATENT

N = 12


@pytest.fixture(scope="module")
def source() -> Source:
    """Random garments in a black frame, every one different."""
    rng = np.random.default_rng(0)

    def images(n: int) -> np.ndarray:
        return np.pad(rng.integers(1, 256, (n, 28, 28)).astype(np.uint8), ((0, 0), (2, 2), (2, 2)))

    return Source(images(30), np.zeros(30, int), images(40), np.zeros(40, int), images(N))


@pytest.fixture(scope="module")
def sizes() -> Sizes:
    return Sizes(calibration=10, families=N)


def test_a_seed_divides_the_images(source: Source, sizes: Sizes) -> None:
    found = split(source, 3, sizes)
    assert (len(found.train), len(found.calibration)) == (20, 10)
    together = np.concatenate([found.train, found.calibration])
    assert {x.tobytes() for x in together} == {x.tobytes() for x in to_model(source.train)}
    tested = [x.tobytes() for part in (found.normal, found.altered, found.donors) for x in part]
    assert len(set(tested)) == 3 * N and set(tested) <= {x.tobytes() for x in to_model(source.test)}
    assert not np.array_equal(split(source, 4, sizes).normal, found.normal)


def test_families_alter_what_they_say(source: Source, sizes: Sizes) -> None:
    s = split(source, 0, sizes)
    found = families(source, s, 0)
    assert tuple(found) == NINE + BESIDE
    for family in found.values():
        x = family.images
        assert x.shape == (N, SIDE, SIDE) and x.dtype == np.float32 and -1 <= x.min() and x.max() <= 1
    assert {x.tobytes() for x in found["mnist"].images} == {x.tobytes() for x in to_model(source.mnist)}
    noise, level = found["noise"].images, found["constant"].images
    assert (
        noise.min() < -0.99
        and noise.max() > 0.99
        and abs(noise.mean()) < 0.02
        and abs(noise.var() - 1 / 3) < 0.01
    )
    assert (np.ptp(level, axis=(1, 2)) == 0).all() and len(np.unique(level)) == N
    x = s.altered
    assert (found["rot90"].images[:, 0, :] == x[:, :, -1]).all()  # the right border turns up
    assert (found["vflip"].images[:, 3, 5] == x[:, -4, 5]).all()
    assert np.allclose(found["brightness"].images, np.minimum(x + 0.3, 1))
    assert np.allclose(found["blur"].images[2], gaussian_filter(x[2], 1), atol=1e-5)
    again = families(source, s, 0)
    assert all((again[k].images == v.images).all() for k, v in found.items())
    assert not (families(source, s, 1)["noise"].images == noise).any()


def test_patches_change_one_square_and_the_mask_says_where(source: Source, sizes: Sizes) -> None:
    s = split(source, 0, sizes)
    found = families(source, s, 0)
    for name in PATCHES:
        family = found[name]
        assert family.changed is not None
        assert (family.changed == (family.images != s.altered)).all() and family.changed.any((1, 2)).all()
        for image, changed in zip(family.images, family.changed, strict=True):
            rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
            assert np.ptp(rows) < 8 and np.ptp(columns) < 8
            if name == "patch constant":
                assert len(np.unique(image[changed])) == 1
    other = found["patch other"]
    assert other.changed is not None
    assert (other.images[other.changed] == s.donors[other.changed]).all()
    assert found["mnist"].changed is None


def test_what_a_patch_leaves_as_it_was_is_not_in_the_mask() -> None:
    x = np.zeros((50, 16, 16), np.float32)
    content = np.zeros_like(x)
    content[:, ::2] = 1
    found = patched(x, content, np.random.default_rng(0))
    assert found.changed is not None
    assert (found.changed.sum((1, 2)) == 32).all()  # half of 8 x 8
    tops = found.changed.any(2).argmax(1)
    assert tops.min() <= 1 and tops.max() >= 8  # anywhere


def test_letters_are_white_on_black_and_repeat_by_seed() -> None:
    found = letters(40, 0)
    assert (found == letters(40, 0)).all() and not (found == letters(40, 1)).all()
    assert (found[:, :2] == -1).all() and (found[:, :, -2:] == -1).all()  # the frame
    ink = (found > 0).mean((1, 2))
    assert ink.min() > 0.02 and ink.max() < 0.5
    assert len({x.tobytes() for x in found}) > 35


def test_every_kind_of_negative_is_judged() -> None:
    assert set(RESEMBLED) == {LATENT, *CORRUPTIONS}
    assert {f for families in RESEMBLED.values() for f in families} <= {*NINE, *BESIDE}
    assert resembled({"gray", "cutmix"}) == {"constant", "patch other"}
    assert resembled({"elastic"}) == set()
    with pytest.raises(SystemExit, match="what sparkle resemble"):
        resembled({"sparkle"})


def test_negatives_are_read_from_every_objective_of_a_configuration() -> None:
    stage = {"objective": {"kind": "cd", "negatives": {"kinds": {"flip": 1.0, "blur": 0.0}, "group": 8}}}
    term = {"objective": {"kind": "contrast", "negatives": {"kinds": {"noise": 2.0}}}, "pretraining": [stage]}
    assert negatives({"terms": [term, {"objective": {"kind": "cd", "negatives": None}}]}) == {"flip", "noise"}
    assert negatives(None) == set()


def write_idx(path: Path, values: np.ndarray) -> None:
    head = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(head + values.astype(np.uint8).tobytes())


def test_files_are_read_and_padded(tmp_path: Path) -> None:
    images = np.full((3, 28, 28), 255)
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", np.arange(3))
    np.savez(tmp_path / "m.npz", test=images.astype(np.uint8), test_labels=np.zeros(3))
    found = load(tmp_path, tmp_path / "m.npz")
    assert (
        found.train.shape == (3, 32, 32) and found.test_labels.tolist() == [0, 1, 2] and len(found.mnist) == 3
    )
    x = to_model(found.train)
    assert (x[:, 2:-2, 2:-2] == 1).all() and x.sum() == 3 * (28 * 28 - (32 * 32 - 28 * 28))
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(BadInput, match="neither t10k-images-idx3-ubyte nor t10k-images-idx3-ubyte.gz"):
        load(tmp_path, None)
