"""GET /v1/models and /v1/limits: what is served, and how much one request may ask."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from ebm.detector import Detector
from service.registry import Loaded
from service.settings import Settings


class ModelSummary(BaseModel):
    """One model by the version that its bare name means."""

    name: str
    version: str
    versions: list[str]
    kind: str = Field(description="tabular or image")
    description: str
    created: str
    input_shape: list[int]
    columns: list[str] | None
    can: list[str] = Field(description="score, and denoise and generate where the model has an energy for it")
    objectives: list[str]
    n_calibration: int
    default_fpr: float
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]

    @classmethod
    def of(cls, loaded: Loaded, versions: list[str]) -> ModelSummary:
        detector: Detector = loaded.detector
        manifest = detector.manifest
        return cls(
            name=loaded.name,
            version=loaded.version,
            versions=versions,
            kind=detector.kind,
            description=manifest.description,
            created=manifest.created,
            input_shape=list(detector.input_shape),
            columns=detector.columns,
            can=sorted(detector.can),
            objectives=[
                term.objective.kind if term.objective else term.energy.kind for term in manifest.terms
            ],
            n_calibration=manifest.calibration.n,
            default_fpr=manifest.calibration.default_fpr,
            metrics=manifest.metrics,
            baselines=manifest.baselines,
        )


class RefusedModel(BaseModel):
    """A version in the models folder that is not served, and why."""

    name: str
    version: str
    reason: str


class ModelList(BaseModel):
    models: list[ModelSummary]
    refused: list[RefusedModel]


class ModelDetail(ModelSummary):
    """The summary, and the whole manifest."""

    is_default: bool
    higher_is_more_anomalous: bool = True
    manifest: dict[str, Any]


class Limits(BaseModel):
    """Each is a setting: EBM_ and the name in capitals."""

    max_body_bytes: int
    max_rows: int
    max_denoise_rows: int
    max_samples: int
    max_steps: int
    max_values: int
    max_pixels: int
    queue_size: int
    task_queue_size: int
    timeout_s: float
    max_timeout_s: float

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(**settings.model_dump(include=set(cls.model_fields)))
