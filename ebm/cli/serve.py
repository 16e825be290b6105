"""`ebm serve`: the HTTP service in this process."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from ebm.cli.common import DEFAULT_MODELS, ModelsDir, say
from ebm.cli.failure import FAILED
from ebm.errors import BadInput


def serve(
    host: Annotated[str, typer.Option(help="Address to bind; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to bind; 0 picks a free one.")] = 8000,
    models: ModelsDir = DEFAULT_MODELS,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads of the inference; default: all, or OMP_NUM_THREADS."),
    ] = None,
) -> None:
    """Serve the models of a folder over HTTP; every other setting is an environment variable EBM_...

    Example: ebm serve --models models --port 8000
    """
    if not models.is_dir():
        raise BadInput(f"{models}: no such folder")
    # Read by OpenMP when torch is first imported; set later, it does nothing for other threads.
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    else:
        os.environ.setdefault("OMP_NUM_THREADS", str(_cores()))

    # The one place where ebm touches the service.
    import uvicorn

    from service.app import create_app
    from service.settings import Settings

    settings = Settings(models_dir=models)
    say(f"serving {models} on http://{host}:{port} (stop with Ctrl-C)")
    try:
        uvicorn.run(
            create_app(settings),
            host=host,
            port=port,
            log_level=settings.log_level,
            access_log=False,  # the service logs each request itself
            timeout_graceful_shutdown=int(settings.drain_s) + 1,
        )
    except SystemExit as stop:
        # uvicorn has said why; its own codes are no part of our three.
        raise typer.Exit(FAILED if stop.code else 0) from None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
