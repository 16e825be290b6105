"""The table of benchmarks/batch.py: in the terminal, and as Markdown."""

from __future__ import annotations

from typing import Any

from _common import heading
from _service_report import MARK, Parts
from rich.console import Console
from rich.table import Table


def show(rows: list[tuple[str, dict[str, Any]]]) -> None:
    table = Table("what", "target", "measured", "", title="Files of any size", show_lines=True)
    for _, one in rows:
        colour = {True: "green", False: "bold red", None: ""}[one["met"]]
        table.add_row(one["title"], one["target"], one["reached"], MARK[one["met"]], style=colour)
    Console().print(table)


def markdown(parts: Parts, order: list[str], doc: str) -> str:
    """The table of each part, below the run that measured it."""
    lines = ["# Files of any size", "", *doc.strip().splitlines(), ""]
    for name in order:
        if name not in parts.found:
            continue
        part = parts.found[name]
        lines += [f"## {name}", "", heading(part["run"])]
        lines += ["| what | target | measured | |", "|---|---|---|---|"]
        for one in part["rows"]:
            cells = (one["title"], one["target"], one["reached"], MARK[one["met"]])
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
        lines += ["", *(f"{note}\n" for note in part.get("notes", []))]
    return "\n".join(lines).rstrip() + "\n"
