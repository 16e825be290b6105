"""API keys as the server holds them: a name, the SHA-256 of the key, scopes, a rate. The key itself is nowhere."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ebm.errors import BadConfig

Scope = Literal["score", "generate", "admin"]


def check_rate(text: str) -> str:
    """`text` where it is a rate such as "100/minute" or "5 per second".

    Raises:
        ValueError: it is none.
    """
    import limits

    try:
        limits.parse(text)
    except ValueError:
        raise ValueError(f'{text!r} is no rate; write "100/minute" or "5 per second"') from None
    return text


Rate = Annotated[str, AfterValidator(check_rate)]


class ApiKey(BaseModel):
    """Who may ask for what, and how often.

    The key is 256 random bits, so its plain SHA-256 cannot be searched: slow hashes protect passwords, which people
    choose. A slow hash would only slow the server, on every request.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="shown in the log")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the key, in hexadecimal")
    scopes: tuple[Scope, ...] = Field(min_length=1, description="admin implies the others")
    rate: Rate | None = Field(default=None, description='requests allowed, such as "100/minute"')


def digest(key: str) -> str:
    """The `sha256` of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(file: Path) -> list[ApiKey]:
    """The keys of a YAML (or JSON) file: a list of name, sha256, scopes and perhaps rate.

    Raises:
        BadConfig: names the file, the entry and the field; never shows a value of the file, which may be a key.
    """
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(
            f"{file}: cannot be read ({getattr(error, 'strerror', None) or 'not text'})"
        ) from None
    except yaml.YAMLError:
        raise BadConfig(f"{file}: not YAML") from None
    try:
        return TypeAdapter(list[ApiKey]).validate_python(found if found is not None else [])
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadConfig(f"{file}: {where or 'keys'}: {first['msg']}") from None
