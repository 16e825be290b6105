"""From the tensors of a request to rows that the model accepts."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from ebm.data import Values
from ebm.detector import Detector
from ebm.errors import BadInput
from service.bodies import as_input
from service.bodies.limits import Limits
from service.bodies.takes import Takes, takes
from service.oip.binary import DTYPES
from service.oip.metadata import INPUT, datatype_of
from service.oip.protocol import InferRequest
from service.oip.tensors import Tensor


def read_values(request: InferRequest, detector: Detector, limits: Limits) -> Values:
    """The rows: of one tensor `input`, or of one tensor a column.

    Raises:
        BadInput: a tensor that is unknown, missing, there twice or of the wrong shape; a cell that the model does not
            take, by row and column.
        Problem: 422 for more rows than the limit.
    """
    wanted = takes(detector)
    inputs = [_raw(request.raw, wanted)] if request.raw is not None else request.inputs
    names = list(wanted.kinds) or wanted.columns or []
    if len(inputs) == 1 and inputs[0].name == INPUT and names != [INPUT]:
        rows = _matrix(inputs[0], wanted, limits)
    else:
        rows = _columns(inputs, names, wanted, limits)
    return as_input(rows, detector)


def _raw(content: memoryview, wanted: Takes) -> Tensor:
    """The bytes of a raw binary request as `input`, in the datatype that the model's metadata says."""
    if not wanted.numbers:
        raise BadInput(
            "a raw binary request needs a model with one input, and this one has columns of many types"
        )
    datatype = datatype_of(wanted.schema)
    row = wanted.width * DTYPES[datatype].itemsize
    n, left = divmod(len(content), row)
    if left or not n:
        raise BadInput(f"{len(content)} bytes are no number of rows; a row of {datatype} takes {row}")
    return Tensor(INPUT, datatype, (n, *wanted.shape), None, content)


def _matrix(tensor: Tensor, wanted: Takes, limits: Limits) -> np.ndarray | list[list[str | None]]:
    shape = tensor.shape
    if shape[1:] not in wanted.shapes:
        takes = ["n", *map(str, wanted.shape)]
        raise BadInput(f"input {INPUT!r} has shape {list(shape)}; the model takes [{', '.join(takes)}]")
    limits.check_rows(shape[0])
    values = tensor.values()
    return values.tolist() if values.dtype.kind == "O" else values


def _columns(inputs: list[Tensor], names: list[str], wanted: Takes, limits: Limits) -> np.ndarray | pa.Table:
    found: dict[str, Tensor] = {}
    known = set(names)
    for tensor in inputs:
        name = tensor.name[:80]
        if tensor.name not in known:
            raise BadInput(f"no input {name!r}; the model takes {_said(names, wanted)}")
        if tensor.name in found:
            raise BadInput(f"input {name!r} is there twice")
        found[tensor.name] = tensor
    for name in names:
        if name not in found:
            lost = len(names) - len(found)
            more = f" (and {lost - 1} more)" if lost > 1 else ""
            raise BadInput(f"input {name!r} is missing{more}", column=name)
    n = found[names[0]].shape[0]
    for name in names:
        if found[name].shape not in ((n,), (n, 1)):
            raise BadInput(
                f"input {name!r} has shape {list(found[name].shape)}, not [{n}] or [{n}, 1]", column=name
            )
    limits.check_rows(n)
    if not n:
        raise BadInput("no rows")
    if not wanted.numbers:
        return pa.table({name: _cells(found[name]) for name in names})
    for name in names:
        if found[name].datatype == "BYTES":
            raise BadInput(f"input {name!r}: the column holds numbers, not BYTES", column=name)
    return np.column_stack([found[name].values().astype(np.float64).ravel() for name in names])


def _cells(tensor: Tensor) -> pa.Array:
    values = tensor.values().ravel()
    if values.dtype.kind == "O":
        try:
            return pa.array(values.tolist(), pa.string() if tensor.datatype == "BYTES" else pa.bool_())
        except UnicodeEncodeError:
            raise BadInput(f"input {tensor.name[:80]!r}: not all of it is text", column=tensor.name) from None
    return pa.array(values, from_pandas=True)  # NaN is null


def _said(names: list[str], wanted: Takes) -> str:
    if not names:
        return repr(INPUT)
    shown = ", ".join(repr(name[:80]) for name in names[:3]) + (", ..." if len(names) > 3 else "")
    one_each = f"one tensor a column: {shown}"
    return f"{INPUT!r}, or {one_each}" if math.prod(wanted.shape) and wanted.numbers else one_each
