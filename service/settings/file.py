"""Settings from a YAML or TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Container
from pathlib import Path
from typing import Any

import yaml

from ebm.errors import BadConfig


def read_file(file: Path, known: Container[str]) -> dict[str, Any]:
    """The settings of a file, by name; `known` are the names there are.

    Raises:
        BadConfig: names the file, and the key that is no setting.
    """
    try:
        text = file.read_text(encoding="utf-8")
        found = tomllib.loads(text) if file.suffix.lower() == ".toml" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise BadConfig(f"{file}: cannot be read ({reason})") from None
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise BadConfig(f"{file}: {' '.join(str(error).split())}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadConfig(f"{file}: holds no settings by name")
    for key in found:
        if key not in known:
            raise BadConfig(f"{file}: {key!r} is no setting; `ebm serve --help` lists them")
    return found
