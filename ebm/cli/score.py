"""`ebm score`: a file of any size in, the same rows with energies and p-values out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ebm.cli.batch import Engine, run_shown, terminated
from ebm.cli.common import (
    DEFAULT_MODELS,
    AsJson,
    Device,
    Model,
    ModelsDir,
    model_path,
    open_detector,
    print_json,
    say,
)
from ebm.errors import BadInput

if TYPE_CHECKING:
    from ebm.batch.spec import BatchSpec
    from ebm.detector import Detector

SHOWN = 5  # of the worst rows


def score(
    model: Model,
    file: Annotated[
        str,
        typer.Argument(
            help="Rows: CSV, Parquet, Arrow, npy, npz, or a folder of such; PNG or JPEG, or a folder or zip of them. "
            "A path or a URL (s3://, gs://, https://)."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="File (.csv, .csv.gz, .parquet, .arrow, .npy), or a folder of parts (no suffix); path or URL. "
            "CSV to stdout if not given.",
        ),
    ] = None,
    fpr: Annotated[
        float | None, typer.Option(help="Flag rows with p_value <= FPR; default: the model's own rate.")
    ] = None,
    fdr: Annotated[
        float | None, typer.Option(help="Flag so that at most this share of the flagged is normal.")
    ] = None,
    format: Annotated[
        Literal["parquet", "csv", "arrow", "npy"], typer.Option(help="Of the parts of a folder.")
    ] = "parquet",
    chunk_rows: Annotated[
        int | None,
        typer.Option(min=1, help="Rows read, scored and made durable together; default: about 2^23 numbers."),
    ] = None,
    on_error: Annotated[
        Literal["reject", "fail"] | None,
        typer.Option(
            help="Rows that cannot be scored: list them in a file of rejects, or fail at the first. "
            "Default: reject with -o, fail without."
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Do not go on with what an interrupted run left; drop it.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a folder that is the output of an earlier run.")
    ] = False,
    summary: Annotated[
        bool, typer.Option("--summary/--no-summary", help="Leave OUTPUT.summary.json beside a single file.")
    ] = True,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of one computation; default: all cores.")
    ] = None,
    engine: Annotated[Engine, typer.Option(help="ray: spread the chunks over a Ray cluster.")] = "local",
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster; default: this machine.")] = None,
    actors: Annotated[int | None, typer.Option(min=1, help="Ray: processes that hold the model.")] = None,
    models: ModelsDir = DEFAULT_MODELS,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Score rows: energy, anomaly_score (higher = more anomalous), p_value and is_anomaly beside each.

    The output has the input's own columns, in the input's order, plus these four; they are empty for rows that cannot
    be scored. Memory does not grow with the file. What was interrupted goes on where it was: run the same command.

    Example: ebm score breast-cancer rows.csv -o scored.parquet --fpr 0.01
    """
    if fpr is not None and fdr is not None:
        raise BadInput("give --fpr or --fdr, not both")
    for name, rate in (("--fpr", fpr), ("--fdr", fdr)):
        if rate is not None and not 0 < rate < 1:
            raise BadInput(f"{name} must lie between 0 and 1, got {rate:g}")
    if engine == "ray" and output is None:
        raise BadInput("--engine ray needs --output")
    from ebm.batch.spec import BatchSpec, ScoreOptions

    spec = BatchSpec(
        model=str(model_path(model, models)),
        input=file,
        output=output or "-",
        options=ScoreOptions(fpr=fpr, fdr=fdr),
        format=format,
        rows_per_chunk=chunk_rows,
        on_error=on_error or ("reject" if output is not None else "fail"),
        device=device,
        overwrite=overwrite,
        summary=summary,
    )
    if output is not None:
        from ebm.batch.target import Target

        Target.of(spec)  # refused before the model is loaded
    detector = open_detector(model, models, device, as_json=as_json)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    if output is None:
        from ebm.cli.stream import score_to_stdout

        with terminated():
            score_to_stdout(spec, detector, as_json)
        return
    run: dict[str, Any] = {"fresh": fresh, "engine": engine, "address": address, "actors": actors}
    found = run_shown(spec, detector, "scoring", as_json=as_json, **run)
    if as_json:
        print_json({**found, **{k: found["output"][k] for k in ("parts", "bytes")}, "output": output})
    else:
        tell(spec, detector, found)


def tell(spec: BatchSpec, detector: Detector, found: dict[str, Any]) -> None:
    """The summary for people, on stderr."""
    if found["note"]:
        say(f"note: {found['note']}")
    rate = f"fpr {found['fpr']:g}" if found["fdr"] is None else f"fdr {found['fdr']:g}"
    say(f"{spec.output}: {found['rows']:,} rows, {found['anomalies']:,} anomalies at {rate}")
    if found["rejected"]:
        count = "1 row" if found["rejected"] == 1 else f"{found['rejected']:,} rows"
        say(f"{count} could not be scored: {found['rejects']}")
    if found["energy"]["finite"]:
        q, unit = found["energy"]["quantiles"], detector.manifest.calibration
        half = "beyond float32" if q["0.5"] is None else f"{q['0.5']:.4g}"
        say(f"energy: median {half}, of normal rows {unit.mean:.4g} on average (sd {unit.sd:.4g})")
    say(f"drift: {found['drift']['state']}: {found['drift']['verdict']}")
    worst = [f"{one['row']} (p {one['p_value']:.2g})" for one in found["worst"][:SHOWN]]
    if worst:
        say(f"most anomalous rows: {', '.join(worst)}")
