"""JEM's objective is its two parts added up, and labels may be missing row by row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebm.config import validate
from ebm.energies import JointConfig, JointEnergy, MLPConfig
from ebm.errors import BadConfig
from ebm.objectives import DenoisingScoreMatching, JointObjective, JointObjectiveConfig, PersistentCD
from ebm.samplers import Langevin, ReplayBuffer
from ebm.training.config import TermConfig

X = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])


@pytest.fixture
def energy() -> JointEnergy:
    torch.manual_seed(0)
    found = JointConfig(classes=("a", "b", "c"), width=8, depth=2).build((3,))
    assert isinstance(found, JointEnergy)
    found.fit(X)
    return found


def loss(energy: JointEnergy, entropy: float, density: float, labels: Tensor | None) -> Tensor:
    objective = JointObjective(DenoisingScoreMatching(0.3), entropy, density)
    return objective(energy, X, torch.Generator().manual_seed(1), labels).loss.detach()


def test_it_is_the_cross_entropy_and_the_density_objective_added_up(energy: JointEnergy) -> None:
    p = torch.softmax(-energy.class_energies(X), 1)
    entropy = -p[torch.arange(12), LABELS].log().mean().detach()
    alone = DenoisingScoreMatching(0.3)(energy, X, torch.Generator().manual_seed(1)).loss.detach()
    torch.testing.assert_close(loss(energy, 1.0, 0.0, LABELS), entropy)
    torch.testing.assert_close(loss(energy, 0.0, 1.0, LABELS), alone)
    torch.testing.assert_close(loss(energy, 2.0, 0.5, LABELS), 2 * entropy + 0.5 * alone)


def test_rows_without_a_label_count_in_the_density_alone(energy: JointEnergy) -> None:
    some = torch.where(torch.arange(12) < 4, LABELS, -1)
    p = torch.softmax(-energy.class_energies(X[:4]), 1)
    entropy = -p[torch.arange(4), LABELS[:4]].log().mean().detach()
    torch.testing.assert_close(loss(energy, 1.0, 0.0, some), entropy)
    for labels in (None, torch.full((12,), -1)):
        torch.testing.assert_close(loss(energy, 1.0, 3.0, labels), loss(energy, 0.0, 3.0, LABELS))


def test_the_cross_entropy_leaves_the_base_alone_and_the_density_does_not_see_labels(
    energy: JointEnergy,
) -> None:
    shifted = LABELS.roll(1)
    torch.testing.assert_close(loss(energy, 0.0, 1.0, LABELS), loss(energy, 0.0, 1.0, shifted))
    assert not torch.allclose(loss(energy, 1.0, 0.0, LABELS), loss(energy, 1.0, 0.0, shifted))


def test_its_chains_are_its_state(energy: JointEnergy) -> None:
    def made() -> JointObjective:
        return JointObjective(PersistentCD(Langevin(0.01), 1, ReplayBuffer(16), l2=0.1))

    first, second = made(), made()
    first(energy, X, torch.Generator().manual_seed(1), LABELS)
    second.load_state_dict(first.state_dict())
    assert first.state_dict()["states"].shape == (16, 3)
    answers = [o(energy, X, torch.Generator().manual_seed(2), LABELS).loss for o in (first, second)]
    assert torch.equal(*answers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cross_entropy_weight": 0, "density_weight": 0}, "nothing is learnt"),
        ({"density": {"kind": "dsm", "sigma_min": 0.1, "sigma_max": 1.0}}, "one noise level"),
        ({"density": {"kind": "contrast"}}, "density"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        validate(JointObjectiveConfig, change, "objective")


def test_it_needs_an_energy_with_classes_and_enough_chains() -> None:
    def term(**values: object) -> TermConfig:
        return validate(TermConfig, {"name": "a", **values}, "term")

    with pytest.raises(BadConfig, match="needs classes"):
        term(energy=MLPConfig().model_dump(), objective={"kind": "joint"})
    chains = {"kind": "persistent_cd", "buffer_size": 64}
    joint = {"kind": "joint", "classes": [0, 1]}
    with pytest.raises(BadConfig, match="'buffer_size' 64 is below 'batch_size' 128"):
        term(energy=joint, objective={"kind": "joint", "density": chains})
    gibbs = {**chains, "buffer_size": 512, "sampler": {"kind": "gibbs"}}
    with pytest.raises(BadConfig, match="samples hidden units"):
        term(energy=joint, objective={"kind": "joint", "density": gibbs})
