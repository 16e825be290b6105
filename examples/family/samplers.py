"""Six samplers on energies whose laws are known: which of them to believe, and how to find out.

Three questions, each with the sampler that answers it: is the step's bias gone (Metropolis' correction)? do narrow
directions hold up the wide ones (HMC, preconditioning)? are modes visited in proportion (replica exchange)?
"""

from __future__ import annotations

import torch

from ebm.energies.analytic import Gaussian, GaussianMixture
from ebm.evaluation.chains_report import ChainsReport, diagnose
from ebm.samplers import (
    HMC,
    MALA,
    Langevin,
    Metropolis,
    Preconditioned,
    ReplicaExchange,
    Stage,
    adapt,
    run,
    run_stages,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bias(n_chains: int) -> dict[str, float]:
    """A unit Gaussian at a large step: Langevin's variance is 1 / (1 - step / 2), MALA's is right."""
    energy = Gaussian(torch.zeros(1), torch.eye(1))
    x0 = energy.sample(n_chains, seeded(0))
    variances = {
        name: float(run(sampler, energy, x0, 50, seeded(1)).x.var())
        for name, sampler in (("langevin", Langevin(0.6)), ("mala", MALA(0.6)))
    }
    print(
        f"variance of a unit Gaussian at step .6: Langevin {variances['langevin']:.2f}, MALA {variances['mala']:.2f}"
    )
    return {f"{name}_variance": value for name, value in variances.items()}


def widths(n_steps: int) -> dict[str, float]:
    """Two columns that go together closely: sds 1 and .1 along the diagonals."""
    precision = torch.tensor([[50.5, -49.5], [-49.5, 50.5]])
    energy = Gaussian(torch.zeros(2), precision)
    x0 = energy.sample(8, seeded(0))
    reports: dict[str, ChainsReport] = {}
    for name, first in (("metropolis", Metropolis(0.1)), ("mala", MALA(0.01)), ("hmc", HMC(0.1, 10, 0.2))):
        warm = adapt(first, energy, x0, seeded(1), n_steps=100)  # to the best rate of acceptance
        stages = [Stage(warm.sampler, energy, n_steps)]
        reports[name] = diagnose(stages, warm.x, seeded(2), n_warmup=0)
    stages = Preconditioned(MALA(0.01), n_warmup=100).stages(energy, n_steps)
    reports["preconditioned"] = diagnose(stages, x0, seeded(2), n_warmup=100)
    print("a narrow Gaussian: sampler, acceptance, R-hat and effective draws of the worse column")
    for name, found in reports.items():
        assert found.acceptance is not None
        rate, r_hat, draws = found.acceptance.mean, found.worst_r_hat, found.worst_ess
        print(f"  {name:15s} {rate:.2f}  {r_hat:.2f}  {draws:6.0f} of {found.draws}")
    return {f"{name}_draws": found.worst_ess / found.draws for name, found in reports.items()}


def modes(n_chains: int, n_steps: int) -> dict[str, float]:
    """Modes 16 sds apart, three quarters of the mass in the one where no chain starts."""
    energy = GaussianMixture(
        torch.tensor([[-4.0, 0.0], [4.0, 0.0]]), torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])
    )
    x0 = torch.tensor([[-4.0, 0.0]]).repeat(n_chains, 1)
    alone = run(MALA(0.15), energy, x0, n_steps, seeded(1)).x
    stages = ReplicaExchange(MALA(0.15), [30 ** (k / 5) for k in range(6)], swap_every=2).stages(
        energy, n_steps
    )
    together = run_stages(stages, x0, seeded(1)).x
    shares = [float((x[:, 0] > 0).float().mean()) for x in (alone, together)]
    rates = stages[0].sampler.swap_rates  # type: ignore[attr-defined]
    print(f"share in the heavier mode (.75): MALA {shares[0]:.2f}, with five hotter replicas {shares[1]:.2f}")
    print("  exchanges accepted, coldest pair first:", " ".join(f"{rate:.2f}" for rate in rates))
    return {"mala_share": shares[0], "replica_exchange_share": shares[1], "lowest_swap_rate": min(rates)}


def main(quick: bool = False) -> dict[str, float]:
    found = bias(1000 if quick else 20_000)
    found |= widths(60 if quick else 2000)
    return found | (modes(30, 60) if quick else modes(400, 1200))


if __name__ == "__main__":
    main()
