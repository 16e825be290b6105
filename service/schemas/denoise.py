"""POST /v1/models/{name}/denoise: what may be asked, and the answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class DenoiseOptions(BaseModel):
    """How much noise there is, and how it is taken away."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    sigma: float | None = Field(
        None,
        gt=0,
        le=100,
        description="sd of the noise in preprocessed units (images: [-1, 1]; tables: z); not given: estimated",
    )
    n_steps: int | None = Field(
        None,
        ge=1,
        description="posterior_mean: 1 (default) for the posterior mean itself, more for a sharper answer; langevin: "
        "noise levels of the chain, 50 by default",
    )
    method: Literal["posterior_mean", "langevin"] = Field(
        "posterior_mean",
        description="posterior_mean: the one best guess; langevin: a random draw from the clean rows that are likely "
        "given the noisy one",
    )
    seed: int = Field(
        0, ge=0, lt=2**63, description="of langevin: same seed, same rows, same model version: same draws"
    )
    noise: Literal["gaussian", "impulse"] = Field(
        "gaussian",
        description="impulse: single lost pixels of images, such as salt and pepper, are found and painted in; takes "
        "neither sigma nor method langevin",
    )


class DenoiseRequest(DenoiseOptions):
    """Noisy rows in the units of the training data."""

    instances: list[Any] | None = Field(
        None, description="rows: lists of cells; images (H, W), (H, W, C) or flat"
    )
    records: list[dict[str, Any]] | None = Field(
        None, description="rows as objects of column: value (number, text, true, false, null, ISO time)"
    )
    ignore_unknown: bool = Field(False, description="leave out keys of records that the model does not know")


class DenoiseAnswer(BaseModel):
    """The likely clean rows, in the units and the order of the noisy ones."""

    model: str
    version: str
    columns: list[str] | None
    denoised: list[Any] = Field(description="(n, *input_shape)")
