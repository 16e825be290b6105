"""Operations that set rows beside each other, or beside classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from ebm.client.calls import Steps, document_of, given, model_path, post
from ebm.client.columns import numbers_of
from ebm.client.parts import in_parts
from ebm.client.rows import Rows, json_rows


@dataclass(frozen=True, eq=False)
class Comparison:
    """How much likelier the rows of `a` are than those of `b`, n pairs.

    log_ratio: (n,), log p(a) - log p(b) = E(b) - E(a). energy_a, energy_b: (n,).
    path_integral: (n,), the same by the line integral of the score function along the straight path from b to a, and
    its energies on the way, path_energy (n, k) at `position` (k,), 0 at a and 1 at b; None where not asked for.
    """

    log_ratio: np.ndarray
    energy_a: np.ndarray
    energy_b: np.ndarray
    path_integral: np.ndarray | None
    position: np.ndarray | None
    path_energy: np.ndarray | None
    model: str
    version: str
    note: str | None


def compare(
    model: str,
    a: Any,
    b: Any,
    *,
    path: bool | None = None,
    n_points: int | None = None,
    version: str | None = None,
) -> Steps[Comparison]:
    """Rows in pairs, or one row with all of the others.

    Args:
        a, b: lists, records, arrays or frames of as many rows, or one of them of a single row.
        path: False leaves the line integral out.

    Raises:
        BadRequest: rows that do not fit, or of which the model takes no gradient.
    """
    sides = {side: next(iter(json_rows(rows).values())) for side, rows in (("a", a), ("b", b))}
    asked = {**sides, **given({"path": path, "n_points": n_points})}
    document = document_of((yield post(model_path(model, version, "compare"), asked)))
    position, energy = document["position"], document["path_energy"]
    return Comparison(
        log_ratio=numbers_of(document, "log_ratio"),
        energy_a=numbers_of(document, "energy_a"),
        energy_b=numbers_of(document, "energy_b"),
        path_integral=None if document["path_integral"] is None else numbers_of(document, "path_integral"),
        position=None if position is None else np.array(position, dtype=np.float64),
        path_energy=None if energy is None else np.array(energy, dtype=np.float64),
        model=document["model"],
        version=document["version"],
        note=document["note"],
    )


@dataclass(frozen=True, eq=False)
class Classes:
    """The likeliest class of each of n rows, and whether the row is of any.

    label: n names. probabilities: (n, classes), p(y | x), in the order of `classes`.
    energy, p_value: (n,), of the row itself: a small p-value says that it is of no class.
    """

    classes: list[str]
    label: list[str]
    probabilities: np.ndarray
    energy: np.ndarray
    p_value: np.ndarray
    model: str
    version: str


def classify(
    model: str, rows: Any, *, version: str | None = None, resize: bool | None = None
) -> Steps[Classes]:
    """The class of each row, by a joint model. More rows than the server takes at once are sent in parts.

    Args:
        rows: as `score` takes them.

    Raises:
        BadRequest: rows that do not fit, or a model that has no classes.
    """
    parts = yield from in_parts(
        model,
        "classify",
        Rows.of(rows),
        _classes_of,
        version=version,
        limit="max_rows",
        params=given({"resize": resize}),
    )
    first = parts[0]
    return Classes(
        classes=first.classes,
        label=[label for part in parts for label in part.label],
        probabilities=np.concatenate([part.probabilities for part in parts]),
        energy=np.concatenate([part.energy for part in parts]),
        p_value=np.concatenate([part.p_value for part in parts]),
        model=first.model,
        version=first.version,
    )


def _classes_of(response: httpx.Response) -> Classes:
    document = document_of(response)
    return Classes(
        classes=document["classes"],
        label=document["label"],
        probabilities=np.array(document["probabilities"], dtype=np.float64),
        energy=numbers_of(document, "energy"),
        p_value=numbers_of(document, "p_value"),
        model=document["model"],
        version=document["version"],
    )
