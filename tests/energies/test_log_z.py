"""A learnt log Z stays with its weights, through saving, loading and products, and old weights load as before."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ebm.energies import DiscriminatorConfig, Expert, MLPConfig, ProductOfExperts, log_z


def build(kind: str = "mlp") -> nn.Module:
    torch.manual_seed(0)
    config = MLPConfig(width=8, depth=1) if kind == "mlp" else DiscriminatorConfig(width=8, depth=1)
    return config.build((2,))


def product(term: nn.Module) -> ProductOfExperts:
    return ProductOfExperts({"a": term}, [Expert("a", None, 1.0)])


def test_it_is_absent_until_it_is_known() -> None:
    energy = build()
    assert log_z.known(energy) is None
    assert log_z.NAME not in energy.state_dict()
    log_z.keep(energy, 1.5)
    assert log_z.known(energy) == 1.5
    assert energy.state_dict()[log_z.NAME].shape == ()
    assert log_z.known(copy.deepcopy(energy)) == 1.5
    log_z.forget(energy)
    assert log_z.known(energy) is None


@pytest.mark.parametrize("kind", ["mlp", "discriminator"])  # with and without a base class that knows of it
def test_it_is_loaded_with_the_weights_of_a_product(kind: str) -> None:
    one, other = build(kind), product(build(kind))
    log_z.keep(one, -2.25)
    other.load_state_dict(product(one).state_dict())
    assert log_z.known(other.terms["a"]) == -2.25
    # Weights without one make it unknown again: it belongs to the weights that it was learnt with.
    other.load_state_dict(product(build(kind)).state_dict())
    assert log_z.known(other.terms["a"]) is None


def test_a_bare_energy_loads_it_too() -> None:
    one, other = build(), build()
    log_z.keep(one, 0.75)
    other.load_state_dict(one.state_dict())
    assert log_z.known(other) == 0.75
    other.load_state_dict(build().state_dict())
    assert log_z.known(other) is None
