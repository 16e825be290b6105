"""Heat maps: red where the picture is odd, blue where it is more normal, and the picture itself elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ebm.detector import Detector
from ebm.errors import BadInput
from ebm.explanation import Explanation
from ebm.heat_map import heat_picture, heat_steps, overlay
from ebm.steps import finish


def test_colours_go_with_the_sign_and_their_strength_with_the_size() -> None:
    maps = np.zeros((2, 2, 3))
    maps[0, 0] = (4, -4, 1)
    maps[1, 1] = (0, 0.02, 0)  # the largest of its own picture
    found = overlay(maps, np.full((2, 2, 3), 7.5), 0, 15).astype(int)
    assert found.shape == (2, 2, 3, 3)
    assert found[0, 0, 0].tolist() == [255, 0, 0] and found[0, 0, 1].tolist() == [0, 0, 255]
    red, green, blue = found[0, 0, 2]
    assert 255 > red > green == blue > 0
    assert found[1, 1, 1].tolist() == [255, 0, 0]
    gray = found[0, 1, 0]
    assert gray[0] == gray[1] == gray[2] == pytest.approx(255 * (0.15 + 0.6 * 128 / 255), abs=1)


def test_a_picture_without_contributions_is_gray() -> None:
    image = np.array([[[0.0, 1.0]]])
    found = overlay(np.zeros((1, 1, 2)), image, 0, 1)[0, 0].tolist()
    assert found == [[38] * 3, [191] * 3]
    colour = overlay(np.zeros((1, 1, 2)), np.repeat(image[..., None], 3, 3), 0, 1)[0, 0].tolist()
    assert colour == found


def explanation(n: int, size: tuple[int, int] | None) -> Explanation:
    zeros, maps = np.zeros(n), np.zeros((n, 15))
    rows = np.zeros((n, 5, 3))
    return Explanation(zeros, zeros, zeros, maps, rows, maps > 0, rows, None, 0.0, size)


def test_small_pictures_are_enlarged() -> None:
    assert heat_picture(explanation(1, (5, 3)), 0, 1).shape == (5 * 51, 3 * 51, 3)
    assert heat_picture(explanation(4, (5, 3)), 0, 1).shape == (2 * 126 + 1, 2 * 76 + 1, 3)
    with pytest.raises(BadInput, match="heat map"):
        heat_picture(explanation(1, None), 0, 1)


def test_the_hottest_pixel_of_a_model_is_the_reddest(tiny: Detector, digits: np.ndarray) -> None:
    rows = digits[300:301].astype(float)
    rows[0, 7, 0] = 16
    found = tiny.explain(rows)
    shown = heat_picture(found, 0, 16)[::32, ::32].astype(int)
    assert np.unravel_index((shown[..., 0] - shown[..., 2]).argmax(), (8, 8)) == (7, 0)


def test_a_map_shows_what_is_odder_than_half_of_an_image_that_is_not_normal() -> None:
    found = explanation(2, (5, 3))
    maps = np.tile(np.arange(15.0).reshape(5, 3), (2, 1, 1))
    shown = heat_picture(
        replace(found, energy=np.array([1.0, -1.0]), anomaly_map=maps, map_method="residual"), 0, 1
    )
    first, second = shown[1:126].astype(int)[:, 1:76], shown[1:126].astype(int)[:, 77:152]
    red = (first[..., 0] - first[..., 2])[12::25, 12::25]
    assert (red.ravel()[:8] == 0).all() and (np.diff(red.ravel()[7:]) > 0).all()
    assert (second[..., 0] == second[..., 2]).all()


@pytest.mark.parametrize("method", [None, "gradient", "contributions"])
def test_the_picture_alone_is_that_of_the_explanation(tiny: Detector, digits: np.ndarray, method) -> None:
    rows = digits[300:303].astype(float)
    rows[0, 7, 0] = 16
    found, whole = finish(heat_steps(tiny, rows, method)), tiny.explain(rows, method=method)
    np.testing.assert_allclose(found.picture.astype(int), heat_picture(whole, 0, 16), atol=2)
    np.testing.assert_allclose(found.energy, whole.energy, rtol=1e-4)
    assert found.level == whole.level
