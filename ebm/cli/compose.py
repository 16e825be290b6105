"""`ebm compose score|generate`: several models on one input space as one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ebm.cli.common import (
    DEFAULT_MODELS,
    AsJson,
    Device,
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
    from ebm.compose import ComposedScores, Composition

compose = typer.Typer(help="Score and generate with several models as one.", no_args_is_help=True)

Terms = Annotated[
    list[str],
    typer.Option(
        "--term",
        metavar="MODEL[:WEIGHT]",
        help="A model and its weight, 1 if not given; below 0: unlike it. Once for each model.",
    ),
]
ModeOption = Annotated[
    Literal["product", "either"],
    typer.Option(help="product: normal where all models agree; either: where any says so, a mixture."),
]


@compose.command("score")
def score(
    file: Annotated[
        Path, typer.Argument(help="Rows: CSV, Parquet, npy, npz; a PNG or JPEG, or a folder of them.")
    ],
    term: Terms,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV or Parquet file; CSV to stdout if not given.")
    ] = None,
    mode: ModeOption = "product",
    scale: Annotated[
        Literal["standardised", "raw"],
        typer.Option(help="Combine anomaly scores, so that weights compare like with like, or raw energies."),
    ] = "standardised",
    temperature: Annotated[float, typer.Option(help="Of either: towards 0 the lowest energy counts.")] = 1.0,
    fpr: Annotated[
        float | None, typer.Option(help="Flag rows with p_value <= FPR; default: the models' smallest rate.")
    ] = None,
    fdr: Annotated[
        float | None, typer.Option(help="Flag so that at most this share of the flagged is normal.")
    ] = None,
    models: ModelsDir = DEFAULT_MODELS,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Score rows by several models together: energy, p_value and is_anomaly, and each model's own beside them.

    p_value and is_anomaly are empty where a weight is negative: then there are ranks only.

    Example: ebm compose score rows.csv --term digits:1.0 --term digits-cd:0.5 -o scored.parquet
    """
    if output is not None:
        check_output(output, (".csv", ".parquet"))
    for name, rate in (("--fpr", fpr), ("--fdr", fdr)):
        if rate is not None and not 0 < rate < 1:
            raise BadInput(f"{name} must lie between 0 and 1, got {rate:g}")
    if fpr is not None and fdr is not None:
        raise BadInput("give --fpr or --fdr, not both")
    composition = _open(term, models, device, as_json, mode=mode, scale=scale, temperature=temperature)

    from ebm.cli.output import write_table
    from ebm.cli.rows import own_columns, read_rows, replace_columns
    from ebm.cli.scores import for_json, score_in_chunks

    first = next((d for d in composition.detectors if d.columns is not None), composition.detectors[0])
    rows = read_rows(file, first.columns, first.input_shape, first.manifest.input)
    each = [score_in_chunks(d, rows.values, 0.5, None, as_json) for d in composition.detectors]
    found = _combine(composition, each, fpr, fdr)
    if found.note and not as_json:
        say(f"note: {found.note}")
    columns = _columns(found)
    about = _about(found, composition)
    if output is None and as_json:
        print_json({**about, **for_json(columns)})
        return
    table = rows.table if rows.table is not None else own_columns(rows.values, first.columns)
    if found.p_value is None:
        import pyarrow as pa

        empty = {"p_value": pa.nulls(len(found.energy), pa.float64())}
        columns = {**columns, **empty, "is_anomaly": pa.nulls(len(found.energy), pa.bool_())}
    write_table(replace_columns(table, columns), output)
    flagged = None if found.is_anomaly is None else int(found.is_anomaly.sum())
    if as_json:
        print_json({**about, "rows": len(found.energy), "anomalies": flagged, "output": str(output)})
    elif output is not None:
        rate = f"fpr {found.fpr:g}" if found.fpr is not None else f"fdr {found.fdr:g}"
        said = "no p-values" if flagged is None else f"{flagged} anomalies at {rate}"
        say(f"{output}: {len(found.energy)} rows, {said}")


@compose.command("generate")
def generate(
    output: Output,
    term: Terms,
    mode: ModeOption = "product",
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="How many samples.")] = 16,
    seed: Seed = 0,
    n_steps: Annotated[
        int | None, typer.Option(min=1, help="Steps (of each level, if annealed); default: the models' own.")
    ] = None,
    step_size: Annotated[
        float | None, typer.Option(min=0, help="Step size of one model's sampler; default: the models' own.")
    ] = None,
    keep_every: Annotated[
        int, typer.Option(min=0, help="Keep every so many-th step in <OUT>.snapshots.npy; 0: none.")
    ] = 0,
    models: ModelsDir = DEFAULT_MODELS,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Draw samples that look normal to several models together, or unlike those of negative weight.

    The output's suffix says its form: .npy, .csv, .parquet, or .png (a grid; image models only).

    Example: ebm compose generate --term digits --term digits-cd:0.5 -o samples.png --seed 1
    """
    check_output(output, (".npy", ".csv", ".parquet", ".png"))
    composition = _open(term, models, device, as_json, mode=mode)
    first = composition.detectors[0]
    from ebm.cli.common import check_numbers
    from ebm.cli.generate import write_samples, write_snapshots

    for detector in composition.detectors:
        check_can(detector, "generate")
        check_numbers(detector, output)
    if output.suffix.lower() == ".png" and first.kind != "image":
        raise BadInput(f"{output}: these models have rows, not pictures; use .csv, .parquet or .npy")
    options = {"seed": seed, "n_steps": n_steps, "step_size": step_size, "keep_every": keep_every}
    made = drive(composition.generate_steps(n, **options), "sampling", as_json)

    # Before the samples: whoever sees these finds the snapshots complete.
    snapshots = None if made.snapshots is None else write_snapshots(made.snapshots, output)
    write_samples(made.samples, output, first)
    if as_json:
        about = {"mode": mode, "terms": _terms(composition), "n": n, "seed": seed, "output": str(output)}
        print_json({**about, "snapshots": None if snapshots is None else str(snapshots)})
    else:
        say(f"{output}: {n} samples, seed {seed}" + (f"; {snapshots}" if snapshots else ""))


def _open(terms: list[str], models: Path, device: str, as_json: bool, **options: Any) -> Composition:
    chosen = [_split(term) for term in terms]
    detectors = [open_detector(name, models, device, as_json=as_json) for name, _ in chosen]
    from ebm.compose import Composition

    return Composition(detectors, [weight for _, weight in chosen], **options)


def _split(term: str) -> tuple[str, float]:
    """ "digits:0.5" -> ("digits", 0.5); a colon that no number follows belongs to the name."""
    name, colon, weight = term.rpartition(":")
    try:
        return (name, float(weight)) if colon and name else (term, 1.0)
    except ValueError:
        return term, 1.0


def _combine(
    composition: Composition, each: list[dict[str, Any]], fpr: float | None, fdr: float | None
) -> ComposedScores:
    from ebm.answers import Scores

    scores = [Scores(**one, rank=one["energy"], fpr=None, fdr=None, note=None) for one in each]
    return composition.combine(scores, fpr=fpr, fdr=fdr)


def _columns(found: ComposedScores) -> dict[str, Any]:
    """What is known of the rows together, then of each model; a model that is there twice by its number as well."""
    columns: dict[str, Any] = {"energy": found.energy, "rank": found.rank}
    if found.p_value is not None:
        columns |= {"p_value": found.p_value, "is_anomaly": found.is_anomaly}
    labels = [f"{term.name}/{term.version}" for term in found.terms]
    for i, (label, term) in enumerate(zip(labels, found.terms, strict=True), 1):
        label = label if labels.count(label) == 1 else f"{label} #{i}"
        columns |= {f"energy {label}": term.energy, f"p_value {label}": term.p_value}
    return columns


def _terms(composition: Composition) -> list[dict[str, Any]]:
    pairs = zip(composition.detectors, composition.weights, strict=True)
    return [{"model": d.name, "version": d.version, "weight": weight} for d, weight in pairs]


def _about(found: ComposedScores, composition: Composition) -> dict[str, Any]:
    return {
        "mode": composition.mode,
        "scale": composition.scale,
        "terms": _terms(composition),
        "higher_is_more_anomalous": True,
        "fpr": found.fpr,
        "fdr": found.fdr,
        "note": found.note,
    }
