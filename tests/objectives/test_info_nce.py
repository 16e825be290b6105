"""InfoNCE by its formula, views by what they change, and one device only."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor, nn

from ebm.augment import AugmentConfig
from ebm.energies import EmbeddingConfig
from ebm.errors import BadConfig, Diverged
from ebm.objectives import AdversarialConfig, InfoNCEConfig
from ebm.objectives.row_views import RowViews, RowViewsConfig
from ebm.training.config import LoopConfig, StageConfig, TermConfig
from ebm.training.guards import Guard
from ebm.training.loop import Trainer, make_fabric
from ebm.training.ranks import share_of


def rows(n: int = 60, seed: int = 0) -> Tensor:
    return torch.randn((n, 4), generator=Generator().manual_seed(seed)) * torch.tensor([1.0, 5.0, 0.2, 1.0])


class Given(nn.Module):
    """Features that are what they are asked about."""

    def embed(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(x, dim=1)


def test_the_loss_is_the_mean_over_all_views_of_minus_the_log_share_of_the_other() -> None:
    objective = InfoNCEConfig(temperature=0.5, views=RowViewsConfig(noise=0.1, mask=0.0)).build()
    x = rows(7)
    objective.prepare(Given(), x, Generator())
    loss, figures = objective(Given(), x, Generator().manual_seed(3))
    generator = Generator().manual_seed(3)
    views = [RowViews(RowViewsConfig(noise=0.1, mask=0.0), x)(x, generator) for _ in range(2)]
    phi = Given().embed(torch.cat(views)).double()
    total, pairs = 0.0, []
    for i in range(14):
        likeness = [float(phi[i] @ phi[k]) for k in range(14)]
        other = (i + 7) % 14
        pairs.append(likeness[other])
        total -= math.log(
            math.exp(likeness[other] / 0.5) / sum(math.exp(s / 0.5) for k, s in enumerate(likeness) if k != i)
        )
    assert float(loss) == pytest.approx(total / 14, rel=1e-5)
    assert figures["real"] == pytest.approx(-sum(pairs) / 14, rel=1e-5)
    everything = float((phi @ phi.T).sum())
    assert figures["fake"] == pytest.approx(-(everything - 14 - sum(pairs)) / (14 * 12), rel=1e-4)


def test_views_of_rows_change_what_they_say() -> None:
    x, generator = rows(2000), Generator().manual_seed(0)

    def view(**given: float) -> Tensor:
        return RowViews(RowViewsConfig(**({"noise": 0, "mask": 0} | given)), x)(x, generator)

    torch.testing.assert_close((view(noise=0.3) - x).std(0), 0.3 * x.std(0), rtol=0.1, atol=0)
    masked = view(mask=0.25)
    assert float((masked != x).float().mean()) == pytest.approx(0.25, abs=0.02)
    for column, before in zip(masked.T, x.T, strict=True):
        assert torch.isin(column, before).all()
    factors = (view(scale=0.5) - x.mean(0)) / (x - x.mean(0))
    torch.testing.assert_close(factors.amin(1), factors.amax(1), rtol=1e-2, atol=1e-2)
    assert (
        0.49 < float(factors.median(1).values.min()) < 0.55
        and 1.45 < float(factors.median(1).values.max()) < 1.51
    )


def test_views_that_change_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="teach nothing"):
        RowViewsConfig(noise=0, mask=0, scale=0)
    with pytest.raises(BadConfig, match="teach nothing"):
        InfoNCEConfig(image_views=AugmentConfig()).build().prepare(None, torch.zeros(4, 1, 8, 8), Generator())


def test_training_finds_the_other_view_and_a_constant_embedding_is_noticed() -> None:
    x = rows(400)
    torch.manual_seed(0)
    energy = EmbeddingConfig(width=32, depth=2, dim=8).build((4,))
    energy.fit(x)  # type: ignore[operator]
    loop = LoopConfig(n_steps=120, batch_size=64, learning_rate=3e-3, warmup_steps=5, log_every=1)
    objective = InfoNCEConfig(views=RowViewsConfig(noise=0.05, mask=0.0)).build()
    logged: list[dict[str, float]] = []
    Trainer(energy, objective, x, loop, make_fabric("cpu"), 0).run(
        on_step=lambda step, n, figures: logged.append(figures)
    )
    first, last = logged[0], logged[-1]
    assert last["loss"] < first["loss"] - 1 and last["accuracy"] > max(0.9, first["accuracy"])
    assert last["gap"] > first["gap"] and last["spread"] > 0.1
    with torch.no_grad():
        for parameter in energy.parameters():
            parameter.zero_()
        energy.body.out.bias.fill_(1.0)  # type: ignore[union-attr]
    flat = objective(energy, x[:64], Generator().manual_seed(0)).metrics
    guard = Guard(patience=2)
    guard.check(1, flat)
    with pytest.raises(Diverged, match="collapsed"):
        guard.check(2, flat)


def test_it_trains_embeddings_only_and_on_one_device() -> None:
    with pytest.raises(ValueError, match="trains an embedding"):
        TermConfig(name="a", energy={"kind": "mlp"}, objective={"kind": "info_nce"})  # type: ignore[arg-type]
    stage = StageConfig(objective=InfoNCEConfig())
    assert share_of(stage, 1) is stage
    with pytest.raises(BadConfig, match="'info_nce' compares the rows of a batch.*not on 2"):
        share_of(stage, 2)
    share_of(StageConfig(objective=AdversarialConfig()), 2)  # whose loss is a mean over rows
