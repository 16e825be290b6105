"""Missing pixels: inpainting against the closed form of a Gaussian, and with whole detectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ebm.detector import Detector
from ebm.energies import ProductOfExperts
from ebm.energies.analytic import Gaussian
from ebm.energies.product import Expert
from ebm.errors import BadInput
from ebm.fitting import fit_detector
from ebm.impute_images import impute_image_steps
from ebm.preprocessing import ScaleImage
from ebm.steps import finish
from ebm.training.config import TrainConfig

C, H, W = 2, 3, 2


class GaussianImages(nn.Module):
    """An energy that takes (B, C, H, W) and nothing else."""

    noise_conditional = True

    def __init__(self, gaussian: Gaussian) -> None:
        super().__init__()
        self.gaussian = gaussian

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        assert x.shape[1:] == (C, H, W)
        return self.gaussian(x.flatten(1), sigma)


def test_a_gaussian_image_is_filled_from_its_conditional() -> None:
    generator = torch.Generator().manual_seed(0)
    # One common factor, of either sign, and noise; every coordinate has its own spread.
    factor = torch.where(torch.rand(12, generator=generator) < 0.5, -1.0, 1.0)
    sd = torch.linspace(0.15, 0.3, 12)
    covariance = sd[:, None] * sd * (0.4 * torch.eye(12) + 0.6 * factor[:, None] * factor)
    mean = torch.linspace(-0.3, 0.3, 12)
    term = GaussianImages(Gaussian(mean, torch.cholesky_inverse(torch.linalg.cholesky(covariance))))
    noise = torch.randn(20, 12, generator=generator)
    encoded = mean + noise @ torch.linalg.cholesky(covariance).T
    # The two rows to fill lie well off the mean, so that what is seen tells much of what is not.
    encoded[:2] = mean + torch.tensor([[1.5], [-1.2]]) * sd * factor
    images = ScaleImage(0, 10)
    rows = (5 + 5 * encoded.reshape(20, C, H, W).permute(0, 2, 3, 1)).double().numpy()
    images.fit(rows)
    gaps = np.random.default_rng(0).random((2, H, W, C)) < 0.4
    assert gaps.reshape(2, -1).sum(1).min() > 2
    product = ProductOfExperts({"term": term}, [Expert("term", None, 1.0)])
    found = finish(
        impute_image_steps(
            images, product, term, np.where(gaps, np.nan, rows[:2]), n_draws=600, seed=0, keep_draws=False
        )
    )
    assert found.rows.shape == found.missing.shape == found.spread.shape == (2, H, W, C)
    np.testing.assert_array_equal(found.rows[~gaps], rows[:2][~gaps])
    for i in range(2):
        hidden = torch.from_numpy(gaps[i].transpose(2, 0, 1).ravel())
        seen = ~hidden
        gain = covariance[hidden][:, seen] @ torch.linalg.inv(covariance[seen][:, seen])
        expected = mean[hidden] + gain @ (encoded[i] - mean)[seen]
        left = covariance[hidden][:, hidden] - gain @ covariance[seen][:, hidden]
        filled = (found.rows[i].transpose(2, 0, 1).ravel()[hidden] - 5) / 5
        spread = found.spread[i].transpose(2, 0, 1).ravel()[hidden] / 5
        sd = left.diagonal().sqrt().numpy()
        # The error of a mean of 600 draws is 4% of a standard deviation, and the last noise level, .05, shrinks a tenth
        # of what the observed pixels tell; which is far more than that.
        np.testing.assert_allclose((filled - expected.numpy()) / sd, 0, atol=0.22)
        assert np.abs((mean[hidden] - expected).numpy() / sd).max() > 1
        np.testing.assert_allclose(spread / sd, 1, atol=0.1)


@pytest.fixture(scope="module")
def keeper(tiny_config: TrainConfig, digits: np.ndarray) -> Detector:
    config = tiny_config.model_copy(update={"sampling": None, "terms": tiny_config.terms[:1]})
    return fit_detector(config, digits[:200], digits[200:300])


@pytest.mark.parametrize("by_network", [True, False])
def test_half_a_digit_is_filled_better_than_by_the_mean(
    tiny: Detector, keeper: Detector, digits: np.ndarray, by_network: bool
) -> None:
    truth = digits[300:320].astype(float)
    rows = truth.copy()
    rows[:, 4:] = np.nan
    found = (tiny if by_network else keeper).impute(rows, n_draws=8, keep_draws=True)
    assert (found.acceptance is None) == by_network
    assert found.rows.shape == (20, 8, 8) and np.isfinite(found.rows).all()
    np.testing.assert_array_equal(found.rows[:, :4], truth[:, :4])
    assert np.isnan(found.spread[:, :4]).all() and (found.spread[:, 4:] >= 0).all()
    assert found.draws is not None and len(found.draws) == 8
    if by_network:
        np.testing.assert_allclose(np.mean(found.draws, 0)[:, 4:], found.rows[:, 4:], atol=1e-4)

    def error(filled: np.ndarray) -> float:
        return float(np.square(filled - truth[:, 4:]).mean())

    assert error(found.rows[:, 4:]) < 0.8 * error(digits[:200].mean(0)[None, 4:])


def test_nulls_of_lists_and_flat_rows(tiny: Detector, digits: np.ndarray) -> None:
    rows = digits[:3].astype(float)
    rows[0, 2, 5] = rows[2, 7, 0] = np.nan
    expected = tiny.impute(rows, n_draws=2)
    lists = [[[None if np.isnan(v) else v for v in line] for line in image] for image in rows.tolist()]
    for other in (lists, rows.reshape(3, 64), rows[..., None]):
        np.testing.assert_array_equal(tiny.impute(other, n_draws=2).rows, expected.rows)
    assert expected.missing.sum() == 2 and expected.missing[0, 2, 5] and expected.missing[2, 7, 0]
    again, other = (tiny.impute(rows, n_draws=2, seed=s).rows for s in (0, 1))
    np.testing.assert_array_equal(again, expected.rows)
    assert not np.array_equal(other, expected.rows)


def test_images_without_gaps_come_back_as_they_are(tiny: Detector, digits: np.ndarray) -> None:
    found = tiny.impute(digits[:3])
    np.testing.assert_array_equal(found.rows, digits[:3])
    assert not found.missing.any()


def test_what_is_no_image_is_named(tiny: Detector, digits: np.ndarray) -> None:
    rows = digits[:2].astype(float)
    rows[1, 3, 3] = np.inf
    with pytest.raises(BadInput, match=r"row 1, pixel \(3, 3\) is infinite"):
        tiny.impute(rows)
    with pytest.raises(BadInput, match="the model takes"):
        tiny.impute(digits[:1, :5])
    with pytest.raises(BadInput, match=r"row 0.*'x' is not a number"):
        tiny.impute([[["x"] * 8] * 8])
