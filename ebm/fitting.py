"""From a configuration and normal rows to a calibrated detector."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from ebm.artifact import build_energy
from ebm.calibration import Calibration
from ebm.detector import Detector, SamplingState
from ebm.energies import ProductOfExperts
from ebm.errors import BadInput
from ebm.manifest import CalibrationSummary, DataSummary, Manifest, Term
from ebm.preprocessing import Preprocessor
from ebm.restoration import level_offsets
from ebm.training.config import TermConfig, TrainConfig
from ebm.training.loop import Trainer, make_fabric

# (term name, step, n_steps, figures): called every `log_every` steps of each trained term.
OnTermStep = Callable[[str, int, int, dict[str, float]], None]


def fit_detector(
    config: TrainConfig,
    train: np.ndarray | pa.Table,
    calibration: np.ndarray | pa.Table,
    *,
    columns: list[str] | None = None,
    data: DataSummary | None = None,
    checkpoints: Path | None = None,
    resume: bool = False,
    on_step: OnTermStep | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Detector:
    """Fit and train every term on `train`, then calibrate on `calibration`; both (N, ...) normal rows in user units.

    Args:
        checkpoints: folder for the terms' checkpoints, which `resume` continues from.

    Raises:
        BadInput: the rows cannot be used. Diverged: training failed twice. Cancelled: `should_stop()` was true.
    """
    if len(calibration) < 2:
        raise BadInput(f"calibration needs at least 2 normal rows, got {len(calibration)}")
    preprocessor = config.preprocessing.build().fit(train, columns)
    x = torch.from_numpy(preprocessor.transform(train))
    held_out = torch.from_numpy(preprocessor.transform(calibration))
    fabric = make_fabric(config.accelerator, config.precision)
    terms = tuple(
        Term(name=t.name, energy=t.energy, objective=t.objective, weight=t.weight, sigmas=t.sigmas)
        for t in config.terms
    )
    torch.manual_seed(config.seed)  # weight initialisation is the one thing torch draws globally
    product = build_energy(terms, preprocessor.shape)
    for index, term in enumerate(config.terms):
        module = product.terms[term.name]
        cast(Any, module).fit(x)
        if term.objective is not None:
            _train_term(
                term, module, x, fabric, config.seed + 1000 * index, checkpoints, resume, on_step, should_stop
            )
    product = product.to("cpu").requires_grad_(False).eval()
    product.standardise(held_out)
    state = _sampling_state(config, product, x, held_out)
    return _calibrated(config, terms, preprocessor, product, state, held_out, data)


def _train_term(
    term: TermConfig,
    module: nn.Module,
    x: Tensor,
    fabric: Any,
    seed: int,
    checkpoints: Path | None,
    resume: bool,
    on_step: OnTermStep | None,
    should_stop: Callable[[], bool] | None,
) -> None:
    assert term.objective is not None
    trainer = Trainer(module, term.objective.build(), x, term.training, fabric, seed)
    trainer.run(
        path=None if checkpoints is None else checkpoints / f"{term.name}.safetensors",
        resume=resume,
        on_step=None if on_step is None else lambda step, n, figures: on_step(term.name, step, n, figures),
        should_stop=should_stop,
    )


def _sampling_state(
    config: TrainConfig, product: ProductOfExperts, x: Tensor, held_out: Tensor
) -> SamplingState | None:
    if config.sampling is None:
        return None
    offsets = None
    if getattr(product.terms[config.sampling.term], "noise_conditional", False):
        generator = torch.Generator().manual_seed(config.seed)
        offsets = level_offsets(product.terms[config.sampling.term], held_out, generator)
    return SamplingState(x.mean(0), x.std(0), offsets)


def _calibrated(
    config: TrainConfig,
    terms: tuple[Term, ...],
    preprocessor: Preprocessor,
    product: ProductOfExperts,
    state: SamplingState | None,
    held_out: Tensor,
    data: DataSummary | None,
) -> Detector:
    with torch.no_grad():
        energy = torch.cat([product(part) for part in held_out.split(1024)]).double().numpy()
    if not np.isfinite(energy).all() or energy.std() == 0:
        raise BadInput(
            "the energies of the calibration rows are not finite or do not vary; the model is unusable"
        )
    mean, sd = float(energy.mean()), float(energy.std())
    n = len(held_out)
    manifest = Manifest(
        name=config.name,
        version=config.version,
        kind=preprocessor.kind,  # type: ignore[arg-type]  # the two kinds are the preprocessors' own
        description=config.description,
        created=datetime.now(UTC).date().isoformat(),
        input=preprocessor.schema(),
        preprocessing=config.preprocessing,
        terms=terms,
        sampling=config.sampling,
        calibration=CalibrationSummary(n=n, mean=mean, sd=sd, default_fpr=config.default_fpr),
        data=data
        or DataSummary(source="", fingerprint="", n_train=0, n_calibration=n, n_test=0, seed=config.seed),
        training=config.model_dump(mode="json"),
        versions={
            p: importlib.metadata.version(p) for p in ("torch", "numpy", "scikit-learn", "safetensors")
        },
    )
    # A float32 energy, as scoring will see it, so that calibration and scoring round alike.
    standardised = (energy.astype(np.float32).astype(np.float64) - mean) / sd
    return Detector(manifest, preprocessor, product, Calibration.fit(standardised), state)
