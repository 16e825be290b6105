"""Pixel values to bytes, and many pictures to one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ebm.pictures import encode_png, grid, save_png, to_bytes

GREY = 96


def test_the_range_maps_onto_bytes_and_is_clipped() -> None:
    values = np.array([-3.0, 0.0, 4.0, 8.0, 16.0, 99.0])
    np.testing.assert_array_equal(to_bytes(values, 0, 16), [0, 0, 64, 128, 255, 255])
    np.testing.assert_array_equal(to_bytes(np.array([-1.0, 0.0, 1.0]), -1, 1), [0, 128, 255])
    bytes_ = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_bytes(bytes_, 0, 255), bytes_)


def test_each_picture_has_its_place_in_the_grid() -> None:
    images = np.arange(5)[:, None, None] * np.ones((5, 2, 3))
    canvas = grid(images, 0, 255, gap=1)
    assert canvas.shape == (2 * 3 + 1, 3 * 4 + 1) and canvas.dtype == np.uint8
    for i in range(5):
        top, left = 1 + (i // 3) * 3, 1 + (i % 3) * 4
        assert (canvas[top : top + 2, left : left + 3] == i).all()
    covered = np.isin(canvas, range(5)).sum()
    assert covered == 5 * 6 and (canvas[~np.isin(canvas, range(5))] == GREY).all()


def test_scale_across_gap_and_colour() -> None:
    images = np.zeros((2, 1, 2, 3))
    images[1, 0, 1] = [0, 128, 255]
    canvas = grid(images, 0, 255, scale=3, gap=0, across=1)
    assert canvas.shape == (6, 6, 3)
    assert (canvas[3:, 3:] == [0, 128, 255]).all() and (canvas[:3] == 0).all() and (canvas[3:, :3] == 0).all()


def test_a_grid_of_no_pictures_is_an_empty_frame() -> None:
    assert grid(np.zeros((0, 4, 4)), 0, 1).shape == (1, 6)


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3), (3, 5, 4)])
def test_a_png_holds_the_same_pixels(shape: tuple[int, ...], tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    data = encode_png(picture)
    assert data.startswith(b"\x89PNG")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), picture)
    save_png(picture, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes() == data
