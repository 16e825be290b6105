"""Every corruption of images: within range, repeatable, no image left as it was; known answers where there are any."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Generator, Tensor

from ebm.negatives import CORRUPTIONS
from ebm.negatives.draws import each, one_of, others, uniform

SHAPES = [(1, 8, 8), (2, 8, 8), (3, 8, 8), (1, 10, 13), (3, 9, 6)]
every_kind = pytest.mark.parametrize("kind", CORRUPTIONS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def images(shape: tuple[int, ...] = (1, 8, 8), n: int = 12, seed: int = 1) -> Tensor:
    """Over the whole of [-1, 1], all values different."""
    return 2 * torch.rand((n, *shape), generator=seeded(seed)) - 1


def corrupted(kind: str, x: Tensor, seed: int = 0) -> Tensor:
    return CORRUPTIONS[kind](x, seeded(seed))


@every_kind
@every_shape
def test_shape_range_and_type(kind: str, shape: tuple[int, ...]) -> None:
    x = images(shape)
    before = x.clone()
    for seed in range(4):
        y = corrupted(kind, x, seed)
        assert y.shape == x.shape and y.dtype == torch.float32
        assert torch.isfinite(y).all()
        assert y.min() >= -1 - 1e-6 and y.max() <= 1 + 1e-6
    assert torch.equal(x, before), "the data themselves were changed"
    assert corrupted(kind, x.double()).dtype == torch.float64


@every_kind
def test_the_generator_decides_all(kind: str) -> None:
    x = images()
    first = corrupted(kind, x)
    torch.rand(5)  # the global generator must not matter
    assert torch.equal(first, corrupted(kind, x))
    if kind != "flip":
        assert any(not torch.equal(first, corrupted(kind, x, seed)) for seed in range(1, 4))


@every_kind
@every_shape
def test_images_are_changed(kind: str, shape: tuple[int, ...]) -> None:
    x = images(shape)
    moved = torch.stack([(corrupted(kind, x, seed) - x).abs().amax((1, 2, 3)) > 1e-3 for seed in range(4)])
    assert moved.all()


# ---- of places -------------------------------------------------------------------------------------------


def test_flip_is_upside_down_and_undone_by_itself() -> None:
    x = images((2, 5, 4))
    y = corrupted("flip", x)
    assert torch.equal(y[:, :, 0], x[:, :, 4])
    assert torch.equal(corrupted("flip", y), x)


@every_shape
def test_rotations_and_shuffles_keep_the_pixels_of_each_channel(shape: tuple[int, ...]) -> None:
    x = images(shape)
    for kind in ("rotate", "patch_shuffle"):
        for seed in range(6):
            y = corrupted(kind, x, seed)
            assert torch.equal(y.flatten(2).sort().values, x.flatten(2).sort().values)


def test_rotations_of_squares_are_all_three_and_of_others_half_a_turn() -> None:
    square, other = images(), images((1, 4, 6))
    seen = set()
    for seed in range(20):
        y = corrupted("rotate", square, seed)
        seen |= {k for k in range(4) if torch.equal(y, torch.rot90(square, k, (2, 3)))}
        assert torch.equal(corrupted("rotate", other, seed), other.flip(2, 3))
    assert seen == {1, 2, 3}


def test_shuffled_patches_move_whole() -> None:
    # Every pixel holds the number of its 2 x 2 patch: patches of two or more pixels a side stay of one level.
    patch = torch.arange(16.0).reshape(4, 4).repeat_interleave(2, 0).repeat_interleave(2, 1) / 16
    y = corrupted("patch_shuffle", patch.expand(20, 1, 8, 8))
    blocks = y.reshape(20, 4, 2, 4, 2)
    assert torch.equal(blocks.amax((2, 4)), blocks.amin((2, 4)))


def test_elastic_moves_pixels_only_so_far() -> None:
    # A ramp shows where each pixel came from: at most about four draws' deviations times .3 of half a side.
    ramp = torch.linspace(-1, 1, 32).expand(64, 1, 32, 32)
    for seed in range(5):
        moved = (corrupted("elastic", ramp, seed) - ramp).abs()
        assert 0.02 < moved.mean() < 0.5 and moved.max() < 2
    constant = torch.full((4, 1, 8, 8), 0.3)
    torch.testing.assert_close(corrupted("elastic", constant), constant)


# ---- of values -------------------------------------------------------------------------------------------


def test_noise_has_the_deviations_it_says() -> None:
    black = torch.zeros(4000, 1, 8, 8)
    sd = corrupted("noise", black).flatten(1).std(1).log()
    # Log-uniform from .03 to 1, but that values are clipped at 1: median, and its lower end.
    assert float(sd.median()) == pytest.approx(np.log(0.03) / 2, abs=0.1)
    assert float(sd.quantile(0.01)) == pytest.approx(0.99 * np.log(0.03), abs=0.15)


def test_inversion_and_brightness_and_gray() -> None:
    x = images(n=200)
    factor = corrupted("inversion", x) / x
    assert factor.max() <= -0.6 + 1e-4 and factor.min() >= -1 - 1e-4
    torch.testing.assert_close(factor.amax((1, 2, 3)), factor.amin((1, 2, 3)), rtol=1e-4, atol=1e-4)
    dim = 0.1 * x
    shift = corrupted("brightness", dim) - dim
    assert shift.abs().min() > 0.09 and shift.abs().max() < 0.81
    sides = shift.amax((1, 2, 3)) > 0
    assert 0.35 < sides.float().mean() < 0.65
    gray = corrupted("gray", x)
    assert torch.equal(gray.amax((1, 2, 3)), gray.amin((1, 2, 3))) and gray.std() > 0.4


def test_threshold_leaves_two_levels_in_the_order_of_the_pixels() -> None:
    x = images(n=100)
    y = corrupted("threshold", x)
    for image, two in zip(x, y, strict=True):
        light = two > -1
        assert len(two.unique()) <= 2 and two[light].unique().numel() <= 1
        if light.any() and not light.all():
            assert image[light].min() > image[~light].max()


def test_blur_is_scipys() -> None:
    x = images((2, 32, 32), 3)
    for seed in range(4):
        sd = float(torch.rand((), generator=seeded(seed))) * 1.8 + 0.7
        reach = round(3 * sd)
        expected = x.double().numpy()
        for axis in (2, 3):
            expected = gaussian_filter1d(expected, sd, axis, mode="nearest", radius=reach)
        np.testing.assert_allclose(corrupted("blur", x, seed).numpy(), expected, atol=1e-5)


def test_constant_images_stay_constant_where_nothing_is_put_in() -> None:
    x = torch.linspace(-0.9, 0.9, 6)[:, None, None, None].expand(6, 1, 9, 7).contiguous()
    for kind in ("blur", "phase", "bands", "low_rank", "patch_shuffle", "rotate", "flip"):
        torch.testing.assert_close(corrupted(kind, x), x, msg=kind)


def test_erosion_is_min_max_or_edges() -> None:
    x = torch.full((60, 1, 9, 9), -1.0)
    x[:, :, 4, 4] = 1.0  # one light pixel
    light = (corrupted("erosion", x) > 0).sum((1, 2, 3))
    side = set(light.tolist()) - {0}
    assert len(side) == 1 and side <= {9, 25}  # thick and edges alike; thin: nothing is left
    assert 0.1 < (light == 0).float().mean() < 0.6


# ---- of parts --------------------------------------------------------------------------------------------


def test_mixtures_lie_between_two_images() -> None:
    x = images(n=30)
    for kind in ("mixup", "mask_mix"):
        y = corrupted(kind, x)
        assert (y <= x.max(0).values + 1e-6).all() and (y >= x.min(0).values - 1e-6).all()
    # Of two images, the other one is known.
    pair = images(n=2)
    for kind in ("mixup", "mask_mix"):
        y = corrupted(kind, pair)
        share = (y - pair.flip(0)) / (pair - pair.flip(0))
        assert (share > -1e-3).all() and (share < 1 + 1e-3).all()
        if kind == "mixup":
            assert share.amin() > 0.19 and share.amax() < 0.81
            torch.testing.assert_close(share.amax((1, 2, 3)), share.amin((1, 2, 3)), rtol=1e-2, atol=1e-3)


def test_cutmix_takes_a_box_of_the_other_image() -> None:
    pair = images((3, 8, 10), n=2)
    for seed in range(10):
        y = corrupted("cutmix", pair, seed)
        other = (y == pair.flip(0)).all(1)
        assert (other | (y == pair).all(1)).all()
        for box in other:
            rows, columns = box.any(1), box.any(0)
            assert torch.equal(box, rows[:, None] & columns[None])  # a box, and only one
            assert torch.equal(box.sum(), rows.sum() * columns.sum())
            for seen, length in ((rows, 8), (columns, 10)):
                at = torch.nonzero(seen).flatten()
                assert int(at[-1] - at[0]) + 1 == len(at) and 0.15 * length <= len(at) <= 0.5 * length + 1


@pytest.mark.parametrize("kind", ["box_noise", "box_constant"])
def test_boxes_leave_the_rest(kind: str) -> None:
    x = images(n=50)
    y = corrupted(kind, x)
    changed = (x != y).any(1)
    assert 0.02 < changed.float().mean() < 0.4
    for image, box in zip(y, changed, strict=True):
        assert torch.equal(box, box.any(1)[:, None] & box.any(0)[None])
        if kind == "box_constant":
            assert len(image[0][box].unique()) == 1


# ---- of frequencies --------------------------------------------------------------------------------------


@every_shape
def test_phase_keeps_the_power_of_every_frequency(shape: tuple[int, ...]) -> None:
    x = 0.1 * images(shape)  # nothing is clipped
    y = corrupted("phase", x)
    torch.testing.assert_close(torch.fft.fft2(y).abs(), torch.fft.fft2(x).abs(), rtol=1e-3, atol=1e-4)
    assert (y - x).abs().amax((1, 2, 3)).min() > 1e-3


def test_bands_keep_the_mean() -> None:
    x = 0.1 * images()
    torch.testing.assert_close(corrupted("bands", x).mean((2, 3)), x.mean((2, 3)))


@every_shape
def test_low_rank_is_the_nearest_image_of_rank_one_to_four(shape: tuple[int, ...]) -> None:
    x = 0.3 * images(shape)  # nothing is clipped
    y = corrupted("low_rank", x)
    ranks = torch.linalg.matrix_rank(y, rtol=1e-4)
    assert ranks.max() <= 4 and len(ranks.unique()) > 1
    values = torch.linalg.svdvals(x)
    for image, near, rank, s in zip(x, y, ranks, values, strict=True):
        for c in range(len(image)):  # Eckart and Young 1936
            left_over = s[c, int(rank[c]) :].square().sum().sqrt()
            torch.testing.assert_close((image[c] - near[c]).norm(), left_over, rtol=1e-3, atol=1e-4)


# ---- draws -----------------------------------------------------------------------------------------------


def test_others_are_other_images() -> None:
    x = torch.arange(9.0)[:, None, None, None]
    for seed in range(20):
        assert (others(x, seeded(seed)) != x).all()
    assert torch.equal(others(x[:1], seeded()), x[:1])  # there is no other


def test_draws_are_uniform() -> None:
    like = torch.zeros(5000, 1, 1, 1)
    u = each(-2.0, 3.0, like, seeded())
    assert u.shape == (5000, 1, 1, 1) and u.min() >= -2 and u.max() <= 3
    assert float(u.mean()) == pytest.approx(0.5, abs=0.08)
    assert uniform(0.0, 1.0, (2, 3), like, seeded()).shape == (2, 3)
    generator = seeded()
    assert {one_of((3, 5, 7), generator) for _ in range(50)} == {3, 5, 7}
