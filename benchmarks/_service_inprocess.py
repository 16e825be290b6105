"""The detector in this process, without a server: rows a second of `detector.score` on blocks of 256 rows.

    OMP_NUM_THREADS=1 python benchmarks/_service_inprocess.py models/small/1 SECONDS [JOINED]

With JOINED so many blocks are scored at once, as the service joins what waits.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from _service_model import BLOCK_ROWS, blocks

from ebm.artifact import load


def rows_per_s(folder: Path, seconds: float, joined: int) -> float:
    detector, rows = load(folder), blocks()
    rows = [np.concatenate(rows[i : i + joined]) for i in range(0, len(rows), joined)]
    for block in rows:
        detector.score(block)
    done, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        detector.score(rows[done % len(rows)])
        done += 1
    return done * joined * BLOCK_ROWS / passed


if __name__ == "__main__":
    print(rows_per_s(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1))
