"""A whole training run: data, split, fit, measurement, and what it leaves in its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from lightning_fabric import Fabric
from torch import Tensor, nn

from ebm import data as datasets
from ebm.data import Table, Values, take_rows
from ebm.detector import Detector
from ebm.errors import BadConfig, BadInput, EBMError
from ebm.evaluation.detector import Measured, evaluate, evaluate_corruptions
from ebm.fitting import OnTermStep, fit_detector
from ebm.manifest import DataSummary
from ebm.noise_check import NoiseCheck, check_noise
from ebm.run_log import RunLog
from ebm.training.config import TrainConfig
from ebm.training.devices import make_fabric
from ebm.training.ranks import Ranks


@dataclass(frozen=True)
class Prepared:
    """The rows of a run, in user units: three disjoint parts of the normal rows, and the labelled anomalies. `labels`:
    of the rows of `train`, where the data have any."""

    train: Values
    calibration: Values
    test: Values
    anomalies: Values
    table: Table
    labels: np.ndarray | None = None

    def summary(self, seed: int) -> DataSummary:
        return DataSummary(
            source=self.table.source,
            fingerprint=self.table.fingerprint(),
            n_train=len(self.train),
            n_calibration=len(self.calibration),
            n_test=len(self.test),
            seed=seed,
        )


def prepare(config: TrainConfig, base_dir: Path | str = ".") -> Prepared:
    """Read the data and split the normal rows, always the same way for one configuration.

    Raises:
        BadInput: the data cannot be read, or are too few.
    """
    cells = "mixed" if config.preprocessing.kind == "mixed" else "numbers"
    table = datasets.load(config.data, base_dir, cells=cells)
    normal = datasets.normal_mask(table, config.data.normal)
    rows = take_rows(table.values, normal)
    groups = None if table.groups is None else table.groups[normal]
    split = datasets.split_normal(
        len(rows), config.split.train, config.split.calibration, config.seed, groups
    )
    return Prepared(
        take_rows(rows, split.train),
        take_rows(rows, split.calibration),
        take_rows(rows, split.test),
        take_rows(table.values, ~normal),
        table,
        None if table.labels is None else table.labels[normal][split.train],
    )


def measure(detector: Detector, rows: Prepared, seed: int) -> Measured:
    """The model and the baselines on the test rows, against labelled anomalies where there are any, else, for images,
    against synthetic damage; empty where there is nothing to measure against."""
    if len(rows.test) == 0 or len(rows.train) < 5:
        return {}
    if len(rows.anomalies):
        return evaluate(detector, rows.test, rows.anomalies, rows.train, seed)
    if detector.kind == "image":
        return evaluate_corruptions(detector, rows.test, rows.train, seed)
    return {}


def train(
    config: TrainConfig,
    *,
    run_dir: Path | str | None = None,
    base_dir: Path | str = ".",
    resume: bool = False,
    on_step: OnTermStep | None = None,
    should_stop: Callable[[], bool] | None = None,
    fabric: Fabric | None = None,
) -> Detector:
    """Train, calibrate and measure the model that `config` describes.

    The run folder receives config.yaml, metrics.jsonl, checkpoints/, curves.png, samples.png where the model
    generates, and for images energies.png, denoising.png and chain.png, and all four as training goes in
    pictures/<term>/. With `resume` it continues from there and ends with the weights of an uninterrupted run.

    The model is asked for the energies of noise beside those of held-out rows (`ebm.noise_check`); where noise looks
    more normal, a note of the model says so.

    A launched `fabric` of several devices has each of them call this alike. Rank 0 alone measures and writes, but for
    the others' part of the checkpoints; to the others the detector comes back unmeasured.

    Raises:
        BadConfig: `resume` in a folder of another configuration, or a fresh start in a folder that holds a run.
        BadInput, Diverged, Cancelled: as `fit_detector`.
        RankLost: another device's process has ended.
    """
    fabric = fabric or make_fabric(config.accelerator, config.precision)
    ranks = Ranks(fabric)
    rows = prepare(config, base_dir)
    if ranks.size > 1 and not ranks.alike(_digest(config, rows)):
        raise BadInput(f"{rows.table.source}: the devices do not all have the same data and configuration")
    log: RunLog | None = None
    folder = None if run_dir is None else Path(run_dir)
    if folder is not None and ranks.first:
        _claim(folder, config, resume)

    def report(term: str, step: int, n_steps: int, figures: dict[str, float]) -> None:
        if log is not None:
            log.write(term, step, figures)
        if on_step is not None:
            on_step(term, step, n_steps, figures)

    objectives = {term.name: term.objective for term in config.terms if term.objective is not None}

    def look(term: str, step: int, energy: nn.Module, held_out: Tensor) -> None:
        if log is not None:
            log.look(term, step, energy, held_out, objectives.get(term))

    with ExitStack() as last:
        try:
            if folder is not None and ranks.first:
                log = RunLog(folder, resume=resume, tensorboard=config.tensorboard)
                last.callback(log.close)
            detector = fit_detector(
                config,
                rows.train,
                rows.calibration,
                columns=rows.table.columns,
                labels=rows.labels,
                data=rows.summary(config.seed),
                checkpoints=None if folder is None else folder / "checkpoints",
                resume=resume,
                on_step=report,
                on_look=look,
                should_stop=should_stop,
                fabric=fabric,
            )
        except EBMError:
            if folder is not None and not resume and ranks.first:
                _release(folder)
            raise
        if not ranks.first:
            return detector
        measured = measure(detector, rows, config.seed)
        own = measured.pop("model", {})
        held_out = rows.test if len(rows.test) else rows.calibration
        checked = _noise_check(detector, held_out, config.seed)
        notes = detector.manifest.notes + (() if checked is None else checked.notes())
        detector.manifest = detector.manifest.model_copy(
            update={"metrics": own, "baselines": measured, "notes": notes}
        )
        if log is not None:
            log.draw(detector, held_out, checked, objectives)
    return detector


def _noise_check(detector: Detector, held_out: Values, seed: int) -> NoiseCheck | None:
    """Of the model, on rows in user units; None where no rows are held out."""
    if len(held_out) == 0:
        return None
    x = torch.from_numpy(detector.preprocessor.transform(held_out)).to(detector.device)
    return check_noise(detector.energy, x, seed=seed)


def _digest(config: TrainConfig, rows: Prepared) -> bytes:
    return hashlib.sha256((config.model_dump_json() + rows.table.fingerprint()).encode()).digest()


def _claim(folder: Path, config: TrainConfig, resume: bool) -> None:
    """Write config.yaml, or check that the folder is this configuration's."""
    file = folder / "config.yaml"
    text = yaml.safe_dump(json.loads(config.model_dump_json()), sort_keys=False)
    if not resume:
        if file.exists():
            raise BadConfig(f"{folder}: holds a run already; resume it, or choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    elif not file.exists():
        raise BadConfig(f"{folder}: no run to resume")
    elif file.read_text(encoding="utf-8") != text:
        raise BadConfig(f"{file}: differs from the configuration given; a run resumes only as it began")


def _release(folder: Path) -> None:
    """Undo `_claim` where a run failed before its first checkpoint: there is nothing to resume."""
    if not (folder / "checkpoints").exists():
        for name in ("config.yaml", "metrics.jsonl"):
            (folder / name).unlink(missing_ok=True)
