"""Networks that an objective brings with it, labels, and what it is told at the start and at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import rows, same, trainer, weights
from torch import Generator, Tensor, nn

from ebm.data.pixels import InMemory
from ebm.energies import MLPConfig
from ebm.errors import BadConfig
from ebm.training.config import LoopConfig
from ebm.training.loop import Trainer, make_fabric
from ebm.types import LossOutput


class WithPartner:
    """Pulls the energy's values and a partner's output to constants; the partner must follow its own part alone."""

    partner_rate = 10.0

    def __init__(self) -> None:
        self.partner: nn.Module | None = None
        self.seen: Tensor | None = None
        self.concluded: list[nn.Module] = []

    def prepare(self, energy: Any, x: Tensor, generator: Generator) -> None:
        del energy
        self.seen = x
        self.partner = nn.Linear(x.shape[1], 1)
        with torch.no_grad():
            self.partner.weight.copy_(torch.randn((1, x.shape[1]), generator=generator))

    def __call__(self, energy: Any, x: Tensor, generator: Generator) -> LossOutput:
        assert self.partner is not None
        noise = torch.randn(x.shape, generator=generator)
        energies, out = energy(x), self.partner(x + 0.01 * noise).squeeze(1)
        loss = (energies - x[:, 0]).square().mean() + 1e4 * (out - 3 * x[:, 1]).square().mean()
        return LossOutput(loss, {"spread": float(energies.detach().std())})

    def conclude(self, energy: nn.Module) -> None:
        self.concluded.append(energy)

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state


def test_a_partner_is_trained_beside_the_energy_and_the_end_is_told() -> None:
    objective = WithPartner()
    run = trainer("cd", objective=objective, n_steps=300, learning_rate=0.01)
    before = weights(run.plain)
    energy = run.run()
    assert objective.seen is not None and torch.equal(objective.seen, rows())
    assert isinstance(objective.partner, nn.Linear)
    torch.testing.assert_close(objective.partner.weight.data, torch.tensor([[0.0, 3.0]]), atol=0.15, rtol=0)
    assert not same(before, weights(energy))
    assert objective.concluded == [energy]


def test_the_partner_does_not_clip_the_energys_step() -> None:
    """Its gradient is 10,000 times as large: under one common norm the energy would hardly move."""
    alone, beside = WithPartner(), WithPartner()
    runs = [trainer("cd", objective=o, n_steps=1, clip=1e9 if o is alone else 1.0) for o in (alone, beside)]
    for run in runs:
        run.advance()
    gradients = [
        torch.cat([p.grad.flatten() for p in r.plain.parameters() if p.grad is not None]) for r in runs
    ]
    full = float(gradients[0].norm())
    torch.testing.assert_close(gradients[1], gradients[0] * min(1.0, 1 / full), rtol=1e-4, atol=1e-6)


def test_a_run_with_a_partner_resumes_to_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    whole = WithPartner()
    expected = weights(trainer("cd", objective=whole).run())
    half = trainer("cd", objective=WithPartner())
    with pytest.raises(Exception, match="stopped at step 20"):
        half.run(path=path, should_stop=lambda: half.step == 20)
    resumed = WithPartner()
    found = weights(trainer("cd", objective=resumed).run(path=path, resume=True))
    assert same(found, expected)
    assert whole.partner is not None and resumed.partner is not None
    assert same(weights(resumed.partner), weights(whole.partner))


class Labelled:
    labelled = True

    def __init__(self) -> None:
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def __call__(self, energy: Any, x: Tensor, generator: Generator, *, labels: Tensor) -> LossOutput:
        del generator
        self.pairs.append((x, labels))
        return LossOutput(energy(x).square().mean(), {})

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        del state


@pytest.mark.parametrize("lazy", [False, True])
def test_labels_come_with_their_rows(lazy: bool) -> None:
    x = torch.arange(200.0)[:, None] / 100
    objective = Labelled()
    energy = MLPConfig(width=8, depth=1).build((1,))
    loop = LoopConfig(n_steps=5, batch_size=16)
    given: Any = InMemory(x) if lazy else x  # read ahead by a thread, or not
    Trainer(energy, objective, given, loop, make_fabric("cpu"), 0, torch.arange(200)).run()  # type: ignore[arg-type]
    assert len(objective.pairs) == 5
    for batch, labels in objective.pairs:
        assert torch.equal(batch[:, 0], labels / 100)


def test_missing_labels_are_refused_before_the_first_step() -> None:
    with pytest.raises(BadConfig, match="needs labels"):
        trainer("cd", objective=Labelled())
