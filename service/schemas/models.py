"""GET /v1/models and /v1/limits: what is served, and how much one request may ask; what a reload changed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from ebm.manifest import Manifest
from service.registry import Changes, Slot, State
from service.settings import Settings


class ModelSummary(BaseModel):
    """One version of a model; in a list the one that its bare name means."""

    name: str
    version: str
    versions: list[str] = Field(description="those that can answer, the lowest first")
    state: State = Field(
        description="loaded; available or evicted, where the next request loads it; unloaded by an administrator"
    )
    note: str | None = Field(None, description="why the bare name does not mean the highest version")
    kind: Literal["tabular", "image"]
    description: str
    created: str = Field(description="the day of training")
    input_shape: list[int]
    columns: list[str] | None
    can: list[str] | None = Field(
        description="score, and what else this model answers; null until it is first loaded"
    )
    objectives: list[str]
    denoises_by: Literal["energy", "field"] | None = Field(
        description="what takes noise away: the gradient of an energy, or a denoiser's field, which need not be one"
    )
    n_calibration: int
    default_fpr: float
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    n_bytes: int | None = Field(description="memory it takes; null where it is not loaded")

    @classmethod
    def of(cls, slot: Slot, manifest: Manifest, versions: list[str], note: str | None = None) -> ModelSummary:
        shape, columns = _input(manifest.input)
        return cls(
            name=slot.key[0],
            version=slot.key[1],
            versions=versions,
            state=slot.state,
            note=note,
            kind=manifest.kind,
            description=manifest.description,
            created=manifest.created,
            input_shape=shape,
            columns=columns,
            can=sorted(slot.can) if slot.can is not None else None,
            objectives=[
                term.objective.kind if term.objective else term.energy.kind for term in manifest.terms
            ],
            denoises_by=manifest.denoises_by,
            n_calibration=manifest.calibration.n,
            default_fpr=manifest.calibration.default_fpr,
            metrics=manifest.metrics,
            baselines=manifest.baselines,
            n_bytes=slot.loaded.n_bytes if slot.loaded is not None else None,
        )


def _input(schema: dict[str, Any]) -> tuple[list[int], list[str] | None]:
    """Shape of one row in user units, and the columns where they have names; of a preprocessor's schema."""
    if schema["kind"] == "image":
        shape = [schema["height"], schema["width"], schema["channels"]]
        return shape[:2] if shape[2] == 1 else shape, None
    names = [column["name"] for column in schema["columns"]]
    return [len(names)], names if schema["named"] else None


class Version(BaseModel):
    name: str
    version: str


class RefusedModel(Version):
    """A version in the models folder that is not served, and why."""

    reason: str


class ModelList(BaseModel):
    models: list[ModelSummary]
    refused: list[RefusedModel]
    unloaded: list[Version] = Field(description="by an administrator, until loaded again")


class ModelDetail(ModelSummary):
    """The summary, and the whole manifest."""

    is_default: bool
    higher_is_more_anomalous: bool = True
    manifest: dict[str, Any]


class Moved(BaseModel):
    """What the bare name meant, and means now; null: nothing."""

    before: str | None
    now: str | None


class Reloaded(BaseModel):
    """What a look at the models changed."""

    added: list[Version]
    removed: list[Version]
    refused: list[RefusedModel] = Field(description="those newly refused, or for another reason than before")
    defaults: dict[str, Moved] = Field(description="names that mean another version now")

    @classmethod
    def of(cls, changes: Changes) -> Reloaded:
        return cls(
            added=[Version(name=name, version=version) for name, version in changes.added],
            removed=[Version(name=name, version=version) for name, version in changes.removed],
            refused=[
                RefusedModel(name=one.name, version=one.version, reason=one.reason) for one in changes.refused
            ],
            defaults={
                name: Moved(before=before, now=now) for name, (before, now) in changes.defaults.items()
            },
        )


class Limits(BaseModel):
    """Each is a setting: EBM_ and the name in capitals."""

    max_body_bytes: int
    max_decompressed_bytes: int
    max_held_bytes: int
    max_rows: int
    max_denoise_rows: int
    max_explain_rows: int
    max_impute_rows: int
    max_compare_rows: int
    max_draws: int
    max_samples: int
    max_steps: int
    max_values: int
    max_pixels: int
    max_requests: int
    queue_size: int
    queue_rows: int
    task_queue_size: int
    max_upload_bytes: int
    job_queue: int
    timeout_s: float
    max_timeout_s: float

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(**settings.model_dump(include=set(cls.model_fields)))
