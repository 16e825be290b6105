"""`ebm train`: from a YAML configuration to a published model."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ebm.cli.common import DEFAULT_MODELS, AsJson, ModelsDir, print_json, progress, say
from ebm.cli.failure import INTERRUPTED, fail
from ebm.errors import BadInput, Cancelled

SHOWN = ("loss", "real", "fake", "gap")


def train(
    config: Annotated[Path, typer.Argument(help="YAML file; see configs/ for complete ones.")],
    models: ModelsDir = DEFAULT_MODELS,
    run_dir: Annotated[
        Path | None, typer.Option(help="Checkpoints, metrics.jsonl, curves; default runs/<name>-<version>.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the run folder.")] = False,
    publish: Annotated[bool, typer.Option(help="Put the model into the models folder.")] = True,
    as_json: AsJson = False,
) -> None:
    """Train, calibrate, measure and publish the model that CONFIG describes.

    Ctrl-C writes a checkpoint and stops; --resume goes on from there and ends with the same weights.

    Example: ebm train configs/breast-cancer.yaml --models models
    """
    with progress(as_json) as bar:
        bar.add_task("loading", total=None)
        from ebm.artifact import publish as publish_detector
        from ebm.card import model_card
        from ebm.config import read_yaml
        from ebm.runs import train as run
        from ebm.training.config import TrainConfig

    settings = read_yaml(TrainConfig, config)
    target = models / settings.name / settings.version
    # Known before the hours of training, not after.
    if publish and target.exists():
        raise BadInput(
            f"{target}: this version is published already; choose another 'version' or --no-publish"
        )
    folder = run_dir or Path("runs") / f"{settings.name}-{settings.version}"

    with _stop_on_signal() as stopped, progress(as_json) as bar:
        tasks = {
            t.name: bar.add_task(t.name, total=t.training.n_steps) for t in settings.terms if t.objective
        }

        def on_step(term: str, step: int, n_steps: int, figures: dict[str, float]) -> None:
            shown = "  ".join(f"{k} {figures[k]:.4g}" for k in SHOWN if k in figures)
            bar.update(tasks[term], completed=step, total=n_steps, description=f"{term}  {shown}")

        try:
            detector = run(
                settings,
                run_dir=folder,
                base_dir=config.parent,
                resume=resume,
                on_step=on_step,
                should_stop=stopped.is_set,
            )
        except Cancelled as reason:
            fail(f"{reason}; go on with: ebm train {config} --run-dir {folder} --resume", INTERRUPTED)

    path = publish_detector(detector, models, model_card(detector.manifest)) if publish else None
    metrics, baselines = detector.manifest.metrics, detector.manifest.baselines
    if as_json:
        print_json(
            {
                "model": detector.name,
                "version": detector.version,
                "path": None if path is None else str(path),
                "run_dir": str(folder),
                "metrics": metrics,
                "baselines": baselines,
            }
        )
        return
    say(f"run: {folder}")
    if metrics:
        beside = ", ".join(f"{k} {v['auroc']:.4f}" for k, v in baselines.items() if "auroc" in v)
        say(f"AUROC {metrics['auroc']:.4f} ({beside})")
    say("not published" if path is None else f"published: {path}")


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; a second one interrupts at once."""
    event = threading.Event()

    def handle(number: int, _frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()
        say(f"{signal.Signals(number).name}: stopping after this step (again to stop at once)")

    if threading.current_thread() is not threading.main_thread():
        yield event  # only the main thread may set handlers
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
