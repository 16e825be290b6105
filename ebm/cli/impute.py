"""`ebm impute`: nulls replaced by what the model expects there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

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
    check_output,
    drive,
    open_detector,
    print_json,
    say,
)
from ebm.errors import BadInput

if TYPE_CHECKING:
    from ebm.cli.rows import Rows
    from ebm.detector import Detector
    from ebm.impute import Imputed


def impute(
    model: Model,
    file: Annotated[
        Path,
        typer.Argument(help="Rows with empty cells (CSV, Parquet, npy, npz); with --mask, pictures."),
    ],
    output: Output,
    mask: Annotated[
        Path | None,
        typer.Option(help="PNG of the pictures' size: what is not black is missing and gets filled."),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="Draws to average for each empty cell; 1: a single random draw.")
    ] = 32,
    seed: Seed = 0,
    spread: Annotated[
        bool, typer.Option("--spread", help="Add <column>_spread: how uncertain each filled cell is.")
    ] = False,
    models: ModelsDir = DEFAULT_MODELS,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Fill empty cells by draws from what the model holds likely, given the row's other cells.

    A number gets the mean of the draws, a category the most frequent level. Cells that are there, and columns
    that the model does not know, stay as they are. The spread is the standard deviation of the draws, or 1 - the
    share of that level. Of pictures, a mask says which pixels are missing, or NaN in .npy.

    Example: ebm impute breast-cancer rows.csv -o filled.csv --draws 64 --seed 1
    """
    check_output(output, (".csv", ".parquet") if spread else (".csv", ".parquet", ".npy", ".png"))
    detector = open_detector(model, models, device, as_json=as_json)
    check_can(detector, "impute")
    if detector.kind != "image" and (mask is not None or output.suffix.lower() == ".png"):
        what = "--mask" if mask is not None else str(output)
        raise BadInput(f"{what}: model {detector.name} has rows, not pictures")

    from ebm.cli.rows import read_rows

    schema = detector.manifest.input
    rows = read_rows(file, detector.columns, detector.input_shape, schema, allow_missing=True)
    if mask is not None:
        rows = _masked(rows, mask, detector)
    answer = drive(detector.impute_steps(rows.values, n_draws=draws, seed=seed), "imputing", as_json)
    _write(output, answer, rows, detector, spread)
    gaps = answer.missing.reshape(len(answer.missing), -1)
    n_rows, n_cells = int(gaps.any(1).sum()), int(gaps.sum())
    if as_json:
        about = {"model": detector.name, "version": detector.version, "rows": len(answer.missing)}
        figures = {"rows_with_nulls": n_rows, "nulls": n_cells, "acceptance": answer.acceptance}
        print_json({**about, **figures, "n_draws": draws, "seed": seed, "output": str(output)})
    else:
        say(f"{output}: {n_cells} nulls in {n_rows} of {len(answer.missing)} rows filled")


def _masked(rows: Rows, mask: Path, detector: Detector) -> Rows:
    """Pictures with NaN where the mask is not black."""
    from dataclasses import replace

    import numpy as np

    from ebm.cli.pictures import read_pictures

    schema = detector.manifest.input
    _, found = read_pictures(mask, {**schema, "channels": 1, "low": 0, "high": 255}, fit=False)
    if len(found) not in (1, len(rows.values)):
        raise BadInput(f"--mask: {len(found)} masks for {len(rows.values)} pictures")
    hidden = found.reshape(len(found), *found.shape[1:3], 1) > 0
    images = np.asarray(rows.values, dtype=np.float64)
    shaped = images.reshape(len(images), schema["height"], schema["width"], schema["channels"])
    return replace(rows, values=np.where(hidden, np.nan, shaped).reshape(images.shape))


def _write(output: Path, answer: Imputed, rows: Rows, detector: Detector, spread: bool) -> None:
    import numpy as np
    import pyarrow as pa

    from ebm.cells import merge
    from ebm.cli.output import write_npy, write_table
    from ebm.cli.rows import own_columns, replace_columns

    filled = answer.rows
    if isinstance(filled, np.ndarray):
        filled = filled.astype(
            rows.values.dtype
        )  # float32 where the file was read as such: it has no more digits
    if output.suffix.lower() == ".png":
        from ebm.cli.pictures import write_picture

        write_picture(output, np.asarray(filled), detector.manifest.input)
        return
    if output.suffix.lower() == ".npy":
        if not isinstance(filled, np.ndarray):
            raise BadInput(
                f"{output}: model {detector.name} has columns that are not numbers; use .csv or .parquet"
            )
        write_npy(filled.reshape(rows.values.shape), output)
        return
    n = len(answer.missing)
    values, missing, extents = (rows.values, answer.missing, answer.spread)
    if detector.kind == "image":  # one column a pixel, or channel of one
        values, filled, missing, extents = (
            np.reshape(one, (n, -1)) for one in (values, np.asarray(filled), missing, extents)
        )
    table = rows.table if rows.used else own_columns(values, detector.columns)
    assert table is not None
    names = list(rows.used or table.column_names)
    table = merge(table, filled, missing, names)
    for j, name in enumerate(names if spread else ()):
        extent = pa.array(extents[:, j], from_pandas=True)  # NaN, for cells that were there, is null
        table = replace_columns(cast(pa.Table, table), {f"{name}_spread": extent})
    write_table(cast(pa.Table, table), output)
