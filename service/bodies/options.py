"""What a request asks for beside its rows: from the JSON document, the query, or the fields of a form."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from ebm.errors import BadInput

O = TypeVar("O", bound=BaseModel)  # noqa: E741
_defaults: dict[type[BaseModel], BaseModel | None] = {}
MAX_FIELDS = 100
IGNORE_UNKNOWN: dict[str, Any] = {
    "name": "ignore_unknown",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": "tables and records only: leave out columns that the model does not know, rather than refuse them",
}


def query_of(request: Request) -> dict[str, str]:
    """The query's parameters; of several of one name, the last."""
    raw = request.scope["query_string"]
    if not raw:
        return {}
    try:
        return dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise BadInput(f"the query: {error}") from None


def read_options(document: dict[str, Any], query: dict[str, str], options: type[O]) -> O:
    """What is left of a JSON document, and query parameters, as `options`; unknown keys are errors.

    Where nothing is asked for, the answer is one object that all such requests share.
    """
    if not document and not query:
        shared = _default(options)
        if shared is not None:
            return shared
    twice = document.keys() & query.keys()
    if twice:
        raise BadInput(f"{min(twice)}: given both in the body and in the query")
    try:
        # Query values are text by nature, JSON values are not: only the former may be turned into numbers.
        from_query = options.model_validate_strings(query).model_dump(exclude_unset=True) if query else {}
        return options.model_validate({**document, **from_query} if query else document, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:200]
        message = first["msg"].removeprefix("Value error, ")
        raise BadInput(f"{where}: {message}" if where else message) from None


def take_flag(name: str, query: dict[str, str], document: dict[str, Any] | None = None) -> bool:
    """Take a yes or no out of the query or the document; it says how to read rows, and is no option of the call."""
    if document and name in document:
        flag = document.pop(name)
        if not isinstance(flag, bool):
            raise BadInput(f"{name}: Input should be true or false")
        return flag
    if name not in query:
        return False
    text = query.pop(name).lower()
    if text not in ("", "1", "true", "yes", "0", "false", "no"):
        raise BadInput(f"{name}: Input should be true or false")
    return text not in ("0", "false", "no")


def _default(options: type[O]) -> O | None:
    if options not in _defaults:
        try:
            _defaults[options] = options()
        except ValidationError:  # something must be said
            _defaults[options] = None
    return _defaults[options]  # type: ignore[return-value]
