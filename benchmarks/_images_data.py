"""Fashion-MNIST and MNIST as model-space images, and which of them a seed uses for what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ebm.data import ReadOptions, read, split_normal
from ebm.errors import BadInput
from ebm.training.config import SplitConfig

SIDE = 32
FILES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}


@dataclass(frozen=True)
class Sizes:
    """How many images of each kind are measured."""

    calibration: int = 5000
    families: int = 2000  # normal test images, and anomalies of each family
    maps: int = 200  # images whose heat map is integrated along a path; the quick maps take all
    denoised: int = 500
    filled: int = 64  # images with a missing block
    generated: int = 512
    tuned: int = 60  # training images that the filters' parameters are chosen on


FULL = Sizes()
QUICK = Sizes(families=500, maps=40, denoised=100, filled=16, generated=256, tuned=20)


@dataclass(frozen=True)
class Source:
    """What the files hold: bytes (n, 32, 32), padded with black; labels (n,)."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    mnist: np.ndarray


@dataclass(frozen=True)
class Split:
    """One seed's images, (n, 32, 32) float32 in [-1, 1].

    `normal` and `altered` are test images: the first are the normal side of every comparison, a family of altered
    images starts from the second, and takes what it pastes from `donors`.
    """

    train: np.ndarray
    calibration: np.ndarray
    normal: np.ndarray
    altered: np.ndarray
    donors: np.ndarray


def load(folder: Path, mnist: Path | None) -> Source:
    """Fashion-MNIST from its four idx files (plain or .gz), and MNIST's test digits from an npz, where it is given.

    Raises:
        BadInput: a file is missing or damaged, or images are not 28x28; names the file.
    """
    parts = {}
    for part, stem in FILES.items():
        labels = _file(folder, stem.replace("images-idx3", "labels-idx1"))
        table = read(_file(folder, stem), ReadOptions(labels_path=str(labels)))
        parts[part] = padded(table.values, folder / stem), np.asarray(table.labels).astype(int)
    digits = np.zeros((0, SIDE, SIDE), np.uint8)
    if mnist is not None:
        digits = padded(read(mnist, ReadOptions(values_key="test")).values, mnist)
    return Source(*parts["train"], *parts["test"], digits)


def _file(folder: Path, stem: str) -> Path:
    found = [path for path in (folder / stem, folder / f"{stem}.gz") if path.exists()]
    if not found:
        raise BadInput(f"{folder}: neither {stem} nor {stem}.gz is there")
    return found[0]


def padded(images: np.ndarray, source: Path) -> np.ndarray:
    """Bytes (n, 28, 28) in a black frame of 2: (n, 32, 32) uint8."""
    if images.ndim != 3 or images.shape[1:] != (SIDE - 4, SIDE - 4):
        raise BadInput(f"{source}: images of shape {images.shape[1:]}, 28x28 are needed")
    return np.pad(images.astype(np.uint8), ((0, 0), (2, 2), (2, 2)))


def to_model(images: np.ndarray) -> np.ndarray:
    """Bytes to float32 in [-1, 1]."""
    return (images.astype(np.float32) * np.float32(2 / 255) - 1).astype(np.float32)


def split(source: Source, seed: int, sizes: Sizes, shares: SplitConfig | None = None) -> Split:
    """Training and calibration: the shares of the training file that `ebm train` would take for that configuration and
    seed, so that the shipped model is one of those measured; else all but the last `sizes.calibration` of a permutation
    of it, which calibrate."""
    rng = np.random.default_rng(seed)
    order, test = rng.permutation(len(source.train)), rng.permutation(len(source.test))
    n = sizes.families
    if len(source.test) < 3 * n or len(source.train) <= sizes.calibration:
        raise BadInput(f"{len(source.train)} training and {len(source.test)} test images are too few")
    fit, held = order[: -sizes.calibration], order[-sizes.calibration :]
    if shares is not None:
        parts = split_normal(len(source.train), shares.train, shares.calibration, seed)
        fit, held = parts.train, parts.calibration
    return Split(
        to_model(source.train[fit]),
        to_model(source.train[held]),
        *(to_model(source.test[test[k * n : (k + 1) * n]]) for k in range(3)),
    )
