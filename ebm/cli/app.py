"""The `ebm` command and its sub-commands."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from ebm.cli.classify import classify
from ebm.cli.compose import compose
from ebm.cli.denoise import denoise
from ebm.cli.evaluate import evaluate
from ebm.cli.explain import explain
from ebm.cli.failure import Commands
from ebm.cli.gallery import gallery
from ebm.cli.generate import generate
from ebm.cli.impute import impute
from ebm.cli.jobs import jobs
from ebm.cli.keys import keys
from ebm.cli.models import models
from ebm.cli.partition import partition
from ebm.cli.score import score
from ebm.cli.serve import Serve, serve
from ebm.cli.train import train
from ebm.cli.worker import worker

app = typer.Typer(
    name="ebm",
    cls=Commands,
    help="Learn an energy from normal data; then score, explain, denoise, generate and serve.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    # Commands turns every failure into one line and an exit code.
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(version("ebm-service"))
        except PackageNotFoundError:
            typer.echo("unknown (not installed)")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error came from.")] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Learn an energy from normal data; then score, denoise, generate and serve.

    Exit codes: 0 done, 1 failed, 2 bad use or bad input, 130 interrupted.
    """
    ctx.obj = {"traceback": traceback}


for command in (train, evaluate, score, classify, explain, denoise, impute, generate, partition):
    app.command()(command)
app.command(cls=Serve)(serve)
app.command()(worker)
app.command()(gallery)
app.add_typer(compose, name="compose")
app.add_typer(jobs, name="jobs")
app.add_typer(models, name="models")
app.add_typer(keys, name="keys")
