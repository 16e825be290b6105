"""The rule for images of another size: one factor, never enlarged, centred, framed in the median of the border."""

import io

import numpy as np
import pytest
from PIL import Image

from ebm.data.picture import decode_unit, upright_size
from ebm.data.picture_size import fit_all, fit_mask, fit_to, place
from ebm.errors import BadInput

RNG = np.random.default_rng(0)


def test_a_smaller_image_is_framed_in_the_median_of_its_border():
    image = RNG.integers(0, 256, (28, 27)).astype(np.uint8)
    border = np.r_[image[0], image[-1], image[1:-1, 0], image[1:-1, -1]]
    want = np.pad(image.astype(float), ((2, 2), (2, 3)), constant_values=np.median(border))
    np.testing.assert_array_equal(fit_to(image, (32, 32)), want)


def test_channels_have_their_own_frame():
    image = np.zeros((3, 3, 3), np.uint8)
    image[..., 1], image[..., 2] = 7, 9
    image[1, 1] = 200  # not of the border
    got = fit_to(image, (5, 3))
    np.testing.assert_array_equal(got[0], [[0, 7, 9]] * 3)
    np.testing.assert_array_equal(got[1:4], image)


def test_a_whole_factor_takes_means_of_squares():
    image = RNG.integers(0, 256, (12, 8, 3)).astype(np.uint8)
    want = image.reshape(3, 4, 2, 4, 3).mean((1, 3))
    got = fit_to(image, (3, 2))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-6)
    # The same factor for the other axis, where there is room: 12 x 4 becomes 3 x 1, centred.
    got = fit_to(image[:, :4], (3, 3))
    np.testing.assert_allclose(got[:, 1], image[:, :4].reshape(3, 4, 4, 3).mean((1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(got[:, 0], got[:, 2])


def test_a_broken_factor_weighs_by_area():
    row = np.array([[1.0, 10.0, 100.0, 4.0, 8.0]])
    # Five pixels on two: 2.5 each.
    want = [(1 + 10 + 50) / 2.5, (50 + 4 + 8) / 2.5]
    np.testing.assert_allclose(fit_to(row, (1, 2)), [want], rtol=1e-6)


def test_the_other_axis_has_the_same_factor_to_a_part_of_a_pixel():
    """7 x 100 by 3.125: 2.24 lines, so 2, which leave .375 pixels out above and below."""
    lines = np.array([64.0, 1, 2, 4, 8, 16, 32])
    want = [(0.625 * 64 + 1 + 2 + 0.5 * 4) / 3.125, (0.5 * 4 + 8 + 16 + 0.625 * 32) / 3.125]
    got = fit_to(np.repeat(lines[:, None], 100, 1), (32, 32))
    np.testing.assert_allclose(got[15:17, 5], want, rtol=1e-6)


@pytest.mark.parametrize("source", [(7, 100), (100, 9), (53, 61), (64, 64), (33, 32), (333, 100)])
def test_both_axes_are_reduced_by_one_factor(source):
    """A plane of slope (1, 3) and value 0 in the middle becomes one of slope (f, 3 f), still 0 in the middle."""
    y, x = (np.arange(length) - (length - 1) / 2 for length in source)
    got = fit_to(y[:, None] + 3 * x, (32, 32))
    at = place(source, (32, 32))
    assert at.factor == max(source) / 32 and max(at.height, at.width) == 32
    y, x = (np.arange(length) - (length - 1) / 2 for length in (at.height, at.width))
    want = at.factor * (y[:, None] + 3 * x)
    inner = (slice(at.top + 1, at.top + at.height - 1), slice(at.left + 1, at.left + at.width - 1))
    np.testing.assert_allclose(got[inner], want[1:-1, 1:-1], atol=0.4)  # a pixel is flat, not a slope


def test_nothing_is_lost_or_invented_by_a_flat_image():
    for source in ((1, 1), (1, 50), (50, 1), (3, 40), (40, 3), (31, 33), (97, 13)):
        np.testing.assert_allclose(fit_to(np.full(source, 0.3), (8, 6)), 0.3, rtol=1e-6)


def test_many_are_fitted_as_each_alone():
    images = RNG.normal(size=(5, 40, 23, 2))
    together = fit_all(images, (16, 16))
    for image, got in zip(images, together, strict=True):
        np.testing.assert_array_equal(fit_to(image, (16, 16)), got)


def test_batches_larger_than_a_chunk(monkeypatch):
    images = RNG.integers(0, 256, (7, 6, 5)).astype(np.uint8)
    want = fit_all(images, (8, 8))
    monkeypatch.setattr("ebm.data.picture_size.CHUNK", 60)
    np.testing.assert_array_equal(fit_all(images, (8, 8)), want)


def test_the_wanted_size_changes_nothing():
    images = RNG.integers(0, 256, (2, 6, 5)).astype(np.uint8)
    np.testing.assert_array_equal(fit_all(images, (6, 5)), images)


@pytest.mark.parametrize(
    "images, size", [(np.zeros((4, 9)), (3, 3)), (np.zeros((2, 0, 3)), (3, 3)), (np.zeros((2, 3, 3)), (0, 3))]
)
def test_what_is_no_image_is_refused(images, size):
    with pytest.raises(BadInput, match="shape|size"):
        fit_all(images, size)


def test_a_mask_goes_where_its_picture_goes():
    mask = np.zeros((4, 6), bool)
    mask[1, 2] = True
    want = np.zeros((8, 8), bool)
    want[3, 3] = True
    np.testing.assert_array_equal(fit_mask(mask, (4, 6), (8, 8)), want)  # framed, and the frame is not hidden
    # Reduced by two: a pixel is hidden where any of its four is.
    np.testing.assert_array_equal(fit_mask(mask, (4, 6), (3, 3)), [[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    # Of half the size of its picture: stretched over it first.
    np.testing.assert_array_equal(fit_mask(mask, (8, 12), (4, 6)), mask)
    # Any one hidden pixel of a large mask still hides something.
    for at in range(0, 300, 7):
        large = np.zeros((20, 15), bool)
        large.flat[at] = True
        assert fit_mask(large, (20, 15), (3, 4)).sum() >= 1


def png(array, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def test_a_picture_is_decoded_by_the_rule():
    image = RNG.integers(0, 256, (12, 8)).astype(np.uint8)
    got = decode_unit(png(image), "x", "L", size=(4, 3))  # (width, height)
    np.testing.assert_allclose(got, fit_to(image, (3, 4)) / 255, rtol=1e-6)
    deep = image.astype(np.uint16) * 257
    np.testing.assert_allclose(decode_unit(png(deep), "x", "RGB", size=(4, 3))[..., 1], got, rtol=1e-5)


def test_a_turned_picture_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = np.zeros((6, 9), np.uint8)
    assert upright_size(png(image), "x") == (6, 9)
    assert upright_size(png(image, "JPEG", exif=exif), "x") == (9, 6)
