"""`ebm denoise`: the likely clean version of rows or of a picture."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ebm.cli.chunks import ChunkRows, Fresh, Overwrite, PartsFormat, check_place
from ebm.cli.common import (
    DEFAULT_MODELS,
    AsJson,
    Device,
    Model,
    ModelsDir,
    Seed,
    check_can,
    check_numbers,
    check_output,
    drive,
    model_path,
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


SUFFIXES = (".png", ".jpg", ".jpeg")


class Method(StrEnum):
    posterior_mean = "posterior-mean"
    langevin = "langevin"


class Noise(StrEnum):
    gaussian = "gaussian"
    impulse = "impulse"


def denoise(
    model: Model,
    file: Annotated[
        str,
        typer.Argument(
            help="Rows (CSV, Parquet, Arrow, npy, npz, or a folder of such), a PNG or JPEG, or a folder or zip of "
            "them. A path or a URL."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="File (.csv, .csv.gz, .parquet, .arrow, .npy, .png), or a folder of parts (no suffix); path or URL. "
            "It appears only when complete.",
        ),
    ],
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
    format: PartsFormat = "parquet",
    chunk_rows: ChunkRows = None,
    on_error: Annotated[
        Literal["reject", "fail"],
        typer.Option(
            help="Rows that cannot be denoised: list them in a file of rejects, or fail at the first."
        ),
    ] = "reject",
    fresh: Fresh = False,
    overwrite: Overwrite = False,
    models: ModelsDir = DEFAULT_MODELS,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Replace noisy rows or pictures by their likely clean version.

    Other columns are kept; rows that cannot be denoised are empty in the model's columns. Several pictures make a
    grid in a .png. Files may be of any size: memory does not grow with them, and what was interrupted goes on where it
    was. With langevin, rows are drawn in groups (1,024 rows, fewer of wide ones), each with a seed derived from --seed.

    Example: ebm denoise digits noisy.png -o clean.png
    """
    how: dict[str, Any] = {"sigma": sigma, "n_steps": n_steps, "method": method.name, "seed": seed}
    how["noise"] = noise.value
    picture = output.lower().endswith(".png") and "://" not in output
    if picture:
        check_output(Path(output), (".png",))
    elif sigma is not None and not 0 < sigma <= 100:
        raise BadInput(f"sigma must lie in (0, 100], got {sigma:g}")
    one = file.lower().endswith(SUFFIXES) and "://" not in file
    if picture or one:
        if one and not picture:
            check_output(Path(output), (".csv", ".parquet", ".npy", ".png"))
        detector = open_detector(model, models, device, as_json=as_json)
        check_can(detector, "denoise")
        _few(detector, Path(file), Path(output), how, as_json)
        return

    from ebm.batch.spec import BatchSpec, DenoiseOptions
    from ebm.cli.batch import run_shown

    spec = BatchSpec(
        model=str(model_path(model, models)),
        input=file,
        output=output,
        options=DenoiseOptions(**how),
        format=format,
        rows_per_chunk=chunk_rows,
        on_error=on_error,
        device=device,
        overwrite=overwrite,
        summary=False,
    )
    check_place(spec)
    detector = open_detector(model, models, device, as_json=as_json)
    check_can(detector, "denoise")
    found = run_shown(spec, detector, "denoising", fresh=fresh, as_json=as_json)
    if as_json:
        print_json(found | how | {"parts": found["output"]["parts"], "output": output})
        return
    say(f"{output}: {found['denoised']:,} denoised")
    if found["rejected"]:
        say(f"{found['rejected']:,} could not be denoised: {found['rejects']}")


def _few(detector: Detector, file: Path, output: Path, how: dict[str, Any], as_json: bool) -> None:
    """One picture, or as many rows as make a picture: all at once."""
    if output.suffix.lower() == ".png" and detector.kind != "image":
        raise BadInput(f"{output}: model {detector.name} has rows, not pictures; use .csv, .parquet or .npy")
    check_numbers(detector, output)

    from ebm.cli.rows import read_rows

    rows = read_rows(file, detector.columns, detector.input_shape, detector.manifest.input)
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
