"""The Open Inference Protocol, version 2, and its binary tensor extension: requests read, responses written.

Sources: KServe, "Open Inference Protocol (V2)"; NVIDIA Triton, "Binary Tensor Data Extension" and "Model Repository
Extension".
"""

from service.oip.inputs import read_values
from service.oip.metadata import PLATFORM, describe_inputs, describe_outputs, example_request
from service.oip.protocol import InferRequest, Wanted, read_request
from service.oip.response import write_response

__all__ = [
    "PLATFORM",
    "InferRequest",
    "Wanted",
    "describe_inputs",
    "describe_outputs",
    "example_request",
    "read_request",
    "read_values",
    "write_response",
]
