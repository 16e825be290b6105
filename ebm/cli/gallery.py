"""`ebm gallery`: every objective on sets in the plane, as one page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ebm.cli.common import progress


def gallery(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for README.md and its pictures.")
    ] = Path("gallery"),
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="moons, pinwheel, rings, eight_gaussians or checkerboard (may be repeated); default: all.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="An objective by its kind (may be repeated); default: all.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A hundredth of the steps, one set: does it run?")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same machine: same figures.")] = 0,
) -> None:
    """Train every objective on five sets in the plane and write a page of what each has learnt.

    Energy landscapes, score fields, samples and losses, beside the truth, whose density is known. Takes some minutes
    on one processor.

    Example: ebm gallery -o gallery

    Example: ebm gallery --only nce --only score_matching --set moons
    """
    # Before torch is loaded: these networks are too small to share among threads, and one gives the same sums anywhere.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    names: Any = sets or (["moons"] if quick else [])
    flags = [f"--set {name}" for name in sets or []] + [f"--only {name}" for name in only or []]
    command = " ".join(
        ["ebm gallery", f"-o {output.as_posix()}", *flags, *["--quick"] * quick, f"--seed {seed}"]
    )
    with progress() as bar:
        task = bar.add_task("gallery", total=None)
        from ebm.gallery.run import make_gallery

        def report(entry: Any, cell: Any, done: int, total: int) -> None:
            bar.update(task, description=f"{entry.key}, {cell.set}", completed=done, total=total)

        page = make_gallery(
            output, sets=names, only=only or [], quick=quick, seed=seed, command=command, on_cell=report
        )
    typer.echo(page)
