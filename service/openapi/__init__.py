"""The OpenAPI document: bodies that routes read themselves, and examples that run on the models served."""

from service.openapi.document import install
from service.openapi.operations import binary, body, parameters

__all__ = ["binary", "body", "install", "parameters"]
