"""One row of the gallery: an objective with its energy, loop and sampler, as a configuration would say it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ebm.config import validate
from ebm.data import ToyName
from ebm.training.config import TrainConfig

# Long enough for chains from N(mean, sd^2) of the data; a step is about the square of the sets' narrowest sd.
MALA: dict[str, Any] = {"sampler": {"kind": "mala", "step_size": 0.015}, "n_steps": 300}
MLP: dict[str, Any] = {"kind": "mlp", "width": 64, "depth": 4}
LOOP: dict[str, Any] = {"batch_size": 256, "learning_rate": 1e-2, "warmup_steps": 20, "ema": 0.98}
CLASSES = {"moons": 2, "pinwheel": 5, "rings": 3, "eight_gaussians": 8, "checkerboard": 4}


@dataclass(frozen=True)
class Entry:
    """key: unique, and the name of its picture. kind: of its objective. equation: the loss, in TeX. about: what to look
    for. term: energy, objective and training, as in a configuration; what `training` leaves out is as in `LOOP`.
    sampling: likewise. level: the noise at which a noise-conditional energy is shown and measured. density: whether
    exp(-E) is meant to be the density of the data, so that fields and energies can be held against the truth's; else
    only shapes and ranks can. labelled: an energy of the parts of the set, whose `classes` are filled in.
    """

    key: str
    kind: str
    title: str
    equation: str
    about: str
    term: dict[str, Any]
    sampling: dict[str, Any] = field(default_factory=lambda: MALA)
    level: float | None = None
    density: bool = True
    labelled: bool = False

    def config(self, name: ToyName, seed: int = 0, *, rows: int = 10_000, steps: float = 1.0) -> TrainConfig:
        """The whole configuration of this entry on the set `name`; `ebm train` takes it as it stands.

        Args:
            rows: of the set.
            steps: the share of the training and sampling steps to do, for a quick look.
        """
        term = {"name": "energy", **self.term, "training": _loop(self.term.get("training", {}), steps)}
        if self.labelled:
            term["energy"] = {**term["energy"], "classes": list(range(CLASSES[name]))}
        sampling = {"term": "energy", **self.sampling, "sampler": dict(self.sampling["sampler"])}
        # A plain chain has a length, an annealed one steps at each of its levels.
        counted = (
            ("n_steps", sampling) if "n_steps" in sampling else ("n_steps_per_level", sampling["sampler"])
        )
        counted[1][counted[0]] = max(1, round(steps * counted[1][counted[0]]))
        values = {
            "name": f"gallery-{self.key}-{name}".replace("_", "-"),
            "seed": seed,
            "accelerator": "cpu",
            "data": {"kind": "toy", "name": name, "n": rows, "seed": seed},
            "split": {"train": 0.9, "calibration": 0.1},
            "preprocessing": {"kind": "standardize"},
            "terms": [term],
            "sampling": sampling,
        }
        return validate(TrainConfig, values, f"gallery entry '{self.key}'")


def _loop(training: dict[str, Any], steps: float) -> dict[str, Any]:
    values = {**LOOP, **training}
    n = max(2, round(steps * values["n_steps"]))
    return {**values, "n_steps": n, "log_every": 1, "checkpoint_every": n}
