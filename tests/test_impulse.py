"""Lost pixels: found where they are known, and painted in better than Gaussian denoising does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from analytic_denoisers import WienerFilter

from ebm.detector import Detector
from ebm.energies.analytic import Gaussian
from ebm.errors import BadInput, Unsupported
from ebm.impulse import impulse_steps, lost_pixels

SIDE = 6


def smooth() -> tuple[WienerFilter, torch.Tensor]:
    """Pictures of two channels that are smooth: neighbours have a correlation of exp(-1/4)."""
    places = torch.stack(torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij"), -1).reshape(
        -1, 2
    )
    distances = torch.cdist(places.float(), places.float())
    plane = 0.15 * torch.exp(-distances / 4) + 1e-4 * torch.eye(SIDE**2)
    covariance = torch.block_diag(plane, plane)
    data = Gaussian(torch.zeros(2 * SIDE**2), torch.cholesky_inverse(torch.linalg.cholesky(covariance)))
    pictures = data.sample(20, torch.Generator().manual_seed(0)).clamp(-0.8, 0.8)
    return WienerFilter(data), pictures.reshape(20, 2, SIDE, SIDE)


def test_lost_pixels_are_found_and_no_others() -> None:
    field, clean = smooth()
    lost = torch.zeros(20, 1, SIDE, SIDE, dtype=torch.bool)
    lost[:, 0, 1, 4] = lost[:, 0, 4, 2] = True
    noisy = clean.clone()
    noisy[:, 0, 1, 4] = -torch.sign(clean[:, 0, 1, 4])  # one of the two channels only
    noisy[:, :, 4, 2] = -torch.sign(clean[:, :, 4, 2])
    found = lost_pixels(field, noisy)
    assert found[lost].double().mean() > 0.9 and found[~lost].double().mean() < 0.02
    assert not lost_pixels(field, clean).any()


def test_what_is_not_lost_stays_and_what_is_comes_near_the_truth() -> None:
    field, clean = smooth()
    noisy = clean.clone()
    noisy[:, :, 2, 3] = -torch.sign(clean[:, :, 2, 3])
    mask = lost_pixels(field, noisy).expand_as(clean)
    steps = list(impulse_steps(field, noisy, 10))
    assert len(steps) == 10
    assert torch.equal(steps[-1][~mask], noisy[~mask])
    # The best guess of a pixel from all others, known for a Gaussian, leaves an error of 1 / its own precision.
    left = float(1 / field.data.precision.diagonal().reshape(2, SIDE, SIDE)[0, 2, 3])
    error = (steps[-1] - clean)[:, :, 2, 3][mask[:, :, 2, 3]].square().mean()
    assert error < 1.6 * left


def psnr(found: np.ndarray, truth: np.ndarray) -> float:
    """dB, of a range of 16."""
    return float(10 * np.log10(16**2 / np.square(found - truth).mean((1, 2))).mean())


def test_salt_and_pepper_on_digits(tiny: Detector, digits: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    truth = digits[300:360].astype(float)
    hit = rng.random(truth.shape) < 0.1
    noisy = np.where(hit, 16.0 * (rng.random(truth.shape) < 0.5), truth)
    gaussian, impulse = tiny.denoise(noisy), tiny.denoise(noisy, noise="impulse")
    assert psnr(impulse, truth) > psnr(gaussian, truth) + 2 > psnr(noisy, truth) + 2
    kept = np.isclose(impulse, noisy, atol=1e-4)
    assert kept[~hit].mean() > 0.9
    np.testing.assert_array_equal(impulse, tiny.denoise(noisy, noise="impulse", n_steps=10))


def test_a_lost_block_is_filled_by_its_mask(tiny: Detector, digits: np.ndarray) -> None:
    truth = digits[300:330].astype(float)
    spoilt, gaps = truth.copy(), truth.copy()
    spoilt[:, 2:5, 2:5], gaps[:, 2:5, 2:5] = 0, np.nan
    filled = tiny.impute(gaps, n_draws=8).rows
    assert psnr(np.asarray(filled), truth) > psnr(tiny.denoise(spoilt), truth) + 2


def test_options_that_do_not_go_together(tiny: Detector, digits: np.ndarray) -> None:
    with pytest.raises(BadInput, match="takes neither sigma"):
        tiny.denoise(digits[:1], noise="impulse", sigma=0.3)
    with pytest.raises(BadInput, match="nor method 'langevin'"):
        tiny.denoise(digits[:1], noise="impulse", method="langevin")
    with pytest.raises(BadInput, match="noise must be one of gaussian, impulse, got 'salt'"):
        tiny.denoise(digits[:1], noise="salt")  # type: ignore[arg-type]


def test_rows_of_a_table_lose_no_pixels() -> None:
    from ebm.denoising import check_noise
    from ebm.preprocessing import Standardize

    with pytest.raises(Unsupported, match="is of pictures"):
        check_noise("impulse", Standardize(), None, "posterior_mean")
