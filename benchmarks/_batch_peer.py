"""scikit-learn's detectors on the same Parquet file, streamed by pyarrow, one thread: rows a second.

OMP_NUM_THREADS=1 python benchmarks/_batch_peer.py {isolation-forest,knn} rows.parquet
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pyarrow.parquet as pq
from _batch_data import TABLES, columns_of
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

BATCH = 65_536


def main() -> None:
    values, labels = load_breast_cancer(return_X_y=True)
    values = values[labels == 1].astype(np.float32)
    scaler = StandardScaler().fit(values)
    if sys.argv[1] == "isolation-forest":
        score = IsolationForest(random_state=0).fit(values).score_samples
    else:
        near = NearestNeighbors(n_neighbors=5).fit(scaler.transform(values))

        def score(rows: np.ndarray) -> np.ndarray:
            return near.kneighbors(scaler.transform(rows))[0].mean(1)

    names, n = columns_of(TABLES), 0
    score(values)
    start = time.perf_counter()
    for batch in pq.ParquetFile(sys.argv[2]).iter_batches(BATCH, columns=names):
        n += len(score(np.column_stack([batch.column(name).to_numpy() for name in names])))
    print(json.dumps({"rows": n, "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
