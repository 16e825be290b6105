"""The answer of an inference, as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from ebm.answers import Scores
from service.oip.binary import encode
from service.oip.protocol import OUTPUTS, InferRequest


def write_response(
    request: InferRequest, scores: Scores, model: str, version: str
) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON where tensors follow as bytes.

    JSON holds neither NaN nor infinity: such a number is null in `data`, which clients read as NaN, and the tensor's
    parameter `non_finite` says what it is, as in "0:Infinity,7:NaN". As bytes, tensors hold them as they are.
    """
    outputs: list[dict[str, Any]] = []
    parts: list[bytes] = []
    shape = [len(scores.energy)]
    bad = None if np.isfinite(scores.energy).all() else _non_finite(scores.energy)
    for wanted in request.outputs:
        name, datatype = wanted.name, OUTPUTS[wanted.name]
        values = getattr(scores, name)
        output: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        if wanted.binary:
            parts.append(encode(values, datatype))
            output["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            output["data"] = values
            if bad is not None and name in ("energy", "anomaly_score"):  # p-values are finite
                output["parameters"] = {"non_finite": bad}
        outputs.append(output)
    document: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        document["id"] = request.id
    document["parameters"] = _parameters(scores)
    document["outputs"] = outputs
    text = orjson.dumps(document, default=np.ndarray.tolist, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([text, *parts]), len(text)) if parts else (text, None)


def _parameters(scores: Scores) -> dict[str, Any]:
    found: dict[str, Any] = {"higher_is_more_anomalous": True}
    if scores.fdr is not None:
        found["fdr"] = scores.fdr
    else:
        found["fpr"] = scores.fpr
    if scores.note is not None:
        found["note"] = scores.note
    return found


def _non_finite(energy: np.ndarray) -> str:
    names = ((row, energy[row]) for row in np.flatnonzero(~np.isfinite(energy)))
    return ",".join(
        f"{row}:{'NaN' if np.isnan(value) else 'Infinity' if value > 0 else '-Infinity'}"
        for row, value in names
    )
