"""Scoring, labels, denoising and generation of one small detector."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ebm.calibration import benjamini_hochberg
from ebm.detector import Detector
from ebm.energies import KernelConfig
from ebm.errors import BadConfig, BadInput, Unsupported
from ebm.fitting import fit_detector
from ebm.steps import finish
from ebm.training.config import TrainConfig


def test_scores_follow_from_the_energy(tiny: Detector, digits: np.ndarray) -> None:
    s = tiny.score(digits[:40])
    c = tiny.manifest.calibration
    np.testing.assert_allclose(s.anomaly_score, (s.energy.astype(float) - c.mean) / c.sd, rtol=1e-12)
    at_least = (tiny.calibration.scores[None] >= s.anomaly_score[:, None]).sum(1)
    np.testing.assert_allclose(s.p_value, (1 + at_least) / (1 + c.n))
    np.testing.assert_array_equal(s.is_anomaly, s.p_value <= 0.05)
    assert s.fpr == c.default_fpr == 0.05 and s.fdr is None
    assert s.rank[np.argmax(s.anomaly_score)] == 1
    assert sorted(s.rank) == list(range(1, 41)) or len(set(s.anomaly_score)) < 40


def test_energy_is_the_sum_of_its_experts(tiny: Detector, digits: np.ndarray) -> None:
    x = torch.from_numpy(tiny.preprocessor.transform(digits[:20]))
    kernel, network = tiny.energy.terms["kernel"], tiny.energy.terms["network"]
    s = tiny.energy.scales
    expected = kernel(x) / s[0] + network(x, sigma=0.2) / s[1]
    np.testing.assert_allclose(tiny.energies(digits[:20]), expected.numpy(), rtol=1e-5)


def test_scales_are_the_spread_of_each_expert_on_the_calibration_rows(
    tiny_config: TrainConfig, digits: np.ndarray
) -> None:
    kernel = tiny_config.terms[0]
    narrow = kernel.model_copy(update={"name": "narrow", "energy": KernelConfig(bandwidth=0.02)})
    config = tiny_config.model_copy(update={"sampling": None, "terms": (kernel, narrow)})
    detector = fit_detector(config, digits[:100], digits[100:200])
    held_out = torch.from_numpy(detector.preprocessor.transform(digits[100:200]))
    expected = detector.energy.expert_energies(held_out).std(0)
    torch.testing.assert_close(detector.energy.scales, expected)
    assert expected[1] > 2 * expected[0]


def test_rates_are_of_the_request(tiny: Detector, digits: np.ndarray) -> None:
    rows = np.concatenate([digits[:30], np.full((5, 8, 8), 16.0)])
    loose, strict = tiny.score(rows, fpr=0.5), tiny.score(rows, fpr=0.05)
    np.testing.assert_array_equal(loose.energy, strict.energy)
    assert loose.is_anomaly.sum() > strict.is_anomaly.sum() >= 5
    by_fdr = tiny.score(rows, fdr=0.3)
    np.testing.assert_array_equal(by_fdr.is_anomaly, benjamini_hochberg(by_fdr.p_value, 0.3))
    for options in ({"fpr": 0.0}, {"fpr": 1.0}, {"fdr": 2.0}, {"fpr": 0.1, "fdr": 0.1}):
        with pytest.raises(BadInput, match="fpr|fdr"):
            tiny.score(rows, **options)
    assert tiny.score(rows, fpr=1e-6).note is not None


def test_a_row_does_not_depend_on_its_batch(tiny: Detector, digits: np.ndarray) -> None:
    whole = tiny.energies(digits[:30])
    alone = np.concatenate([tiny.energies(row[None]) for row in digits[:30]])
    np.testing.assert_allclose(alone, whole, rtol=1e-5, atol=1e-5)


def test_unseen_classes_and_noise_are_more_anomalous(tiny: Detector, digits: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    normal = tiny.score(digits[:60]).anomaly_score
    noise = tiny.score(rng.uniform(0, 16, (60, 8, 8))).anomaly_score
    assert np.median(noise) > normal.max()


def test_rows_that_do_not_fit_are_named(tiny: Detector) -> None:
    bad = np.zeros((3, 8, 8))
    bad[2, 0, 1] = np.nan
    with pytest.raises(BadInput) as caught:
        tiny.score(bad)
    assert caught.value.row == 2
    with pytest.raises(BadInput, match="8"):
        tiny.score(np.zeros((3, 9, 9)))


def test_denoising_brings_noisy_pictures_nearer(tiny: Detector, digits: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    clean = digits[:50]
    noisy = clean + 8 * 0.5 * rng.normal(size=clean.shape)

    def error(x: np.ndarray) -> float:
        return float(np.mean((x - clean) ** 2))

    for options in ({"sigma": 0.5}, {"sigma": 0.5, "n_steps": 4}, {}):
        found = tiny.denoise(noisy, **options)
        assert found.shape == noisy.shape and found.min() >= 0 and found.max() <= 16
        assert error(found) < 0.7 * error(np.clip(noisy, 0, 16))
    assert len(list(tiny.denoise_steps(noisy, sigma=0.5, n_steps=4))) == 4
    for options in ({"sigma": 0.0}, {"sigma": 1e9}, {"n_steps": 0}):
        with pytest.raises(BadInput, match="sigma|n_steps"):
            tiny.denoise(noisy, **options)


@pytest.mark.parametrize("method", ["posterior_mean", "langevin"])
def test_a_row_too_far_away_to_be_denoised_is_named(tiny: Detector, digits: np.ndarray, method: str) -> None:
    rows = digits[:4].astype(float)
    rows[2, 3, 3] = 1e30
    with pytest.raises(BadInput, match="row 2: it lies too far") as caught:
        tiny.denoise(rows, method=method)  # type: ignore[arg-type]
    assert caught.value.row == 2


def test_langevin_denoising_is_by_seed(tiny: Detector, digits: np.ndarray) -> None:
    options = {"sigma": 0.5, "method": "langevin"}
    a, b, c = (tiny.denoise(digits[:3], **options, seed=s) for s in (1, 1, 2))  # type: ignore[arg-type]
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0.1
    assert len(list(tiny.denoise_steps(digits[:3], **options))) == 50  # type: ignore[arg-type]
    for wrong in ({"method": "magic"}, {"seed": -1}):
        with pytest.raises(BadInput, match=next(iter(wrong))):
            tiny.denoise(digits[:1], **wrong)  # type: ignore[arg-type]


def test_denoising_a_row_does_not_depend_on_its_batch(tiny: Detector, digits: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    noisy = digits[:8] + 8 * rng.normal(size=(8, 8, 8)) * np.linspace(0.05, 1.5, 8)[:, None, None]
    whole = tiny.denoise(noisy)
    alone = np.concatenate([tiny.denoise(row[None]) for row in noisy])
    np.testing.assert_allclose(alone, whole, atol=1e-3)


def test_generation_is_by_seed_and_keeps_snapshots(tiny: Detector) -> None:
    a, b, c = (tiny.generate(4, seed=s).samples for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert a.shape == (4, 8, 8) and np.abs(a - c).max() > 1
    assert a.min() >= 0 and a.max() <= 16
    kept = tiny.generate(4, seed=1, keep_every=5)
    np.testing.assert_array_equal(kept.samples, a)
    assert kept.snapshots is not None and kept.snapshots.shape == (17 // 5, 4, 8, 8)
    steps = list(tiny.generate_steps(2, keep_every=5))
    assert [p.step for p in steps] == list(range(1, 18)) and steps[0].n_total == 17
    assert [p.step for p in steps if p.snapshot is not None] == [5, 10, 15]
    # Annealed samples look like data to the model; its starting noise does not.
    noise = np.random.default_rng(0).uniform(0, 16, (32, 8, 8))
    assert np.median(tiny.energies(tiny.generate(32).samples)) < np.median(tiny.energies(noise))
    for options in ({"n": 0}, {"n_steps": 0}, {"keep_every": -1}, {"seed": -1}, {"seed": 2**64}):
        with pytest.raises(BadInput, match=next(iter(options))):
            tiny.generate(**{"n": 1} | options)  # type: ignore[arg-type]
    with pytest.raises(BadConfig, match="step_size"):
        tiny.generate(1, step_size=-1.0)


def test_a_model_without_a_sampler_makes_no_samples(tiny_config: TrainConfig, digits: np.ndarray) -> None:
    config = tiny_config.model_copy(update={"sampling": None, "terms": tiny_config.terms[:1]})
    detector = fit_detector(config, digits[:100], digits[100:150])
    assert detector.can == {"score", "explain", "impute"}
    for call in (lambda: detector.generate(1), lambda: detector.denoise(digits[:1])):
        with pytest.raises(Unsupported, match="it can: explain, impute, score"):
            call()


def test_finish_returns_a_generators_answer() -> None:
    def steps():  # type: ignore[no-untyped-def]
        yield 1
        return "answer"

    assert finish(steps()) == "answer"
