"""GET /v1/models/{name}/drift: the scores seen lately against calibration."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class KSTest(BaseModel):
    distance: float = Field(description="largest gap between the two distribution functions")
    p_value: float = Field(
        description="of so large a gap by chance; tiny for many scores even where nothing matters"
    )


class TailShare(BaseModel):
    """Share of scores with p <= 0.01, with its 95% Wilson interval."""

    share: float
    low: float
    high: float
    expected: float = Field(description="without drift; 0 where the calibration set resolves no p so small")


class DriftAnswer(BaseModel):
    """Figures are null until there are scores."""

    model: str
    version: str
    seen: int = Field(description="scores given by this worker process since it started")
    window: int = Field(description="how many of the last are looked at")
    n: int = Field(description="how many there are in the window")
    n_infinite: int = Field(description="infinite ones among them, which count as the largest")
    n_nan: int = Field(description="further ones that are no number, left out")
    since: str | None = Field(description="when the oldest score in the window was given, ISO 8601")
    n_calibration: int
    ks: KSTest | None
    psi: float | None = Field(
        description="population stability index over calibration deciles; .1 some drift, .25 much"
    )
    psi_by_chance: float | None = Field(
        description="95% of windows of this size stay below without drift; no verdict below it"
    )
    below_p01: TailShare | None
    mean_p: float | None = Field(description=".5 without drift")
    state: Literal["unknown", "stable", "shifting", "drifted"] = Field(
        description="unknown: fewer than 100 scores. drifted: psi >= .25; shifting: psi >= .1, both beyond chance; "
        "shifting also where more rows have p <= .01 than chance allows. stable: else"
    )
    verdict: str
    note: str | None
