"""One run with so many actors, or without Ray: when its chunks ended.

python benchmarks/_batch_ray_run.py models/network/1 rows.parquet OUTPUT ACTORS ROWS_PER_CHUNK
"""

from __future__ import annotations

import json
import sys
import time

import torch

from ebm.batch.run import run_batch
from ebm.batch.spec import BatchSpec, ScoreOptions


def main() -> None:
    start = time.perf_counter()
    model, rows, output, actors, chunk = sys.argv[1:]
    torch.set_num_threads(1)
    ends: list[tuple[float, int]] = []
    spec = BatchSpec(
        model=model, input=rows, output=output, options=ScoreOptions(), rows_per_chunk=int(chunk)
    )

    def note(_: object, chunk: tuple[int, ...]) -> None:
        ends.append((time.perf_counter(), chunk[1]))

    if int(actors):
        from ebm.distributed import run_ray

        run_ray(spec, actors=int(actors), fresh=True, on_progress=note)
    else:
        run_batch(spec, fresh=True, on_progress=note)
    between = ends[-1][0] - ends[0][0]
    counted = sum(n for _, n in ends[1:])
    print(json.dumps({"rows_per_s": counted / between, "start_s": ends[0][0] - start}))


if __name__ == "__main__":
    main()
