"""Changes to images with known answers."""

import numpy as np
import pytest
import torch

from ebm.augment import Augment, AugmentConfig, flip, shift, turn

X = torch.rand((6, 2, 9, 7), generator=torch.Generator().manual_seed(1)) * 2 - 1
ON = [
    {"shift": 2},
    {"rotate": 10.0},
    {"scale": 0.2},
    {"flip_horizontal": True},
    {"flip_vertical": True},
    {"brightness": 0.3},
    {"noise": 0.1},
    {"shift": 1, "rotate": 5.0, "scale": 0.1, "flip_horizontal": True, "brightness": 0.5, "noise": 0.5},
]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_all_is_off_until_asked_for():
    config = AugmentConfig()
    assert not config.is_on
    generator = seeded()
    before = generator.get_state()
    assert config.build()(X, generator) is X
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("values", ON)
def test_each_changes_images_and_keeps_shape_and_range(values):
    config = AugmentConfig(**values)
    assert config.is_on
    before = X.clone()
    out = config.build()(X, seeded())
    assert out.shape == X.shape and out.dtype == X.dtype
    assert float(out.abs().max()) <= 1
    changed = (out != X).flatten(1).any(1)
    assert changed.any()
    assert torch.equal(X, before), "the rows that were given stay as they are"


@pytest.mark.parametrize("values", ON)
def test_the_generator_decides(values):
    augment = AugmentConfig(**values).build()
    assert torch.equal(augment(X, seeded(3)), augment(X, seeded(3)))
    assert not torch.equal(augment(X, seeded(3)), augment(X, seeded(4)))


@pytest.mark.parametrize("down, right", [(0, 0), (1, 0), (0, -2), (3, 2), (-4, 6), (50, -50)])
def test_a_shift_is_a_roll_with_repeated_edges(down, right):
    n = len(X)
    got = shift(X, torch.full((n,), down), torch.full((n,), right)).numpy()
    height, width = X.shape[2:]
    wide = np.pad(X.numpy(), ((0, 0), (0, 0), (60, 60), (60, 60)), mode="edge")
    rolled = np.roll(wide, (down, right), (2, 3))[:, :, 60 : 60 + height, 60 : 60 + width]
    np.testing.assert_array_equal(got, rolled)


def test_each_image_has_its_own_shift():
    by = torch.tensor([0, 1, -1, 2, 0, 3])
    got = shift(X, by, torch.zeros(6, dtype=torch.long))
    for i, k in enumerate(by.tolist()):
        assert torch.equal(got[i : i + 1], shift(X[i : i + 1], torch.tensor([k]), torch.tensor([0])))


def test_shifts_are_uniform_over_whole_pixels():
    ramp = torch.arange(-5, 6.0).div(5).expand(5000, 1, 11, 11)
    out = AugmentConfig(shift=2).build()(ramp, seeded())
    moved = ((ramp - out)[:, 0, 5, 5] * 5).round()
    values, counts = moved.unique(return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    assert counts.min() > 900 and counts.max() < 1100
    down = AugmentConfig(shift=2).build()(ramp.transpose(2, 3), seeded())
    assert ((ramp.transpose(2, 3) - down)[:, 0, 5, 5].std()) > 0.2


def test_a_flip_undoes_itself():
    which = torch.tensor([True, False, True, True, False, False])
    for axis in (2, 3):
        once = flip(X, which, axis)
        np.testing.assert_array_equal(once[0], np.flip(X[0].numpy(), axis - 1))
        assert torch.equal(once[1], X[1])
        assert torch.equal(flip(once, which, axis), X)


def test_flips_mirror_about_half_of_the_images():
    many = X[:1].expand(2000, -1, -1, -1)
    for values, axis in (({"flip_horizontal": True}, 3), ({"flip_vertical": True}, 2)):
        out = AugmentConfig(**values).build()(many, seeded())
        mirrored = (out == many.flip(axis)).flatten(1).all(1)
        assert torch.equal(out[~mirrored], many[~mirrored])
        assert 900 < int(mirrored.sum()) < 1100


@pytest.mark.parametrize("shape", [(8, 8), (9, 9)])
def test_a_quarter_turn_is_rot90(shape):
    x = torch.rand((3, 2, *shape), generator=seeded())
    got = turn(x, torch.tensor([90.0, 180.0, -90.0]), torch.ones(3))
    for i, k in enumerate((-1, 2, 1)):
        np.testing.assert_allclose(got[i], np.rot90(x[i].numpy(), k, (1, 2)), atol=1e-5)


def test_edges_are_repeated_not_darkened():
    flat = torch.full((1, 1, 8, 8), 0.7)
    got = turn(flat, torch.tensor([45.0]), torch.tensor([0.5]))
    np.testing.assert_allclose(got, 0.7, rtol=1e-5)


def test_oblong_images_are_turned_and_not_sheared():
    """A plane of slope (a, b) turned by t is the plane of the turned slope."""
    y, x = torch.meshgrid(torch.arange(9.0) - 4, torch.arange(21.0) - 10, indexing="ij")
    plane = (0.02 * y + 0.03 * x)[None, None]
    t = torch.tensor([30.0])
    cos, sin = float(torch.deg2rad(t).cos()), float(torch.deg2rad(t).sin())
    want = 0.02 * (cos * y - sin * x) + 0.03 * (cos * x + sin * y)
    inner = (slice(3, 6), slice(7, 14))  # what comes from within the picture
    np.testing.assert_allclose(turn(plane, t, torch.ones(1))[0, 0][inner], want[inner], atol=1e-5)
    np.testing.assert_allclose(
        turn(plane, torch.zeros(1), torch.tensor([2.0]))[0, 0], 0.5 * plane[0, 0], atol=1e-5
    )


def test_scales_and_angles_stay_within_their_limits():
    x = torch.linspace(-1, 1, 33).expand(2000, 1, 33, 33)

    def slope(out):
        return (out[:, 0, 16, 20] - out[:, 0, 16, 12]) / (x[:, 0, 16, 20] - x[:, 0, 16, 12])

    size = 1 / slope(AugmentConfig(scale=0.25).build()(x, seeded()))
    assert 0.749 < float(size.min()) < 0.76 and 1.24 < float(size.max()) < 1.251
    cosine = slope(AugmentConfig(rotate=30.0).build()(x, seeded()))
    assert 0.866 - 1e-3 < float(cosine.min()) < 0.87 and float(cosine.max()) <= 1.0001


def test_brightness_is_one_number_an_image_and_noise_one_a_pixel():
    middle = torch.zeros(4000, 1, 3, 3)
    brighter = AugmentConfig(brightness=0.3).build()(middle, seeded())
    assert torch.equal(brighter, brighter[:, :, :1, :1].expand_as(brighter))
    assert float(brighter.min()) == pytest.approx(-0.3, abs=1e-3)
    assert float(brighter.std()) == pytest.approx(0.3 / 3**0.5, rel=0.03)
    noisy = AugmentConfig(noise=0.1).build()(middle, seeded())
    assert float(noisy.std()) == pytest.approx(0.1, rel=0.02)
    assert abs(float((noisy[:, 0, 0, 0] * noisy[:, 0, 0, 1]).mean())) < 0.001


@pytest.mark.parametrize(
    "values",
    [
        {"shift": -1},
        {"shift": 1.5},
        {"rotate": 181},
        {"scale": 1},
        {"noise": -0.1},
        {"brightness": 3},
        {"blur": 1},
    ],
)
def test_values_that_make_no_sense(values):
    with pytest.raises(ValueError):
        AugmentConfig.model_validate(values)


@pytest.mark.gpu
def test_images_on_a_device_with_a_generator_there():
    augment = Augment(AugmentConfig(**ON[-1]))
    generator = torch.Generator("cuda").manual_seed(0)
    assert augment(X.cuda(), generator).device.type == "cuda"
