"""`run_ray`: the chunks of a batch run, done by the actors of a Ray cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import ebm
from ebm.batch.spec import BatchSpec
from ebm.distributed.pool import Pool
from ebm.errors import BadInput, Cancelled

if TYPE_CHECKING:
    from ebm.batch.run import BatchRun, ChunkDone

Tell = Callable[["BatchRun", "ChunkDone"], None]

POLL_S = 0.2
# Network file systems remember for some seconds that a file is not there.
VISIBLE_S = 60.0
STOPPED = "stopped: the chunks that are done stay done"


def run_ray(
    spec: BatchSpec,
    *,
    address: str | None = None,
    actors: int | None = None,
    fresh: bool = False,
    on_progress: Tell | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """`ebm.batch.run.run_batch` by many processes: the same parts, the same summary, the same staging folder.

    Each actor holds the model and does one chunk after another; the journal says which are done, so that a run that
    was killed goes on after them, with any number of actors, or without Ray.

    Args:
        address: of a running cluster ('auto', 'host:6379', 'ray://host:10001'): model, input and output must be places
            that all of its machines see under the same name. None starts a Ray on this machine, and ends it.
        actors: how many; by default one for each core of the cluster, or each GPU where `spec.device` is one.
        fresh: drop what an interrupted run has left.
        on_progress: called for each chunk, in the order in which they end.
        should_stop: asked several times a second.

    Raises:
        BadInput: Ray is not installed or not there; the input can only be read from its beginning (.csv.gz, a stream);
            with on_error "fail", one of the rows that cannot be used; a machine does not see the places. OSError: a
            part cannot be written. Cancelled: `should_stop` said so. EBMError: Ray broke off.
    """
    from ebm.batch.run import (  # loads torch, which the driver, importing this package, needs not
        BatchRun,
        discard,
    )

    if find_spec("ray") is None:
        raise BadInput("the engine ray needs an extra: pip install 'ebm-service[ray]'")
    spec = _seen_from_anywhere(spec)
    run, hopeless = BatchRun.open(spec, fresh=fresh), False
    try:
        items = [[index, mark.row, mark.offset] for index, mark in run.todo()]
        if items:
            _spread(run, items, address, actors, on_progress, should_stop)
        return run.finish()
    except BadInput as error:
        # A bad row would be there the next time too, and what is done would be in the way.
        hopeless = error.row is not None
        raise
    finally:
        run.close()
        if hopeless:
            with suppress(BadInput, OSError):
                discard(spec)


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _spread(
    run: BatchRun,
    items: list[list[int]],
    address: str | None,
    actors: int | None,
    on_progress: Tell | None,
    should_stop: Callable[[], bool] | None,
) -> None:
    """Have the chunks `items` done, and see that they are."""
    from ebm.batch.run import ChunkDone

    device = run.spec.device.partition(":")[0]  # an actor has one GPU, which it sees as the first
    order = {
        "spec": run.spec.model_copy(update={"device": device}).model_dump_json(),
        "version": ebm.__version__,
        "items": items,
        "actors": actors,
        "cores": usable_cores(),
        "gpu": device != "cpu",
    }
    news: list[ChunkDone] = []
    expected, next_look = run.rows_done, 0.0

    def look() -> None:
        nonlocal expected, next_look
        began = time.monotonic()
        expected += sum(chunk.rows for chunk in news)
        _wait_until_seen(run, expected, should_stop)
        # It takes longer the more chunks there are: a tenth of the time at most.
        next_look = began + max(POLL_S, 10 * (time.monotonic() - began))
        if on_progress is not None:
            for chunk in news:
                on_progress(run, chunk)
        news.clear()

    with Pool(address=address, **order) as pool:
        for said in pool.lines(POLL_S):
            if said is not None:
                news.append(ChunkDone(*said))
            if news and time.monotonic() >= next_look:
                look()
            if should_stop is not None and should_stop():
                raise Cancelled(STOPPED)
        look()


def _seen_from_anywhere(spec: BatchSpec) -> BatchSpec:
    """The same with absolute paths: an actor works in another folder."""
    places = {"model": spec.model, "input": spec.input, "output": spec.output}
    absolute = {
        name: os.path.abspath(place) for name, place in places.items() if place and "://" not in place
    }
    return spec.model_copy(update=absolute)


def _wait_until_seen(run: BatchRun, rows: int, should_stop: Callable[[], bool] | None) -> None:
    """Until the journal holds what the actors have written: at least so many rows."""
    give_up = time.monotonic() + VISIBLE_S
    while True:
        run.refresh()
        if run.rows_done >= rows:
            return
        if should_stop is not None and should_stop():
            raise Cancelled(STOPPED)
        if time.monotonic() > give_up:
            raise BadInput(
                f"{run.spec.output}: what the actors write is not seen from this machine; with a cluster, the output "
                "must be on storage that all machines share, under one name"
            )
        time.sleep(POLL_S)
