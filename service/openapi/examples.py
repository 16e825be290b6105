"""Requests that each served model answers: what OpenAPI shows, and what the page begins with."""

from __future__ import annotations

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


def examples(detector: Detector) -> Examples:
    """Operation -> title -> JSON body, for what this model can do."""
    row = row_of(detector)
    found: Examples = {"score": {"one row at fpr 0.05": {"instances": [row], "fpr": 0.05}}}
    if detector.columns is not None:
        record = dict(zip(detector.columns, row, strict=True))
        found["score"]["a record by column name, at fdr 0.1"] = {"records": [record], "fdr": 0.1}
    found["infer"] = {"one row": example_request(detector.preprocessor.schema(), row)}
    if "denoise" in detector.can:
        found["denoise"] = {"one row, noise estimated": {"instances": [row]}}
    if "generate" in detector.can:
        found["generate"] = {"four samples": {"n": 4, "seed": 1}}
    return found
