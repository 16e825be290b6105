"""The noise check: noise as it is described, AUROCs by hand, and a warning only where there is something to warn of."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Generator, Tensor

from ebm.noise_check import ROWS, NoiseCheck, check_noise, noise_like


def seeded() -> Generator:
    return Generator().manual_seed(0)


def images(n: int = 200) -> Tensor:
    """Dark, with a bright square on the left."""
    x = -0.9 + 0.05 * torch.randn((n, 2, 6, 6), generator=seeded())
    x[:, :, 1:5, :2] += 1.5
    return x


def test_noise_of_images() -> None:
    x = images()
    noise = noise_like(x, seeded())
    low, high = float(x.min()), float(x.max())
    assert list(noise) == ["uniform", "gaussian", "shuffled"]
    assert all(v.shape == x.shape and v.min() >= low and v.max() <= high for v in noise.values())
    assert float(noise["uniform"].mean()) == pytest.approx((low + high) / 2, abs=0.02)
    assert float(noise["uniform"].std()) == pytest.approx((high - low) / math.sqrt(12), rel=0.02)
    assert float(noise["gaussian"].median()) == pytest.approx(float(x.mean()), abs=0.03)
    # The same pixels in another order, the channels of each together, another order for each image.
    pixels, shuffled = x.flatten(2), noise["shuffled"].flatten(2)
    torch.testing.assert_close(shuffled.sort(2).values, pixels.sort(2).values)
    np.testing.assert_allclose(
        (shuffled[:, 0] * shuffled[:, 1]).mean(1), (pixels[:, 0] * pixels[:, 1]).mean(1), rtol=1e-5
    )
    where = (shuffled[:, 0] > 0).float()
    assert float((where - where[0]).abs().sum(1).min()) == 0 and float(where.mean(0).std()) < 0.06


def test_noise_of_tables() -> None:
    x = torch.randn((400, 3), generator=seeded()) * torch.tensor([1.0, 5.0, 0.1]) + torch.tensor(
        [0.0, 9.0, 2.0]
    )
    x[:, 2] = x[:, 0]
    noise = noise_like(x, seeded())
    torch.testing.assert_close(noise["gaussian"].mean(0), x.mean(0), atol=0.6, rtol=0)
    torch.testing.assert_close(noise["gaussian"].std(0), x.std(0), atol=0, rtol=0.15)
    assert (noise["uniform"] >= x.amin(0)).all() and (noise["uniform"] <= x.amax(0)).all()
    torch.testing.assert_close(noise["shuffled"].sort(0).values, x.sort(0).values)
    assert abs(np.corrcoef(noise["shuffled"].T)[0, 2]) < 0.15, "what goes together is torn apart"
    assert list(noise_like(x[:, :1], seeded())) == ["uniform", "gaussian"]


def test_zeros_and_ones_stay_so() -> None:
    x = (torch.rand((300, 4), generator=seeded()) < 0.2).float()
    noise = noise_like(x, seeded())
    assert all(set(v.unique().tolist()) == {0.0, 1.0} for v in noise.values())
    assert float(noise["uniform"].mean()) == pytest.approx(0.5, abs=0.05)
    mixed = noise_like(torch.cat([x, x + torch.randn((300, 4), generator=seeded())], 1), seeded())
    assert set(mixed["uniform"][:, :4].unique().tolist()) == {0.0, 1.0}
    assert len(mixed["uniform"][:, 4:].unique()) > 1000


def test_figures_are_those_of_the_energies() -> None:
    rng = np.random.default_rng(0)
    data, noise = rng.integers(0, 9, 50).astype(np.float32), rng.integers(2, 12, 50).astype(np.float32)
    checked = NoiseCheck({"data": data, "uniform": noise})
    want = roc_auc_score([0] * 50 + [1] * 50, np.concatenate([data, noise]))
    found = checked.figures()
    assert found == pytest.approx(
        {"noise/data": data.mean(), "noise/uniform": noise.mean(), "noise/uniform_auroc": want}
    )
    far = NoiseCheck({"data": data, "uniform": np.full(50, np.inf, np.float32)})
    assert far.aurocs == {"uniform": 1.0} and "noise/uniform" not in far.figures() and far.notes() == ()
    json.dumps(far.figures(), allow_nan=False)


def test_a_good_energy_passes_and_its_negative_is_warned_of() -> None:
    x = images()
    mean = x.mean(0)

    def energy(rows: Tensor, /) -> Tensor:
        return (rows - mean).square().flatten(1).sum(1)

    good = check_noise(energy, x)
    assert min(good.aurocs.values()) > 0.99 and good.notes() == ()
    (note,) = check_noise(lambda rows: -energy(rows), x).notes()
    assert "uniform noise (AUROC 0.00), gaussian noise" in note and "shuffled noise" in note
    # Only brightness: uniform noise is brighter, shuffled pixels are exactly as bright, which is no reason to warn.
    (note,) = check_noise(lambda rows: -rows.flatten(1).sum(1).round(decimals=2), x).notes()
    assert "uniform" in note and "shuffled" not in note
    assert check_noise(lambda rows: rows.flatten(1)[:, 0] * math.nan, x).notes() != ()


def test_chance_is_no_reason_to_warn() -> None:
    rng = np.random.default_rng(1)
    warned = [
        bool(NoiseCheck(dict(zip(("data", "uniform"), rng.normal(size=(2, 40)), strict=True))).notes())
        for _ in range(300)
    ]
    assert np.mean(warned) < 0.01


def test_many_rows_are_thinned_and_a_seed_repeats() -> None:
    x = images(ROWS + 1)
    found = check_noise(lambda rows: rows.flatten(1).sum(1), x)
    assert all(len(e) == ROWS // 2 + 1 for e in found.energies.values())
    again = check_noise(lambda rows: rows.flatten(1).sum(1), x)
    other = check_noise(lambda rows: rows.flatten(1).sum(1), x, seed=1)
    assert found.figures() == again.figures() != other.figures()
