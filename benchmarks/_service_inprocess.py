"""The detector in this process, without a server: rows a second of `detector.score` on blocks of 256 rows.

OMP_NUM_THREADS=1 python benchmarks/_service_inprocess.py models/small/1 SECONDS
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from _service_model import BLOCK_ROWS, blocks

from ebm.artifact import load


def rows_per_s(folder: Path, seconds: float) -> float:
    detector, rows = load(folder), blocks()
    for block in rows:
        detector.score(block)
    done, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        detector.score(rows[done % len(rows)])
        done += 1
    return done * BLOCK_ROWS / passed


if __name__ == "__main__":
    print(rows_per_s(Path(sys.argv[1]), float(np.float64(sys.argv[2]))))
