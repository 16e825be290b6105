"""`detector.score` in this process, on rows that are in memory already, in batches of 65,536: rows a second.

OMP_NUM_THREADS=1 python benchmarks/_batch_inprocess.py models/network/1 rows.parquet DATA
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from _batch_data import columns_of

from ebm.artifact import load

BATCH = 65_536


def main() -> None:
    torch.set_num_threads(1)
    detector = load(Path(sys.argv[1]))
    file, names = pq.ParquetFile(sys.argv[2]), columns_of(sys.argv[3])
    rows = np.empty((file.metadata.num_rows, len(names)), np.float32)
    at = 0
    for batch in file.iter_batches(columns=names):
        for i, name in enumerate(names):
            rows[at : at + len(batch), i] = batch.column(name).to_numpy()
        at += len(batch)
    rows = rows.reshape(len(rows), *detector.input_shape)
    detector.score(rows[:BATCH])
    start, anomalies = time.perf_counter(), 0
    for i in range(0, len(rows), BATCH):
        anomalies += int(detector.score(rows[i : i + BATCH]).is_anomaly.sum())
    print(json.dumps({"rows": len(rows), "seconds": time.perf_counter() - start, "anomalies": anomalies}))


if __name__ == "__main__":
    main()
