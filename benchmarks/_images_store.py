"""Finished cells of the image benchmark: an interrupted run goes on, and one section's settings void no other's."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _common import provenance

Figures = dict[str, Any]


class Cells:
    """A JSON file of cells "section/seed/what" -> figures, each with a digest of the settings it was made with."""

    def __init__(self, path: Path, seeds: list[int], fresh: bool = False):
        self.path, self.seeds = path, seeds
        found = json.loads(path.read_text()) if path.exists() and not fresh else {}
        self.cells: dict[str, Figures] = found.get("cells", {})
        self.made: dict[str, str] = found.get("made", {})
        self.run: dict[str, Any] = found.get("run", {})
        self.dates: dict[str, str] = found.get("dates", {})
        self.settings: dict[str, Any] = found.get("settings", {})

    def has(self, cell: str, settings: Any) -> bool:
        return cell in self.cells and self.made.get(cell) == digest(settings)

    def get(self, cell: str, settings: Any, call: Callable[[], Figures]) -> Figures:
        """The stored figures of `cell` if these settings made them, else those of `call()`, which are stored."""
        if not self.has(cell, settings):
            figures = call()
            self.run = own_provenance(self.seeds)
            self.cells[cell], self.made[cell] = json.loads(json.dumps(figures)), digest(settings)
            self.dates[cell] = self.run["date"]
            self.save()
        return self.cells[cell]

    def note(self, name: str, value: Any) -> None:
        """What the report has to say of the settings, e.g. the configuration itself."""
        self.settings[name] = json.loads(json.dumps(value))

    def section(self, name: str) -> dict[str, dict[str, Figures]]:
        """what -> seed -> figures, in the order of the cells."""
        found: dict[str, dict[str, Figures]] = {}
        for cell, figures in self.cells.items():
            section, seed, what = cell.split("/", 2)
            if section == name and int(seed) in self.seeds:
                found.setdefault(what, {})[seed] = figures
        return found

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = {
            "run": self.run,
            "settings": self.settings,
            "cells": self.cells,
            "made": self.made,
            "dates": self.dates,
        }
        beside = self.path.with_suffix(".tmp")
        beside.write_text(json.dumps(whole, indent=1) + "\n")
        os.replace(beside, self.path)


def digest(settings: Any) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def own_provenance(seeds: list[int]) -> dict[str, Any]:
    """Of this command; the folders of one machine are left out."""
    run = provenance(seeds)
    words, hidden = (
        run["command"].split(),
        {"--data-dir": "DIR", "--mnist": "PATH", "--work": "DIR", "--out": "PATH"},
    )
    for i, word in enumerate(words[:-1]):
        words[i + 1] = hidden.get(word, words[i + 1])
    import torch

    return run | {
        "command": " ".join(["python", "benchmarks/images.py", *words[2:]]),
        "threads": torch.get_num_threads(),
    }
