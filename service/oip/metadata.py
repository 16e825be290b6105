"""What a model takes and answers, in the protocol's words."""

from __future__ import annotations

from typing import Any

from service.oip.protocol import OUTPUTS

PLATFORM = "ebm_safetensors"
INPUT = "input"
# By the type of a column. A null is NaN, or null in JSON, hence no integers.
COLUMN_DATATYPES = {
    "numeric": "FP64", "boolean": "BOOL", "categorical": "BYTES", "datetime": "BYTES", "date": "BYTES",
    "time": "BYTES", "null": "FP64",
}  # fmt: skip


def describe_inputs(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Name, datatype and shape of each input tensor: of a table or of images one, `input`; of a table with columns
    of many types one for each column. Other datatypes of numbers are accepted as well.

    Args:
        schema: of the model's preprocessing, as the manifest has it.
    """
    if schema["kind"] == "image":
        shape = [-1, schema["height"], schema["width"], schema["channels"]]
        return [_tensor(INPUT, datatype_of(schema), shape[:3] if shape[3] == 1 else shape)]
    columns = [(column["name"], column.get("type", "numeric")) for column in schema["columns"]]
    if all(kind == "numeric" for _, kind in columns):
        return [_tensor(INPUT, datatype_of(schema), [-1, len(columns)])]
    return [_tensor(name, COLUMN_DATATYPES[kind], [-1]) for name, kind in columns]


def describe_outputs() -> list[dict[str, Any]]:
    """Name, datatype and shape of each output tensor."""
    return [_tensor(name, datatype, [-1]) for name, datatype in OUTPUTS.items()]


def datatype_of(schema: dict[str, Any]) -> str:
    """Of the tensor `input`. Numbers in tables may need all digits, times in seconds for one; pixels do not."""
    return "FP32" if schema["kind"] == "image" else "FP64"


def example_request(schema: dict[str, Any], row: list[Any]) -> dict[str, Any]:
    """The JSON of a request with one row."""
    inputs = describe_inputs(schema)
    if inputs[0]["name"] == INPUT and len(inputs) == 1:
        return {"id": "1", "inputs": [inputs[0] | {"shape": [1, *inputs[0]["shape"][1:]], "data": [row]}]}
    return {
        "id": "1",
        "inputs": [one | {"shape": [1], "data": [cell]} for one, cell in zip(inputs, row, strict=True)],
    }


def _tensor(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}
