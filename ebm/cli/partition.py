"""`ebm partition`: log Z of a model's energy, and the likelihood of rows where they are given."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ebm.cli.common import (
    DEFAULT_MODELS,
    AsJson,
    Device,
    Model,
    ModelsDir,
    Seed,
    drive,
    open_detector,
    print_json,
    say,
)

if TYPE_CHECKING:
    from ebm.evaluation.likelihood import Likelihood
    from ebm.evaluation.partition import Partition

HOW = {
    "closed_form": "closed form",
    "enumeration": "enumeration of all states, exact",
    "quadrature": "a grid over the coordinates, exact to 0.001",
    "ais": "annealed importance sampling",
}


def partition(
    model: Model,
    rows: Annotated[
        Path | None,
        typer.Argument(metavar="[ROWS]", help="Rows whose mean log-likelihood is wanted as well."),
    ] = None,
    term: Annotated[
        str | None, typer.Option(help="One energy of the product; default: the one that scores.")
    ] = None,
    sigma: Annotated[float | None, typer.Option(help="Noise level, of a noise-conditional energy.")] = None,
    method: Annotated[
        Literal["auto", "exact", "ais"],
        typer.Option(
            help="exact: closed form, enumeration or a grid, or fail; ais: sample even where one is known."
        ),
    ] = "auto",
    chains: Annotated[int, typer.Option(min=2, help="Chains on each side.")] = 100,
    temperatures: Annotated[int, typer.Option(min=2, help="Steps from the base to the model.")] = 1000,
    seed: Seed = 0,
    models: ModelsDir = DEFAULT_MODELS,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Find the partition function: log Z, in nats, with p(x) = exp(-E(x)) / Z.

    In closed form, by enumeration or by a grid where that can be; otherwise between a lower and an upper side by
    annealed importance sampling from a Gaussian (or from independent units), forward and in reverse. With ROWS also
    their mean log-likelihood, in nats and in bits per dimension.

    Example: ebm partition digits test.npy --term network --sigma 0.2
    """
    detector = open_detector(model, models, device, as_json=as_json)
    from ebm.evaluation.likelihood import likelihood
    from ebm.evaluation.partition import log_partition_steps

    values = None
    if rows is not None:
        from ebm.cli.rows import read_rows

        values = read_rows(rows, detector.columns, detector.input_shape, detector.manifest.input).values
    which: dict[str, Any] = {"term": term, "sigma": sigma}
    how: dict[str, Any] = {"method": method, "n_chains": chains, "n_temperatures": temperatures, "seed": seed}
    found: Partition = drive(log_partition_steps(detector, values, **which, **how), "annealing", as_json)
    of_rows = None if values is None else likelihood(detector, values, found.log_z, **which)
    if as_json:
        about = {"model": detector.name, "version": detector.version, "seed": seed}
        print_json(
            about | _json(found) | {"likelihood": None if of_rows is None else _finite(of_rows._asdict())}
        )
        return
    _tell(found)
    if of_rows is not None:
        _tell_likelihood(of_rows)


def _json(found: Partition) -> dict[str, Any]:
    import dataclasses

    return _finite(dataclasses.asdict(found) | {"gap": found.gap})


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity and no NaN: null; `n_outside` says why."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def _tell(found: Partition) -> None:
    error = f" +- {found.standard_error:.2g}" if found.method == "ais" else ""
    typer.echo(f"log Z = {found.log_z:.6g}{error} nats, of {found.about}")
    typer.echo(f"found by {HOW[found.method]}")
    if found.gap is not None:
        typer.echo(
            f"between {found.lower:.6g} (forward) and {found.upper:.6g} (reverse), a gap of {found.gap:.2g}"
        )
        ess = f"{found.ess_forward:.0f} and {found.ess_reverse:.0f} of {found.n_chains}"
        typer.echo(f"effective chains: {ess}, over {found.n_temperatures:,} temperatures")
    if found.learnt is not None:
        typer.echo(f"training learnt log Z = {found.learnt:.6g}")
    for note in found.notes:
        say(f"note: {note}")


def _tell_likelihood(of: Likelihood) -> None:
    from ebm.evaluation.likelihood import UNITS

    error = f" +- {of.standard_error:.2g}" if math.isfinite(of.standard_error) else ""
    typer.echo(
        f"mean log p = {of.mean_log_p:.6g}{error} nats a row, {of.bits_per_dim:.5g} bits per dimension"
    )
    typer.echo(f"over {of.n_rows:,} rows of {of.n_dims:,} dimensions; {UNITS[of.unit]}")
    if of.n_outside:
        say(f"note: {of.n_outside:,} rows lie outside the support: their probability is 0")
