"""What a model says about itself: the JSON half of an artefact."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ebm.config import Frozen
from ebm.energies import EnergyConfig
from ebm.energies.product import Link
from ebm.objectives import ObjectiveConfig
from ebm.preprocessing import PreprocessorConfig
from ebm.training.config import NAME, SamplingConfig

FORMAT_VERSION = 1
FIELDS = ("restoration",)  # kinds of energy that come with a denoiser, see `ebm.samplers.posterior.Denoiser`


class Term(Frozen):
    """One energy: how it is built, how it was trained, and the noise levels and weight at which it scores."""

    name: str
    energy: EnergyConfig
    objective: ObjectiveConfig | None
    weight: float
    sigmas: tuple[float, ...]
    local_sigmas: tuple[float, ...] = ()


class CalibrationSummary(Frozen):
    """Of `n` normal rows, held out (`split`) or left out of training one at a time (`leave_one_out`); `mean` and `sd`
    are their energy's, which standardise the anomaly score."""

    method: Literal["split", "leave_one_out"] = "split"
    n: int = Field(ge=1)
    mean: float
    sd: float = Field(gt=0)
    default_fpr: float = Field(gt=0, lt=1)


class DataSummary(Frozen):
    """Where the training rows came from; `fingerprint` is a sha256 over values and labels."""

    source: str
    fingerprint: str
    n_train: int
    n_calibration: int
    n_test: int
    seed: int


class Manifest(Frozen):
    """Everything but the arrays. `files` maps each file of the artefact to its sha256."""

    format_version: Literal[1] = FORMAT_VERSION
    name: str = Field(pattern=NAME)
    version: str = Field(pattern=NAME)
    kind: Literal["tabular", "image"]
    description: str = ""
    created: str
    input: dict[str, Any]
    preprocessing: PreprocessorConfig
    terms: tuple[Term, ...] = Field(min_length=1)
    link: Link = "linear"
    link_temperature: float = Field(default=1.0, gt=0)
    weights: Literal["float32", "float16"] = "float32"
    sampling: SamplingConfig | None = None
    calibration: CalibrationSummary
    data: DataSummary
    notes: tuple[str, ...] = ()
    metrics: dict[str, float] = {}
    baselines: dict[str, dict[str, float]] = {}
    training: dict[str, Any] = {}
    versions: dict[str, str] = {}
    files: dict[str, str] = {}

    @property
    def denoises_by(self) -> Literal["energy", "field"] | None:
        """What takes noise away: the gradient of an energy, or the field of a denoiser, which need not be one; None
        where the model does not denoise. Not stored."""
        energy = next((t.energy for t in self.terms if self.sampling and t.name == self.sampling.term), None)
        if energy is None or not getattr(energy, "noise_conditional", False):
            return None
        return "field" if energy.kind in FIELDS else "energy"
