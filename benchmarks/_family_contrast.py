"""Noise-contrastive and flow-contrastive estimation against known densities; adversarial and InfoNCE training by how
they rank, beside one neighbour and the net that was never trained."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Generator, Tensor, nn

from ebm.augment import AugmentConfig
from ebm.data import draw_toy, load_builtin
from ebm.data.toy_density import truth as toy_truth
from ebm.energies import DiscriminatorConfig, EmbeddingConfig, MLPConfig, log_z
from ebm.energies.analytic import Gaussian, GaussianMixture
from ebm.evaluation.baselines import baselines
from ebm.evaluation.metrics import auroc
from ebm.objectives import AdversarialConfig, FlowContrastiveConfig, InfoNCEConfig, NCEConfig
from ebm.objectives.noise import MixtureNoiseConfig, UniformNoiseConfig
from ebm.training.config import LoopConfig
from ebm.training.devices import make_fabric
from ebm.training.loop import Trainer

TITLE = "Contrastive and adversarial objectives"
T = torch.tensor
NOISES: dict[str, Any] = {
    "nce, gaussian noise": NCEConfig(),
    "nce, mixture noise": NCEConfig(noise=MixtureNoiseConfig()),
    "nce, uniform noise": NCEConfig(noise=UniformNoiseConfig()),
    "flow_contrastive": FlowContrastiveConfig(),
}
SIDE = 7.0  # half of a square beyond which none of the energies has mass


@dataclass(frozen=True)
class Plane:
    """A density in the plane: draws, and E - log Z = -log p."""

    draw: Callable[[int, int], Tensor]
    energy: Callable[[Tensor], Tensor]


def planes() -> dict[str, Plane]:
    gaussian = Gaussian(T([0.3, -0.5]), torch.linalg.inv(T([[1.0, 0.8], [0.8, 1.2]])))
    mixture = GaussianMixture(
        T([[-1.5, 0.0], [1.5, 0.5], [0.0, 1.8]]), T([0.5, 0.6, 0.4]), T([0.5, 0.3, 0.2])
    )

    def analytic(density: Any) -> Plane:
        return Plane(
            lambda n, seed: density.sample(n, Generator().manual_seed(seed)),
            lambda x: density(x) + density.log_z,
        )

    def moons(n: int, seed: int) -> Tensor:
        return torch.as_tensor(np.asarray(draw_toy("moons", n, seed)[0]), dtype=torch.float32)

    return {
        "gaussian": analytic(gaussian),
        "mixture": analytic(mixture),
        "moons": Plane(moons, toy_truth("moons")),
    }


def train(energy: Any, objective: Any, x: Tensor, seed: int, **loop: Any) -> list[dict[str, float]]:
    """Fits and trains; what was logged."""
    energy.fit(x)
    logged: list[dict[str, float]] = []
    run = Trainer(energy, objective, x, LoopConfig(**loop), make_fabric("cpu"), seed)
    run.run(on_step=lambda step, n, figures: logged.append(figures))
    if hasattr(energy, "settle"):
        energy.settle(x)
    return logged


@torch.no_grad()
def quadrature(energy: nn.Module, cells: int) -> float:
    """log Z in the plane, by summing a grid of `cells` a side."""
    line = torch.linspace(-SIDE, SIDE, cells)
    values = torch.cat([-energy(part) for part in torch.cartesian_prod(line, line).split(20_000)])
    return float(torch.logsumexp(values.double(), 0)) + 2 * math.log(2 * SIDE / (cells - 1))


def constants(quick: bool, seed: int) -> dict[str, dict[str, float]]:
    rows = {}
    for place, plane in planes().items():
        x, test = plane.draw(500 if quick else 10_000, seed), plane.draw(4000, seed + 1000)
        for name, config in NOISES.items():
            torch.manual_seed(seed)
            energy, began = MLPConfig(width=64, depth=2).build((2,)), time.process_time()
            steps = 5 if quick else 800
            logged = train(energy, config.build(), x, seed, n_steps=steps, batch_size=256, learning_rate=5e-3)
            seconds, exact = time.process_time() - began, quadrature(energy, 51 if quick else 501)
            with torch.no_grad():
                divergence = float((energy(test) + exact - plane.energy(test)).mean())
            rows[f"{name} | {place}"] = {
                "log_z_error": (log_z.known(energy) or math.nan) - exact,
                "log_z_error_trained": logged[-1]["log_z"] - exact,
                "kl": divergence,
                "cpu_seconds": seconds,
            }
    return rows


def precisions(quick: bool, seed: int) -> dict[str, dict[str, float]]:
    rows = {}
    for d in (1, 8):
        generator = Generator().manual_seed(seed)
        rotation = torch.linalg.qr(torch.randn(d, d, generator=generator)).Q
        scales = torch.linspace(0.7, 1.4, d)
        precision = rotation @ torch.diag(scales**-2) @ rotation.T
        truth = Gaussian(torch.linspace(-0.5, 0.5, d), (precision + precision.T) / 2)
        x = truth.sample(20_000, generator)
        for name, config in NOISES.items():
            energy = Gaussian(torch.zeros(d), torch.eye(d), learnable=True)
            objective = config.build()
            loop = LoopConfig(
                n_steps=5 if quick else 300, batch_size=512, learning_rate=0.03, ema=0.9, warmup_steps=0
            )
            Trainer(energy, objective, x, loop, make_fabric("cpu"), seed).run()
            error = (energy.precision - truth.precision).norm() / truth.precision.norm()
            rows[f"{name} | d = {d}"] = {
                "precision_error": float(error),
                "log_z_error": (log_z.known(energy) or math.nan) - float(energy.log_z),
            }
    return rows


def tables(seed: int) -> dict[str, tuple[Tensor, Tensor, np.ndarray]]:
    """Training rows, test rows and test labels: benign against malignant, and digits against the digit left out."""
    order = np.random.default_rng(seed).permutation
    cancer, digits = load_builtin("breast_cancer"), load_builtin("digits")
    found = {}
    for name, table, odd in (("breast_cancer", cancer, "malignant"), ("digits", digits, seed % 10)):
        values, labels = np.asarray(table.values, dtype=np.float32), np.asarray(table.labels)
        anomalous = labels == odd if name == "digits" else labels == "malignant"
        normal = order(np.flatnonzero(~anomalous))
        cut = int(0.6 * len(normal))
        index = np.concatenate([normal[cut:], np.flatnonzero(anomalous)])
        if name == "digits":
            values = values[:, None] / 8 - 1
        else:
            values = (values - values[normal[:cut]].mean(0)) / values[normal[:cut]].std(0)
        train_rows, test_rows = torch.from_numpy(values[normal[:cut]]), torch.from_numpy(values[index])
        found[name] = (train_rows, test_rows, anomalous[index].astype(int))
    return found


VIEWS = AugmentConfig(shift=1, rotate=10, scale=0.1, noise=0.2)
RANKED: dict[str, tuple[Any, Any]] = {
    "adversarial": (
        DiscriminatorConfig(width=64, depth=2, widths=(16, 32)),
        AdversarialConfig(),
    ),
    "info_nce": (EmbeddingConfig(width=64, depth=2, widths=(16, 32)), InfoNCEConfig(image_views=VIEWS)),
}


def ranking(quick: bool, seed: int) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    for place, (x, test, y) in tables(seed).items():
        rows[f"1-NN | {place}"] = {"auroc": auroc(baselines(x.numpy(), test.numpy(), seed)["knn1"], y)}
        for name, (config, objective) in RANKED.items():
            torch.manual_seed(seed)
            energy = config.build(tuple(x.shape[1:]))
            energy.fit(x)
            with torch.no_grad():
                untrained = auroc(energy(test).numpy(), y)
            steps = 5 if quick else 400
            logged = train(energy, objective.build(), x, seed, n_steps=steps, batch_size=64)
            with torch.no_grad():
                rows[f"{name} | {place}"] = {"auroc": auroc(energy(test).numpy(), y), "untrained": untrained}
            for key in ("d_real", "d_fake", "accuracy"):
                if key in logged[-1]:
                    rows[f"{name} | {place}"][key] = logged[-1][key]
    return rows


def game(quick: bool, seed: int) -> dict[str, dict[str, float]]:
    """What a discriminator knows of the density of data, early in the game and at its end, beside NCE."""
    plane, rows = planes()["mixture"], {}
    x, test = plane.draw(500 if quick else 10_000, seed), plane.draw(2000, seed + 1000)
    far = 6 * torch.rand((2000, 2), generator=Generator().manual_seed(seed)) - 3
    y = np.repeat([0, 1], 2000)
    long = 5 if quick else 1500
    for name, config, objective, steps in (
        ("adversarial, 50 steps", DiscriminatorConfig(width=64, depth=2), AdversarialConfig(), min(50, long)),
        (f"adversarial, {long} steps", DiscriminatorConfig(width=64, depth=2), AdversarialConfig(), long),
        ("nce, gaussian noise", MLPConfig(width=64, depth=2), NCEConfig(), min(500, long)),
    ):
        torch.manual_seed(seed)
        energy = config.build((2,))
        logged = train(energy, objective.build(), x, seed, n_steps=steps, batch_size=256, learning_rate=2e-3)
        with torch.no_grad():
            on_data, wide = energy(test).numpy(), energy(far).numpy()
            rank = np.corrcoef(rankdata(on_data), rankdata(plane.energy(test).numpy()))[0, 1]
        rows[f"{name} | mixture"] = {
            "rank_correlation": float(rank),
            "sd_on_data": float(on_data.std()),
            "auroc_uniform": auroc(np.concatenate([on_data, wide]), y),
            "d_real": logged[-1].get("d_real", math.nan),
            "d_fake": logged[-1].get("d_fake", math.nan),
        }
    return rows


def measure(quick: bool, seed: int) -> dict[str, dict[str, float]]:
    parts = (
        ("log Z", constants),
        ("precision", precisions),
        ("ranking", ranking),
        ("game", game),
    )
    return {f"{part} | {row}": cells for part, of in parts for row, cells in of(quick, seed).items()}


def report(results: list[dict[str, dict[str, float]]]) -> list[str]:
    def cell(row: str, column: str, digits: int = 3) -> str:
        values = [
            r[row][column] for r in results if column in r.get(row, {}) and math.isfinite(r[row][column])
        ]
        if not values:
            return ""
        return f"{np.mean(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"

    def table(part: str, columns: dict[str, str]) -> list[str]:
        names = [row for row in results[0] if row.startswith(part + " | ")]
        lines = [f"| | | {' | '.join(columns.values())} |", "|---|---|" + "---|" * len(columns)]
        for row in names:
            what, place = row.removeprefix(part + " | ").split(" | ")
            lines.append(f"| {what} | {place} | {' | '.join(cell(row, column) for column in columns)} |")
        return [*lines, ""]

    return [
        "**log Z of a network in the plane**, in nats: what `conclude` leaves in the energy, and the trained",
        "parameter, each minus quadrature of the learnt energy on a grid; and the divergence of the learnt density",
        "from the true one, KL(truth || learnt), by 4,000 fresh draws. 800 steps of 256 rows, 10,000 training rows.",
        "",
        *table(
            "log Z",
            {
                "log_z_error": "log Z error, kept",
                "log_z_error_trained": "as trained",
                "kl": "KL, nats",
                "cpu_seconds": "CPU seconds",
            },
        ),
        "**A Gaussian's precision** (relative Frobenius error) and the error of log Z against the closed form, in",
        "nats; 300 steps of 512 rows.",
        "",
        *table("precision", {"precision_error": "precision error", "log_z_error": "log Z error"}),
        "**AUROC**: malignant among benign; a digit (0, 1, 2 by the seed) that was left out, among the others. 400",
        "steps; no setting was chosen by these labels. 1-NN is the distance to the nearest training row; `untrained`",
        "is the same net, with its base and bank, before the first step. E = -log D/(1 - D); -log D ranks alike.",
        "",
        *table(
            "ranking",
            {
                "auroc": "AUROC",
                "untrained": "untrained",
                "d_real": "D(data)",
                "d_fake": "D(made)",
                "accuracy": "other view found",
            },
        ),
        "**What a discriminator knows of the density.** Spearman correlation of E with -log p on fresh data of a",
        "mixture of three Gaussians, the spread of E there, and the AUROC of uniform points in a square of side 6.",
        "",
        *table(
            "game",
            {
                "rank_correlation": "correlation with -log p",
                "sd_on_data": "sd of E on data",
                "auroc_uniform": "AUROC of uniform",
                "d_real": "D(data)",
                "d_fake": "D(made)",
            },
        ),
    ]
