"""Pictures of a model that is half trained, against energies whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ebm.evaluation.corruptions import CORRUPTIONS
from ebm.run_pictures import SIGMAS, denoised, denoising_picture, draw_energies, draw_progress

X = torch.rand((20, 1, 8, 8), generator=torch.Generator().manual_seed(0)) * 0.4 - 0.8


class Spread(nn.Module):
    """N(mean, s^2) per pixel; with `conditional`, N(mean, s^2 + sigma^2)."""

    def __init__(self, s: float, conditional: bool):
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(-0.6))
        self.s, self.noise_conditional = s, conditional

    def forward(self, x: Tensor, sigma: Any = None) -> Tensor:
        variance = torch.full((len(x),), self.s**2)
        if self.noise_conditional:
            variance = variance + torch.as_tensor(sigma).square()
        return (x - self.mean).square().flatten(1).sum(1) / (2 * variance)


class Restoring(Spread):
    def restore(self, x: Tensor, sigma: Tensor) -> Tensor:
        assert sigma.shape == (len(x),)
        return x - 7 * sigma[:, None, None, None]


def test_denoising_is_the_posterior_mean() -> None:
    x, sigma = X[:3], 0.5
    want = x - sigma**2 * (x + 0.6) / (0.3**2 + sigma**2)
    torch.testing.assert_close(denoised(Spread(0.3, True), x, sigma), want)
    torch.testing.assert_close(denoised(Restoring(0.3, True), x, sigma), x - 3.5)


def test_the_strip_shows_clean_noisy_and_denoised() -> None:
    picture = denoising_picture(Spread(1e-4, True), X, torch.Generator().manual_seed(0))
    side = 8 * 3 + 1
    assert picture.shape == ((1 + 2 * len(SIGMAS)) * side + 1, 8 * side + 1)
    lines = [picture[1 + i * side : (i + 1) * side, 1:side].astype(float) for i in range(7)]
    np.testing.assert_allclose(lines[0][::3, ::3], (X[0, 0].numpy() + 1) / 2 * 255, atol=0.51)
    spread = [np.abs(lines[1 + 2 * i] - lines[0]).mean() for i in range(3)]
    assert 5 < spread[0] < spread[1] < spread[2], "more noise, line by line"
    for i in range(3):
        np.testing.assert_allclose(lines[2 + 2 * i], 0.4 / 2 * 255, atol=1)  # all mass at the mean


def test_energies_of_damaged_images_stand_beside_those_of_normal_ones(tmp_path: Path) -> None:
    energies = draw_energies(Spread(0.3, False), X, tmp_path / "e.png")
    assert energies.keys() == {"normal", *CORRUPTIONS}
    np.testing.assert_allclose(energies["normal"], Spread(0.3, False)(X).detach().numpy(), rtol=1e-5)
    assert energies["uniform_noise"].min() > energies["normal"].max()
    with Image.open(tmp_path / "e.png") as picture:
        assert picture.width > picture.height > 300


@pytest.mark.parametrize("energy", [Spread(0.3, False), Spread(0.3, True), Restoring(0.3, True)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_pictures_of_a_step_are_repeatable_and_change_nothing(
    tmp_path: Path, energy: nn.Module, channels: int
) -> None:
    x = X.repeat(1, channels, 1, 1)
    energy.train()
    paths = draw_progress(energy, x, tmp_path, 120)
    assert [p.name for p in paths] == ["samples-120.png", "denoising-120.png", "energies-120.png"]
    first = [p.read_bytes() for p in paths]
    assert first == [p.read_bytes() for p in draw_progress(energy, x, tmp_path, 120)]
    assert energy.training and all(p.grad is None and p.requires_grad for p in energy.parameters())


def test_samples_lie_in_the_valley(tmp_path: Path) -> None:
    draw_progress(Spread(0.05, True), X, tmp_path, 1)
    with Image.open(tmp_path / "samples-1.png") as picture:
        pixels = np.asarray(picture)
    inside = pixels[pixels != 96]  # the frame
    assert abs(np.median(inside) - 0.4 / 2 * 255) < 5


def test_a_model_that_went_wrong_is_still_drawn(tmp_path: Path) -> None:
    broken = Spread(0.3, True)
    broken.mean.data.fill_(float("nan"))
    assert len(draw_progress(broken, X, tmp_path, 5)) == 3
