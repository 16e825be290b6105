"""`ebm worker`: runs the jobs that a server accepts, in a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ebm.cli.common import say, wait_asleep
from ebm.errors import BadInput

if TYPE_CHECKING:
    from service.jobs.job import Kind

KINDS: tuple[Kind, ...] = ("score", "train", "generate", "denoise")


def worker(
    kinds: Annotated[
        str, typer.Option(help="Kinds of jobs to run, with commas; the others are left to other workers.")
    ] = ",".join(KINDS),
    concurrency: Annotated[
        str | None,
        typer.Option(
            metavar="N|KIND=N,...",
            help="Jobs of each kind at once; default: EBM_JOB_SCORE, EBM_JOB_TRAIN, ..., which are 1.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of this worker, in logs and in the database; default: the host's.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="File of settings, as of `ebm serve`; variables go before it.")
    ] = None,
    parent: Annotated[int | None, typer.Option(hidden=True, help="Stop when this process ends.")] = None,
) -> None:
    """Run jobs until SIGTERM or Ctrl-C; jobs under way stop after their chunk, or step of sampling or training, and go
    back to the queue.

    Settings are those of the server (`ebm serve --help`): EBM_DATABASE_URL, EBM_DATA_DIR, EBM_MODELS_DIR, ...

    Example: ebm worker --kinds score,denoise --concurrency score=2
    """
    from service.settings import read_settings, unknown_variables
    from service.telemetry import configure_logging, flush

    settings = read_settings(config)
    for unknown in unknown_variables():
        say(f"warning: {unknown} is no setting")
    limits: dict[Kind, int] = {kind: getattr(settings, f"job_{kind}") for kind in _kinds(kinds)}
    limits |= _limits(concurrency, list(limits))
    # Both are read by OpenMP when torch is first imported.
    wait_asleep()
    if settings.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    configure_logging(settings.log_level)

    from service.jobs.worker import run

    run(settings, limits, name, parent)
    flush()
    sys.stdout.flush()
    # Threads of DBOS may still wait for jobs that others go on with; nothing of theirs is left to do here.
    os._exit(0)


def _kinds(text: str) -> list[Kind]:
    named = {part.strip() for part in text.split(",") if part.strip()}
    for one in sorted(named.difference(KINDS)):
        raise BadInput(f"--kinds: '{one}' is none of {', '.join(KINDS)}")
    if not named:
        raise BadInput(f"--kinds: names none of {', '.join(KINDS)}")
    return [kind for kind in KINDS if kind in named]


def _limits(text: str | None, kinds: list[Kind]) -> dict[Kind, int]:
    found: dict[Kind, int] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        kind, equals, number = part.strip().rpartition("=")
        if not number.isdecimal() or int(number) < 1 or (equals and kind not in KINDS):
            raise BadInput(f"--concurrency: '{part}': a number, or KIND=NUMBER with {', '.join(KINDS)}")
        found |= {one: int(number) for one in kinds if not equals or one == kind}
    return found
