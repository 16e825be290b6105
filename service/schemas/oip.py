"""The Open Inference Protocol's documents, for OpenAPI; service/oip/ reads and writes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.oip.binary import DATATYPES
from service.oip.protocol import MOST_INPUTS, OUTPUTS
from service.oip.tensors import LARGEST, MOST_DIMENSIONS

Datatype = Annotated[str, Field(json_schema_extra={"enum": list(DATATYPES)})]
OutputName = Annotated[str, Field(json_schema_extra={"enum": list(OUTPUTS)})]
Length = Annotated[int, Field(ge=0, lt=LARGEST)]
Rate = Annotated[float, Field(gt=0, lt=1)]


class InferenceError(BaseModel):
    """The one shape of errors under /v2."""

    error: str


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these."""
    return {status: {"model": InferenceError, "description": "Error"} for status in statuses}


class Server(BaseModel):
    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    live: Literal[True]


class Ready(BaseModel):
    ready: Literal[True]


class ModelReady(Ready):
    name: str


class TensorMetadata(BaseModel):
    name: str
    datatype: Datatype
    shape: list[int] = Field(description="-1: any number, of rows")


class ModelMetadata(BaseModel):
    """What a model takes and answers. Other datatypes of numbers are accepted as well as the one that is named."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class InputParameters(BaseModel):
    model_config = ConfigDict(extra="allow")

    binary_data_size: Annotated[int, Field(ge=0)] | None = Field(
        None, description="bytes of this tensor after the JSON, instead of `data`"
    )


class InputTensor(BaseModel):
    """Values in the units of the training data: `input`, or one tensor for each column, by its name."""

    name: str
    datatype: Datatype
    shape: Annotated[list[Length], Field(min_length=1, max_length=MOST_DIMENSIONS)]
    parameters: InputParameters | None = None
    data: list[Any] | None = Field(None, description="flat, or nested as `shape` says")


class OutputParameters(BaseModel):
    model_config = ConfigDict(extra="allow")

    binary_data: bool | None = Field(None, description="as bytes after the JSON")


class RequestedOutput(BaseModel):
    name: OutputName
    parameters: OutputParameters | None = None


class InferParameters(BaseModel):
    fpr: Rate | None = Field(None, description="label rows with p_value <= fpr")
    fdr: Rate | None = Field(None, description="label by Benjamini-Hochberg over the rows of this request")
    binary_data_output: bool | None = Field(None, description="all outputs as bytes after the JSON")


class InferenceRequest(BaseModel):
    """JSON; with the header Inference-Header-Content-Length that many bytes of it, then the tensors' bytes."""

    model_config = ConfigDict(extra="allow")

    id: str | None = None
    parameters: InferParameters | None = None
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=MOST_INPUTS)]
    outputs: list[RequestedOutput] | None = Field(None, description="all four where none is named")


class OutputTensor(BaseModel):
    """`data`, or bytes after the JSON. A number that JSON cannot hold is null, and named in `non_finite`."""

    name: OutputName
    datatype: Datatype
    shape: list[int]
    parameters: dict[str, Any] | None = Field(None, description="binary_data_size; non_finite")
    data: list[float | bool | None] | None = None


class InferenceResponse(BaseModel):
    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, Any] = Field(description="higher_is_more_anomalous, the rate, and a note on it")
    outputs: list[OutputTensor]


class IndexRequest(BaseModel):
    model_config = ConfigDict(extra="allow")

    ready: bool | None = Field(None, description="true: only models that answer")


class IndexEntry(BaseModel):
    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class LoadAnswer(BaseModel):
    name: str
    load: Literal[True]


class UnloadAnswer(BaseModel):
    name: str
    unload: Literal[True]
