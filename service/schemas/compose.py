"""POST /v1/compose/score and /v1/compose/generate: what may be asked, and the answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.schemas.scores import NonFinite

Mode = Literal["product", "either"]


class Term(BaseModel):
    """One model of a composition."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str = Field(description="its name")
    version: str | None = Field(None, description="null: the version that the bare name means")
    weight: float = Field(1.0, description="not 0; negative (mode product): unlike this model's normal data")


class Composed(BaseModel):
    """Models on one input space, and how they go together."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    terms: list[Term] = Field(min_length=1, max_length=16, description="the models, with weights")
    mode: Mode = Field(
        "product",
        description="product: the weighted sum of energies, normal where all models agree; either: a mixture, normal "
        "where any does",
    )


class ComposeScoreOptions(Composed):
    """At most one rate; with neither, the smallest default fpr of the models holds."""

    scale: Literal["standardised", "raw"] = Field(
        "standardised", description="combine anomaly scores (weights compare like with like), or raw energies"
    )
    temperature: float = Field(
        1.0, gt=0, description="of mode either; towards 0 the lowest energy alone counts"
    )
    fpr: float | None = Field(None, gt=0, lt=1, description="label rows with p_value <= fpr")
    fdr: float | None = Field(None, gt=0, lt=1, description="label by Benjamini-Hochberg over these rows")

    @model_validator(mode="after")
    def _one_rate(self) -> ComposeScoreOptions:
        if self.fpr is not None and self.fdr is not None:
            raise ValueError("give fpr or fdr, not both")
        return self


class ComposeScoreRequest(ComposeScoreOptions):
    """Rows in the units of the training data: `instances` or, where columns have names, `records`."""

    instances: list[Any] | None = Field(
        None, description="rows: lists of cells; images (H, W), (H, W, C) or flat"
    )
    records: list[dict[str, Any]] | None = Field(
        None, description="rows as objects of column: value (number, text, true, false, null, ISO time)"
    )
    ignore_unknown: bool = Field(False, description="leave out keys of records that the models do not know")


class TermScores(BaseModel):
    """What one model says of the rows."""

    model: str
    version: str
    weight: float
    energy: list[float | None]
    anomaly_score: list[float | None]
    p_value: list[float]


class ComposeScoreAnswer(BaseModel):
    """One list entry a row, in the order sent."""

    mode: Mode
    scale: Literal["standardised", "raw"]
    temperature: float
    higher_is_more_anomalous: bool = Field(description="always true; of anomaly_score")
    fpr: float | None
    fdr: float | None
    energy: list[float | None] = Field(description="of the composition; lower is more normal")
    anomaly_score: list[float | None] = Field(
        description="the same number: nothing standardises a composition"
    )
    p_value: list[float] | None = Field(
        description="valid whatever the models have in common: product min_i p_i W / w_i (weighted Bonferroni), either "
        "the largest p_i; null where a weight is negative"
    )
    is_anomaly: list[bool] | None = Field(description="null where p_value is")
    rank: list[int] = Field(description="1 = the most anomalous row of this request")
    terms: list[TermScores]
    non_finite: list[NonFinite]
    note: str | None


class ComposeGenerateRequest(Composed):
    """Terms and mode, and how the chains run. In mode product the weights are exponents of the models' densities."""

    n: int = Field(16, ge=1, description="number of samples")
    seed: int = Field(
        0, ge=0, lt=2**63, description="same seed, same model versions, same device: same samples"
    )
    n_steps: int | None = Field(
        None, ge=1, description="steps of a chain, or of each level of an annealed one; null: as published"
    )
    step_size: float | None = Field(
        None, gt=0, description="of one model, in its sampler's units; null: as published"
    )
    keep_every: int = Field(0, ge=0, description="keep the chains' state after every so many steps; 0: none")


class TermName(BaseModel):
    model: str
    version: str
    weight: float


class ComposeGenerateAnswer(BaseModel):
    """New samples in the units of the training data; with keep_every, their states on the way."""

    mode: Mode
    terms: list[TermName]
    columns: list[str] | None
    seed: int
    samples: list[Any] = Field(description="(n, *input_shape)")
    snapshots: list[Any] | None = Field(description="(k, n, *input_shape)")
