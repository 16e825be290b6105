"""What is stored, and the table: in the terminal and as Markdown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MARK = {True: "met", False: "NOT MET", None: ""}


class Parts:
    """The finished parts of the benchmark, each with the run that measured it, in one JSON file (None: nowhere)."""

    def __init__(self, path: Path | None):
        self.path = path
        self.found: dict[str, Any] = {}
        if path is not None and path.exists():
            self.found = json.loads(path.read_text())["parts"]

    def add(self, name: str, run: dict[str, Any], result: dict[str, Any]) -> None:
        self.found[name] = {"run": run} | result
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside = self.path.with_suffix(".tmp")
            beside.write_text(json.dumps({"parts": self.found}, indent=1) + "\n")
            os.replace(beside, self.path)

    def rows(self, order: list[str]) -> list[tuple[str, dict[str, Any]]]:
        """(part, row), parts in the given order."""
        return [(name, row) for name in order if name in self.found for row in self.found[name]["rows"]]


def print_table(rows: list[tuple[str, dict[str, Any]]], console: Console | None = None) -> None:
    table = Table(title="The service under load", show_lines=False)
    for column in ("what", "target", "measured", ""):
        table.add_column(column, overflow="fold")
    part = None
    for name, one in rows:
        if part not in (None, name):
            table.add_section()
        part = name
        colour = {True: "green", False: "bold red", None: ""}[one["met"]]
        table.add_row(one["title"], one["target"], one["reached"], MARK[one["met"]], style=colour)
    (console or Console()).print(table)


def markdown(parts: Parts, order: list[str], doc: str) -> str:
    """The table, below each part the run that measured it, and the settings that the peers were best at."""
    lines = ["# The service under load", "", *doc.strip().splitlines(), ""]
    for name in order:
        if name not in parts.found:
            continue
        part = parts.found[name]
        lines += [f"## {name}", "", f"{_run(part['run'])}", ""]
        lines += ["| what | target | measured | |", "|---|---|---|---|"]
        for one in part["rows"]:
            cells = (one["title"], one["target"], one["reached"], MARK[one["met"]])
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
        lines.append("")
        for peer, swept in part.get("swept", {}).items():
            if "best" in swept:
                tried = len({json.dumps(one["settings"]) for one in swept["tried"]})
                best = "; ".join(
                    f"at {n} connections {json.dumps(settings)}" for n, settings in swept["best"].items()
                )
                with_these = ", ".join(f"{key} {value}" for key, value in swept.get("versions", {}).items())
                lines += [f"- {peer}, best of {tried} settings: {best}; runs with {with_these}"]
        if "agreement" in part:
            worst = max(part["agreement"].values(), default=0.0)
            lines += [f"- largest difference of an energy between any two servers: {worst:.1e}"]
        lines += [f"- {note}" for note in part.get("notes", [])]
        if lines[-1]:
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _run(run: dict[str, Any]) -> str:
    versions = ", ".join(f"{key} {value}" for key, value in run["versions"].items())
    machine = run["machine"]
    return (
        f"`{run['command']}`, {run['date'][:10]}, {machine['cpu']}, {machine['cores']} cores, {versions}; "
        f"seeds {', '.join(map(str, run['seeds']))}."
    )
