"""POST denoise and generate: what may be asked, and the answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class DenoiseOptions(BaseModel):
    """How much noise there is, and how carefully it is taken away."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    sigma: float | None = Field(
        None,
        gt=0,
        le=100,
        description="sd of the noise in preprocessed units (images: [-1, 1]; tables: z); null: estimated",
    )
    n_steps: int = Field(1, ge=1, description="1: the posterior mean; more: a sharper answer")


class DenoiseRequest(DenoiseOptions):
    """Noisy rows in the units of the training data."""

    instances: list[Any] | None = Field(
        None, description="rows: lists of cells; images (H, W), (H, W, C) or flat"
    )
    records: list[dict[str, Any]] | None = Field(
        None,
        description="rows as objects of column: value (number, text, true, false, null, ISO time)",
    )


class DenoiseAnswer(BaseModel):
    """The likely clean rows, in the units and the order of the noisy ones."""

    model: str
    version: str
    columns: list[str] | None
    denoised: list[Any] = Field(description="(n, *input_shape)")


class GenerateRequest(BaseModel):
    """How many new samples, and how the chains run."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    n: int = Field(16, ge=1, description="number of samples")
    seed: int = Field(
        0, ge=0, lt=2**63, description="same seed, same model version, same device: same samples"
    )
    n_steps: int | None = Field(
        None, ge=1, description="steps of a chain, or of each level of an annealed one"
    )
    step_size: float | None = Field(None, gt=0, description="in the sampler's units; null: as published")
    keep_every: int = Field(0, ge=0, description="keep the chains' state after every so many steps; 0: none")


class GenerateAnswer(BaseModel):
    """New samples in the units of the training data; with keep_every, their states on the way."""

    model: str
    version: str
    columns: list[str] | None
    seed: int
    samples: list[Any] = Field(description="(n, *input_shape)")
    snapshots: list[Any] | None = Field(description="(k, n, *input_shape)")
