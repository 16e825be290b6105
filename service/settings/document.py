"""All settings, from their model: for `ebm serve --help` and for docs/settings.md."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from service.settings.settings import FILE_VARIABLE, GROUPS, PREFIX

HEAD = f"""# Settings

Written by `ebm serve --settings-markdown > docs/settings.md`; a test says whether it is current.

Each setting is, in this order, an option of `ebm serve` (the commonest ones), an environment variable `{PREFIX}<NAME>`,
a key of the file that `ebm serve --config FILE` or `{FILE_VARIABLE}` names (YAML, or TOML by its suffix), or its
default. A key of the file that is no setting is an error; so is a value that does not fit, and the error names where
it came from. Lists are JSON in the environment, or words with commas where the table says so.

```yaml
# settings.yaml
models_dir: /srv/models
workers: 2
max_rows: 5000
api_keys_file: keys.yaml
```

```yaml
# keys.yaml: `ebm keys new --name app --scope score` prints a key, once, and its entry for this file.
- name: app
  sha256: 2c1f6ab46a05a8a8bd3f3b4fcba1b9c3a2c0a3d1ea0ec11a1b4a8e7f0b2f4a77
  scopes: [score]
  rate: 100/minute
```
"""


def _rows() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """(group, [(name, default, description)])."""
    for group in GROUPS:
        fields = group.model_fields.items()
        title = (group.__doc__ or "").rstrip(".")
        yield title, [(name, _shown(field.default), field.description or "") for name, field in fields]


def _shown(value: Any) -> str:
    if value is None or value == () or value == "":
        return "-"
    return str(value)


def as_markdown() -> str:
    """docs/settings.md."""
    parts = [HEAD]
    for title, rows in _rows():
        lines = [f"| `{PREFIX}{name.upper()}` | {default} | {text} |" for name, default, text in rows]
        parts.append(
            "\n".join([f"## {title}\n", "| variable | default | what |", "|---|---|---|", *lines]) + "\n"
        )
    return "\n".join(parts)


def as_text(width: int = 100) -> str:
    """For a terminal."""
    lines = [
        f"Settings: variables {PREFIX}<NAME>, or keys of --config FILE (or {FILE_VARIABLE}) in small letters.",
    ]
    for title, rows in _rows():
        lines += ["", f"{title}:"]
        for name, default, text in rows:
            lines.append(f"  {PREFIX}{name.upper()} [{default}]")
            lines += textwrap.wrap(text, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)
