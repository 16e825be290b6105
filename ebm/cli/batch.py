"""A batch run as a command shows it: a bar, what it goes on with, and how to go on where it is interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from ebm.cli.common import say
from ebm.cli.failure import INTERRUPTED, fail

if TYPE_CHECKING:
    from rich.progress import Progress

    from ebm.batch.run import BatchRun, ChunkDone
    from ebm.batch.spec import BatchSpec
    from ebm.detector import Detector

Engine = Literal["local", "ray"]


def run_shown(
    spec: BatchSpec,
    detector: Detector,
    description: str,
    *,
    fresh: bool = False,
    as_json: bool = False,
    engine: Engine = "local",
    address: str | None = None,
    actors: int | None = None,
) -> dict[str, Any]:
    """The summary of the run, done under a progress bar on stderr.

    Ctrl-C and SIGTERM end the command with code 130, and a line that says what is kept.

    Raises:
        As `run_batch`.
    """
    opened: list[BatchRun] = []
    try:
        with terminated(), batch_progress(as_json) as bar:
            task = bar.add_task(description, total=None)

            def show(run: BatchRun, _: ChunkDone | None = None) -> None:
                if not opened and run.resumed and not as_json:
                    say(_going_on(run))
                opened[:] = [run]
                bar.update(task, completed=run.rows_done, total=run.n_rows)

            run = _on_ray(spec, address, actors) if engine == "ray" else _here(spec, detector)
            return run(fresh, show)
    except KeyboardInterrupt:
        rows = opened[0].rows_done if opened else 0
        kept = f": {rows:,} rows are kept; the same command goes on from there" if rows else ""
        fail(f"interrupted{kept}", INTERRUPTED)
    raise AssertionError  # `fail` does not return


def _here(spec: BatchSpec, detector: Detector) -> Callable[..., dict[str, Any]]:
    def run(fresh: bool, show: Callable[..., None]) -> dict[str, Any]:
        from ebm.batch.run import BatchRun

        with BatchRun.open(spec, detector=detector, fresh=fresh) as batch:
            show(batch)
            for chunk in batch.steps():
                show(batch, chunk)
            return batch.finish()

    return run


def _on_ray(spec: BatchSpec, address: str | None, actors: int | None) -> Callable[..., dict[str, Any]]:
    def run(fresh: bool, show: Callable[..., None]) -> dict[str, Any]:
        from ebm.distributed import run_ray

        return run_ray(spec, address=address, actors=actors, fresh=fresh, on_progress=show)

    return run


def _going_on(run: BatchRun) -> str:
    if run.complete:
        return (
            f"{run.spec.output}: an earlier run has done all {run.rows_done:,} rows (--fresh does them again)"
        )
    of = f" of {run.n_rows:,}" if run.n_rows is not None else ""
    return f"{run.spec.output}: going on at row {run.rows_done:,}{of} (--fresh begins again)"


@contextmanager
def terminated() -> Iterator[None]:
    """SIGTERM as Ctrl-C, so that it, too, ends with what is done kept and said."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def batch_progress(as_json: bool) -> Iterator[Progress]:
    """Rows done, of how many where that is known, rows/s and the time left, on stderr; silent without a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rows(ProgressColumn):
        def render(self, task: Any) -> Text:
            of = "" if task.total is None else f" of {int(task.total):,}"
            speed = task.finished_speed or task.speed
            return Text(f"{int(task.completed):,}{of} rows" + (f", {speed:,.0f} rows/s" if speed else ""))

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), Rows(), TimeRemainingColumn(compact=True)
    hidden = as_json or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        yield bar
