"""From a configuration and normal rows to a calibrated detector."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ebm.artifact import build_energy
from ebm.calibration import Calibration
from ebm.data.pixels import Pixels
from ebm.detector import Detector, SamplingState
from ebm.energies import ProductOfExperts
from ebm.errors import BadInput
from ebm.generation import check_shape
from ebm.leave_one_out import leave_one_out
from ebm.manifest import CalibrationSummary, DataSummary, Manifest, Term
from ebm.noise_level import level_offsets
from ebm.preprocessing import Preprocessor, ScaleImage
from ebm.training.config import ModelConfig, TermConfig
from ebm.training.devices import make_fabric
from ebm.training.labels import class_numbers
from ebm.training.ranks import share_of
from ebm.training.stages import OnTermStep, Stages, as_stored, halved
from ebm.trimming import trim

IN_MEMORY = 2**30  # bytes of images as float32 up to which all are kept so
Values = Any  # an array, or a table of columns of several types (`pyarrow.Table`)

# (term name, step, energy with averaged weights, held-out rows in model space): at the quarters of its training.
OnTermLook = Callable[[str, int, nn.Module, Tensor], None]


@dataclass(frozen=True)
class Fit:
    """`detector`, and where it was calibrated by leave-one-out: the anomaly scores (n,) of the rows `index` (n,) of the
    training rows, each by the others."""

    detector: Detector
    scores: np.ndarray
    index: np.ndarray


def fit_detector(
    config: ModelConfig,
    train: Values,
    calibration: Values | None = None,
    **options: Any,
) -> Detector:
    """Fit and train every term on `train` and calibrate on `calibration`, or on `train` itself, left out row by row,
    where config.calibration says so; both (N, ...) normal rows in user units. Options as for `fit`.

    Raises:
        BadInput: the rows cannot be used. Diverged: training failed twice. Cancelled: `should_stop()` was true.
    """
    return fit(config, train, calibration, **options).detector


def fit(
    config: ModelConfig,
    train: Values,
    calibration: Values | None = None,
    *,
    columns: list[str] | None = None,
    labels: Any = None,
    data: DataSummary | None = None,
    checkpoints: Path | None = None,
    resume: bool = False,
    on_step: OnTermStep | None = None,
    on_look: OnTermLook | None = None,
    should_stop: Callable[[], bool] | None = None,
    fabric: Fabric | None = None,
) -> Fit:
    """`fit_detector`, with what it says of the training rows.

    Args:
        labels: (N,) of the training rows, for objectives that learn from them; None in place of one not known.
        checkpoints: folder for the terms' checkpoints, which `resume` continues from.
        fabric: launched, of several devices; each of them calls this with the same arguments, of which only rank 0's
            `on_step` and `on_look` are called, and gets the same answer.
    """
    fabric = fabric or make_fabric(config.accelerator, config.precision)
    for stage in (stage for term in config.terms for stage in term.stages):
        share_of(stage, fabric.world_size)  # before the work, not in the middle of it
    first = fabric.is_global_zero
    by_split = config.calibration == "split"
    if by_split and (calibration is None or len(calibration) < 2):
        found = 0 if calibration is None else len(calibration)
        raise BadInput(f"calibration needs at least 2 normal rows, got {found}")
    numbers = {term.name: class_numbers(labels, term, len(train)) for term in config.terms}
    preprocessor = config.preprocessing.build().fit(train, columns)
    if config.sampling is not None:
        check_shape(config.sampling, preprocessor.shape)
    # Images that would fill the memory as float32 stay bytes; what needs many rows at once gets a part of them.
    pixels: Pixels | None = None
    if by_split and config.contamination is None and isinstance(preprocessor, ScaleImage) and _many(train):
        pixels = Pixels.of(np.asarray(train), preprocessor)
    x = _part(pixels) if pixels is not None else torch.from_numpy(preprocessor.transform(train))
    held_out = torch.from_numpy(preprocessor.transform(calibration)) if by_split else x[:0]
    trimmed = trim(x, config.contamination)
    clean, notes = trimmed.kept, trimmed.notes
    terms = tuple(
        Term(
            name=t.name,
            energy=t.energy,
            objective=t.objective,
            weight=t.weight,
            sigmas=t.sigmas,
            local_sigmas=t.local_sigmas,
        )
        for t in config.terms
    )

    def look(term: str, step: int, module: nn.Module) -> None:
        if on_look is not None and len(held_out) and first:
            on_look(term, step, module, held_out.to(fabric.device))

    def fitted(term: TermConfig, module: nn.Module, rows: Tensor, fold: int | None) -> nn.Module:
        """One energy on `rows`; a fold's is trained for fewer steps and leaves no checkpoint."""
        seed = config.seed + 1000 * config.terms.index(term)
        cast(Any, module).fit(rows)
        if term.start_from is not None:
            module.load_state_dict(product.terms[term.start_from].state_dict())
        stages = Stages(module, rows, pixels or rows, fabric, should_stop, numbers[term.name])
        if fold is None:
            stages.run(term, seed, term.stages, checkpoints, resume, on_step if first else None, look)
        else:
            stages.run(term, seed + 1 + fold, [halved(stage) for stage in term.stages])
        module = module.to("cpu").requires_grad_(False).eval()
        return as_stored(module) if config.weights == "float16" else module

    torch.manual_seed(config.seed)  # weight initialisation is the one thing torch draws globally
    product = build_energy(terms, preprocessor.shape, config.link, config.link_temperature)
    for term in config.terms:
        module = fitted(term, product.terms[term.name], x[clean], None)
        notes += tuple(getattr(module, "notes", ()))
    product = product.to("cpu").requires_grad_(False).eval()
    if by_split:
        assert calibration is not None
        index = np.arange(len(calibration))
        with torch.no_grad():
            parts = [product.expert_energies(rows) for rows in held_out.split(1024)]
        energies = torch.cat(parts)
    else:
        index, energies = leave_one_out(config, product, x, clean, fitted)
        held_out = x[index]
    calibrating = np.isin(index, trimmed.normal.numpy()) if not by_split else np.ones(len(index), bool)
    product.standardise(energies[torch.from_numpy(calibrating)])
    state = _sampling_state(config, product, x[clean], held_out)
    detector, scores = _calibrated(
        config,
        terms,
        preprocessor,
        product,
        state,
        energies,
        calibrating,
        len(clean if pixels is None else pixels),
        data,
        notes,
    )
    return Fit(detector, scores, index)


def _many(images: Values) -> bool:
    return float(np.size(images)) * 4 > IN_MEMORY


def _part(pixels: Pixels) -> Tensor:
    """As many images, evenly spaced, as `IN_MEMORY` allows, (n, C, H, W)."""
    n = max(2, min(len(pixels), IN_MEMORY // (4 * math.prod(pixels.shape))))
    return pixels.batch(torch.linspace(0, len(pixels) - 1, n).long())


def _sampling_state(
    config: ModelConfig, product: ProductOfExperts, x: Tensor, held_out: Tensor
) -> SamplingState | None:
    if config.sampling is None:
        return None
    offsets = None
    if getattr(product.terms[config.sampling.term], "noise_conditional", False):
        generator = torch.Generator().manual_seed(config.seed)
        offsets = level_offsets(product.terms[config.sampling.term], held_out, generator)
    return SamplingState(x.mean(0), x.std(0), offsets)


def _calibrated(
    config: ModelConfig,
    terms: tuple[Term, ...],
    preprocessor: Preprocessor,
    product: ProductOfExperts,
    state: SamplingState | None,
    energies: Tensor,
    calibrating: np.ndarray,
    n_train: int,
    data: DataSummary | None,
    notes: tuple[str, ...],
) -> tuple[Detector, np.ndarray]:
    """The detector, calibrated by the rows `calibrating` (n,) of energies (n, K); and the scores of all n rows."""
    energy = product.combine(energies).double().numpy()
    used = energy[calibrating]
    if not np.isfinite(used).all():
        raise BadInput("the energies of the calibration rows are not finite; the model is unusable")
    # Rows that are all alike to the model, as two rows are, each left out, or equally many of two levels.
    mean, sd, n = float(used.mean()), float(used.std()) or 1.0, len(used)
    n_held = n if config.calibration == "split" else 0
    manifest = Manifest(
        name=config.name,
        version=config.version,
        kind=preprocessor.kind,  # type: ignore[arg-type]  # the two kinds are the preprocessors' own
        description=config.description,
        created=datetime.now(UTC).date().isoformat(),
        input=preprocessor.schema(),
        preprocessing=config.preprocessing,
        terms=terms,
        link=config.link,
        link_temperature=config.link_temperature,
        weights=config.weights,
        sampling=config.sampling,
        calibration=CalibrationSummary(
            method=config.calibration, n=n, mean=mean, sd=sd, default_fpr=config.default_fpr
        ),
        data=data
        or DataSummary(
            source="", fingerprint="", n_train=n_train, n_calibration=n_held, n_test=0, seed=config.seed
        ),
        notes=notes,
        training=config.model_dump(mode="json"),
        versions={
            p: importlib.metadata.version(p) for p in ("torch", "numpy", "scikit-learn", "safetensors")
        },
    )
    # A float32 energy, as scoring will see it, so that calibration and scoring round alike.
    scores = (energy.astype(np.float32).astype(np.float64) - mean) / sd
    return Detector(manifest, preprocessor, product, Calibration.fit(scores[calibrating]), state), scores
