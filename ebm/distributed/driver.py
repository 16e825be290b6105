"""The process that drives Ray, a child of the one that asks:

    python -P -m ebm.distributed.driver

One line of JSON comes in on standard input, the `Order`; lines go out on standard output: `{"chunk": [index, rows,
rejected, anomalies]}` as each is done, `{"error": ...}` (see `ebm.distributed.messages`), or last `{"end": true}`.
When standard input ends, because the asker wants no more or is dead, Ray is shut down and the process ends.

Ray is kept out of the asker because it takes its signals, its warnings and its threads along, starts itself again by
itself, and cannot be stopped between two chunks in any other way.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from typing import IO, Any, NamedTuple

from ebm.distributed.messages import error_as_json
from ebm.errors import BadInput

# An actor that dies is started again, and its chunk repeated; a chunk that takes its actor with it every time is not.
MAX_RETRIES = 3
CONNECT_S = 60.0
# More chunks than this share blocks: a block is an object of Ray's, and a pool is kept busy by far fewer.
MAX_BLOCKS = 4096
OBJECT_STORE = 128 << 20  # bytes, of a Ray of our own; only numbers of chunks pass through it
_ENDING, _ONE = threading.Event(), threading.Lock()


class Order(NamedTuple):
    """spec: BatchSpec as JSON; items: (index, row, offset) of each chunk; address None starts a Ray on this machine,
    in `folder`; actors None for one a core or GPU; gpu: an actor takes a GPU."""

    spec: str
    version: str
    items: list[list[int]]
    address: str | None
    actors: int | None
    cores: int
    gpu: bool
    folder: str


def main() -> None:
    order = Order(**json.loads(sys.stdin.readline()))
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what Ray prints is no line of ours
    watcher = threading.Thread(target=_leave_with_the_asker, args=(order.folder,), daemon=True)
    watcher.start()
    try:
        _drive(order, out)
        _say(out, {"end": True})
    except BadInput as error:
        _say(out, error_as_json(error))
    except BrokenPipeError:
        watcher.join()  # the asker is gone, and the watcher about to end this process
    finally:
        _shutdown()
        if _ENDING.is_set():
            watcher.join()


def _drive(order: Order, out: IO[str]) -> None:
    try:
        import ray.data
    except ImportError as error:
        raise BadInput(f"Ray Data cannot be imported ({error}): pip install 'ebm-service[ray]'") from error
    from ebm.distributed.worker import ChunkWorker

    late = threading.Timer(CONNECT_S, _not_there, (order.address, out))
    late.daemon = True
    late.start()
    resources = _connected(ray, order)
    late.cancel()
    kind = "GPU" if order.gpu else "CPU"
    if resources.get(kind, 0) < 1:
        raise BadInput(f"the Ray cluster has no {kind}")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    items = [dict(zip(("index", "row", "offset"), item, strict=True)) for item in order.items]
    # Without a number of blocks, few items are one block, and one actor does all the work.
    chunks = ray.data.from_items(items, override_num_blocks=min(len(items), MAX_BLOCKS))
    done = chunks.map_batches(
        ChunkWorker,
        fn_constructor_args=(order.spec, order.version),
        compute=ray.data.ActorPoolStrategy(size=min(order.actors or int(resources[kind]), len(items))),
        batch_size=1,
        batch_format="numpy",
        num_cpus=1,
        num_gpus=1 if order.gpu else 0,
        max_restarts=-1,
        max_task_retries=MAX_RETRIES,
    )
    for batch in done.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
        for said in batch["said"]:
            out.write(f"{said}\n")


def _connected(ray: Any, order: Order) -> dict[str, float]:
    """Start a Ray that listens on this machine only, or connect to a cluster: its resources."""
    try:
        if order.address is None:
            ray.init(
                address="local",
                num_cpus=order.actors or order.cores,
                object_store_memory=OBJECT_STORE,
                include_dashboard=False,
                _node_ip_address="127.0.0.1",
                _temp_dir=order.folder,
                log_to_driver=False,
            )
        else:
            ray.init(address=order.address, log_to_driver=False)
    except (ConnectionError, TimeoutError, RuntimeError, ValueError, OSError) as error:
        said = " ".join(str(error).split())
        raise BadInput(f"no Ray {_place(order.address)}: {said[:300] or type(error).__name__}") from error
    return ray.cluster_resources()


def _place(address: str | None) -> str:
    return "on this machine" if address is None else f"at {address}"


def _not_there(address: str | None, out: IO[str]) -> None:
    """Ray itself would go on trying for longer than anybody waits."""
    _say(out, error_as_json(BadInput(f"no Ray {_place(address)}: no answer in {CONNECT_S:.0f} seconds")))
    os._exit(1)


def _leave_with_the_asker(folder: str) -> None:
    while os.read(0, 1 << 16):
        pass
    _ENDING.set()
    _shutdown()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _shutdown() -> None:
    """Disconnect; a Ray that this process started ends, with all of its actors. Both threads may want it: who comes
    second waits, for a Ray that is cut off while it ends leaves processes behind."""
    ray = sys.modules.get("ray")
    with _ONE:
        if ray is not None and hasattr(ray, "shutdown"):
            ray.shutdown()


def _say(out: IO[str], line: dict[str, Any]) -> None:
    out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
