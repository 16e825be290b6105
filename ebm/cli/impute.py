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
    file: Annotated[Path, typer.Argument(help="Rows with empty cells: CSV, Parquet, npy, npz.")],
    output: Output,
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
    share of that level.

    Example: ebm impute breast-cancer rows.csv -o filled.csv --draws 64 --seed 1
    """
    check_output(output, (".csv", ".parquet") if spread else (".csv", ".parquet", ".npy"))
    detector = open_detector(model, models, device, as_json=as_json)
    check_can(detector, "impute")

    from ebm.cli.rows import read_rows

    schema = detector.manifest.input
    rows = read_rows(file, detector.columns, detector.input_shape, schema, allow_missing=True)
    answer = drive(detector.impute_steps(rows.values, n_draws=draws, seed=seed), "imputing", as_json)
    _write(output, answer, rows, detector, spread)
    n_rows, n_cells = int(answer.missing.any(1).sum()), int(answer.missing.sum())
    if as_json:
        about = {"model": detector.name, "version": detector.version, "rows": len(answer.missing)}
        figures = {"rows_with_nulls": n_rows, "nulls": n_cells, "acceptance": answer.acceptance}
        print_json({**about, **figures, "n_draws": draws, "seed": seed, "output": str(output)})
    else:
        say(f"{output}: {n_cells} nulls in {n_rows} of {len(answer.missing)} rows filled")


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
    if output.suffix.lower() == ".npy":
        if not isinstance(filled, np.ndarray):
            raise BadInput(
                f"{output}: model {detector.name} has columns that are not numbers; use .csv or .parquet"
            )
        write_npy(filled, output)
        return
    table = rows.table if rows.table is not None else own_columns(rows.values, detector.columns)
    names = list(rows.used or table.column_names)
    table = merge(table, filled, answer.missing, names)
    for j, name in enumerate(names if spread else ()):
        extent = pa.array(answer.spread[:, j], from_pandas=True)  # NaN, for cells that were there, is null
        table = replace_columns(cast(pa.Table, table), {f"{name}_spread": extent})
    write_table(cast(pa.Table, table), output)
