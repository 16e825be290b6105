"""POST /v1/models/{name}/classify: what may be asked, and the answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.scores import NonFinite


class ClassifyOptions(BaseModel):
    """Nothing to choose."""

    model_config = ConfigDict(extra="forbid")


class ClassifyRequest(ClassifyOptions):
    """Rows in the units of the training data: `instances` or, where columns have names, `records`."""

    instances: list[Any] | None = Field(
        None, description="rows: lists of cells; images (H, W), (H, W, C) or flat"
    )
    records: list[dict[str, Any]] | None = Field(
        None, description="rows as objects of column: value (number, text, true, false, null, ISO time)"
    )
    ignore_unknown: bool = Field(False, description="leave out keys of records that the model does not know")


class ClassifyAnswer(BaseModel):
    """One list entry a row, in the order sent. The probabilities say which class, given that it is one of them; energy
    and p_value say whether it is."""

    model: str
    version: str
    higher_is_more_anomalous: bool = Field(description="always true; low p_value: no normal row of any class")
    classes: list[str]
    label: list[str] = Field(description="the likeliest class")
    probabilities: list[list[float]] = Field(description="p(y | x) of each class, in the order of `classes`")
    energy: list[float | None]
    p_value: list[float]
    non_finite: list[NonFinite]
