"""Contrastive divergence: what its chains add to the same training without them, and how its energies go."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _images_data import Sizes, Split
from _images_families import Family
from _images_model import Fitted, fitted
from _images_ood import aurocs
from _images_ood import model as measured

from ebm.training import checkpoint
from ebm.training.config import TrainConfig

EVERY = 1000  # updates between two of the checkpoints that are measured
POINTS = 60  # of a curve that is kept
FEW = 500  # images a family of a checkpoint
Figures = dict[str, Any]


def control(config: TrainConfig) -> TrainConfig | None:
    """The same configuration with chains of no steps: its negatives stay where they start. None where no objective has
    chains that start from negatives, or where they have no steps already."""
    found = [0]

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("kind") == "cd" and value.get("k_steps") and value.get("negatives"):
                found[0] += 1
                value = value | {"k_steps": 0}
            return {key: without(inner) for key, inner in value.items()}
        return [without(inner) for inner in value] if isinstance(value, (list, tuple)) else value

    changed = without(config.model_dump(mode="json"))
    return TrainConfig.model_validate(changed | {"name": f"{config.name}-k0"[:64]}) if found[0] else None


def with_controls(configs: dict[str, TrainConfig]) -> dict[str, TrainConfig]:
    """Each configuration, then its control, unless a given one is the same but for its name."""
    told = [
        config.model_dump(mode="json", exclude={"name", "description", "version"})
        for config in configs.values()
    ]
    found: dict[str, TrainConfig] = {}
    for label, config in configs.items():
        found[label] = config
        plain = control(config)
        if (
            plain is not None
            and plain.model_dump(mode="json", exclude={"name", "description", "version"}) not in told
        ):
            found[f"{label}, K = 0"] = plain
    return found


def run(
    config: TrainConfig, split: Split, families: dict[str, Family], seed: int, sizes: Sizes, work: Path
) -> Figures:
    """AUROC by family of the trained energy and of its checkpoints, the curve of its energies, CPU seconds."""
    found = fitted(config, split, seed, work, EVERY)
    few = min(FEW, sizes.families)
    chained = [t for t in config.terms if t.objective is not None and t.objective.kind in ("cd", "pcd")]
    before = {t.name: sum(stage.training.n_steps for stage in t.pretraining) for t in chained}
    return measured(found, split.normal, families) | {
        "curve": curve(found.log, before),
        "checkpoints": checkpoints(
            found, set(before), split.normal[:few], {k: f.images[:few] for k, f in families.items()}
        ),
        "updates": {t.name: t.training.n_steps for t in chained},
    }


def curve(log: list[dict[str, Any]], before: dict[str, int]) -> list[dict[str, float]]:
    """Up to POINTS lines, evenly over the updates of the last stage: step, loss, and the mean energies of data ("real")
    and of negatives ("fake"), each the mean over the lines it stands for.

    Args:
        before: updates of the stages before the last, by term; other terms are left out.
    """
    lines = [
        line | {"step": line["step"] - before[line["term"]]}
        for line in log
        if "real" in line and "fake" in line and line["step"] > before.get(line["term"], np.inf)
    ]
    found = []
    for part in np.array_split(np.arange(len(lines)), min(POINTS, len(lines)) or 1):
        if len(part):
            point: dict[str, float] = {"step": lines[part[-1]]["step"]}
            for name in ("loss", "real", "fake", "gap"):
                values = [lines[i][name] for i in part if name in lines[i]]
                if values:
                    point[name] = float(np.mean(values))
            found.append(point)
    return found


@torch.no_grad()
def checkpoints(
    found: Fitted, terms: set[str], normal: np.ndarray, families: dict[str, np.ndarray]
) -> list[Figures]:
    """AUROC by family of every kept checkpoint's averaged weights, each term alone at its first noise level."""
    figures = []
    level = {e.term: e.sigma for e in reversed(found.detector.energy.experts)}
    for term, files in found.snapshots.items():
        if term not in terms:
            continue  # an earlier stage
        for step, path in files:
            energy = restored(found.detector.energy.terms[term], path)

            def scores(images: np.ndarray, energy: Any = energy, term: str = term) -> np.ndarray:
                parts = torch.from_numpy(images).unsqueeze(1).split(250)
                return torch.cat([energy(part, sigma=level[term]) for part in parts]).numpy()

            measured = aurocs(scores(normal), {name: scores(x) for name, x in families.items()})
            figures.append({"term": term, "step": step, "families": measured})
    return figures


def restored(module: torch.nn.Module, path: Path) -> torch.nn.Module:
    """A copy of the energy `module` with the weights of a checkpoint, averaged as training would leave them."""
    tensors, _ = checkpoint.load(path)
    energy = copy.deepcopy(module)
    energy.load_state_dict(checkpoint.pick(tensors, "energy"))
    energy.load_state_dict(checkpoint.pick(tensors, "average"), strict=False)
    return energy.requires_grad_(False).eval()
