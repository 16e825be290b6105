"""Operations on several models as one: products of experts, and mixtures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ebm.client.calls import JSON, NPY, Steps, document_of, given, post
from ebm.client.columns import numbers_of
from ebm.client.making import Generated, generated
from ebm.client.rows import json_rows

Term = str | tuple[str, float] | Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ComposedScores:
    """What several models say together of n rows, in the order sent.

    energy: (n,), lower = more normal; it also ranks. rank: 1 = the most anomalous row.
    p_value, is_anomaly: (n,), valid whatever the models have in common; None where a weight is negative.
    terms: for each model its name, version and weight, and its own energy, anomaly_score and p_value, (n,) each.
    """

    energy: np.ndarray
    rank: np.ndarray
    p_value: np.ndarray | None
    is_anomaly: np.ndarray | None
    terms: list[dict[str, Any]]
    fpr: float | None
    fdr: float | None
    note: str | None


def compose_score(
    terms: Sequence[Term],
    rows: Any,
    *,
    mode: Literal["product", "either"] | None = None,
    scale: Literal["standardised", "raw"] | None = None,
    temperature: float | None = None,
    fpr: float | None = None,
    fdr: float | None = None,
) -> Steps[ComposedScores]:
    """How unusual each row is by several models together, in one request.

    Args:
        terms: names of models, (name, weight) pairs, or objects with "model" and perhaps "version" and "weight".
        rows: lists, records, an array or a frame; not pictures.
        mode: "product" (the default), normal where all models agree; "either", normal where any does.

    Raises:
        BadRequest: models of different inputs, or rows that do not fit.
    """
    options = {"mode": mode, "scale": scale, "temperature": temperature, "fpr": fpr, "fdr": fdr}
    asked = {"terms": _terms(terms), **json_rows(rows), **given(options)}
    document = document_of((yield post("/v1/compose/score", asked)))
    p_value, is_anomaly = document["p_value"], document["is_anomaly"]
    return ComposedScores(
        energy=numbers_of(document, "energy"),
        rank=np.array(document["rank"], dtype=np.int64),
        p_value=None if p_value is None else numbers_of(document, "p_value"),
        is_anomaly=None if is_anomaly is None else np.array(is_anomaly, dtype=bool),
        terms=[
            {**term, **{name: numbers_of(term, name) for name in ("energy", "anomaly_score", "p_value")}}
            for term in document["terms"]
        ],
        fpr=document["fpr"],
        fdr=document["fdr"],
        note=document["note"],
    )


def compose_generate(
    terms: Sequence[Term],
    n: int | None = None,
    *,
    mode: Literal["product", "either"] | None = None,
    seed: int | None = None,
    n_steps: int | None = None,
    step_size: float | None = None,
    keep_every: int | None = None,
) -> Steps[Generated]:
    """`n` new samples of several models together, as `generate` makes them of one.

    Args:
        terms, mode: as of `compose_score`; in a product the weights are exponents of the models' densities.
    """
    options = {"n": n, "seed": seed, "n_steps": n_steps, "step_size": step_size, "keep_every": keep_every}
    asked = {"terms": _terms(terms), **given({"mode": mode, **options})}
    response = yield post("/v1/compose/generate", asked, accept=f"{NPY}, {JSON};q=0.5")
    return generated(response, bool(keep_every))


def _terms(terms: Sequence[Term]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for term in terms:
        if isinstance(term, str):
            found.append({"model": term})
        elif isinstance(term, Mapping):
            found.append(dict(term))
        else:
            name, weight = term
            found.append({"model": name, "weight": weight})
    return found
