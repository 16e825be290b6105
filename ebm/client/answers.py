"""Answers in JSON as objects: fields have types and names, and what a newer server adds is kept too."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """Fields as API answers name them."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class Version(Answer):
    """One version of a model."""

    name: str
    version: str


class Refused(Version):
    """A version in the models folder that is not served, and why."""

    reason: str


class Model(Version):
    """A version of a model: what it takes (`input_shape`, `columns`), what it `can`, and how good it is; `denoises_by`
    the gradient of an "energy" or the "field" of a denoiser.

    state: loaded, or available, where the next request loads it. can: None until it is first loaded.
    """

    versions: list[str]
    state: str
    kind: str
    description: str
    input_shape: list[int]
    columns: list[str] | None
    can: list[str] | None
    denoises_by: str | None = None
    n_calibration: int
    default_fpr: float
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]


class ModelDetail(Model):
    """A model, and its whole manifest."""

    is_default: bool
    manifest: dict[str, Any]


class Models(Answer):
    """What is served, each by the version that its bare name means, and what is not."""

    models: list[Model]
    refused: list[Refused]
    unloaded: list[Version]


class Moved(Answer):
    """What a bare name meant, and means now; None: nothing."""

    before: str | None
    now: str | None


class Reloaded(Answer):
    """What a look at the models changed."""

    added: list[Version]
    removed: list[Version]
    refused: list[Refused]
    defaults: dict[str, Moved]


class Limits(Answer):
    """How much one request may ask; each is a setting of the server, and there are more than these two."""

    max_body_bytes: int
    max_rows: int


class Ready(Answer):
    """Whether the server takes work, and how much it has."""

    status: str
    models: int
    refused: int
    queue: dict[str, int]


class Drift(Answer):
    """The scores seen lately beside those of the calibration; figures are None until there are some.

    ks: Kolmogorov-Smirnov distance and its p-value. psi: population stability index. below_p01: the share of rows with
    p <= 0.01, with its interval. state: unknown, stable, shifting or drifted; `verdict` says it in words.
    """

    model: str
    version: str
    seen: int
    n: int
    ks: dict[str, float] | None
    psi: float | None
    below_p01: dict[str, float] | None
    mean_p: float | None
    state: str
    verdict: str
