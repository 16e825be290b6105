"""Every sampler on targets that are known: effective draws for the work, and whether the draws are right.

Work is counted in gradients of one row; an energy without its gradient counts as a third of one, as a forward pass
does of forward and backward. Step sizes are tuned by `adapt`, in a warm-up that is not counted; that of a
preconditioned sampler is. Twenty chains; worst of the coordinates and the energy. Peers, where installed: blackjax and
emcee.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from ebm.energies.analytic import Gaussian, GaussianMixture
from ebm.evaluation.diagnostics import effective_sample_size, split_r_hat
from ebm.samplers import (
    HMC,
    MALA,
    Langevin,
    Metropolis,
    Preconditioned,
    ReplicaExchange,
    Stage,
    adapt,
    run_stages,
)

TITLE = "Samplers: effective draws for the work, and modes in proportion"
CHAINS, FORWARD = 20, 1 / 3


class Funnel(nn.Module):
    """Neal's funnel (2003), milder: v ~ N(0, 1.5^2), four x ~ N(0, exp(v)) given v; x = (v, x_1 .. x_4)."""

    def forward(self, x: Tensor, sigma: Any = None) -> Tensor:
        v, rest = x[:, 0], x[:, 1:]
        return 0.5 * (v / 1.5) ** 2 + 0.5 * (rest**2).sum(1) * (-v).exp() + 0.5 * rest.shape[1] * v

    def sample(self, n: int, generator: Generator) -> Tensor:
        v = 1.5 * torch.randn((n, 1), generator=generator)
        return torch.cat([v, (v / 2).exp() * torch.randn((n, 4), generator=generator)], 1)


@dataclass
class Target:
    """`error`: of draws (n, d), a number that is 0 for an exact law: what the table's last column says."""

    energy: Any
    start: Tensor
    error: Callable[[Tensor], float]
    temperature: float


def targets(seed: int) -> dict[str, Target]:
    generator = Generator().manual_seed(100 + seed)
    directions = torch.linalg.qr(torch.randn((10, 10), generator=generator))[0]
    precision = (directions * torch.logspace(0, 2, 10)) @ directions.T
    gaussian = Gaussian(torch.zeros(10), (precision + precision.T) / 2)
    modes = GaussianMixture(
        torch.tensor([[-4.0, 0.0], [4.0, 0.0]]), torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])
    )
    funnel = Funnel()
    return {
        "Gaussian": Target(
            gaussian,
            gaussian.sample(CHAINS, generator),
            lambda x: abs(float(torch.einsum("ni,ij,nj->n", x, gaussian.precision, x).mean()) / 10 - 1),
            2.0,
        ),
        "modes": Target(
            modes,
            torch.tensor([[-4.0, 0.0]]).repeat(CHAINS, 1)
            + 0.1 * torch.randn((CHAINS, 2), generator=generator),
            lambda x: abs(float((x[:, 0] > 0).float().mean()) - 0.75),
            30.0,
        ),
        "funnel": Target(
            funnel,
            funnel.sample(CHAINS, generator),
            lambda x: abs(float(x[:, 0].square().mean()) / 2.25 - 1),
            3.0,
        ),
    }


class Counted:
    """An energy that counts what is asked of it."""

    def __init__(self, energy: Any):
        self.energy, self.work = energy, 0.0

    def __call__(self, x: Tensor, sigma: Any = None) -> Tensor:
        self.work += len(x) * (1.0 if x.requires_grad or torch.is_grad_enabled() else FORWARD)
        return self.energy(x)


def stages_of(name: str, target: Target, seed: int, budget: float) -> tuple[list[Stage], Tensor, int]:
    """The stages of a run that costs about `budget` gradients a chain, from where the chains then are, and how many of
    its steps are warm-up."""
    generator, energy, x = Generator().manual_seed(seed), target.energy, target.start

    def tuned(kernel: Any) -> Any:
        nonlocal x
        warm = adapt(kernel, energy, x, generator, n_steps=300)
        x = warm.x
        return warm.sampler

    if name == "Langevin (uncorrected)":
        # A quarter of MALA's best step: a bias that can be lived with.
        return [Stage(Langevin(tuned(MALA(0.05)).step_size / 4), energy, int(budget))], x, 0
    if name == "Metropolis":
        return [Stage(tuned(Metropolis(0.3)), energy, int(budget / (2 * FORWARD)))], x, 0
    if name == "MALA":
        return [Stage(tuned(MALA(0.05)), energy, int(budget / 2))], x, 0
    if name == "HMC, 10 leapfrog steps":
        return [Stage(tuned(HMC(0.2, 10, 0.2)), energy, int(budget / 11))], x, 0
    if name.startswith("preconditioned"):
        kernel, cost = (MALA(0.05), 2) if name.endswith("MALA") else (HMC(0.2, 3, 0.5), 4)
        stages = Preconditioned(kernel, n_warmup=300).stages(energy, int(budget / cost) - 300)
        return stages, x, 300
    ladder = [target.temperature ** (k / 4) for k in range(5)]
    kernel = tuned(MALA(0.05))
    cost = 5 * (2 + FORWARD / 2)
    return ReplicaExchange(kernel, ladder, swap_every=2).stages(energy, int(budget / cost)), x, 0


SAMPLERS = (
    "Langevin (uncorrected)",
    "Metropolis",
    "MALA",
    "HMC, 10 leapfrog steps",
    "preconditioned MALA",
    "preconditioned HMC, 3 leapfrog steps",
    "replica exchange of MALA, 5 temperatures",
)


def figures(kept: np.ndarray, work: float, target: Target) -> dict[str, float]:
    """kept (steps, chains, d), all that counts; work in gradients of one row, over all chains."""
    flat = torch.from_numpy(kept.reshape(-1, kept.shape[2])).float()
    with torch.no_grad():
        energies = target.energy(flat).numpy().reshape(kept.shape[:2])
    series = [*(kept[:, :, j].T for j in range(kept.shape[2])), energies.T]
    if any(not np.isfinite(s).all() for s in series):
        return {"ess": math.nan, "r_hat": math.nan, "error": math.nan}
    return {
        "ess": 1000 * min(effective_sample_size(s) for s in series) / work,
        "r_hat": max(split_r_hat(s) for s in series),
        "error": target.error(flat),
    }


def measure(quick: bool, seed: int) -> dict[str, dict[str, float]]:
    """{"target: sampler": {"ess": per 1,000 gradients, "r_hat": worst, "error": see `targets`}}."""
    budget = 1500.0 if quick else 6000.0
    found: dict[str, dict[str, float]] = {}
    for kind, target in targets(seed).items():
        for name in SAMPLERS:
            stages, x, warmup = stages_of(name, target, seed, budget)
            counted = Counted(target.energy)
            stages = [stage._replace(energy=counted) for stage in stages]
            result = run_stages(stages, x, Generator().manual_seed(seed + 50), keep_every=1)
            assert result.kept is not None
            kept = result.kept[warmup:].double().numpy()
            found[f"{kind}: {name}"] = figures(kept, counted.work, target)
        found |= {f"{kind}: {name}": row for name, row in peers(kind, target, budget, seed).items()}
    return found


def peers(kind: str, target: Target, budget: float, seed: int) -> dict[str, dict[str, float]]:
    """NUTS of blackjax and the stretch move of emcee, on the same target, where they are installed."""
    rows: dict[str, dict[str, float]] = {}
    if importlib.util.find_spec("emcee") is not None:
        rows["emcee, stretch move (peer)"] = _emcee(target, budget, seed)
    if importlib.util.find_spec("blackjax") is not None:
        rows["blackjax NUTS (peer)"] = _blackjax(kind, target, budget, seed)
    return rows


def _emcee(target: Target, budget: float, seed: int) -> dict[str, float]:
    import emcee  # pyright: ignore[reportMissingImports]

    def log_density(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return -target.energy(torch.from_numpy(x).float()).double().numpy()

    d, n_steps = target.start.shape[1], int(budget / FORWARD)
    start = target.start.double().numpy()
    walkers = max(CHAINS, 2 * d)
    sampler = emcee.EnsembleSampler(walkers, d, log_density, vectorize=True)
    sampler.random_state = np.random.RandomState(seed).get_state()
    state = sampler.run_mcmc(np.resize(start, (walkers, d)), n_steps // 4)
    sampler.reset()
    sampler.run_mcmc(state, n_steps)
    kept = sampler.get_chain()
    assert kept is not None
    return figures(kept, n_steps * walkers * FORWARD, target)


def _blackjax(kind: str, target: Target, budget: float, seed: int) -> dict[str, float]:
    import blackjax  # pyright: ignore[reportMissingImports]
    import jax  # pyright: ignore[reportMissingImports]
    import jax.numpy as jnp  # pyright: ignore[reportMissingImports]

    precision = jnp.asarray(target.energy.precision.numpy()) if kind == "Gaussian" else None
    means, weights = jnp.array([[-4.0, 0.0], [4.0, 0.0]]), jnp.log(jnp.array([0.25, 0.75]))

    def log_density(x: Any) -> Any:
        if kind == "Gaussian":
            return -0.5 * x @ precision @ x
        if kind == "modes":
            return jax.nn.logsumexp(weights - 2 * ((x - means) ** 2).sum(1))
        return -0.5 * (x[0] / 1.5) ** 2 - 0.5 * (x[1:] ** 2).sum() * jnp.exp(-x[0]) - 2 * x[0]

    key = jax.random.PRNGKey(seed)
    start = jnp.asarray(target.start.numpy())
    warm = blackjax.window_adaptation(blackjax.nuts, log_density)
    (state, parameters), _ = warm.run(key, start[0], 500)
    kernel = blackjax.nuts(log_density, **parameters)
    n_steps = int(budget / 10)

    def chain(key: Any, x: Any) -> Any:
        def step(state: Any, key: Any) -> Any:
            state, info = kernel.step(key, state)
            return state, (state.position, info.num_integration_steps)

        return jax.lax.scan(step, kernel.init(x), jax.random.split(key, n_steps))[1]

    kept, n_gradients = jax.vmap(chain)(jax.random.split(key, CHAINS), start)
    return figures(np.asarray(kept, np.float64).swapaxes(0, 1), float(n_gradients.sum()), target)


def report(results: list[dict[str, dict[str, float]]]) -> list[str]:
    """A table a target; range over seeds in brackets."""
    about = {
        "Gaussian": "Ten dimensions, precisions from 1 to 100 along random directions; starts are exact draws. Error: "
        "of the mean of xᵀPx, relative.",
        "modes": "Two modes in the plane, 16 sds apart, of weights ¼ and ¾; all chains start in the lighter one. "
        "Error: of the share of draws in the heavier (.75 where a sampler never gets there).",
        "funnel": "Five dimensions, v ~ N(0, 1.5²), x ~ N(0, eᵛ); starts are exact draws. Error: of the variance of v, "
        "relative.",
    }
    lines = [
        "Effective draws (of the worst of all coordinates and the energy) for 1,000 gradients of one row; an energy "
        "alone counts a third. Twenty chains; tuning by `adapt` is not counted, the warm-up of preconditioned samplers "
        "is (blackjax's window adaptation and emcee's burn-in are not). Of *modes* only the error says the truth: "
        "where no chain has seen the other mode, R-hat and effective draws find nothing amiss.",
    ]
    for kind, words in about.items():
        lines += [
            "",
            f"**{kind}.** {words}",
            "",
            "| sampler | effective draws | R-hat | error |",
            "|---|---|---|---|",
        ]
        for row in (row for row in results[0] if row.startswith(kind + ": ")):
            cells = [_cell([r[row][c] for r in results if row in r]) for c in ("ess", "r_hat", "error")]
            lines.append(f"| {row.removeprefix(kind + ': ')} | {' | '.join(cells)} |")
    return lines


def _cell(values: list[float]) -> str:
    good = [v for v in values if math.isfinite(v)]
    if not good:
        return "–"
    mean = sum(good) / len(good)
    return f"{mean:.3g}" + (f" ({min(good):.3g} to {max(good):.3g})" if len(good) > 1 else "")
