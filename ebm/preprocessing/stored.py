"""Reading fitted arrays back with suspicion: an artefact may have been edited."""

from __future__ import annotations

import json
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from ebm.errors import BadArtifact

M = TypeVar("M", bound=BaseModel)


def take(arrays: dict[str, np.ndarray], key: str, length: int | None = None) -> np.ndarray:
    """arrays[key] as a finite float64 vector, of `length` where given.

    Raises:
        BadArtifact: it is missing, not a finite vector, or of another length.
    """
    if key not in arrays:
        raise BadArtifact(f"preprocessing: array '{key}' is missing")
    array = np.asarray(arrays[key])
    if array.dtype.kind not in "biuf" or array.ndim != 1 or array.size == 0:
        raise BadArtifact(f"preprocessing: array '{key}' is not a vector of numbers")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise BadArtifact(f"preprocessing: array '{key}' has values that are not finite")
    if length is not None and len(array) != length:
        raise BadArtifact(f"preprocessing: array '{key}' has {len(array)} values, expected {length}")
    return array


def encode_names(names: list[str]) -> np.ndarray:
    """Names as UTF-8 JSON bytes, since array files hold numbers only."""
    return np.frombuffer(json.dumps(names).encode(), dtype=np.uint8).copy()


def decode_names(array: np.ndarray, length: int) -> list[str]:
    """Undo `encode_names`.

    Raises:
        BadArtifact: not a JSON list of `length` strings.
    """
    try:
        names = json.loads(np.asarray(array).astype(np.uint8).tobytes())
    except ValueError:
        names = None
    if not isinstance(names, list) or len(names) != length or not all(isinstance(n, str) for n in names):
        raise BadArtifact(f"preprocessing: array 'columns' does not hold {length} names")
    return names


def encode_model(model: BaseModel) -> np.ndarray:
    """A pydantic model as UTF-8 JSON bytes; floats come back bit by bit."""
    return np.frombuffer(model.model_dump_json().encode(), dtype=np.uint8).copy()


def decode_model(arrays: dict[str, np.ndarray], key: str, model: type[M]) -> M:
    """Undo `encode_model`.

    Raises:
        BadArtifact: the array is missing, or does not hold such a model.
    """
    if key not in arrays:
        raise BadArtifact(f"preprocessing: array '{key}' is missing")
    array = np.asarray(arrays[key])
    if array.dtype != np.uint8:
        raise BadArtifact(f"preprocessing: array '{key}' holds {array.dtype}, expected JSON as bytes")
    try:
        return model.model_validate_json(array.tobytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "JSON"
        raise BadArtifact(
            f"preprocessing: array '{key}' is not as expected: {where}: {first['msg']}"
        ) from None
