from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from ebm.energies.analytic import Gaussian, GaussianMixture
from ebm.energies.rbm import RestrictedBoltzmannMachine
from ebm.errors import BadInput
from ebm.evaluation.enumeration import CHUNK, binary_log_z, binary_states, grid_log_z, rbm_log_z


def machine(d: int, m: int, visible: str = "binary") -> RestrictedBoltzmannMachine:
    torch.manual_seed(d)
    made = RestrictedBoltzmannMachine((d,), m, visible)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.8)
    return made.requires_grad_(False)


@pytest.mark.parametrize(("d", "m"), [(4, 3), (3, 5)])
def test_enumeration_is_the_sum_over_all_pairs_of_states(d: int, m: int) -> None:
    made = machine(d, m)
    total = 0.0
    for v in itertools.product((0.0, 1.0), repeat=d):
        for h in itertools.product((0.0, 1.0), repeat=m):
            visible, hidden = torch.tensor(v), torch.tensor(h)
            energy = -visible @ made.visible_bias - hidden @ made.hidden_bias - visible @ made.weight @ hidden
            total += math.exp(-float(energy))
    assert rbm_log_z(made) == pytest.approx(math.log(total), abs=1e-5)
    assert binary_log_z(made, (d,)) == pytest.approx(math.log(total), abs=1e-5)


def test_gaussian_visible_units_are_integrated_out() -> None:
    made = machine(2, 4, "gaussian")
    low, high = torch.full((2,), -20.0), torch.full((2,), 20.0)
    by_grid = grid_log_z(made.double(), low.double(), high.double(), 1001)
    assert rbm_log_z(made) == pytest.approx(by_grid, abs=1e-4)


def test_states_are_all_there_once_and_in_parts() -> None:
    states = torch.cat(list(binary_states(15)))
    assert states.shape == (2**15, 15) and len(states) > CHUNK
    assert len(torch.unique(states, dim=0)) == 2**15 and set(states.unique().tolist()) == {0.0, 1.0}


def test_too_many_units_are_refused() -> None:
    with pytest.raises(BadInput, match="21 binary units"):
        rbm_log_z(machine(30, 21))


def test_a_grid_over_one_and_two_coordinates() -> None:
    line = Gaussian(torch.tensor([1.0]), torch.tensor([[4.0]]))
    assert grid_log_z(line, torch.tensor([-9.0]), torch.tensor([9.0])) == pytest.approx(
        float(line.log_z), abs=1e-5
    )
    plane = GaussianMixture(
        torch.tensor([[-1.0, 0.0], [2.0, 1.0]]), torch.tensor([0.5, 1.0]), torch.tensor([1.0, 3.0])
    )

    def energy(x: Tensor) -> Tensor:
        return plane(x) - 2.0

    assert grid_log_z(energy, torch.full((2,), -8.0), torch.full((2,), 9.0)) == pytest.approx(2.0, abs=1e-5)
    with pytest.raises(BadInput, match="1 or 2 coordinates"):
        grid_log_z(energy, torch.zeros(3), torch.ones(3))
