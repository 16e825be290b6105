"""`ebm generate`: new samples by Langevin dynamics on the learned energy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    from ebm.detector import Detector


def generate(
    model: Model,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="File (.npy, .csv, .csv.gz, .parquet, .arrow, .png), or a folder of parts (no suffix); path or URL. "
            "It appears only when complete.",
        ),
    ],
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="How many samples.")] = 16,
    seed: Seed = 0,
    n_steps: Annotated[
        int | None, typer.Option(min=1, help="Steps (of each level, if annealed); default: the model's own.")
    ] = None,
    step_size: Annotated[
        float | None, typer.Option(min=0, help="Step size of the sampler; default: the model's own.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--class", help="Draw samples of this class; of models that have classes.")
    ] = None,
    keep_every: Annotated[
        int, typer.Option(min=0, help="Keep every so many-th step in <OUT>.snapshots.npy; 0: none.")
    ] = 0,
    diagnose: Annotated[
        bool,
        typer.Option("--diagnose", help="Also say whether the chains have mixed: acceptance, R-hat, ESS."),
    ] = False,
    format: PartsFormat = "parquet",
    chunk_rows: ChunkRows = None,
    fresh: Fresh = False,
    overwrite: Overwrite = False,
    models: ModelsDir = DEFAULT_MODELS,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Draw new samples that look normal to the model.

    A .png is a grid (image models only). Snapshots have the shape (kept, n, ...). Samples are drawn in groups (1,024,
    fewer of wide ones): the first with --seed itself, each other with a seed derived from it and its first row's
    number. What was interrupted goes on where it was. With snapshots or --diagnose, and for a .png, all are drawn
    together.

    Example: ebm generate digits -n 16 -o samples.png --seed 1
    """
    picture = output.lower().endswith(".png") and "://" not in output
    if picture or keep_every or diagnose:
        check_output(Path(output), (".npy", ".csv", ".parquet", ".png"))
        detector = open_detector(model, models, device, as_json=as_json)
        check_can(detector, "generate")
        how: dict[str, Any] = {"n_steps": n_steps, "step_size": step_size, "keep_every": keep_every}
        how |= {"diagnose": diagnose, "label": label}
        how |= {"label": label}
        _together(detector, Path(output), n, seed, how, as_json)
        return
    if step_size is not None and not step_size > 0:
        raise BadInput(f"step_size must be above 0, got {step_size:g}")

    from ebm.batch.spec import BatchSpec, GenerateOptions
    from ebm.cli.batch import run_shown

    of_class: dict[str, Any] = {"class": label}
    spec = BatchSpec(
        model=str(model_path(model, models)),
        output=output,
        options=GenerateOptions(n=n, seed=seed, n_steps=n_steps, step_size=step_size, **of_class),
        format=format,
        rows_per_chunk=chunk_rows,
        device=device,
        overwrite=overwrite,
        summary=False,
    )
    check_place(spec)
    detector = open_detector(model, models, device, as_json=as_json)
    check_can(detector, "generate")
    found = run_shown(spec, detector, "sampling", fresh=fresh, as_json=as_json)
    if as_json:
        about = {"n": n, "parts": found["output"]["parts"], "output": output, "snapshots": None}
        print_json(found | about)
    else:
        say(f"{output}: {n:,} samples, seed {seed}")


def _together(
    detector: Detector, output: Path, n: int, seed: int, how: dict[str, Any], as_json: bool
) -> None:
    """All in one chain, as a picture or with snapshots."""
    if output.suffix.lower() == ".png" and detector.kind != "image":
        raise BadInput(f"{output}: model {detector.name} has rows, not pictures; use .csv, .parquet or .npy")
    check_numbers(detector, output)
    made = drive(detector.generate_steps(n, seed=seed, **how), "sampling", as_json)

    # Before the samples: whoever sees these finds the snapshots complete.
    snapshots = None if made.snapshots is None else write_snapshots(made.snapshots, output)
    write_samples(made.samples, output, detector)
    if as_json:
        about = {"model": detector.name, "version": detector.version, "n": n, "seed": seed}
        about |= {"output": str(output), "snapshots": None if snapshots is None else str(snapshots)}
        print_json(about | ({"diagnostics": made.diagnostics} if made.diagnostics else {}))
    else:
        say(f"{output}: {n} samples, seed {seed}" + (f"; {snapshots}" if snapshots else ""))
        if made.diagnostics:
            say(_mixing(made.diagnostics))


def _mixing(found: dict[str, Any]) -> str:
    """The diagnostics in one line; what cannot be known is left out."""
    parts = [
        f"{name} {found[key]:.3g}"
        for key, name in (
            ("acceptance", "acceptance"),
            ("energy_mean", "energy"),
            ("energy_r_hat", "R-hat of the energy"),
            ("energy_ess", "effective draws of the energy"),
        )
        if found[key] is not None
    ]
    if found["swap_rates"]:
        parts.append("exchanges " + " ".join("-" if r is None else f"{r:.2f}" for r in found["swap_rates"]))
    return f"{found['n_chains']} chains, steps {found['n_warmup'] + 1} to {found['n_steps']}: " + ", ".join(
        parts
    )


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
