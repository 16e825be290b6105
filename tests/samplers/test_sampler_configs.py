"""Sampler configurations: what builds, and what is refused by name."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from ebm.energies.analytic import Gaussian
from ebm.errors import BadConfig
from ebm.samplers import MALA, AnnealedLangevin, Langevin, SamplerConfig, run


def parse(**values: object) -> Any:
    return TypeAdapter(SamplerConfig).validate_python(values)


def test_configs_build() -> None:
    langevin = parse(kind="langevin", step_size=0.1, clip=0.03, box=(-1, 1)).build()
    assert isinstance(langevin, Langevin) and (langevin.clip, langevin.box) == (0.03, (-1.0, 1.0))
    assert isinstance(parse(kind="mala", step_size=0.1).build(), MALA)
    annealed = parse(kind="annealed_langevin", sigma_min=0.1, sigma_max=10, n_levels=3).build()
    assert annealed.sigmas == pytest.approx((10, 1, 0.1))


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "langevin", "step_size": 0},
        {"kind": "langevin", "step_size": 0.1, "noise_scale": -1},
        {"kind": "langevin", "step_size": 0.1, "clip": 0},
        {"kind": "langevin", "step_size": 0.1, "box": (1, -1)},
        {"kind": "langevin", "step_size": 0.1, "stepsize": 1},
        {"kind": "mala", "step_size": -0.1},
        {"kind": "annealed_langevin", "sigma_min": 1, "sigma_max": 0.1, "n_levels": 3},
        {"kind": "annealed_langevin", "sigma_min": 0.1, "sigma_max": 1, "n_levels": 3, "temperature": -1},
        {
            "kind": "annealed_langevin",
            "sigma_min": 0.1,
            "sigma_max": 1,
            "n_levels": 3,
            "n_steps_per_level": 0,
        },
        {"kind": "annealed_langevin", "sigma_min": 0.1, "sigma_max": 1, "n_levels": 3, "box": (1, 0)},
        {"kind": "unheard_of"},
    ],
)
def test_bad_configs_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        parse(**values)


def test_bad_arguments_are_named() -> None:
    energy = Gaussian(torch.zeros(1), torch.eye(1))
    with pytest.raises(BadConfig, match="sigmas must descend"):
        AnnealedLangevin((0.1, 1.0), 0.1, 5)
    with pytest.raises(BadConfig, match="sigmas must be positive"):
        AnnealedLangevin((), 0.1, 5)
    with pytest.raises(BadConfig, match="n_steps must be at least 0, not -1"):
        run(MALA(0.1), energy, torch.zeros((1, 1)), -1, torch.Generator())
    with pytest.raises(BadConfig, match="keep_every must be at least 0, not -2"):
        run(MALA(0.1), energy, torch.zeros((1, 1)), 1, torch.Generator(), keep_every=-2)
