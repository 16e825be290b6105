"""`ebm score`: a file in, the same file with energies and p-values out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ebm.cli.common import (
    DEFAULT_MODELS,
    AsJson,
    Device,
    Model,
    ModelsDir,
    check_output,
    open_detector,
    print_json,
    progress,
    say,
)
from ebm.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

    from ebm.detector import Detector

CHUNK = 4096  # rows between two updates of the bar; bounds memory, not results


def score(
    model: Model,
    file: Annotated[
        Path, typer.Argument(help="Rows: CSV, Parquet, npy, npz; a PNG or JPEG, or a folder of them.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV or Parquet file; CSV to stdout if not given.")
    ] = None,
    fpr: Annotated[
        float | None, typer.Option(help="Flag rows with p_value <= FPR; default: the model's own rate.")
    ] = None,
    fdr: Annotated[
        float | None, typer.Option(help="Flag so that at most this share of the flagged is normal.")
    ] = None,
    models: ModelsDir = DEFAULT_MODELS,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Score rows: energy, anomaly_score (higher = more anomalous), p_value and is_anomaly beside each.

    The output has the input's own columns, in the input's order, plus these four.

    Example: ebm score breast-cancer rows.csv -o scored.parquet --fpr 0.01
    """
    if fpr is not None and fdr is not None:
        raise BadInput("give --fpr or --fdr, not both")
    for name, rate in (("--fpr", fpr), ("--fdr", fdr)):
        if rate is not None and not 0 < rate < 1:
            raise BadInput(f"{name} must lie between 0 and 1, got {rate:g}")
    if output is not None:
        check_output(output, (".csv", ".parquet"))

    detector = open_detector(model, models, device, as_json=as_json)
    from ebm.cli.output import write_table
    from ebm.cli.rows import own_columns, read_rows, replace_columns

    rows = read_rows(file, detector.columns, detector.input_shape, detector.manifest.input)
    if fpr is None and fdr is None:
        fpr = detector.manifest.calibration.default_fpr
    scores = score_in_chunks(detector, rows.values, fpr, fdr, as_json)
    note = detector.calibration.note(fpr=fpr, fdr=fdr, rows=len(rows.values))
    if note and not as_json:
        say(f"note: {note}")
    flagged = int(scores["is_anomaly"].sum())

    if output is None and as_json:
        print_json({**_about(detector, fpr, fdr, note), **for_json(scores)})
        return
    table = rows.table if rows.table is not None else own_columns(rows.values, detector.columns)
    write_table(replace_columns(table, scores), output)
    if as_json:
        summary = {"rows": len(rows.values), "anomalies": flagged, "output": str(output)}
        print_json({**_about(detector, fpr, fdr, note), **summary})
    elif output is not None:
        rate = f"fpr {fpr:g}" if fdr is None else f"fdr {fdr:g}"
        say(f"{output}: {len(rows.values)} rows, {flagged} anomalies at {rate}")


def score_in_chunks(
    detector: Detector, values: np.ndarray, fpr: float | None, fdr: float | None, as_json: bool
) -> dict[str, np.ndarray]:
    """energy, anomaly_score, p_value and is_anomaly of all rows, under a progress bar."""
    import numpy as np

    from ebm.calibration import benjamini_hochberg

    names = ("energy", "anomaly_score", "p_value")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    with progress(as_json) as bar:
        task = bar.add_task("scoring", total=len(values))
        for start in range(0, len(values), CHUNK):
            try:
                chunk = detector.score(values[start : start + CHUNK])
            except BadInput as error:
                if error.row is None or start == 0:
                    raise
                # The detector counts rows from the start of the chunk.
                message = str(error).replace(f"row {error.row}", f"row {start + error.row}", 1)
                raise BadInput(message, row=start + error.row, column=error.column) from None
            for name in names:
                parts[name].append(getattr(chunk, name))
            bar.update(task, advance=len(chunk.energy))
    scores = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    p = scores["p_value"]
    # Over all rows at once: a false discovery rate by chunk would be another rate.
    scores["is_anomaly"] = benjamini_hochberg(p, fdr) if fdr is not None else p <= (fpr or 0.0)
    return scores


def _about(detector: Detector, fpr: float | None, fdr: float | None, note: str | None) -> dict:
    return {
        "model": detector.name,
        "version": detector.version,
        "higher_is_more_anomalous": True,
        "fpr": fpr,
        "fdr": fdr,
        "note": note,
    }


def for_json(scores: dict[str, np.ndarray]) -> dict:
    """Columns as lists; JSON has no infinity, so such energies are null and their rows are named."""
    import numpy as np

    out: dict = {}
    lost = np.zeros(len(scores["p_value"]), dtype=bool)
    for name, values in scores.items():
        finite = np.isfinite(values)
        lost |= ~finite
        cells = values.tolist()
        out[name] = [c if ok else None for c, ok in zip(cells, finite, strict=True)]
    if lost.any():
        out["non_finite_rows"] = np.flatnonzero(lost).tolist()
    return out
