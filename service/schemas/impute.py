"""POST /v1/models/{name}/impute: what may be asked, and the answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ImputeOptions(BaseModel):
    """How missing cells are drawn."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    n_draws: int = Field(32, ge=1, description="draws to average; 1 fills in a single random draw")
    seed: int = Field(0, ge=0, lt=2**63, description="same seed, same rows, same model version: same draws")
    keep_draws: bool = Field(False, description="answer with the rows of each draw as well")


class ImputeRequest(ImputeOptions):
    """Rows in the units of the training data, null where a cell or a pixel is missing."""

    instances: list[Any] | None = Field(
        None, description="rows: lists of cells; images (H, W), (H, W, C) or flat"
    )
    records: list[dict[str, Any]] | None = Field(
        None, description="rows as objects of column: value (number, text, true, false, null, ISO time)"
    )
    ignore_unknown: bool = Field(False, description="leave out keys of records that the model does not know")


class ImputeAnswer(BaseModel):
    """The rows with nulls filled, in the order sent; cells that were there are as they were."""

    model: str
    version: str
    columns: list[str] | None
    seed: int
    n_missing: int = Field(description="cells that were missing")
    filled: list[Any] = Field(description="(n, *input_shape); null stays where no training row has a value")
    spread: list[Any] = Field(
        description="how uncertain each filled cell is: the sd of the draws (of times: in seconds), or of categories "
        "1 - the share of the most frequent; null for cells that were there, and with one draw"
    )
    draws: list[Any] | None = Field(description="with keep_draws: (n_draws, n, *input_shape)")
    acceptance: float | None = Field(
        description="share of proposed values that the energy accepted; null where there were no proposals"
    )
