"""A detector fitted for one seed, kept in the working folder with its log, so that every section uses the same one."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _images_data import Split
from _images_store import digest
from torch import nn

from ebm.artifact import list_models, load, publish
from ebm.detector import Detector
from ebm.fitting import fit_detector
from ebm.training import checkpoint
from ebm.training.config import TrainConfig


@dataclass(frozen=True)
class Fitted:
    """`seconds`: CPU seconds by term, and of all together; `log`: what training told, a line every few steps;
    `snapshots`: checkpoints (step, file) by term, where they were asked for."""

    detector: Detector
    seconds: dict[str, float]
    log: list[dict[str, Any]]
    snapshots: dict[str, list[tuple[int, Path]]]


def made_with(config: TrainConfig) -> dict[str, Any]:
    """What of a configuration decides the figures: not its name, nor where its data would come from."""
    return config.model_dump(mode="json", exclude={"name", "version", "description", "data", "split", "seed"})


def to_user(config: TrainConfig, images: np.ndarray) -> np.ndarray:
    """[-1, 1] to the units of the configuration, float32; values outside stay outside."""
    low, high = getattr(config.preprocessing, "low", -1.0), getattr(config.preprocessing, "high", 1.0)
    exact = low + (np.asarray(images, np.float64) + 1) * ((high - low) / 2)
    whole = np.rint(exact)  # bytes come back as the bytes they were, bit for bit
    return np.where(np.abs(exact - whole) < 1e-4, whole, exact).astype(np.float32)


def fitted(config: TrainConfig, split: Split, seed: int, work: Path, every: int = 0) -> Fitted:
    """The detector of `config` and `seed` on `split`, from the folder `work` if it is there; else fitted, going on
    where an interrupted fit stopped.

    Args:
        every: keep a checkpoint of each term about every so many steps.
    """
    folder = work / f"{config.name}-{seed}-{digest([made_with(config), len(split.train)])}"
    models, log = folder / "models", Log(folder, every)
    if not list_models(models):
        detector = fit_detector(
            config.model_copy(update={"seed": seed}),
            to_user(config, split.train),
            to_user(config, split.calibration),
            checkpoints=folder / "checkpoints",
            resume=True,
            on_step=log,
        )
        log("", 0, 0, {})  # what came after the last step: calibration
        publish(detector, models, "An intermediate result of a benchmark.\n")
    detector = load(list_models(models)[0].path)
    seconds: dict[str, float] = {}
    for line in log.lines:
        seconds[line["term"] or "calibration"] = seconds.get(line["term"] or "calibration", 0.0) + line["cpu"]
    lines = [line for line in log.lines if line["term"]]
    return Fitted(detector, seconds | {"all": sum(seconds.values())}, lines, log.kept())


class Log:
    """Appends what training tells, and the CPU seconds since the last line, to log.jsonl; copies checkpoints."""

    def __init__(self, folder: Path, every: int):
        self.folder, self.every, self.mark = folder, every, time.process_time()
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        (folder / "snapshots").mkdir(exist_ok=True)
        self.file = folder / "log.jsonl"
        text = self.file.read_text() if self.file.exists() else ""
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
        self.seen: dict[Path, int] = {}

    def __call__(self, term: str, step: int, n_steps: int, figures: dict[str, float]) -> None:
        now = time.process_time()
        line = {"term": term, "step": step, "n_steps": n_steps, "cpu": now - self.mark, **figures}
        self.mark = now
        self.lines.append(line)
        with self.file.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        if self.every:
            self.keep()

    def keep(self) -> None:
        """Copy every checkpoint that is new and at least `every` steps past the last copy."""
        for path in (self.folder / "checkpoints").glob("*.safetensors"):
            written = path.stat().st_mtime_ns
            if self.seen.get(path) == written:
                continue
            self.seen[path] = written
            step = int(checkpoint.load(path)[1]["step"])
            last = max((s for s, _ in self.kept().get(path.stem, [])), default=0)
            if step >= last + self.every:
                shutil.copy2(path, self.folder / "snapshots" / f"{path.stem}-{step:07d}.safetensors")

    def kept(self) -> dict[str, list[tuple[int, Path]]]:
        found: dict[str, list[tuple[int, Path]]] = {}
        for path in sorted((self.folder / "snapshots").glob("*.safetensors")):
            stem, step = path.stem.rsplit("-", 1)
            found.setdefault(stem, []).append((int(step), path))
        return found


def expert_names(detector: Detector) -> list[str]:
    return [
        e.term + (f" at {e.sigma:g}" if e.sigma else "") + (", worst place" if e.local else "")
        for e in detector.energy.experts
    ]


@torch.no_grad()
def expert_energies(detector: Detector, images: np.ndarray, batch: int = 250) -> np.ndarray:
    """(n, K): the energy of each expert for images (n, H, W) in [-1, 1]."""
    rows = torch.from_numpy(np.ascontiguousarray(images, np.float32)).unsqueeze(1)
    return torch.cat([detector.energy.expert_energies(part) for part in rows.split(batch)]).numpy()


def product_energy(detector: Detector, energies: np.ndarray) -> np.ndarray:
    """(n, K) -> (n,): as the detector scores."""
    return detector.energy.combine(torch.from_numpy(energies)).numpy()


def noise_conditional(detector: Detector) -> dict[str, nn.Module]:
    """The terms that denoise: noise-conditional networks, not kernels."""
    terms = detector.energy.terms.items()
    return {
        name: term
        for name, term in terms
        if getattr(term, "noise_conditional", False) and any(True for _ in term.parameters())
    }


def by_images(
    detector: Detector, config: TrainConfig, call: Callable[[np.ndarray], np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """A call in user units as one on model-space images (n, H, W)."""
    return lambda images: detector.preprocessor.transform(call(to_user(config, images)))[:, 0]
