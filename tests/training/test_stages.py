"""Terms trained in stages: in their order, on the parts they name, from another term's weights, resumed to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ebm.config import validate
from ebm.detector import Detector
from ebm.errors import BadConfig, Cancelled
from ebm.fitting import fit_detector
from ebm.training.config import ModelConfig, StageConfig
from ebm.training.stages import halved

LOOP = {"n_steps": 6, "batch_size": 16, "warmup_steps": 0, "checkpoint_every": 2, "log_every": 1}
KINDS = {"kinds": {"mixup": 1.0, "latent": 1.0}}
ENERGY = {"kind": "reconstruction", "latent": 3, "widths": [4, 6], "critic": [4, 6, 8]}
STAGED: dict[str, Any] = {
    "name": "net",
    "energy": ENERGY,
    "pretraining": [
        {"objective": {"kind": "reconstruction"}, "training": LOOP | {"only": ["autoencoder"]}},
        {
            "objective": {"kind": "contrast", "negatives": KINDS},
            "training": LOOP | {"only": ["critic", "base_weight"]},
        },
    ],
    "objective": {"kind": "cd", "k_steps": 1, "negatives": KINDS},
    "training": LOOP | {"only": ["critic"]},
}


def images(n: int = 40, seed: int = 0) -> np.ndarray:
    """A light row at a random height."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 60, (n, 8, 8))
    x[np.arange(n), rng.integers(0, 8, n)] += 150
    return x


def config(*terms: dict[str, Any], **changes: Any) -> ModelConfig:
    values = {
        "preprocessing": {"kind": "image", "low": 0, "high": 255},
        "terms": list(terms),
        "accelerator": "cpu",
    }
    return validate(ModelConfig, values | changes, "test")


def fitted(settings: ModelConfig, **options: Any) -> Detector:
    return fit_detector(settings, images(), images(12, seed=1), **options)


def weights(detector: Detector, term: str = "net") -> dict[str, Tensor]:
    return detector.energy.terms[term].state_dict()


def changed(a: dict[str, Tensor], b: dict[str, Tensor]) -> set[str]:
    """The parts whose weights differ."""
    assert a.keys() == b.keys()
    return {k.split(".")[0] for k in a if not torch.equal(a[k], b[k])}


@pytest.fixture(scope="module")
def staged() -> Detector:
    return fitted(config(STAGED))


def test_each_stage_moves_the_parts_that_it_names(staged: Detector) -> None:
    # The same run with the last stages left out: what a stage changed is the difference.
    first, second = STAGED["pretraining"]
    one = fitted(config(STAGED | first | {"pretraining": []}))
    two = fitted(config(STAGED | second | {"pretraining": [first]}))
    settled = {"scale", "latent_mean", "latent_root"}
    assert changed(weights(one), weights(two)) == {"critic", "base_weight"}
    assert changed(weights(two), weights(staged)) == {"critic"}
    start = config(STAGED).terms[0].energy.build((1, 8, 8)).state_dict()
    assert settled | {"autoencoder"} <= changed(start, weights(one))
    assert not any(p.requires_grad for p in staged.energy.parameters())


def test_steps_are_counted_over_all_stages() -> None:
    seen: list[tuple[str, int, int]] = []
    fitted(config(STAGED), on_step=lambda name, i, n, _figures: seen.append((name, i, n)))
    assert seen == [("net", i, 18) for i in range(1, 19)]


@pytest.mark.parametrize("stop_after", [3, 9, 12, 15])
def test_a_run_stopped_in_any_stage_resumes_to_the_same_bits(
    staged: Detector, stop_after: int, tmp_path: Path
) -> None:
    done: list[int] = []
    with pytest.raises(Cancelled):
        fitted(
            config(STAGED),
            checkpoints=tmp_path,
            on_step=lambda *_: done.append(1),
            should_stop=lambda: len(done) >= stop_after,
        )
    again = fitted(config(STAGED), checkpoints=tmp_path, resume=True)
    assert changed(weights(staged), weights(again)) == set()
    np.testing.assert_array_equal(staged.energies(images(5, seed=2)), again.energies(images(5, seed=2)))
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"net.1.safetensors", "net.2.safetensors", "net.safetensors"}


def test_a_part_that_is_not_there_is_refused_with_those_that_are() -> None:
    term = STAGED | {"training": LOOP | {"only": ["critic", "critics"]}}
    message = r"'only': the energy has no part 'critics'; parts: autoencoder, base_weight, critic$"
    with pytest.raises(BadConfig, match=message):
        fitted(config(term))


def test_halved_stages_keep_all_but_their_length() -> None:
    stage = StageConfig.model_validate({"objective": {"kind": "cd"}, "training": LOOP | {"n_steps": 7}})
    half = halved(stage)
    assert half.training.n_steps == 3
    assert half.training.model_copy(update={"n_steps": 7}) == stage.training
    assert halved(halved(half)).training.n_steps == 1


# ---- another term's weights ------------------------------------------------------------------------------

STILL = LOOP | {"n_steps": 1, "learning_rate": 1e-30}


def test_a_term_starts_from_an_earlier_ones_weights(staged: Detector) -> None:
    later = {"name": "later", "energy": ENERGY, "start_from": "net", "objective": {"kind": "contrast"}}
    detector = fitted(config(STAGED, later | {"training": STILL}))
    assert changed(weights(staged), weights(detector)) == set()
    assert changed(weights(detector), weights(detector, "later")) == set()
    moved = fitted(config(STAGED, later | {"training": LOOP}))
    assert "critic" in changed(weights(moved), weights(moved, "later"))
    assert changed(weights(detector), weights(moved)) == set(), (
        "training the later term changed the earlier one"
    )
    apart = {k: v for k, v in later.items() if k != "start_from"}
    alone = fitted(config(STAGED, apart | {"training": STILL}))
    assert "autoencoder" in changed(weights(alone), weights(alone, "later"))


@pytest.mark.parametrize(
    ("start", "energy"),
    [("nothing", ENERGY), ("other", ENERGY), ("net", ENERGY | {"latent": 4}), ("last", ENERGY)],
    ids=["unknown", "itself", "another_energy", "later"],
)
def test_weights_that_do_not_fit_are_refused(start: str, energy: dict[str, Any]) -> None:
    other = STAGED | {"name": "other", "start_from": start, "energy": energy}
    message = "term 'other': 'start_from' needs an earlier term of the same energy"
    with pytest.raises(BadConfig, match=message) as caught:
        config(STAGED, other, STAGED | {"name": "last"})
    assert "\n" not in str(caught.value)


def test_weights_that_have_seen_the_rows_left_out_calibrate_nothing() -> None:
    later = STAGED | {"name": "later", "start_from": "net"}
    with pytest.raises(BadConfig, match="'start_from' needs calibration 'split'"):
        config(STAGED, later, calibration="leave_one_out")


# ---- objectives that fit their energy --------------------------------------------------------------------

RESTORING = {
    "name": "net",
    "energy": {"kind": "restoration"},
    "objective": {"kind": "restoration"},
    "sigmas": [0.3],
}


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (STAGED | {"objective": None}, "'reconstruction' needs an 'objective'"),
        (
            RESTORING | {"objective": {"kind": "dsm", "sigma_max": 2}},
            "'restoration' and objective kind 'restoration'",
        ),
        (STAGED | {"objective": {"kind": "restoration"}}, "'restoration' and objective kind 'restoration'"),
        (
            RESTORING | {"pretraining": [{"objective": {"kind": "contrast"}}]},
            "'restoration' and objective kind",
        ),
        (RESTORING | {"sigmas": []}, "needs 'sigmas'"),
        (
            {"name": "net", "energy": {"kind": "conv"}, "objective": {"kind": "reconstruction"}},
            "'reconstruction' trains an autoencoder; energy 'conv' has none",
        ),
        (
            {"name": "k", "energy": {"kind": "kernel"}, "pretraining": [{"objective": {"kind": "cd"}}]},
            "fitted, not",
        ),
        (STAGED | {"objective": {"kind": "cd", "k_steps": 0}}, "'k_steps' 0 needs 'negatives'"),
        (STAGED | {"objective": {"kind": "contrast", "negatives": {"kinds": {"x": 1}}}}, "unknown kind 'x'"),
    ],
)
def test_objectives_that_do_not_fit_are_refused(term: dict[str, Any], message: str) -> None:
    with pytest.raises(BadConfig, match=message) as caught:
        config(term)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("term", "sampler", "message"),
    [
        (STAGED, {"kind": "ancestral"}, "'ancestral' needs a noise-conditional energy; term 'net' has none"),
        (
            RESTORING,
            {"kind": "mala", "step_size": 0.1},
            "it needs sampler kind 'annealed_langevin' or 'ancestral'",
        ),
        (
            RESTORING,
            {"kind": "annealed_langevin", "sigma_min": 0.1, "sigma_max": 1, "n_levels": 3},
            "denoises by a field, not by its energy: it needs sampler kind 'ancestral'",
        ),
        (RESTORING, {"kind": "ancestral", "sigma_min": 1, "sigma_max": 1}, "must be below sigma_max"),
    ],
)
def test_samplers_that_do_not_fit_are_refused(
    term: dict[str, Any], sampler: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadConfig, match=message):
        config(term, sampling={"term": "net", "sampler": sampler})
