"""Requests of the Open Inference Protocol, for its tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

OUTPUTS = {"energy": "FP32", "anomaly_score": "FP64", "p_value": "FP64", "is_anomaly": "BOOL"}

HEADER = "Inference-Header-Content-Length"
RECORDS = [
    {"age": 41.5, "city": "Bonn", "member": True, "since": "2024-01-20T12:00:00"},
    {"age": None, "city": None, "member": False, "since": "2024-01-02T00:00:00"},
]


def tensor(values: Any, datatype: str = "FP64", name: str = "input") -> dict[str, Any]:
    values = np.asarray(values)
    return {"name": name, "shape": list(values.shape), "datatype": datatype, "data": values.tolist()}


def infer(client, model, *inputs, headers=None, version=None, **more):
    path = model if version is None else f"{model}/versions/{version}"
    body = orjson.dumps({"inputs": list(inputs), **more})
    return client.post(f"/v2/models/{path}/infer", content=body, headers=headers)


def infer_bytes(client, model, arrays, **more):
    """`arrays`: (name, datatype, shape, bytes)."""
    inputs = [
        {
            "name": name,
            "datatype": kind,
            "shape": list(shape),
            "parameters": {"binary_data_size": len(content)},
        }
        for name, kind, shape, content in arrays
    ]
    text = orjson.dumps({"inputs": inputs, **more})
    content = b"".join([text, *(part for *_, part in arrays)])
    return client.post(
        f"/v2/models/{model}/infer", content=content, headers={HEADER: str(len(text)), "Content-Type": "x/y"}
    )


def data(answer, name):
    assert answer.status_code == 200, answer.text
    return next(output for output in answer.json()["outputs"] if output["name"] == name)["data"]


def mixed_inputs(records):
    kinds = {"age": "FP64", "city": "BYTES", "member": "BOOL", "since": "BYTES"}
    return [
        {
            "name": name,
            "shape": [len(records)],
            "datatype": kind,
            "data": [record[name] for record in records],
        }
        for name, kind in kinds.items()
    ]


def refused(answer, status=400):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert list(found) == ["error"] and "\n" not in found["error"]
    return found["error"]
