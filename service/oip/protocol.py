"""An inference request, from the bytes of a body."""

from __future__ import annotations

from typing import Any, NamedTuple

from ebm.errors import BadInput
from service.bodies import read_document
from service.oip.binary import DATATYPES, HEADER, split
from service.oip.tensors import Tensor, check_shape

OUTPUTS = {"energy": "FP32", "anomaly_score": "FP64", "p_value": "FP64", "is_anomaly": "BOOL"}
MOST_INPUTS = 10_000
# Of the request: what clients and gateways put there for servers that queue sequences or decode columns.
IGNORED = {
    "content_type", "headers", "priority", "sequence_end", "sequence_id", "sequence_start", "timeout",
}  # fmt: skip
IGNORED_PREFIX = "triton_"


class Wanted(NamedTuple):
    """An output that is asked for, as bytes after the JSON or within it."""

    name: str
    binary: bool


ALL = {binary: [Wanted(name, binary) for name in OUTPUTS] for binary in (False, True)}


class InferRequest(NamedTuple):
    """raw: the whole body as bytes of the one input tensor, whose datatype and shape are the model's; then `inputs`
    is empty."""

    id: str | None
    inputs: list[Tensor]
    outputs: list[Wanted]
    fpr: float | None = None
    fdr: float | None = None
    raw: memoryview | None = None


def read_request(body: bytes, header: str | None) -> InferRequest:
    """The request of a body, its tensors still as they came.

    Args:
        header: the value of Inference-Header-Content-Length, where it was sent. 0: a raw binary request.

    Raises:
        BadInput: what is wrong, and with which tensor.
    """
    text, rest = split(body, header)
    if header is not None and not text:
        return InferRequest(None, [], ALL[False], raw=rest)
    document = _read_json(text)
    binary, fpr, fdr = None, None, None
    parameters = _parameters(document, "the request")
    if parameters:
        _refuse_unknown(parameters)
        binary = _flag(parameters, "binary_data_output", "the request")
        fpr, fdr = _rate(parameters, "fpr"), _rate(parameters, "fdr")
        if fpr is not None and fdr is not None:
            raise BadInput("give fpr or fdr, not both")
    return InferRequest(
        _id(document.get("id")), _read_inputs(document, rest), _read_outputs(document, binary), fpr, fdr
    )


def _read_json(text: bytes) -> dict[str, Any]:
    if not text.lstrip()[:1] == b"{":
        raise BadInput('the body must be a JSON object, e.g. {"inputs": [...]}')
    return read_document(text)


def _id(given: Any) -> str | None:
    if given is None or isinstance(given, str):
        try:
            (given or "").encode()
        except UnicodeEncodeError:  # half of a surrogate pair: nothing that could be sent back
            raise BadInput("'id' is not text") from None
        return given
    raise BadInput("'id' must be text")


def _read_inputs(document: dict[str, Any], rest: memoryview) -> list[Tensor]:
    given = document.get("inputs")
    if not isinstance(given, list) or not given:
        raise BadInput("'inputs' must be a list of tensors, at least one")
    if len(given) > MOST_INPUTS:
        raise BadInput(f"'inputs' holds {len(given)} tensors, more than {MOST_INPUTS}")
    found = []
    at = 0
    for one in given:
        name = _name(one, "input")
        try:
            tensor = _read_input(one, name, rest[at:])
        except BadInput as error:
            raise BadInput(f"input {name[:80]!r}: {error}") from None
        at += len(tensor.content) if tensor.content is not None else 0
        found.append(tensor)
    if at != len(rest):
        raise BadInput(f"the body has {len(rest) - at} bytes more than its tensors")
    return found


def _read_input(one: dict[str, Any], name: str, rest: memoryview) -> Tensor:
    datatype, data = one.get("datatype"), one.get("data")
    if datatype not in DATATYPES:
        raise BadInput(f"'datatype' must be one of {', '.join(DATATYPES)}")
    shape = check_shape(one.get("shape"))
    parameters = _parameters(one, "it")
    if parameters.get("shared_memory_region") is not None:
        raise BadInput("shared memory is not supported")
    size = parameters.get("binary_data_size")
    if size is None:
        if not isinstance(data, list):
            raise BadInput("'data' must be a list, or 'binary_data_size' a parameter")
        return Tensor(name, datatype, shape, data, None)
    if data is not None:
        raise BadInput("give 'data' or 'binary_data_size', not both")
    if type(size) is not int or size < 0:
        raise BadInput("'binary_data_size' must be a whole number from 0")
    if size > len(rest):
        raise BadInput(
            f"'binary_data_size' is {size}, and {len(rest)} bytes are left ({HEADER} tells where they begin)"
        )
    return Tensor(name, datatype, shape, None, rest[:size])


def _read_outputs(document: dict[str, Any], binary: bool | None) -> list[Wanted]:
    given = document.get("outputs")
    if given is None or given == []:
        return ALL[bool(binary)]
    if not isinstance(given, list):
        raise BadInput("'outputs' must be a list")
    found: list[Wanted] = []
    for one in given:
        name = _name(one, "output")
        if name not in OUTPUTS:
            raise BadInput(f"no output {name[:80]!r}; there are {', '.join(OUTPUTS)}")
        if any(wanted.name == name for wanted in found):
            raise BadInput(f"output {name!r} is asked for twice")
        parameters = _parameters(one, f"output {name!r}")
        for key in ("classification", "shared_memory_region"):
            if parameters.get(key) is not None:
                raise BadInput(f"output {name!r}: {key} is not supported")
        own = _flag(parameters, "binary_data", f"output {name!r}")
        found.append(Wanted(name, bool(binary) if own is None else own))
    return found


def _name(one: Any, kind: str) -> str:
    name = one.get("name") if isinstance(one, dict) else None
    if not isinstance(name, str):
        raise BadInput(f"each {kind} must be an object with a 'name'")
    return name


def _parameters(one: dict[str, Any], whose: str) -> dict[str, Any]:
    given = one.get("parameters")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadInput(f"'parameters' of {whose} must be an object")
    return given


def _flag(parameters: dict[str, Any], key: str, whose: str) -> bool | None:
    flag = parameters.get(key)
    if flag is None or isinstance(flag, bool):
        return flag
    raise BadInput(f"{key!r} of {whose} must be true or false")


def _rate(parameters: dict[str, Any], key: str) -> float | None:
    rate = parameters.get(key)
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1:
        raise BadInput(f"{key} must lie between 0 and 1")
    return float(rate)


def _refuse_unknown(parameters: dict[str, Any]) -> None:
    for key in parameters.keys() - {"fpr", "fdr", "binary_data_output"} - IGNORED:
        if not key.startswith(IGNORED_PREFIX):
            raise BadInput(f"no parameter {key[:80]!r}; there are fpr, fdr and binary_data_output")
