"""`ebm generate`: new samples by Langevin dynamics on the learned energy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ebm.cli.common import (
    DEFAULT_MODELS,
    AsJson,
    Device,
    Model,
    ModelsDir,
    Output,
    Seed,
    check_can,
    check_numbers,
    check_output,
    drive,
    open_detector,
    print_json,
    say,
)
from ebm.errors import BadInput

if TYPE_CHECKING:
    from ebm.detector import Detector


def generate(
    model: Model,
    output: Output,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="How many samples.")] = 16,
    seed: Seed = 0,
    n_steps: Annotated[
        int | None, typer.Option(min=1, help="Steps (of each level, if annealed); default: the model's own.")
    ] = None,
    step_size: Annotated[
        float | None, typer.Option(min=0, help="Step size of the sampler; default: the model's own.")
    ] = None,
    keep_every: Annotated[
        int, typer.Option(min=0, help="Keep every so many-th step in <OUT>.snapshots.npy; 0: none.")
    ] = 0,
    models: ModelsDir = DEFAULT_MODELS,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Draw new samples that look normal to the model.

    The output's suffix says its form: .npy, .csv, .parquet, or .png (a grid; image models only). Snapshots
    have the shape (kept, n, ...).

    Example: ebm generate digits -n 16 -o samples.png --seed 1
    """
    check_output(output, (".npy", ".csv", ".parquet", ".png"))
    detector = open_detector(model, models, device, as_json=as_json)
    check_can(detector, "generate")
    suffix = output.suffix.lower()
    if suffix == ".png" and detector.kind != "image":
        raise BadInput(f"{output}: model {detector.name} has rows, not pictures; use .csv, .parquet or .npy")
    check_numbers(detector, output)

    steps = detector.generate_steps(n, seed=seed, n_steps=n_steps, step_size=step_size, keep_every=keep_every)
    made = drive(steps, "sampling", as_json)

    # Before the samples: whoever sees these finds the snapshots complete.
    snapshots = None if made.snapshots is None else write_snapshots(made.snapshots, output)
    write_samples(made.samples, output, detector)
    if as_json:
        about = {"model": detector.name, "version": detector.version, "n": n, "seed": seed}
        print_json(
            {**about, "output": str(output), "snapshots": None if snapshots is None else str(snapshots)}
        )
    else:
        say(f"{output}: {n} samples, seed {seed}" + (f"; {snapshots}" if snapshots else ""))


def write_samples(samples: Any, output: Path, detector: Detector) -> None:
    """Write samples of a detector's kind in the form that the output's suffix says."""
    import pyarrow as pa

    from ebm.cli.output import write_npy, write_table

    suffix = output.suffix.lower()
    if suffix == ".npy":
        write_npy(samples, output)
    elif suffix == ".png":
        from ebm.cli.pictures import write_picture

        write_picture(output, samples, detector.manifest.input)
    elif isinstance(samples, pa.Table):
        write_table(samples, output)
    else:
        flat = samples.reshape(len(samples), math.prod(detector.input_shape))
        names = detector.columns or [f"x{i}" for i in range(flat.shape[1])]
        write_table(pa.table({name: flat[:, i] for i, name in enumerate(names)}), output)


def write_snapshots(snapshots: Any, output: Path) -> Path:
    """<OUT>.snapshots.npy, or, for tables, which no array can hold, .parquet with a column `snapshot`."""
    from ebm.cli.output import write_npy, write_table

    if not isinstance(snapshots, list):
        path = output.with_name(f"{output.stem}.snapshots.npy")
        write_npy(snapshots, path)
        return path
    import pyarrow as pa

    path = output.with_name(f"{output.stem}.snapshots.parquet")
    numbered = [t.append_column("snapshot", pa.array([k] * len(t))) for k, t in enumerate(snapshots)]
    write_table(pa.concat_tables(numbered) if numbered else pa.table({"snapshot": []}), path)
    return path
