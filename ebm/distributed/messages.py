"""What passes between the process that asks, the driver of Ray and its workers: plain JSON, errors included."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from ebm import errors
from ebm.errors import EBMError


def error_as_json(error: Exception) -> dict[str, Any]:
    """An error in such words that another process can raise it again; of a bug, where it was."""
    found: dict[str, Any] = {"error": type(error).__name__, "detail": str(error)}
    if isinstance(error, OSError):
        found |= {"error": "OSError", "errno": error.errno, "detail": error.strerror or str(error)}
        found["path"] = None if error.filename is None else str(error.filename)
    if isinstance(error, errors.BadInput):
        found |= {"row": error.row, "column": error.column}
    if not isinstance(error, (OSError, EBMError)):
        last = traceback.extract_tb(error.__traceback__)[-1:]
        found["detail"] += "".join(f" ({Path(at.filename).name}, line {at.lineno})" for at in last)
    return found


def error_of(found: dict[str, Any]) -> Exception:
    """The error that `error_as_json` described; of an unknown kind, an EBMError with its text."""
    kind, detail = found["error"], found["detail"]
    if kind == "BadInput":
        return errors.BadInput(detail, row=found.get("row"), column=found.get("column"))
    if kind == "OSError":
        code, path = found.get("errno"), found.get("path")
        return OSError(detail) if code is None else OSError(code, detail, path)
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, EBMError):
        return known(detail)
    return EBMError(f"{kind}: {detail}")
