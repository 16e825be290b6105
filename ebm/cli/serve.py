"""`ebm serve`: the HTTP service, in one process or several. The one place where `ebm` touches `service`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ebm.cli.common import say
from ebm.cli.failure import FAILED
from ebm.errors import BadInput


class Serve(TyperCommand):
    """Its help ends with all settings."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from service.settings import as_text

        super().format_help(ctx, formatter)
        typer.echo(as_text())


def _print_settings(wanted: bool) -> None:
    if wanted:
        from service.settings import as_markdown

        typer.echo(as_markdown(), nl=False)
        raise typer.Exit


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to bind; 0.0.0.0 for all; default: 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to bind; 0 picks a free one; default: 8000.")
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(
            envvar="EBM_MODELS", help="Folder, or URL such as s3://..., of published models; default: models."
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="CPU threads of the inference; default: cores / workers, or OMP_NUM_THREADS."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that serve; default: 1.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="File of settings, YAML or TOML; variables and options go before it.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error; default: info.")
    ] = None,
    settings_markdown: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--settings-markdown",
            callback=_print_settings,
            is_eager=True,
            help="Print all settings as a page of documentation.",
        ),
    ] = False,
) -> None:
    """Serve published models over HTTP, until SIGTERM or Ctrl-C; work under way is finished first.

    Example: ebm serve --models models --port 8000
    """
    from service.settings import read_settings, unknown_variables

    options = {
        "host": host,
        "port": port,
        "models_dir": models,
        "threads": threads,
        "workers": workers,
        "log_level": log_level,
    }
    settings = read_settings(config, **{k: v for k, v in options.items() if v is not None})
    for name in unknown_variables():
        say(f"warning: {name} is no setting")
    place = settings.models_dir
    if isinstance(place, Path) and not place.is_dir():
        raise BadInput(f"{place}: no such folder")
    # Read by OpenMP when torch is first imported; set later, it does nothing for other threads.
    if settings.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    else:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _cores() // settings.workers)))

    from service import server

    several = f" with {settings.workers} workers" if settings.workers > 1 else ""
    if not server.run(settings, lambda url: say(f"serving {place} on {url}{several} (stop with Ctrl-C)")):
        raise typer.Exit(FAILED)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
