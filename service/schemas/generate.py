"""POST /v1/models/{name}/generate: what may be asked, and the answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class GenerateRequest(BaseModel):
    """How many new samples, and how the chains run."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, serialize_by_alias=True)

    n: int = Field(16, ge=1, description="number of samples")
    seed: int = Field(
        0, ge=0, lt=2**63, description="same seed, same model version, same device: same samples"
    )
    n_steps: int | None = Field(
        None, ge=1, description="steps of a chain, or of each level of an annealed one"
    )
    step_size: float | None = Field(None, gt=0, description="in the sampler's units; null: as published")
    keep_every: int = Field(0, ge=0, description="keep the chains' state after every so many steps; 0: none")
    diagnose: bool = Field(
        False, description="also say whether the chains have mixed: acceptance, R-hat, effective draws (JSON)"
    )
    label: int | str | None = Field(
        None,
        alias="class",
        description="models with classes: draw from E(x, class), samples of this class alone",
    )


class GenerateAnswer(BaseModel):
    """New samples in the units of the training data; with keep_every, their states on the way."""

    model: str
    version: str
    columns: list[str] | None
    seed: int
    samples: list[Any] = Field(description="(n, *input_shape)")
    snapshots: list[Any] | None = Field(description="(k, n, *input_shape)")
    diagnostics: dict[str, Any] | None = Field(
        None, description="with diagnose: of the second half of the run; null where a figure cannot be known"
    )
