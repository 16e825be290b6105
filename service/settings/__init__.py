"""All that can be set, where it is read from, and how it is shown."""

from __future__ import annotations

from service.settings.document import as_markdown, as_text
from service.settings.reading import read_settings, unknown_variables
from service.settings.settings import Settings

__all__ = ["Settings", "as_markdown", "as_text", "read_settings", "unknown_variables"]
