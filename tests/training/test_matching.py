"""Which parts fit together: every refusal names the part at fault and what it would need."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ebm.training.config import ModelConfig, TermConfig

GIBBS = {"kind": "cd", "k_steps": 1, "sampler": {"kind": "gibbs"}}
RBM = {"kind": "rbm", "n_hidden": 4}


def term(energy: dict[str, Any], objective: dict[str, Any] | None, **more: Any) -> TermConfig:
    return TermConfig.model_validate({"name": "t", "energy": energy, "objective": objective} | more)


@pytest.mark.parametrize(
    ("energy", "objective"),
    [
        (RBM, GIBBS),
        ({"kind": "boltzmann", "n_hidden": 2}, GIBBS),
        ({"kind": "dbn", "hidden": [4, 4]}, {"kind": "greedy", "layer": 2}),
        ({"kind": "mlp"}, {"kind": "score_matching"}),
        ({"kind": "mlp"}, {"kind": "nce"}),
        ({"kind": "mlp"}, {"kind": "recovery", "sigma": 0.5}),
        ({"kind": "joint", "classes": ["a", "b"]}, {"kind": "joint"}),
        ({"kind": "joint", "classes": ["a", "b"]}, {"kind": "dsm"}),
        ({"kind": "embedding"}, {"kind": "info_nce"}),
        ({"kind": "discriminator"}, {"kind": "adversarial"}),
        ({"kind": "exponential_family"}, None),
        ({"kind": "exponential_family"}, {"kind": "score_matching"}),
        ({"kind": "autoencoder"}, {"kind": "reconstruction"}),
    ],
    ids=lambda part: part["kind"] if part else "none",
)
def test_what_fits_is_taken(energy: dict[str, Any], objective: dict[str, Any] | None) -> None:
    assert term(energy, objective).energy.kind == energy["kind"]


@pytest.mark.parametrize(
    ("energy", "objective", "message"),
    [
        (RBM, {"kind": "cd"}, "'rbm' is of binary rows: it needs an objective with sampler kind 'gibbs'"),
        (RBM, {"kind": "score_matching"}, "binary rows"),
        (RBM, {"kind": "nce"}, "binary rows"),
        (RBM, GIBBS | {"data_noise": 0.1}, "set 'data_noise' to 0"),
        (RBM, {"kind": "greedy", "layer": 1}, "'greedy' trains layers one by one"),
        ({"kind": "mlp"}, GIBBS, "sampler kind 'gibbs' samples hidden units; energy 'mlp' has none"),
        ({"kind": "mlp"}, {"kind": "joint"}, "'joint' needs classes"),
        ({"kind": "mlp"}, {"kind": "info_nce"}, "'info_nce' trains an embedding"),
        ({"kind": "mlp"}, {"kind": "reconstruction"}, "'reconstruction' trains an autoencoder"),
        ({"kind": "mlp"}, {"kind": "structured"}, "'structured' needs rows that are pairs"),
        ({"kind": "mlp"}, {"kind": "recovery", "levels": [0.1, 1]}, "'levels' needs a noise-conditional"),
        ({"kind": "mlp"}, None, "'mlp' needs an 'objective'"),
        ({"kind": "kernel"}, {"kind": "cd"}, "fitted, not trained"),
        ({"kind": "dbn", "hidden": [4]}, GIBBS, "trained layer by layer, by objective kind 'greedy'"),
        ({"kind": "dbn", "hidden": [4]}, {"kind": "greedy", "layer": 2}, "the energy has 1 layers"),
        (
            {"kind": "residual"},
            {"kind": "nce"},
            "noise-conditional energy can only be trained by objective kind 'dsm'",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    energy: dict[str, Any], objective: dict[str, Any] | None, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        term(energy, objective, sigmas=[0.1] if energy["kind"] == "residual" else [])


@pytest.mark.parametrize(
    ("energy", "objective", "sampler", "message"),
    [
        (
            RBM,
            GIBBS,
            {"kind": "mala", "step_size": 0.1},
            "'t' is of binary rows: it needs sampler kind 'gibbs'",
        ),
        ({"kind": "mlp"}, {"kind": "nce"}, {"kind": "gibbs"}, "samples hidden units; energy 'mlp' has none"),
        ({"kind": "mlp"}, {"kind": "nce"}, {"kind": "ancestral"}, "needs a noise-conditional energy"),
    ],
)
def test_a_sampler_that_cannot_draw_is_found_when_read(
    energy: dict[str, Any], objective: dict[str, Any], sampler: dict[str, Any], message: str
) -> None:
    binary = energy["kind"] == "rbm"
    config = {
        "preprocessing": {"kind": "binarize"} if binary else {"kind": "standardize"},
        "terms": [{"name": "t", "energy": energy, "objective": objective}],
        "sampling": {"term": "t", "sampler": sampler},
    }
    with pytest.raises(ValidationError, match=message):
        ModelConfig.model_validate(config)
    good = {"kind": "gibbs"} if binary else {"kind": "mala", "step_size": 0.1}
    ModelConfig.model_validate(config | {"sampling": {"term": "t", "sampler": good}})


def test_binary_rows_come_from_their_own_preprocessing() -> None:
    config = {
        "preprocessing": {"kind": "standardize"},
        "terms": [{"name": "t", "energy": RBM, "objective": GIBBS}],
    }
    with pytest.raises(ValidationError, match="needs preprocessing kind 'binarize'"):
        ModelConfig.model_validate(config)
