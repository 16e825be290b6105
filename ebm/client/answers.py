"""Answers in JSON as objects: fields have types and names, and what a newer server adds is kept too."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """Fields as API answers name them."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class Model(Answer):
    """One model by the version that its bare name means."""

    name: str
    version: str
    versions: list[str]
    kind: str
    description: str
    input_shape: list[int]
    columns: list[str] | None
    can: list[str]
    n_calibration: int
    default_fpr: float
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]


class ModelDetail(Model):
    """A model, and its whole manifest."""

    manifest: dict[str, Any]


class Refused(Answer):
    """A version in the models folder that is not served, and why."""

    name: str
    version: str
    reason: str


class Models(Answer):
    """What is served, and what is not."""

    models: list[Model]
    refused: list[Refused]


class Limits(Answer):
    """How much one request may ask; each is a setting of the server."""

    max_body_bytes: int
    max_rows: int


class Ready(Answer):
    """Whether the server takes work, and how much it has."""

    status: str
    models: int
    refused: int
    queue: dict[str, int]
