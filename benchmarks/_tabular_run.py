"""One cell (training, set, seed, method) in a process of its own, with one thread and a limit on CPU seconds."""

from __future__ import annotations

import multiprocessing
import resource
import signal
import time
import warnings
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from _tabular_data import Split
from _tabular_methods import METHODS
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits

RATES = (0.01, 0.05, 0.10)
# A process that waits instead of computing must end too; the machine may be busy, so the wall clock gets more.
WALL = 20


def measure(name: str, rows: Split, seed: int, contaminated: bool = False) -> dict[str, Any]:
    """AUROC, AUPRC (average precision), CPU seconds of fit and of scoring, sizes and flagged normal rows."""
    import torch

    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.process_time()
        scorer = METHODS[name].fit(rows.train, seed, contaminated)
        fitted = time.process_time()
        scores = np.asarray(scorer.score(rows.test), dtype=np.float64)
        scored = time.process_time()
        if scores.shape != rows.labels.shape or not np.isfinite(scores).all():
            raise ValueError(
                f"{np.size(scores) - np.isfinite(scores).sum()} of {len(rows.labels)} scores not finite"
            )
        flagged: dict[str, Any] = {}
        if scorer.p_values is not None:
            p = np.asarray(scorer.p_values(rows.test[rows.labels == 0]))
            flagged = {f"flagged_{round(100 * rate):02d}": int((p <= rate).sum()) for rate in RATES}
    return {
        "auroc": roc_auc_score(rows.labels, scores),
        "auprc": average_precision_score(rows.labels, scores),
        "fit_s": fitted - start,
        "score_s": scored - fitted,
        "n_train": len(rows.train),
        "n_test": len(rows.test),
        "d": rows.train.shape[1],
        "normals": int((rows.labels == 0).sum()),
        **flagged,
    }


def _child(sender: Connection, cpu_seconds: int, *cell: Any) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
    try:
        answer = measure(*cell)
    except Exception as error:
        answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:200]}
    sender.send(answer)
    sender.close()


def run(name: str, rows: Split, seed: int, contaminated: bool, cpu_seconds: int) -> dict[str, Any]:
    """The figures of `measure`, or {"error": reason}; a method that fails or is too slow takes nothing else along."""
    context = multiprocessing.get_context(
        "fork"
    )  # what `prepare` imported and compiled is not paid for again
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, cpu_seconds, name, rows, seed, contaminated))
    with warnings.catch_warnings():
        # Python 3.12 warns of idle threads that a numerical library keeps; none of them holds a lock of ours.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    sender.close()
    try:
        if not receiver.poll(WALL * cpu_seconds):
            return {"error": f"no answer after {WALL * cpu_seconds} s"}
        return receiver.recv()
    except EOFError:
        process.join()
        if process.exitcode == -signal.SIGXCPU:
            return {"error": f"more than {cpu_seconds} CPU seconds"}
        return {"error": f"the process ended with code {process.exitcode}"}
    finally:
        process.kill()
        process.join()
