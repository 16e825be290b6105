"""The base of every configuration: frozen, typed, and closed to unknown keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from ebm.errors import BadConfig


class Frozen(BaseModel):
    """A configuration that cannot change after it was read; unknown keys are errors.

    offers: of an energy: what it can do beyond answering E(x), in the words of `ebm.training.matching`.
    needs: of an objective or a sampler: what it asks of the energy, in the same words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    offers: ClassVar[frozenset[str]] = frozenset()
    needs: ClassVar[frozenset[str]] = frozenset()


M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], values: Any, source: str) -> M:
    """Validate `values` as `model`.

    Raises:
        BadConfig: one line that names `source` and the first key at fault.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        # Discriminator tags appear in `loc` beside the keys a user wrote; keys read well enough with them.
        where = ".".join(str(part) for part in first["loc"]) or "(top level)"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise BadConfig(f"{source}: {where}: {first['msg']}{more}") from None


def read_yaml(model: type[M], path: Path | str) -> M:
    """Read a YAML file as `model`.

    Raises:
        BadConfig: the file is missing, is not YAML, or does not fit `model`.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadConfig(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise BadConfig(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise BadConfig(f"{path}: expected a mapping of keys at the top level")
    return validate(model, values, str(path))
