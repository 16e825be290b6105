"""Samples of compositions: their moments, and the chain of a single model as the model's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from analytic_detectors import ANNEALED, PLAIN, analytic_detector, gaussian, standardize

from ebm.compose import Composition
from ebm.composed_energy import affine, member
from ebm.detector import Detector
from ebm.errors import BadConfig, BadInput, Diverged, Unsupported
from ebm.preprocessing import MixedConfig, ScaleImage
from ebm.steps import finish

ROWS = np.random.default_rng(0).normal(size=(50, 2))
MALA = {"kind": "mala", "step_size": 0.3}
WALK = {"kind": "metropolis", "step_size": 0.8}
HMC = {"kind": "hmc", "step_size": 0.6, "n_leapfrog": 3}
REPLICAS = {"kind": "replica_exchange", "sampler": MALA, "n_temperatures": 3, "max_temperature": 3}
LEARNING = {"kind": "preconditioned", "sampler": MALA, "n_warmup": 60}
SAMPLERS = (ANNEALED, PLAIN, MALA, WALK, HMC, REPLICAS, LEARNING)
each_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=[s["kind"] for s in SAMPLERS])


def model(
    centre: list[float],
    variance: list[float],
    sampler: dict[str, Any],
    mean=(0, 0),
    sd=(1, 1),
    **options: Any,
) -> Detector:
    """A Gaussian in user units: centre and variance there, whatever mean and sd the preprocessing has."""
    z = [(c - m) / s for c, m, s in zip(centre, mean, sd, strict=True)]
    v = [v / s**2 for v, s in zip(variance, sd, strict=True)]
    rows = ROWS * np.sqrt(variance) + centre
    return analytic_detector(gaussian(z, v), standardize(mean, sd), rows, sampler=sampler, **options)


@each_sampler
@pytest.mark.parametrize("units", [((0, 0), (1, 1)), ((3, -1), (2, 0.5))], ids=["same", "other"])
def test_a_product_of_gaussians_has_the_moments_of_its_precisions(sampler, units) -> None:
    """Precision 1/1 + 2/4 and mean by precision; the second model in other preprocessed units."""
    a = model([0.0, 0.0], [1.0, 1.0], sampler)
    b = model([3.0, -2.0], [4.0, 4.0], sampler, *units)
    precision = 1.5
    mean = np.array([0.5 * 3, 0.5 * -2]) / precision
    n_steps = None if sampler in (ANNEALED, PLAIN, MALA) else 50
    found = Composition([a, b], [1.0, 2.0]).generate(1500, seed=1, n_steps=n_steps).samples
    np.testing.assert_allclose(found.mean(0), mean, atol=0.08)
    np.testing.assert_allclose(found.var(0), 1 / precision, rtol=0.12)


def test_unlike_b_moves_away_from_b() -> None:
    """Precision 1 - .5/2, mean (0 - .25 * 1) / .75."""
    a, b = model([0.0, 0.0], [1.0, 1.0], PLAIN), model([1.0, 1.0], [2.0, 2.0], PLAIN)
    found = Composition([a, b], [1.0, -0.5]).generate(1500, seed=1).samples
    np.testing.assert_allclose(found.mean(0), -1 / 3, atol=0.1)
    np.testing.assert_allclose(found.var(0), 4 / 3, rtol=0.15)


def test_a_sum_without_a_floor_says_so() -> None:
    a, b = model([0.0, 0.0], [1.0, 1.0], PLAIN), model([1.0, 1.0], [0.1, 0.1], PLAIN)
    with pytest.raises(Diverged, match="smaller negative weights"):
        Composition([a, b], [1.0, -4.0]).generate(3, n_steps=500, step_size=1.0)
    with pytest.raises(BadInput, match="positive weight"):
        Composition([a, b], [-1.0, -4.0]).generate(3)


@each_sampler
def test_one_model_alone_samples_as_by_itself(sampler) -> None:
    a = model([1.0, 0.0], [1.0, 2.0], sampler, (3, -1), (2, 0.5))
    options: dict[str, Any] = {"seed": 5, "n_steps": 7, "keep_every": 3}
    alone, composed = a.generate(4, **options), Composition([a]).generate(4, **options)
    np.testing.assert_array_equal(composed.samples, alone.samples)
    np.testing.assert_array_equal(composed.snapshots, alone.snapshots)


def test_a_real_model_with_itself(tiny: Detector) -> None:
    """Weights 1/2 and 1/2 of one model are the model; pictures keep their range."""
    whole, halves = (Composition([tiny] * len(w), w).generate(3, seed=2) for w in ([1.0], [0.5, 0.5]))
    np.testing.assert_allclose(halves.samples, whole.samples, atol=0.05)
    np.testing.assert_array_equal(whole.samples, tiny.generate(3, seed=2).samples)
    twice = Composition([tiny, tiny]).generate(6, seed=2).samples
    assert twice.min() >= 0 and twice.max() <= 16
    assert (
        np.median(tiny.score(twice).anomaly_score) < np.median(tiny.score(whole.samples).anomaly_score) + 0.5
    )


def test_annealed_and_plain_models_meet_in_a_plain_chain() -> None:
    a, b = model([0.0, 0.0], [1.0, 1.0], ANNEALED), model([2.0, 2.0], [1.0, 1.0], PLAIN)
    found = Composition([a, b]).generate(1000, seed=1, step_size=0.05).samples
    np.testing.assert_allclose(found.mean(0), 1.0, atol=0.08)
    np.testing.assert_allclose(found.var(0), 0.5, rtol=0.15)


@pytest.mark.parametrize(
    ("first", "second"), [(REPLICAS, MALA), (LEARNING, MALA), (HMC, PLAIN), (WALK, ANNEALED)]
)
def test_unlike_samplers_meet_where_they_can(first, second) -> None:
    a, b = model([0.0, 0.0], [1.0, 1.0], first), model([2.0, 2.0], [1.0, 1.0], second)
    found = Composition([a, b]).generate(600, seed=1, step_size=0.05, n_steps=80).samples
    np.testing.assert_allclose(found.mean(0), 1.0, atol=0.12)
    np.testing.assert_allclose(found.var(0), 0.5, rtol=0.25)


@pytest.mark.parametrize("second", [WALK, PLAIN, ANNEALED, LEARNING], ids=lambda s: s["kind"])
def test_replicas_of_one_sampler_do_not_multiply_with_another(second) -> None:
    a, b = model([0.0, 0.0], [1.0, 1.0], REPLICAS), model([2.0, 2.0], [1.0, 1.0], second)
    with pytest.raises(Unsupported, match="move by different samplers.*a mixture can"):
        Composition([a, b]).generate(2)


def test_a_mixture_draws_each_model_by_its_weight() -> None:
    a = model([-10.0, 0.0], [1.0, 1.0], PLAIN)
    b = model([10.0, 0.0], [0.25, 0.25], MALA, (3, -1), (2, 0.5), n_steps=30)
    found = Composition([a, b], [3.0, 1.0], mode="either").generate(1200, seed=4, keep_every=100)
    left = found.samples[:, 0] < 0
    assert left.mean() == pytest.approx(0.75, abs=0.04)
    assert found.samples[left, 0].std() == pytest.approx(1, rel=0.1)
    assert found.samples[~left, 0].std() == pytest.approx(0.5, rel=0.15)
    assert found.snapshots.shape == (4, 1200, 2)
    # Chains that end after 30 steps rest, and every snapshot has each chain in its own place.
    np.testing.assert_array_equal(found.snapshots[0][~left], found.samples[~left])
    assert ((found.snapshots[:, :, 0] < 0) == left).all()


def test_mixtures_of_mixed_tables() -> None:
    import pyarrow as pa

    from ebm.fitting import fit_detector
    from ebm.training.config import ModelConfig

    rng = np.random.default_rng(0)
    config = {
        "preprocessing": MixedConfig().model_dump(),
        "terms": [{"name": "k", "energy": {"kind": "kernel"}}],
    }
    config["sampling"] = {"term": "k", "sampler": {"kind": "langevin", "step_size": 0.01}, "n_steps": 5}
    detectors = []
    for colours, at in ((["red", "blue"], 0.0), (["green", "blue"], 50.0)):
        table = pa.table({"x": rng.normal(at, 1, 60), "colour": rng.choice(colours, 60)})
        detectors.append(
            fit_detector(ModelConfig.model_validate(config), table.slice(0, 40), table.slice(40))
        )
    found = Composition(detectors, mode="either").generate(12, keep_every=2)
    assert isinstance(found.samples, pa.Table) and len(found.samples) == 12 and len(found.snapshots) == 2
    x, colour = np.array(found.samples["x"].to_pylist()), found.samples["colour"].to_pylist()
    assert {c for c, at in zip(colour, x, strict=True) if at > 25} <= {"green", "blue"}
    assert 0 < (x > 25).sum() < 12
    with pytest.raises(Unsupported, match="no elementwise affine map"):
        Composition(detectors).generate(2)
    assert len(Composition([detectors[0], detectors[0]]).generate(2).samples) == 2


def test_seeds_repeat_and_progress_counts() -> None:
    a, b = model([0.0, 0.0], [1.0, 1.0], PLAIN), model([2.0, 2.0], [1.0, 1.0], PLAIN)
    for mode in ("product", "either"):
        both = Composition([a, b], mode=mode)
        one, same, other = (both.generate(5, n_steps=9, seed=s).samples for s in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, other)
        steps = list(both.generate_steps(5, n_steps=9, keep_every=4))
        assert [(p.step, p.n_total) for p in steps] == [(i, 9) for i in range(1, 10)]
        assert [p.step for p in steps if p.snapshot is not None] == [4, 8]


def test_levels_that_do_not_overlap() -> None:
    high = ANNEALED | {"sigma_min": 5.0, "sigma_max": 9.0}
    a, b = model([0.0, 0.0], [1.0, 1.0], ANNEALED), model([0.0, 0.0], [1.0, 1.0], high)
    with pytest.raises(Unsupported, match="do not overlap"):
        Composition([a, b]).generate(2)


def test_ancestral_steps_mix_but_do_not_multiply() -> None:
    steps = {"kind": "ancestral", "sigma_min": 0.05, "sigma_max": 20.0, "n_levels": 60}
    a, b = model([0.0, 0.0], [1.0, 1.0], ANNEALED), model([8.0, 8.0], [1.0, 1.0], steps)
    with pytest.raises(Unsupported, match="samples by ancestral steps.*a mixture can"):
        Composition([a, b]).generate(2)
    found = Composition([a, b], mode="either").generate(400, seed=1).samples
    right = found[:, 0] > 4
    assert right.mean() == pytest.approx(0.5, abs=0.1)
    np.testing.assert_allclose(found[right].mean(0), 8.0, atol=0.3)


def test_a_model_without_a_sampler_is_named() -> None:
    a = model([0.0, 0.0], [1.0, 1.0], PLAIN)
    b = analytic_detector(gaussian([0.0, 0.0], [1.0, 1.0]), standardize([0, 0], [1, 1]), ROWS, name="mute")
    for mode in ("product", "either"):
        with pytest.raises(Unsupported, match="model 'mute' cannot generate"):
            Composition([a, b], mode=mode).generate(2)


@pytest.mark.parametrize(
    "options", [{"n": 0}, {"seed": -1}, {"n_steps": 0}, {"keep_every": -1}, {"step_size": -1.0}]
)
@pytest.mark.parametrize("mode", ["product", "either"])
def test_bad_arguments(options, mode) -> None:
    a = model([0.0, 0.0], [1.0, 1.0], PLAIN)
    with pytest.raises((BadInput, BadConfig)):
        finish(Composition([a, a], mode=mode).generate_steps(**({"n": 2} | options)))


def test_affine_maps_are_the_preprocessing() -> None:
    image = ScaleImage(0, 16).fit(np.arange(24.0).reshape(2, 3, 4) / 2)
    rows = np.random.default_rng(0).uniform(0, 16, (5, 3, 4))
    factor, shift = affine(image)
    np.testing.assert_allclose(factor * rows[:, None] + shift, image.transform(rows), rtol=1e-5, atol=1e-6)
    table = standardize([3, -1], [2, 0.5])
    factor, shift = affine(table)
    np.testing.assert_allclose(factor * ROWS + shift, table.transform(ROWS), rtol=1e-5, atol=1e-6)
    assert torch.isfinite(torch.tensor(factor)).all()


def test_tables_and_arrays_do_not_mix() -> None:
    a = model([0.0, 0.0], [1.0, 1.0], PLAIN)
    b = model([0.0, 0.0], [1.0, 1.0], PLAIN)
    b.preprocessor.frame = True  # type: ignore[attr-defined]
    with pytest.raises(Unsupported, match="some of these models give tables"):
        Composition([a, b], mode="either").generate(2)


def test_the_way_between_two_models_coordinates_is_exact() -> None:
    a = model([0.0, 0.0], [1.0, 1.0], PLAIN, (3, -1), (2, 0.5))
    b = model([0.0, 0.0], [1.0, 1.0], PLAIN, (-5, 7), (0.25, 8))
    way = member(b, 1.0, a).way
    there = torch.from_numpy(a.preprocessor.transform(ROWS)) * way.factor + way.shift
    np.testing.assert_allclose(there.numpy(), b.preprocessor.transform(ROWS), rtol=1e-4, atol=1e-4)
    assert way.size == pytest.approx((2 / 0.25 * 0.5 / 8) ** 0.5)
