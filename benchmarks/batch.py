"""`ebm score` on files: speed, memory, what a durable job costs, and what Ray gains.

    python benchmarks/batch.py                       # everything, about an hour, 25 GB of disk for a while
    python benchmarks/batch.py --quick               # a smoke run of every part; nothing is stored
    python benchmarks/batch.py --only speed memory   # some parts; the others keep what was stored
    python benchmarks/batch.py --show                # the stored table

Every command is a process of its own with one thread of compute; what is compared runs by turns on the same files.
Rows are drawn around those that the models were trained on, 1% of them with three columns shifted. Figures are medians
of the rounds, with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of this process, which only trains the small model

from _batch_data import Workplace, prepare
from _batch_measure import FULL, QUICK, Pace
from _batch_report import markdown, show
from _common import RESULTS, provenance
from _service_report import Parts

PARTS = ("speed", "memory", "job", "ray")
SEEDS = [0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="few rows, one round, nothing stored")
    parser.add_argument("--show", action="store_true", help="print what is stored")
    parser.add_argument("--rounds", type=int, help="rounds of each comparison; default 3")
    parser.add_argument("--folder", type=Path, help="where the files of rows lie meanwhile; default: TMPDIR")
    parser.add_argument("--out", type=Path, help="JSON file; default benchmarks/results/batch.json")
    args = parser.parse_args()

    pace = QUICK if args.quick else FULL
    if args.rounds:
        pace = Pace(**(vars(pace) | {"rounds": args.rounds}))
    parts = Parts(args.out or (None if args.quick else RESULTS / "batch.json"))
    if not args.show:
        with tempfile.TemporaryDirectory(prefix="ebm-batch-", dir=args.folder) as folder:
            print("training the small model", flush=True)
            place = prepare(Path(folder))
            for name in PARTS:
                if name in args.only:
                    print(f"{name}:", flush=True)
                    parts.add(name, _provenance(), measured(name, place, pace))
    show(parts.rows(list(PARTS)))
    if parts.path is not None and parts.found and not args.show:
        parts.path.with_suffix(".md").write_text(markdown(parts, list(PARTS), __doc__ or ""))
    if any(one["met"] is False for _, one in parts.rows(list(PARTS))):
        print("some targets are not met", file=sys.stderr)


def measured(name: str, place: Workplace, pace: Pace) -> dict[str, Any]:
    """A part's result; a part that cannot run says so in the table and leaves the others be."""
    import _batch_job
    import _batch_memory
    import _batch_ray
    import _batch_speed

    module = {"speed": _batch_speed, "memory": _batch_memory, "job": _batch_job, "ray": _batch_ray}[name]
    try:
        return module.run(place, pace)
    except RuntimeError as error:
        return {"rows": [{"title": name, "target": "runs", "reached": str(error), "met": False}]}


def _provenance() -> dict[str, Any]:
    run = provenance(SEEDS)
    for package in ("pyarrow", "dbos", "ray"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            run["versions"][package] = importlib.metadata.version(package)
    return run


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
