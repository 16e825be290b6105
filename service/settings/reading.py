"""Settings whose every mistake is one line that names where it came from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from ebm.errors import BadConfig
from service.settings.settings import FILE_VARIABLE, PREFIX, Settings

OF_COMMANDS = (
    "EBM_MODELS",
    "EBM_URL",
    "EBM_API_KEY",
)  # variables that are no settings, but read all the same


def read_settings(file: Path | None = None, **given: Any) -> Settings:
    """The settings, with `given` before all other sources, and `file` (or the one that EBM_CONFIG names) after all.

    Raises:
        BadConfig: one line that names the option, the variable or the file's key at fault, without its value where
            that may be secret.
    """
    with _variable(FILE_VARIABLE, file):
        return _read(given)


@contextmanager
def _variable(name: str, value: object | None) -> Iterator[None]:
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = str(value)
    try:
        yield
    finally:
        if value is not None:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


def _read(given: dict[str, Any]) -> Settings:
    try:
        return Settings(**given)
    except SettingsError as error:  # a list in the environment that is not JSON
        field = next((f for f in Settings.model_fields if f'"{f}"' in str(error)), "a variable")
        raise BadConfig(f"{PREFIX}{field.upper()}: not JSON") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field, *inner = (str(part) for part in first["loc"])
        variable = PREFIX + field.upper()
        if field in given:
            source = field
        elif variable in {name.upper() for name in os.environ}:
            source = variable
        else:
            source = f"{os.environ.get(FILE_VARIABLE)}: {field}"
        message = first["msg"].removeprefix("Value error, ")
        raise BadConfig(f"{': '.join([source, '.'.join(inner)]) if inner else source}: {message}") from None


def unknown_variables() -> list[str]:
    """Environment variables that look like settings and are none: most likely misspelt."""
    known = {PREFIX + field.upper() for field in Settings.model_fields} | {FILE_VARIABLE, *OF_COMMANDS}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
