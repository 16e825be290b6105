"""Types of settings, with how their text is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode


def _place(value: Any) -> Any:
    # A Path would make s3:/bucket of s3://bucket.
    return value if isinstance(value, str) and "://" in value else Path(value)


def _words(value: Any) -> Any:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


Place = Annotated[Path | str, BeforeValidator(_place)]
Bytes = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=1)]
# Of the environment: words with commas.
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
