"""Annealed importance sampling against known log Z, beside importance sampling with as many energies."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ebm.energies.analytic import GaussianMixture
from ebm.energies.rbm import RestrictedBoltzmannMachine
from ebm.evaluation.ais import Path, bracket, estimate, sigmoid_schedule
from ebm.evaluation.binary_paths import GibbsPath
from ebm.evaluation.enumeration import rbm_log_z
from ebm.evaluation.paths import GaussianBase, GaussianPath

TITLE = "Partition functions"
N_CHAINS, ENERGIES = 100, 3  # a temperature costs a chain one energy and, of MALA, two gradients
MACHINES = {
    "RBM 15 x 10, weights .1": (15, 10, 0.1),
    "RBM 15 x 10, weights 1": (15, 10, 1.0),
    "RBM 15 x 10, weights 2": (15, 10, 2.0),
    "RBM 20 x 15, weights 1": (20, 15, 1.0),
    "RBM 784 x 16, weights .1": (784, 16, 0.1),
}
MIXTURES = {f"two modes, d = {d}": d for d in (2, 8, 32)}


def measure(quick: bool, seed: int) -> dict[str, dict[str, float]]:
    """Errors in nats. The machines' base has biases of 0 and their reverse chains start from forward ones; the base of
    mixtures is fitted to draws, and exact draws start their reverse chains."""
    n = 20 if quick else 1000
    rows = {}
    for name, (d, m, sd) in MACHINES.items():
        if quick and d > 20:
            continue
        machine = _machine(d, m, sd, seed)
        rows[name] = _row(
            GibbsPath(machine, torch.zeros(d)), sigmoid_schedule(n).tolist(), rbm_log_z(machine), seed
        )
    for name, d in MIXTURES.items():
        mixture = _mixture(d)
        path = GaussianPath(mixture, GaussianBase.fit(mixture.sample(2000, _seeded(seed))))
        betas = path.tune(n // 2, _seeded(seed + 1)).tolist()
        rows[name] = _row(path, betas, 0.0, seed, mixture.sample(N_CHAINS, _seeded(seed + 2)))
    return rows


def _row(
    path: Path, betas: list[float], exact: float, seed: int, samples: Tensor | None = None
) -> dict[str, float]:
    found = bracket(path, N_CHAINS, betas, _seeded(seed + 3), samples=samples)
    simple = _importance(path, ENERGIES * N_CHAINS * 2 * (len(betas) - 1), _seeded(seed + 4))
    return {
        "log_z": exact,
        "error": found.log_z - exact,
        "standard_error": found.standard_error,
        "forward_error": found.forward.log_z - exact,
        "reverse_error": found.reverse.log_z - exact,
        "gap": found.gap,
        "importance_error": simple - exact,
    }


def _importance(path: Path, n: int, generator: torch.Generator) -> float:
    parts, left = [], n
    while left > 0:
        x = path.start(min(left, 5000), generator)
        with torch.no_grad():
            parts.append(path.change(x, 0.0, 1.0).double())
        left -= len(x)
    return estimate(torch.cat(parts), path.log_z_base, 1).log_z


def _machine(d: int, m: int, sd: float, seed: int) -> RestrictedBoltzmannMachine:
    torch.manual_seed(seed)
    machine = RestrictedBoltzmannMachine((d,), m)
    with torch.no_grad():
        machine.weight.normal_(0, sd)
        machine.visible_bias.normal_(0, 0.5)
        machine.hidden_bias.normal_(0, 0.5)
    return machine


def _mixture(d: int) -> GaussianMixture:
    means = torch.zeros(2, d)
    means[:, 0] = torch.tensor([-3.0, 3.0])
    return GaussianMixture(means, torch.tensor([0.5, 1.0]), torch.tensor([0.3, 0.7]))


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def report(results: list[dict[str, dict[str, float]]]) -> list[str]:
    lines = [
        "log Z in nats, exactly (by enumeration; of mixtures, by construction) and by annealed importance sampling:",
        f"{N_CHAINS} chains a side, 1,000 temperatures for machines (Gibbs) and 500 for mixtures (MALA). |error| is of",
        "Bennett's estimate from both sides; forward and reverse errors have their signs: low and high on average.",
        "Importance sampling draws from the same base as many points as annealing evaluates energies and gradients.",
        "",
        "| energy | log Z | AIS, abs. error | its standard error | forward | reverse | gap "
        "| importance sampling, abs. error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in results[0]:
        cells = [seed[name] for seed in results]
        shown = [
            f"{cells[0]['log_z']:.2f}",
            _shown([abs(c["error"]) for c in cells]),
            _shown([c["standard_error"] for c in cells]),
            _shown([c["forward_error"] for c in cells]),
            _shown([c["reverse_error"] for c in cells]),
            _shown([c["gap"] for c in cells]),
            _shown([abs(c["importance_error"]) for c in cells]),
        ]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return [*lines, "", "The log Z shown is the first seed's: machines have other weights for each seed."]


def _shown(values: list[float]) -> str:
    """Mean and range."""
    real = [v for v in values if math.isfinite(v)]
    if not real:
        return "-"
    mean = sum(real) / len(real)
    return f"{mean:.3f}" if len(real) == 1 else f"{mean:.3f} [{min(real):.3f}, {max(real):.3f}]"
