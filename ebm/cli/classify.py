"""`ebm classify`: which class, and whether it is any, by models that know classes."""

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
    check_can,
    check_output,
    drive,
    open_detector,
    print_json,
    say,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from ebm.classify import Classified
    from ebm.cli.rows import Rows


def classify(
    model: Model,
    file: Annotated[
        Path, typer.Argument(help="Rows: CSV, Parquet, npy, npz; or PNG or JPEG, or a folder or zip of them.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File (.csv, .parquet); CSV to stdout if not given."),
    ] = None,
    models: ModelsDir = DEFAULT_MODELS,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Name the likeliest class of each row (`predicted`), with p_<class>, the probability of each, energy and p_value.

    The probabilities say which class, given that it is one of them; a small p_value says that it is none. The file's
    own columns are kept. The whole file is in memory at once.

    Example: ebm classify digit-classes rows.npy -o classes.csv
    """
    if output is not None:
        check_output(output, (".csv", ".parquet"))
    detector = open_detector(model, models, device, as_json=as_json)
    check_can(detector, "classify")

    from ebm.cli.output import write_table
    from ebm.cli.rows import read_rows

    rows = read_rows(file, detector.columns, detector.input_shape, detector.manifest.input)
    found = drive(detector.classify_steps(rows.values), "classifying", as_json)
    if output is not None or not as_json:
        write_table(_table(rows, found), output)
    counts = {name: found.label.count(name) for name in found.classes}
    unusual = int((found.p_value <= detector.manifest.calibration.default_fpr).sum())
    if as_json:
        about = {"model": detector.name, "version": detector.version, "rows": len(found.label)}
        place = None if output is None else str(output)
        print_json({**about, "classes": counts, "unusual": unusual, "output": place})
    elif output is not None:
        listed = ", ".join(f"{name}: {n}" for name, n in counts.items() if n)
        say(f"{output}: {len(found.label)} rows; {listed}; {unusual} that are unusual for any class")


def _table(rows: Rows, found: Classified) -> pa.Table:
    import pyarrow as pa

    from ebm.cli.rows import replace_columns

    answer = {"predicted": pa.array(found.label, pa.string())}
    answer |= {f"p_{name}": pa.array(found.probabilities[:, k]) for k, name in enumerate(found.classes)}
    answer |= {"energy": pa.array(found.energy), "p_value": pa.array(found.p_value)}
    return pa.table(answer) if rows.table is None else cast(pa.Table, replace_columns(rows.table, answer))
