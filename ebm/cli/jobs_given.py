"""What `ebm jobs submit` is given, as the server takes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ebm.errors import BadInput


def options_of(given: list[str]) -> dict[str, Any]:
    """NAME=VALUE pairs; a value that is JSON (0.1, true, [1, 2]) is what it says, any other a text.

    Raises:
        BadInput: no pair, or a name given twice.
    """
    found: dict[str, Any] = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not equals or not name:
            raise BadInput(f"--option {one}: write NAME=VALUE")
        if name in found:
            raise BadInput(f"--option {name}: given twice")
        try:
            value = json.loads(text, parse_constant=lambda constant: constant)
        except ValueError:
            value = text
        found[name] = value
    return found


def configuration(path: Path) -> dict[str, Any]:
    """A YAML mapping. Raises BadInput: names the file."""
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not text'}") from None
    except yaml.YAMLError as error:
        raise BadInput(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise BadInput(f"{path}: expected a mapping of keys at the top level")
    return found


def local_file(path: Path) -> Path:
    """`path`, which can be uploaded. Raises BadInput where it is no file."""
    if path.is_file():
        return path
    if path.is_dir():
        raise BadInput(
            f"{path}: is a folder; upload a file, such as a zip, or name a path of the server (--on-server)"
        )
    raise BadInput(f"{path}: no such file here; --on-server for a path of the server")
