"""The page of the gallery: Markdown with relative pictures, as a hosting site shows it."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ebm.gallery.cell import Cell
from ebm.gallery.entries import ELSEWHERE
from ebm.gallery.entry import Entry

TITLE = "# Gallery: what each objective learns"
WEAK = 0.7  # cosine below which the page says so itself
HOW_TO_READ = """\
Each picture has a row for each set. From left to right: the energy of the truth and the learnt one (log₁₀ of one plus
the height above the lowest point: yellow is low, where the data are), the true score function −∇E and the learnt one
(drawn where there are data; length by the square root), samples by chains on the learnt energy (red) over data (blue),
and the loss over the run with its least and greatest value.

| figure | meaning | best |
|---|---|---|
| cosine | of the learnt score field to the true one, in the mean over fresh data; blind to a factor | 1 |
| Fisher | divergence E‖s − s*‖² over fresh data, as a share of E‖s*‖², that of a field of zeros | 0 |
| AUROC | fresh data against rows uniform in the picture (in brackets the truth's) | the truth's |
| samples | energy distance to fresh data × 1000 (in brackets that of as many new draws of the set) | that of draws |
| modes | of the eight Gaussians: with a sample within 3 sd; KL of the samples' shares of them to equal ones | 8; 0 |
| CPU s | of training, and of drawing the samples, on one thread | |

A figure of the truth's is exceeded, and a distance below zero, by chance alone.
"""


@dataclass(frozen=True)
class Made:
    """How the page came about."""

    command: str
    seed: int
    seconds: float
    quick: bool = False


def write_page(folder: Path, results: Sequence[tuple[Entry, Sequence[Cell]]], made: Made) -> Path:
    """Write folder/README.md for pictures `<key>.png` that lie beside it; its path."""
    lines = [TITLE, "", *_preface(made), HOW_TO_READ, *_summary(results)]
    for entry, cells in results:
        lines += _section(entry, cells, folder)
    lines += ["## Elsewhere", "", "These objectives have no picture here:", ""]
    lines += [f"- `{kind}`: {why}" for kind, why in ELSEWHERE.items()]
    path = folder / "README.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def is_page(path: Path) -> bool:
    """Whether a file is an earlier page, which may be written over."""
    return path.read_text(encoding="utf-8", errors="replace").startswith(TITLE)


def picture(entry: Entry) -> str:
    return f"{entry.key}.png"


def _preface(made: Made) -> list[str]:
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("torch", "numpy"))
    quick = " A quick look only: a hundredth of the steps, so nothing is learnt." if made.quick else ""
    return [
        "Every objective of the library on five sets in the plane whose density is known "
        "(`ebm/data/toy.py` has their equations), beside the truth.",
        "",
        f"Made by `{made.command}`, seed {made.seed}, {date.today().isoformat()}, in {made.seconds / 60:.1f} minutes: "
        f"Python {platform.python_version()}, {versions}, {platform.system()} {platform.machine()}, one thread."
        f"{quick} The same command and seed on the same machine give the same pictures and, but for times, the same "
        "figures. Nothing here was chosen set by set: an objective has one configuration for all five, "
        "in `ebm/gallery`, of the kind that `ebm train` takes.",
        "",
    ]


def _summary(results: Sequence[tuple[Entry, Sequence[Cell]]]) -> list[str]:
    sets = [cell.set for cell in results[0][1]] if results else []
    lines = ["Cosine of the score field to the truth, at a glance:", ""]
    lines += [
        f"| objective | {' | '.join(name.replace('_', ' ') for name in sets)} |",
        "|---|" + "---|" * len(sets),
    ]
    for entry, cells in results:
        marks = [f"{cell.figures['cosine']:.2f}" if cell.figures else "diverged" for cell in cells]
        lines.append(f"| [{entry.title}](#{_anchor(entry.title)}) | {' | '.join(marks)} |")
    return [*lines, ""]


def _anchor(title: str) -> str:
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -")
    return kept.replace(" ", "-")


def _told_in(entry: Entry, folder: Path) -> list[str]:
    """The pages of the family, where the gallery lies beside them, that show how to ask for this objective: first one
    of its name, then the one that does so most often."""
    asked, named = re.compile(rf"kind: {entry.kind}\b"), _anchor(entry.title)
    pages = (p for p in sorted((folder.parent / "family").glob("*.md")) if p.name != "README.md")
    counts = {p.name: len(asked.findall(p.read_text("utf-8"))) for p in pages}
    found = (name for name, n in counts.items() if n)
    return sorted(found, key=lambda name: (Path(name).stem not in named, -counts[name]))


def _section(entry: Entry, cells: Sequence[Cell], folder: Path) -> list[str]:
    link = "".join(f" More: [docs/family/{name}](../family/{name})." for name in _told_in(entry, folder)[:1])
    lines = [f"## {entry.title}", "", "```math", entry.equation, "```", ""]
    lines += [f"Objective `{entry.kind}`, energy `{entry.term['energy']['kind']}`. {entry.about}{link}", ""]
    lines += [f"![{entry.title}: energies, score fields, samples and loss]({picture(entry)})", ""]
    lines += ["| set | cosine | Fisher | AUROC | samples | CPU s |", "|---|---|---|---|---|---|"]
    lines += [_row(cell) for cell in cells]
    weak = [cell.set.replace("_", " ") for cell in cells if cell.figures and cell.figures["cosine"] < WEAK]
    if weak and entry.density:
        lines += ["", f"Weak on {', '.join(weak)}: cosine below {WEAK}."]
    lines += [f"\nDiverged on {cell.set.replace('_', ' ')}: {cell.failed}." for cell in cells if cell.failed]
    return [*lines, ""]


def _row(cell: Cell) -> str:
    name, f = cell.set.replace("_", " "), cell.figures
    if not f:
        return f"| {name} | diverged | | | | {cell.seconds:.1f} |"
    fisher = f"{f['fisher']:.2f}" if f["fisher"] < 100 else f"{f['fisher']:.0e}"
    samples = f"{1000 * f['distance']:.1f} ({1000 * f['distance_data']:.1f})"
    if "modes" in f:
        samples += f"; {f['modes']:.0f} of 8 modes, KL {f['modes_kl']:.2f}"
    return (
        f"| {name} | {f['cosine']:.2f} | {fisher} | {f['auroc']:.3f} ({f['auroc_truth']:.3f}) | {samples} "
        f"| {cell.seconds:.1f} |"
    )
