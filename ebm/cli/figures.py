"""Metrics of a model beside the baselines', as a table for people."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table


def print_figures(measured: Mapping[str, Mapping[str, float]], title: str | None = None) -> None:
    """One line per metric, one column per detector ("model" is the one in question), on stdout."""
    names = ["this model" if who == "model" else who for who in measured]
    table = Table("", *names, title=title)
    for metric in measured["model"]:
        table.add_row(metric, *(f"{m[metric]:.4f}" if metric in m else "" for m in measured.values()))
    Console().print(table)
