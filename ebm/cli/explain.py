"""`ebm explain`: which columns make a row anomalous, and what would be normal there."""

from __future__ import annotations

import json
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
    check_can,
    check_output,
    drive,
    open_detector,
    print_json,
    say,
)
from ebm.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

    from ebm.detector import Detector
    from ebm.explain import Explanation


class Method(StrEnum):
    residual = "residual"
    local = "local"
    gradient = "gradient"
    contributions = "contributions"


def explain(
    model: Model,
    file: Annotated[
        Path, typer.Argument(help="Rows (CSV, Parquet, npy, npz), a PNG or JPEG, or a folder of them.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="CSV, Parquet or JSON, of pictures a heat map as PNG; default: CSV to stdout.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many columns to name for each row.")] = 5,
    plot: Annotated[
        Path | None, typer.Option(help="Draw one row's contributions to this PNG, SVG or PDF file.")
    ] = None,
    row: Annotated[
        int | None, typer.Option(min=0, help="The row to draw, from 0; default: the most anomalous one.")
    ] = None,
    sparse: Annotated[
        bool | None,
        typer.Option(
            "--sparse/--dense",
            help="Let as few columns of the normal version differ as will do, or all; default: few, of pixels all.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(
            help="What the heat map of pictures shows: the residual to the restored picture, the energy's local terms, "
            "its gradient, or the contributions; default: the best of the first three that the model has.",
            show_default=False,
        ),
    ] = None,
    models: ModelsDir = DEFAULT_MODELS,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Name the columns that add most to each row's energy, and their values in its nearest normal version.

    The output has the input's own columns, energy, normal_energy and p_value, and for the K-th column its name,
    contribution (in units of energy; all contributions add up to energy - normal_energy) and normal value. JSON
    lists them row by row, of pictures with the contribution of every pixel (heat_map) and where they are odd by
    --method (anomaly_map). A PNG shows pictures with what is odd in red, several as a grid.

    Example: ebm explain breast-cancer rows.csv -o why.csv --top 3 --plot why.png
    """
    if output is not None:
        check_output(output, (".csv", ".parquet", ".json", ".png"))
    if plot is not None:
        check_output(plot, (".png", ".svg", ".pdf"))
    if row is not None and plot is None:
        raise BadInput("--row says which row to draw: give --plot as well")
    detector = open_detector(model, models, device, as_json=as_json)
    check_can(detector, "explain")
    suffix = "" if output is None else output.suffix.lower()
    if suffix == ".png" and detector.kind != "image":
        raise BadInput(f"{output}: model {detector.name} has rows, not pictures; use .csv, .parquet or .json")

    from ebm.cli.rows import own_columns, read_rows, replace_columns
    from ebm.heat_map import heat_picture, heat_steps

    rows = read_rows(file, detector.columns, detector.input_shape, detector.manifest.input)
    if row is not None and row >= len(rows.values):
        raise BadInput(f"--row {row}: {file.name} has {len(rows.values)} rows", row=row)
    if method is not None and detector.kind != "image":
        raise BadInput(f"--method is of heat maps: model {detector.name} has rows, not pictures")
    chosen = None if method is None else method.value
    if suffix == ".png" and plot is None:  # the map alone needs none of the many passes of an explanation
        heat = drive(heat_steps(detector, rows.values, chosen), "explaining", as_json)
        _write_png(heat.picture, output)
        _conclude(heat.energy, heat.level, detector, output, as_json)
        return
    answer = drive(detector.explain_steps(rows.values, sparse=sparse, method=chosen), "explaining", as_json)

    if suffix == ".png":
        schema = detector.manifest.input
        _write_png(heat_picture(answer, schema["low"], schema["high"]), output)
    elif suffix == ".json" or (output is None and as_json):
        document = {**_about(detector), "level": answer.level, "rows": _as_lists(answer, top)}
        if output is None:
            print_json(document)
        else:
            from ebm.cli.output import beside

            with beside(output) as out:
                out.write((json.dumps(document, allow_nan=False, default=str) + "\n").encode())
    else:
        from ebm.cli.output import write_table

        table = rows.table if rows.table is not None else own_columns(rows.values, detector.columns)
        write_table(replace_columns(table, _as_columns(answer, top)), output)
    if plot is not None:
        _draw(answer, row, top, plot)
    _conclude(answer.energy, answer.level, detector, output, as_json)


def _conclude(
    energy: np.ndarray, level: float, detector: Detector, output: Path | None, as_json: bool
) -> None:
    if output is not None and as_json:
        print_json({**_about(detector), "rows": len(energy), "output": str(output)})
    elif output is not None:
        above = int((energy > level).sum())
        say(f"{output}: {len(energy)} rows, {above} above the median normal energy {level:.4g}")


def _about(detector: Detector) -> dict[str, Any]:
    return {"model": detector.name, "version": detector.version}


def _named(answer: Explanation, row: int, top: int) -> list[dict[str, Any]]:
    """The columns to name for a row, those that contribute nothing left out."""
    found = []
    for j in answer.ranking[row, :top].tolist():
        amount = float(answer.contributions[row, j])
        if amount != 0:
            value, normal = (_plain(cell) for cell in answer.cell(row, j))
            found.append(
                {"column": answer.name(j), "contribution": amount, "value": value, "normal_value": normal}
            )
    return found


def _plain(cell: Any) -> Any:
    """NaN as null, and no more digits than the 7 of float32, in which models compute."""
    if isinstance(cell, list):
        return [_plain(one) for one in cell]  # the channels of a pixel
    if not isinstance(cell, float):
        return cell
    return float(f"{cell:.7g}") if cell == cell else None


def _as_lists(answer: Explanation, top: int) -> list[dict[str, Any]]:
    figures = ("energy", "normal_energy", "p_value")
    return [
        {
            "row": i,
            **{k: float(getattr(answer, k)[i]) for k in figures},
            "columns": _named(answer, i, top),
            **_maps(answer, i),
        }
        for i in range(len(answer.energy))
    ]


def _as_columns(answer: Explanation, top: int) -> dict[str, Any]:
    """energy, normal_energy, p_value; column_1, contribution_1, normal_value_1; column_2, ..."""
    import pyarrow as pa

    new: dict[str, Any] = {k: getattr(answer, k) for k in ("energy", "normal_energy", "p_value")}
    named = [_named(answer, i, top) for i in range(len(answer.energy))]
    for k in range(min(top, answer.contributions.shape[1])):
        chosen = [one[k] if k < len(one) else {} for one in named]
        new[f"column_{k + 1}"] = pa.array([one.get("column") for one in chosen], pa.string())
        new[f"contribution_{k + 1}"] = pa.array([one.get("contribution") for one in chosen], pa.float64())
        cells = [one.get("normal_value") for one in chosen]
        if not all(cell is None or type(cell) in (int, float) for cell in cells):  # columns of several types
            cells = [None if cell is None else str(cell) for cell in cells]
        new[f"normal_value_{k + 1}"] = pa.array(
            cells, pa.string() if any(isinstance(c, str) for c in cells) else pa.float64()
        )
    return new


def _maps(answer: Explanation, row: int) -> dict[str, Any]:
    if answer.anomaly_map is None:
        return {}
    maps = {"heat_map": answer.heat_map, "anomaly_map": answer.anomaly_map}
    return {name: of[row].tolist() for name, of in maps.items()} | {"map_method": answer.map_method}


def _write_png(picture: np.ndarray, path: Path | None) -> None:
    from ebm.cli.output import beside
    from ebm.pictures import encode_png

    assert path is not None
    with beside(path) as file:
        file.write(encode_png(picture))


def _draw(answer: Explanation, row: int | None, top: int, path: Path) -> None:
    from ebm.cli.output import beside

    figure = answer.figure(int(answer.energy.argmax()) if row is None else row, top)
    with beside(path) as file:
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=120)
