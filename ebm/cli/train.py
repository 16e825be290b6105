"""`ebm train`: from a YAML configuration, or a preset and a file of rows, to a published model."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ebm.cli.common import DEFAULT_MODELS, AsJson, ModelsDir, print_json, progress, say
from ebm.cli.failure import INTERRUPTED, fail
from ebm.cli.preset import PRESETS, PresetOptions, preset_config, refuse_preset_options
from ebm.cli.ranks import OneVoice
from ebm.errors import BadInput, Cancelled

SAME = 1.0  # seconds: Ctrl-C under torchrun reaches its processes twice, from the terminal and from torchrun
SHOWN = ("loss", "reg", "cd", "real", "fake", "gap")


def train(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG|PRESET",
            help="YAML file (see configs/ for complete ones), or 'tabular' or 'image', which need --data and --name.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Preset: what to learn from. Rows: CSV, Parquet, npz or npy; nulls and text are fine. Images: a "
            "folder or zip of PNG and JPEG files, npz, npy, idx, or Parquet with image bytes."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Preset: name of the model.")] = None,
    version: Annotated[str | None, typer.Option(help="Preset: its version; default 1.")] = None,
    label: Annotated[str | None, typer.Option(help="Preset: column (npz: array) with labels.")] = None,
    normal: Annotated[
        list[str] | None,
        typer.Option(
            help="Preset: a label that is normal (may be repeated). Only such rows are learnt; the others, "
            "and a fifth of these, measure how well it works."
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Preset: a column to leave out, as an id (may be repeated).")
    ] = None,
    contamination: Annotated[
        str | None,
        typer.Option(
            metavar="auto|SHARE",
            help="Preset: there may be anomalies among the rows to learn from; default: all are normal.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Preset: of all that is random; default 0.")] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW", help="Preset image: height and width that every image is fitted to, as 64x64."
        ),
    ] = None,
    models: ModelsDir = DEFAULT_MODELS,
    run_dir: Annotated[
        Path | None, typer.Option(help="Checkpoints, metrics.jsonl, curves; default runs/<name>-<version>.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the run folder.")] = False,
    publish: Annotated[bool, typer.Option(help="Put the model into the models folder.")] = True,
    devices: Annotated[
        int | None,
        typer.Option(min=1, help="Train on so many devices of this machine, a process each; default 1."),
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(min=1, help="Of so many machines; run this on each, see docs/training.md. Default 1."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train, calibrate, measure and publish the model that CONFIG describes, or a PRESET on a file of rows.

    Ctrl-C writes a checkpoint and stops; --resume goes on from there and ends with the same weights.

    Example: ebm train configs/breast-cancer.yaml --models models

    Example: ebm train tabular --data rows.csv --name pumps --label state --normal ok

    Example: ebm train image --data good/ --name parts --size 64x64

    Example: ebm train configs/digits.yaml --devices 2
    """
    options = PresetOptions(
        data, name, version, label, tuple(normal or ()), tuple(ignore or ()), contamination, seed, size
    )
    with OneVoice() as voice:
        _train(config, options, models, run_dir, resume, publish, as_json, devices, nodes, voice)


def _train(
    config: Path,
    options: PresetOptions,
    models: Path,
    run_dir: Path | None,
    resume: bool,
    publish: bool,
    as_json: bool,
    devices: int | None,
    nodes: int | None,
    voice: OneVoice,
) -> None:
    """The command, in each of the processes that run it."""
    preset = str(config) in PRESETS
    if not preset:
        refuse_preset_options(config, options)
    with progress(as_json or not voice.speaks) as bar:
        bar.add_task("loading", total=None)
        from ebm.artifact import publish as publish_detector
        from ebm.card import model_card
        from ebm.config import read_yaml
        from ebm.runs import train as run
        from ebm.training.config import TrainConfig

    settings = preset_config(str(config), options) if preset else read_yaml(TrainConfig, config)
    target = models / settings.name / settings.version
    # Known before the hours of training, not after.
    if publish and target.exists():
        raise BadInput(
            f"{target}: this version is published already; choose another 'version' or --no-publish"
        )
    folder = run_dir or Path("runs") / f"{settings.name}-{settings.version}"
    fabric = voice.launch(settings, devices, nodes)

    with _stop_on_signal(voice.speaks) as stopped, progress(as_json or not voice.speaks) as bar:
        tasks = {
            t.name: bar.add_task(t.name, total=t.training.n_steps) for t in settings.terms if t.objective
        }

        def on_step(term: str, step: int, n_steps: int, figures: dict[str, float]) -> None:
            bar.update(tasks[term], completed=step, total=n_steps, description=f"{term}  {shown(figures)}")

        try:
            detector = run(
                settings,
                run_dir=folder,
                base_dir=Path() if preset else config.parent,
                resume=resume,
                on_step=on_step,
                should_stop=stopped.is_set,
                fabric=fabric,
            )
        except Cancelled as reason:
            if not voice.speaks:
                raise typer.Exit from None
            told = f"{config} {options.arguments()}" if preset else str(config)
            told += f" --devices {devices}" if devices is not None else ""
            fail(f"{reason}; go on with: ebm train {told} --run-dir {folder} --resume", INTERRUPTED)

    if not voice.speaks:
        return
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
                "notes": list(detector.manifest.notes),
            }
        )
        return
    say(f"run: {folder}")
    for note in detector.manifest.notes:
        say(f"note: {note}")
    if metrics:
        beside = ", ".join(f"{k} {v['auroc']:.4f}" for k, v in baselines.items() if "auroc" in v)
        say(f"AUROC {metrics['auroc']:.4f} ({beside})")
    say("not published" if path is None else f"published: {path}")


def shown(figures: dict[str, float]) -> str:
    """What of a step's figures stands on the line of progress. The gap is -cd: one of the two is enough."""
    names = [k for k in SHOWN if k in figures and not (k == "gap" and "cd" in figures)]
    return "  ".join(f"{k} {figures[k]:.4g}" for k in names)


@contextmanager
def _stop_on_signal(speaks: bool) -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; a later one interrupts at once."""
    event = threading.Event()
    at = 0.0

    def handle(number: int, _frame: object) -> None:
        nonlocal at
        if event.is_set():
            if time.monotonic() < at + SAME:
                return
            raise KeyboardInterrupt
        event.set()
        at = time.monotonic()
        if speaks:
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
