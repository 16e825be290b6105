"""Operations that say what is served, and how it fares."""

from __future__ import annotations

from ebm.client.answers import Drift, Limits, ModelDetail, Models, Ready, Reloaded
from ebm.client.calls import Steps, document_of, get, model_path, post


def models() -> Steps[Models]:
    """The models that are served, and those that are refused, with the reason."""
    return Models.model_validate(document_of((yield get("/v1/models"))))


def model(name: str, version: str | None = None) -> Steps[ModelDetail]:
    """One model and its manifest; without `version`, the one that its bare name means.

    Raises:
        NotFound: no such model or version.
    """
    return ModelDetail.model_validate(document_of((yield get(model_path(name, version)))))


def limits() -> Steps[Limits]:
    """How much one request may ask."""
    return Limits.model_validate(document_of((yield get("/v1/limits"))))


def ready() -> Steps[Ready]:
    """Whether the server takes work; waits for it as long as `Retries` and `timeout` allow.

    Raises:
        Unavailable: it does not.
    """
    return Ready.model_validate(document_of((yield get("/readyz"))))


def reload() -> Steps[Reloaded]:
    """Look at the models now, rather than when the server next does; needs a key of scope `admin`.

    Returns:
        what it changed.
    """
    return Reloaded.model_validate(document_of((yield post("/v1/models/reload"))))


def drift(model: str, version: str | None = None) -> Steps[Drift]:
    """Whether the rows seen lately look like those of the calibration.

    Raises:
        NotFound: no such model or version.
    """
    return Drift.model_validate(document_of((yield get(model_path(model, version, "drift")))))
