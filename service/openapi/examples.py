"""Requests that each served model answers: what OpenAPI shows, and what the page begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ebm.detector import Detector
from ebm.preprocessing import Mixed
from service.oip import example_request

Examples = dict[str, dict[str, dict[str, Any]]]


def row_of(detector: Detector) -> list[Any]:
    """A row that the model accepts: the training means, or a ring drawn in the model's range of grey."""
    if isinstance(detector.preprocessor, Mixed):
        return detector.preprocessor.example()
    schema = detector.preprocessor.schema()
    if schema["kind"] != "image":
        return [float(f"{column['mean']:.6g}") for column in schema["columns"]]
    height, width, low, high = schema["height"], schema["width"], schema["low"], schema["high"]
    y, x = np.mgrid[0:height, 0:width]
    distance = np.hypot((y - (height - 1) / 2) / (height / 2), (x - (width - 1) / 2) / (width / 2.6))
    grey = low + (high - low) * np.exp(-(((distance - 0.7) / 0.25) ** 2))
    image = np.broadcast_to(grey[..., None], (height, width, schema["channels"]))
    return image.reshape(detector.input_shape).round(1).tolist()


def examples(detector: Detector, others: Sequence[Detector] = ()) -> Examples:
    """Operation -> title -> JSON body, for what this model can do.

    Args:
        others: models that may be composed with it, where they take the same input.
    """
    row = row_of(detector)
    one, can = {"instances": [row]}, detector.can
    found: Examples = {"score": {"one row at fpr 0.05": {**one, "fpr": 0.05}}}
    if detector.columns is not None:
        record = dict(zip(detector.columns, row, strict=True))
        found["score"]["a record by column name, at fdr 0.1"] = {"records": [record], "fdr": 0.1}
    found["infer"] = {"one row": example_request(detector.preprocessor.schema(), row)}
    found["compare"] = {"two rows, energies only": {"a": [row], "b": [_varied(row)], "path": False}}
    if "explain" in can:
        found["explain"] = {"one row, its three columns that matter most": {**one, "top": 3}}
    if "classify" in can:
        found["classify"] = {"one row": one}
    if "denoise" in can:
        found["denoise"] = {"one row, noise estimated": one}
    if "impute" in can:
        found["impute"] = {"one gap, four draws": {"instances": [_with_a_gap(row, detector)], "n_draws": 4}}
    if "generate" in can:
        found["generate"] = {"four samples": {"n": 4, "seed": 1}}
        if detector.classes:
            found["generate"]["two of one class"] = {"n": 2, "class": detector.classes[0]}
        job = {"kind": "generate", "model": detector.name, "options": {"n": 4, "seed": 1}}
        found["jobs"] = {"samples, kept until the job expires": job}
    fits = [other for other in others if _same_input(other, detector) and other.name != detector.name]
    terms = [{"model": name, "weight": 1.0} for name in (detector.name, *(other.name for other in fits[:1]))]
    found["compose/score"] = {"normal by all": {"terms": terms, **one}}
    if all("generate" in other.can for other in (detector, *fits[:1])):
        found["compose/generate"] = {"two samples": {"terms": terms, "n": 2, "seed": 1, "n_steps": 2}}
    return found


def _same_input(a: Detector, b: Detector) -> bool:
    return a.kind == b.kind and a.input_shape == b.input_shape and a.columns == b.columns


def _with_a_gap(row: list[Any], detector: Detector) -> list[Any]:
    """The row with its first cell or pixel missing; of models that predict the last ones, the last."""
    predicts = any(term.energy.kind == "structured" for term in detector.manifest.terms)
    return _without_last(row) if predicts else _without_first(row)


def _without_last(row: list[Any]) -> list[Any]:
    return [*row[:-1], _without_last(row[-1]) if isinstance(row[-1], list) else None]


def _without_first(row: list[Any]) -> list[Any]:
    """The row with its first cell or pixel missing."""
    return [_without_first(row[0]) if isinstance(row[0], list) else None, *row[1:]]


def _varied(row: list[Any]) -> list[Any]:
    """The row with the first of its numbers a tenth smaller."""
    if isinstance(row[0], list):
        return [_varied(row[0]), *row[1:]]
    is_number = [isinstance(cell, int | float) and not isinstance(cell, bool) for cell in row]
    at = is_number.index(True) if True in is_number else None
    return [cell * 0.9 if j == at else cell for j, cell in enumerate(row)]
