"""The whole gallery: every entry on every set, then the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ebm.data import TOY_NAMES, ToyName
from ebm.errors import BadInput
from ebm.gallery.cell import Cell, Size, make_cell
from ebm.gallery.entries import ENTRIES
from ebm.gallery.entry import Entry
from ebm.gallery.figure import draw
from ebm.gallery.page import Made, is_page, picture, write_page

QUICK = Size(steps=0.01, rows=400, chains=40, fresh=400, grid=16, arrows=6)


def chosen(only: Sequence[str]) -> list[Entry]:
    """The entries whose key or kind of objective is named; all where none is.

    Raises:
        BadInput: a name that no entry has.
    """
    for name in only:
        if not any(name in (entry.key, entry.kind) for entry in ENTRIES):
            known = ", ".join(dict.fromkeys(name for e in ENTRIES for name in (e.kind, e.key)))
            raise BadInput(f"the gallery has no objective '{name}'; there are {known}")
    return [e for e in ENTRIES if not only or e.key in only or e.kind in only]


def make_gallery(
    folder: Path | str,
    *,
    sets: Sequence[str] = (),
    only: Sequence[str] = (),
    quick: bool = False,
    seed: int = 0,
    command: str = "ebm gallery",
    on_cell: Callable[[Entry, Cell, int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Path:
    """Train all entries on all sets and write folder/README.md and a picture of each entry; the page's path.

    Args:
        sets: all five where empty. only: objectives by kind or key, all where empty. quick: a hundredth of the steps,
            for trying the command. command: as the page names it.
        on_cell: called after each with the entry, what became of it, and how many of how many are done.

    Raises:
        BadInput: an unknown name, or a folder that holds another README.md. Cancelled: `should_stop()` was true.
    """
    folder = Path(folder)
    entries = chosen(only)
    names: list[ToyName] = [name for name in TOY_NAMES if not sets or name in sets]
    for name in sets:
        if name not in TOY_NAMES:
            raise BadInput(f"the gallery has no set '{name}'; there are {', '.join(TOY_NAMES)}")
    page = folder / "README.md"
    if page.exists() and not is_page(page):
        raise BadInput(f"{page}: is no page of the gallery; give a folder of its own")
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    results: list[tuple[Entry, list[Cell]]] = []
    for entry in entries:
        cells: list[Cell] = []
        for name in names:
            cells.append(make_cell(entry, name, seed, QUICK if quick else Size(), should_stop))
            if on_cell is not None:
                on_cell(entry, cells[-1], len(results) * len(names) + len(cells), len(entries) * len(names))
        draw(cells, folder / picture(entry), density=entry.density)
        results.append((entry, cells))
    return write_page(folder, results, Made(command, seed, time.perf_counter() - began, quick))
