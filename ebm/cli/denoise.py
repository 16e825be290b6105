"""`ebm denoise`: the likely clean version of rows or of a picture."""

from __future__ import annotations

import math
from enum import StrEnum
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
    import numpy as np
    import pyarrow as pa

    from ebm.cli.rows import Rows
    from ebm.detector import Detector


class Method(StrEnum):
    posterior_mean = "posterior-mean"
    langevin = "langevin"


class Noise(StrEnum):
    gaussian = "gaussian"
    impulse = "impulse"


def denoise(
    model: Model,
    file: Annotated[
        Path, typer.Argument(help="Rows (CSV, Parquet, npy, npz), a PNG or JPEG, or a folder of them.")
    ],
    output: Output,
    sigma: Annotated[
        float | None,
        typer.Option(
            help="Noise sd in the model's own units (z-scores; pixels of [-1, 1]); default: estimated."
        ),
    ] = None,
    n_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="posterior-mean: 1 (default) errs least, more are sharper; langevin: 50.",
        ),
    ] = None,
    method: Annotated[
        Method, typer.Option(help="The one best guess, or a random draw from what may lie under the noise.")
    ] = Method.posterior_mean,
    noise: Annotated[
        Noise,
        typer.Option(help="impulse: find single lost pixels, such as salt and pepper, and paint them in."),
    ] = Noise.gaussian,
    seed: Seed = 0,
    models: ModelsDir = DEFAULT_MODELS,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Replace noisy rows or pictures by their likely clean version.

    The output's suffix says its form: .csv or .parquet (other columns are kept), .npy, or .png (several
    pictures make a grid).

    Example: ebm denoise digits noisy.png -o clean.png
    """
    check_output(output, (".csv", ".parquet", ".npy", ".png"))
    detector = open_detector(model, models, device, as_json=as_json)
    check_can(detector, "denoise")
    if output.suffix.lower() == ".png" and detector.kind != "image":
        raise BadInput(f"{output}: model {detector.name} has rows, not pictures; use .csv, .parquet or .npy")
    check_numbers(detector, output)

    from ebm.cli.rows import read_rows

    schema = detector.manifest.input
    rows = read_rows(file, detector.columns, detector.input_shape, schema)
    how: dict[str, Any] = {"sigma": sigma, "n_steps": n_steps, "method": method.name, "seed": seed}
    how["noise"] = noise.value
    clean = drive(detector.denoise_steps(rows.values, **how), "denoising", as_json)
    _write(output, clean, rows, detector)
    if as_json:
        about = {"model": detector.name, "version": detector.version}
        print_json({**about, "rows": len(clean), **how, "output": str(output)})
    else:
        say(f"{output}: {len(clean)} denoised")


def _write(output: Path, clean: np.ndarray | pa.Table, rows: Rows, detector: Detector) -> None:
    import numpy as np
    import pyarrow as pa

    from ebm.cli.output import write_npy, write_table
    from ebm.cli.pictures import write_picture
    from ebm.cli.rows import replace_columns

    suffix = output.suffix.lower()
    if not isinstance(clean, np.ndarray):
        new = dict(zip(rows.used or clean.column_names, clean.columns, strict=True))
        write_table(replace_columns(rows.table, new) if rows.table is not None else clean, output)
    elif suffix == ".png":
        write_picture(output, clean, detector.manifest.input)
    elif suffix == ".npy":
        write_npy(clean.reshape(rows.values.shape), output)
    else:
        flat = clean.reshape(len(clean), math.prod(detector.input_shape))
        names = rows.used or detector.columns or [f"x{i}" for i in range(flat.shape[1])]
        new = {name: flat[:, i] for i, name in enumerate(names)}
        write_table(replace_columns(rows.table, new) if rows.table is not None else pa.table(new), output)
