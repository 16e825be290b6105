"""Explanations of images: they add up, they show the planted fault, and they say what would be normal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ebm import artifact
from ebm.calibration import Calibration
from ebm.detector import Detector
from ebm.energies import ProductOfExperts
from ebm.energies.product import Expert
from ebm.errors import BadInput, Unsupported
from ebm.explain_images import explain_image_steps
from ebm.fitting import fit_detector
from ebm.manifest import CalibrationSummary
from ebm.preprocessing import ScaleImage
from ebm.steps import finish
from ebm.training.config import TrainConfig

C, H, W = 3, 4, 5


class Independent(nn.Module):
    """Independent c_i ~ N(0, s_i^2): what each adds to the energy is c_i^2 / (2 (s_i^2 + sigma^2))."""

    noise_conditional = True

    def __init__(self) -> None:
        super().__init__()
        self.variance = 0.05 + 0.2 * torch.rand(C, H, W, generator=torch.Generator().manual_seed(0))

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        assert x.shape[1:] == (C, H, W)
        noise = torch.zeros(len(x)) if sigma is None else torch.as_tensor(sigma).expand(len(x))
        total = self.variance + noise.square().reshape(-1, 1, 1, 1)
        return (0.5 * x.square() / total + 0.5 * total.log()).flatten(1).sum(1)


@pytest.fixture(scope="module")
def colour() -> tuple[ScaleImage, ProductOfExperts, Independent, np.ndarray]:
    """Colour images of known distribution, wider than they are high; the faulty ones have a pixel far off."""
    term = Independent()
    rng = np.random.default_rng(0)
    encoded = rng.normal(size=(40, C, H, W)).astype(np.float32) * term.variance.sqrt().numpy()
    images = ScaleImage(0, 255)
    rows = 127.5 * (1 + encoded.transpose(0, 2, 3, 1).astype(float))
    images.fit(np.clip(rows, 0, 255))
    rows[:20, 1, 3] = (400, -150, 400)
    return images, ProductOfExperts({"term": term}, [Expert("term", None, 1.0)]), term, rows


def explain_colour(colour, sparse=False):
    images, product, term, rows = colour
    x = torch.from_numpy(images.transform(rows))
    energies = product(x[20:]).double().numpy()
    summary = CalibrationSummary(n=20, mean=energies.mean(), sd=energies.std(), default_fpr=0.05)
    calibration = Calibration((energies - summary.mean) / summary.sd)
    offsets = torch.zeros(18)  # log Z of every level is in the energy
    return finish(
        explain_image_steps(images, product, summary, calibration, (term, offsets), rows, sparse=sparse)
    )


def test_contributions_of_independent_pixels_are_their_own_energies(colour) -> None:
    images, product, term, rows = colour
    found = explain_colour(colour)
    assert found.contributions.shape == (40, H * W) and found.heat_map.shape == (40, H, W)
    assert found.normal_version.shape == rows.shape and found.size == (H, W)
    x, normal = (torch.from_numpy(images.transform(v)).double() for v in (rows, found.normal_version))
    expected = ((x.square() - normal.square()) / (2 * term.variance)).sum(1)  # over the channels
    np.testing.assert_allclose(found.heat_map, expected.numpy(), atol=1e-3)
    np.testing.assert_allclose(found.contributions.sum(1), found.energy - found.normal_energy, atol=1e-3)
    with torch.no_grad():
        np.testing.assert_allclose(found.normal_energy, product(normal.float()), atol=1e-3)
    assert (found.normal_energy[:20] <= found.level).all()
    assert (found.ranking[:20, 0] == 1 * W + 3).all()
    assert found.name(1 * W + 3) == "pixel (1, 3)" and found.cell(0, 1 * W + 3)[0] == [400, -150, 400]


def test_normal_images_are_their_own_normal_version(colour) -> None:
    found = explain_colour(colour)
    normal = found.energy <= found.level
    assert 5 < normal.sum() < 20
    assert (found.contributions[normal] == 0).all() and not found.changed[normal].any()
    np.testing.assert_array_equal(found.normal_version[normal], colour[3][normal])


def test_a_sparse_answer_leaves_what_need_not_change(colour) -> None:
    rows = colour[3]
    whole, sparse = explain_colour(colour), explain_colour(colour, sparse=True)
    assert sparse.changed[:20].sum(1).mean() < 0.4 * whole.changed[:20].sum(1).mean()
    assert sparse.changed[:20, 1 * W + 3].all() and (sparse.normal_energy[:20] <= sparse.level).all()
    changed = sparse.changed.reshape(40, H, W)
    np.testing.assert_array_equal(sparse.normal_version[~changed], rows[~changed])


def with_patches(digits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """40 images with a square of noise, and where it is."""
    rng = np.random.default_rng(0)
    rows, where = digits[300:340].astype(float), np.zeros((40, 8, 8), bool)
    for i in range(40):
        top, left = rng.integers(0, 6, 2)
        rows[i, top : top + 3, left : left + 3] = rng.uniform(0, 16, (3, 3))
        where[i, top : top + 3, left : left + 3] = True
    return rows, where


@pytest.fixture(scope="module")
def keeper(tiny_config: TrainConfig, digits: np.ndarray) -> Detector:
    """A model that keeps its training images, and does not denoise."""
    config = tiny_config.model_copy(update={"sampling": None, "terms": tiny_config.terms[:1]})
    return fit_detector(config, digits[:200], digits[200:300])


@pytest.mark.parametrize("denoises", [True, False])
def test_the_planted_fault_is_the_hot_spot(
    tiny: Detector, keeper: Detector, digits: np.ndarray, denoises: bool
) -> None:
    rows, where = with_patches(digits)
    found = (tiny if denoises else keeper).explain(rows)
    odd = found.energy > found.level
    assert odd.mean() > 0.9
    hottest = found.ranking[:, 0]
    assert where.reshape(40, 64)[np.arange(40), hottest][odd].mean() > 0.85
    gap = found.energy.astype(float) - found.normal_energy
    np.testing.assert_allclose(found.contributions.sum(1), gap, atol=1e-3, rtol=1e-4)
    np.testing.assert_array_equal(found.p_value, (tiny if denoises else keeper).score(rows).p_value)


def test_without_a_denoiser_the_normal_version_is_a_training_image(
    keeper: Detector, digits: np.ndarray
) -> None:
    rows, _ = with_patches(digits)
    found = keeper.explain(rows)
    for i in np.flatnonzero(found.energy > found.level):
        distance = np.abs(digits[:200] - found.normal_version[i]).max((1, 2))
        assert distance.min() < 1e-5 and found.normal_energy[i] <= found.level


def test_many_images_are_explained_part_by_part(tiny: Detector, digits: np.ndarray, monkeypatch) -> None:
    rows, _ = with_patches(digits)
    whole = tiny.explain(rows)
    monkeypatch.setattr("ebm.explain.MAX_ROWS", 15)
    assert {s.step for s in tiny.explain_steps(rows)} == {0, 15, 30, 40}
    np.testing.assert_allclose(tiny.explain(rows).energy, whole.energy, rtol=1e-4)


def test_images_that_cannot_be_explained_are_named(tiny: Detector, digits: np.ndarray) -> None:
    for value, message in ((np.nan, "is missing"), (np.inf, "infinite"), (1e30, "too far")):
        rows = digits[:5].astype(float)
        rows[4, 2, 6] = value
        with pytest.raises(BadInput, match=rf"row 4.*pixel \(2, 6\).*{message}") as caught:
            tiny.explain(rows)
        assert caught.value.row == 4
    with pytest.raises(BadInput, match="the model takes"):
        tiny.explain(digits[:1, :5])


def test_a_network_restores_where_the_model_neither_samples_nor_keeps_images(
    tiny_config: TrainConfig, digits: np.ndarray
) -> None:
    config = tiny_config.model_copy(update={"sampling": None, "terms": tiny_config.terms[1:]})
    detector = fit_detector(config, digits[:200], digits[200:300])
    assert detector.can == {"score", "explain"}
    rows, where = with_patches(digits)
    found = detector.explain(rows)
    odd = found.energy > found.level
    assert (found.normal_energy[odd] < found.energy[odd]).mean() > 0.95
    gap = found.energy.astype(float) - found.normal_energy
    np.testing.assert_allclose(found.contributions.sum(1), gap, atol=1e-3, rtol=1e-4)
    assert (found.normal_version[~odd] == rows[~odd]).all()
    moved = np.abs(found.normal_version - rows)[odd]
    assert moved[where[odd]].mean() > 2 * moved[~where[odd]].mean()


class Repeating(nn.Module):
    """Flat pictures have no energy; the autoencoder repeats only these."""

    def encode(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))

    def decode(self, code: Tensor) -> Tensor:
        return code[:, :, None, None].expand(-1, C, H, W)

    def forward(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        del sigma
        return (x - self.decode(self.encode(x))).square().flatten(1).sum(1)


def test_an_autoencoder_gives_the_normal_version(colour) -> None:
    images, _, _, rows = colour
    product = ProductOfExperts({"term": Repeating()}, [Expert("term", None, 1.0)])
    x = torch.from_numpy(images.transform(rows))
    energies = product(x[20:]).double().numpy()
    summary = CalibrationSummary(n=20, mean=energies.mean(), sd=energies.std(), default_fpr=0.05)
    calibration = Calibration((energies - summary.mean) / summary.sd)
    found = finish(explain_image_steps(images, product, summary, calibration, None, rows))
    odd = found.energy > found.level
    assert odd[:20].all()
    expected = np.clip(images.inverse(Repeating().decode(x.mean((2, 3))).numpy()), 0, 255)
    np.testing.assert_allclose(found.normal_version[odd], expected[odd], atol=1e-3)
    np.testing.assert_array_equal(found.normal_version[~odd], rows[~odd])
    assert found.anomaly_map is not None and found.anomaly_map.shape == (40, H, W)
    hottest = found.anomaly_map[:20].reshape(20, -1).argmax(1)
    assert (hottest == 1 * W + 3).all()


def test_an_image_model_with_neither_says_so(digits: np.ndarray) -> None:
    detector = artifact.load("models/digits-cd/1")
    assert detector.can == {"generate", "score"}
    with pytest.raises(Unsupported, match="cannot explain"):
        detector.explain(digits[:1])
    assert detector.pixel_maps(digits[:1]).shape == (1, 8, 8)
