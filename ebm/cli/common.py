"""What several commands share: options, opening a model, progress, saying things."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ebm.errors import BadInput

if TYPE_CHECKING:
    from rich.progress import Progress

    from ebm.detector import Detector

ModelsDir = Annotated[
    Path,
    typer.Option(
        "--models",
        envvar=["EBM_MODELS", "EBM_MODELS_DIR"],
        help="Folder of published models, <name>/<version>/.",
    ),
]
DEFAULT_MODELS = Path("models")
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="NAME or NAME/VERSION in the models folder, or a path to a version folder."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines; no progress bar.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="File to write; appears only when complete.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same model, same device: same answer.")]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1, ...")]


def model_path(model: str, models_dir: Path) -> Path:
    """The version folder that MODEL names: a path to one, NAME, or NAME/VERSION below `models_dir`.

    Raises:
        EBMError: there is no such model.
    """
    from ebm import artifact

    if (Path(model) / "manifest.json").is_file():
        return Path(model)
    name, _, version = model.partition("/")
    return Path(artifact.resolve(models_dir, name, version or None))


def open_detector(model: str, models_dir: Path, device: str = "cpu", *, as_json: bool = False) -> Detector:
    """Load the model that MODEL names. Importing torch alone takes over a second, hence the bar."""
    wait_asleep()
    with progress(as_json) as bar:
        bar.add_task(f"loading {model}", total=None)
        from ebm import artifact

        return artifact.load(model_path(model, models_dir), device=device)


def wait_asleep() -> None:
    """Threads of a computation that wait for each other sleep instead of spinning; to be said before torch is loaded.

    Spinning gains a little on an idle machine; beside anything else that computes, as our own reading and writing, it
    took 12 times as long (measured: two threads on two busy cores).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@contextmanager
def progress(as_json: bool = False) -> Iterator[Progress]:
    """A progress display on stderr that vanishes when done; silent with --json or without a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=as_json or not console.is_terminal,
    ) as bar:
        yield bar


def drive(steps: Generator[Any, None, Any], description: str, as_json: bool) -> Any:
    """Run a generator of steps (`step`, `n_total`) to its end under a progress bar; its return value."""
    with progress(as_json) as bar:
        task = bar.add_task(description, total=None)
        while True:
            try:
                at = next(steps)
            except StopIteration as done:
                return done.value
            bar.update(task, completed=at.step, total=at.n_total)


def say(message: str) -> None:
    """A remark for people, on stderr, so that stdout stays data."""
    typer.echo(message, err=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout.

    Raises:
        ValueError: `value` holds NaN or infinity, which JSON has not; name such rows apart.
    """
    typer.echo(json.dumps(value, allow_nan=False, default=str))


def check_output(path: Path, suffixes: tuple[str, ...]) -> None:
    """Refuse an output that cannot be written, before the work and not after it.

    Raises:
        BadInput: the suffix is not one of `suffixes`, or the folder does not exist.
    """
    if path.suffix.lower() not in suffixes:
        raise BadInput(f"{path}: the output must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise BadInput(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise BadInput(f"{path}: is a folder")


def check_can(detector: Detector, ability: str) -> None:
    """Refuse what the model cannot do before any input is read.

    Raises:
        Unsupported: `ability` is not among what the model can do.
    """
    if ability not in detector.can:
        from ebm.errors import Unsupported

        able = ", ".join(sorted(detector.can))
        raise Unsupported(f"model {detector.name} cannot {ability}; it can {able}")


def check_numbers(detector: Detector, output: Path) -> None:
    """Refuse .npy where the model's rows are not an array.

    Raises:
        BadInput: names the output.
    """
    if output.suffix.lower() == ".npy" and getattr(detector.preprocessor, "frame", False):
        raise BadInput(f"{output}: model {detector.name} has rows of mixed types; use .csv or .parquet")
