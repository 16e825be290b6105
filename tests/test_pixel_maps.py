"""Heat maps: known answers of independent pixels, and planted faults found by every source."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from analytic_denoisers import WienerFilter
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from ebm import pixel_maps
from ebm.detector import Detector
from ebm.energies import Expert, ProductOfExperts
from ebm.energies.analytic import Gaussian
from ebm.errors import BadInput, Unsupported
from ebm.preprocessing import ScaleImage
from ebm.steps import finish

SIDE = 8


class Pixels(nn.Module):
    """Independent pixels of variance .1, each of which says what it adds."""

    def local_energies(self, x: Tensor, sigma: float | None = None) -> Tensor:
        assert sigma is None
        return (x.square() / 0.2).sum(1)

    def forward(self, x: Tensor, sigma: float | None = None) -> Tensor:
        return self.local_energies(x, sigma).sum((1, 2))


class Corner(Pixels):
    """The pixel at (0, 0) alone."""

    def local_energies(self, x: Tensor, sigma: float | None = None) -> Tensor:
        found = torch.zeros_like(x).sum(1)
        found[:, 0, 0] = x[:, :, 0, 0].square().sum(1)
        return found


class Again(nn.Module):
    """An autoencoder that keeps the mean of each picture and nothing else."""

    def encode(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))

    def decode(self, code: Tensor) -> Tensor:
        return code[:, None, None, None].expand(-1, 1, SIDE, SIDE)

    def forward(self, x: Tensor, sigma: float | None = None) -> Tensor:
        del sigma
        return (x - self.decode(self.encode(x))).square().flatten(1).sum(1)


def product(*terms: nn.Module, weights: tuple[float, ...] = (1.0, 1.0)) -> ProductOfExperts:
    named = {f"t{i}": term for i, term in enumerate(terms)}
    return ProductOfExperts(named, [Expert(name, None, w) for name, w in zip(named, weights, strict=False)])


def maps_of(energy: ProductOfExperts, x: Tensor, method=None, denoiser=None) -> np.ndarray:
    images = ScaleImage(-1, 1).load_arrays({"size": np.array([SIDE, SIDE, 1]), "range": np.array([-1, 1])})
    return finish(pixel_maps.pixel_map_steps(images, energy, denoiser, x.squeeze(1).numpy(), method))


@pytest.fixture
def one_odd(generator: torch.Generator) -> Tensor:
    """Pictures of nothing much, in which the pixel (2, 5) is odd."""
    x = 0.1 * torch.randn((3, 1, SIDE, SIDE), generator=generator)
    x[:, 0, 2, 5] = torch.tensor([0.9, -0.9, 0.7])
    return x


@pytest.fixture
def rough(monkeypatch: pytest.MonkeyPatch) -> None:
    """No smoothing, so that maps are known to the pixel."""
    monkeypatch.setattr(pixel_maps, "SMOOTHING", 0.0)


@pytest.mark.usefixtures("rough")
def test_local_energies_add_up_to_the_energy(one_odd: Tensor) -> None:
    energy = product(Pixels(), Corner(), weights=(2.0, -3.0))
    energy.scales.copy_(torch.tensor([0.5, 1.5]))
    found = maps_of(energy, one_odd, "local")
    np.testing.assert_allclose(found.sum((1, 2)), energy(one_odd).numpy(), rtol=1e-5)
    expected = 4 * one_odd[:, 0].square() / 0.2
    expected[:, 0, 0] -= 2 * one_odd[:, 0, 0, 0].square()
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)


def test_smoothing_moves_no_weight(one_odd: Tensor) -> None:
    energy = product(Pixels())
    found = maps_of(energy, one_odd, "local")
    np.testing.assert_allclose(found.sum((1, 2)), energy(one_odd).numpy(), rtol=1e-4)
    assert 0.1 < found.max() / float((one_odd.square() / 0.2).max()) < 0.5


@pytest.mark.usefixtures("rough")
def test_the_gradient_leads_to_the_odd_pixel(one_odd: Tensor) -> None:
    found = maps_of(product(Pixels()), one_odd, "gradient")
    # dE/dx = x / .1, hence the step is -x times a constant; its mean square is STEP^2.
    share = one_odd[:, 0].square() / one_odd.square().sum((1, 2, 3))[:, None, None]
    expected = share * SIDE**2 * pixel_maps.STEP**2
    np.testing.assert_allclose(found, expected.clamp_max(4).numpy(), rtol=1e-3, atol=1e-6)


@pytest.mark.usefixtures("rough")
def test_a_pixel_that_can_get_no_blacker_is_not_odd() -> None:
    class Darker(nn.Module):  # normal is what is darker than black
        def forward(self, x: Tensor, sigma: float | None = None) -> Tensor:
            del sigma
            return x.flatten(1).sum(1)

    x = torch.full((1, 1, SIDE, SIDE), -1.0)
    x[0, 0, 3, 4] = 0.5
    found = maps_of(product(Darker()), x, "gradient")
    assert found[0, 3, 4] > 0.01 and np.count_nonzero(found) == 1


@pytest.mark.usefixtures("rough")
def test_the_residual_of_a_denoiser(one_odd: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    field = WienerFilter(Gaussian(torch.zeros(SIDE**2), torch.eye(SIDE**2) / 0.1))
    gain = 0.1 / (0.1 + pixel_maps.SIGMA**2)
    monkeypatch.setattr(pixel_maps, "N_PASSES", 1)
    for denoiser, energy in ((field, product(Pixels())), (None, product(Pixels(), field))):
        found = maps_of(energy, one_odd, "residual", denoiser)
        np.testing.assert_allclose(found, ((1 - gain) * one_odd[:, 0]).square().numpy(), rtol=1e-4)


@pytest.mark.usefixtures("rough")
def test_what_is_odd_does_not_spoil_the_restoration_around_it(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A picture of one gray with a white square: its mean, which is all the autoencoder keeps, is drawn towards white.
    x = torch.full((1, 1, SIDE, SIDE), -0.5) + 0.05 * torch.randn((1, 1, SIDE, SIDE), generator=generator)
    x[:, :, 1:4, 1:4] = 1
    again = maps_of(product(Again()), x)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[1:4, 1:4] = True
    monkeypatch.setattr(pixel_maps, "N_PASSES", 1)
    once = maps_of(product(Again()), x)
    assert again[0][~inside].mean() < 0.3 * once[0][~inside].mean()
    assert again[0][inside].mean() > once[0][inside].mean()


def test_the_best_that_a_model_can_do_is_chosen(one_odd: Tensor) -> None:
    for terms, able in (
        ((Again(),), ["residual", "gradient"]),
        ((Pixels(),), ["local", "gradient"]),
        ((Pixels(), Again()), ["residual", "local", "gradient"]),
    ):
        energy = product(*terms)
        assert pixel_maps.map_methods(energy, None) == able
        np.testing.assert_array_equal(maps_of(energy, one_odd), maps_of(energy, one_odd, able[0]))
    with pytest.raises(Unsupported, match=r"'residual'; by local, gradient"):
        maps_of(product(Pixels()), one_odd, "residual")
    with pytest.raises(BadInput, match=r"method must be one of residual, local, gradient, got 'x'"):
        maps_of(product(Pixels()), one_odd, "x")


def planted(digits: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """40 images with a square of noise or of one gray, and where it is."""
    rng = np.random.default_rng(seed)
    rows, where = digits[300:340].astype(float), np.zeros((40, 8, 8), bool)
    for i in range(40):
        top, left = rng.integers(0, 6, 2)
        rows[i, top : top + 3, left : left + 3] = rng.uniform(0, 16, (3, 3) if i % 2 else ())
        where[i, top : top + 3, left : left + 3] = True
    return rows, where


def test_maps_find_planted_faults_better_than_contributions_do(tiny: Detector, digits: np.ndarray) -> None:
    rows, where = planted(digits, 1)

    def auroc(maps: np.ndarray) -> float:
        return float(np.mean([roc_auc_score(w.ravel(), m.ravel()) for w, m in zip(where, maps, strict=True)]))

    found = tiny.explain(rows)
    assert found.anomaly_map is not None and found.anomaly_map.shape == (40, 8, 8)
    np.testing.assert_array_equal(found.anomaly_map, tiny.pixel_maps(rows))
    assert auroc(found.anomaly_map) > max(0.85, auroc(found.heat_map) + 0.05)
    by_gradient = tiny.explain(rows, method="gradient").anomaly_map
    assert by_gradient is not None
    np.testing.assert_array_equal(by_gradient, tiny.pixel_maps(rows, method="gradient"))
    assert auroc(by_gradient) > 0.85


def test_maps_come_part_by_part_and_depend_on_their_own_image_alone(
    tiny: Detector, digits: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = planted(digits, 1)
    whole = tiny.pixel_maps(rows)
    monkeypatch.setattr(pixel_maps, "PART", 15)
    assert [at.step for at in tiny.pixel_maps_steps(rows)] == [15, 30, 40]
    np.testing.assert_allclose(tiny.pixel_maps(rows[::-1])[::-1], whole, rtol=1e-3, atol=1e-6)


def test_images_without_a_map_are_named(tiny: Detector, digits: np.ndarray) -> None:
    rows = digits[:3].astype(float)
    rows[2, 0, 0] = 1e30
    with pytest.raises(BadInput, match="row 2: it lies too far") as caught:
        tiny.pixel_maps(rows)
    assert caught.value.row == 2
    with pytest.raises(BadInput, match="the model takes"):
        tiny.pixel_maps(digits[:1, :5])
