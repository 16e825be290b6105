"""`ebm models list|show|verify`: what is published, what it says of itself, and whether it is intact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ebm.cli.common import DEFAULT_MODELS, AsJson, Model, ModelsDir, model_path, print_json, say
from ebm.errors import BadArtifact, BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from ebm.artifact import ModelEntry
    from ebm.manifest import Manifest

BY = {
    "energy": "the gradient of its energy",
    "field": "a denoiser, whose field is no energy's gradient",
    None: "-",
}
models = typer.Typer(help="List, show and verify published models.", no_args_is_help=True)


@models.command("list")
def list_(models: ModelsDir = DEFAULT_MODELS, as_json: AsJson = False) -> None:
    """List the models of a folder; the default version of each is marked *.

    Example: ebm models list --models models
    """
    from ebm import artifact

    entries = _entries(models)
    rows = []
    for entry in entries:
        row = {
            "name": entry.name,
            "version": entry.version,
            "default": entry.default,
            "path": str(entry.path),
        }
        try:
            manifest = artifact.read_manifest(entry.path)
            row |= {
                "kind": manifest.kind,
                "created": manifest.created,
                "auroc": manifest.metrics.get("auroc"),
            }
        except BadArtifact as error:
            row["error"] = str(error)
        rows.append(row)
    if as_json:
        print_json({"models": rows})
        return
    if not rows:
        say(f"no models in {models}")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "version", "kind", "AUROC", "created")
    for row in rows:
        version = f"{row['version']}{' *' if row['default'] else ''}"
        if "error" in row:
            table.add_row(row["name"], version, "broken", "", row["error"])
        else:
            auroc = "" if row["auroc"] is None else f"{row['auroc']:.3f}"
            table.add_row(row["name"], version, row["kind"], auroc, row["created"])
    Console().print(table)


@models.command()
def show(model: Model, models: ModelsDir = DEFAULT_MODELS, as_json: AsJson = False) -> None:
    """Show a model's manifest: input, terms, calibration, data, metrics beside the baselines'.

    Example: ebm models show digits
    """
    from ebm import artifact

    path = model_path(model, models)
    manifest = artifact.read_manifest(path)
    if as_json:
        print_json({**manifest.model_dump(mode="json"), "denoises_by": manifest.denoises_by})
    else:
        _show(manifest, path)


@models.command()
def verify(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="One model; default: all.")] = None,
    models: ModelsDir = DEFAULT_MODELS,
    as_json: AsJson = False,
) -> None:
    """Check the files of one model, or of all, against their checksums; exit code 2 if any was altered.

    Example: ebm models verify digits
    """
    from ebm import artifact

    paths = [model_path(model, models)] if model is not None else [e.path for e in _entries(models)]
    if not paths:
        raise BadInput(f"no models in {models}")
    results = []
    for path in paths:
        try:
            # Loading sees what checksums do not: weights that do not fit the manifest.
            artifact.load(path)
            results.append({"path": str(path), "ok": True, "error": None})
        except BadArtifact as error:
            results.append({"path": str(path), "ok": False, "error": str(error)})
    bad = [r for r in results if not r["ok"]]
    if as_json:
        print_json({"models": results})
        if bad:
            raise typer.Exit(2)
        return
    for result in results:
        if result["ok"]:
            typer.echo(f"{result['path']}: ok")
    for result in bad[:-1]:
        say(f"error: {result['error']}")
    if bad:
        raise BadArtifact(bad[-1]["error"])


def _entries(models_dir: Path) -> list[ModelEntry]:
    from ebm import artifact

    if not models_dir.is_dir():
        raise BadInput(f"{models_dir}: no such folder")
    return artifact.list_models(models_dir)


def _show(manifest: Manifest, path: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ebm.cli.figures import print_figures

    console = Console()
    calibration, data = manifest.calibration, manifest.data
    terms = ", ".join(f"{t.name} ({t.energy.kind}, weight {t.weight:g})" for t in manifest.terms)
    columns = manifest.input.get("columns")
    shape = (
        f"{len(columns)} columns" if columns else "{height} x {width} x {channels}".format(**manifest.input)
    )
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("model", f"{manifest.name}, version {manifest.version}, of {manifest.created}"),
        ("path", str(path)),
        ("what", manifest.description or "-"),
        ("input", f"{manifest.kind}, {shape}"),
        ("energy", terms),
        ("denoises by", BY[manifest.denoises_by]),
        ("calibration", f"{calibration.n} rows; flags p <= {calibration.default_fpr:g} by default"),
        ("data", f"{data.source}: {data.n_train} training, {data.n_test} test rows; seed {data.seed}"),
    ):
        facts.add_row(f"[bold]{name}[/]", escape(value))
    console.print(facts)
    if manifest.metrics:
        print_figures({"model": manifest.metrics, **manifest.baselines})
