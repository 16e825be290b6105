"""Every energy, objective, sampler and estimator of the family against known answers and peers, section by section.

    python benchmarks/family.py                       # all sections, three seeds: most of an hour
    python benchmarks/family.py --only scores contrast
    python benchmarks/family.py --quick --out /tmp/x  # a look whether everything runs; the figures mean nothing
    python benchmarks/family.py --report              # the page anew from the stored figures

A section is a file `_family_<name>.py` with `TITLE`, `measure(quick, seed) -> {row: {column: number}}` and
`report(results) -> lines` for its results seed by seed. Each section is stored as it ends, with the machine, the
versions, the date, the command and the seeds; the sections that are not asked for stay as they are stored, so that two
processes may share them out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import time
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small tensors: a second thread only costs

import torch
from _common import RESULTS, heading, provenance

HERE = Path(__file__).parent
INTRODUCTION = """# The whole family, measured

Known answers (an analytic density, a closed form, an enumeration) and peers in the same run; what each kind is, is in
[docs/family](../../docs/family/README.md). Where several seeds were run, a figure is their mean, and the range is in
brackets. Bad rows are left in.
"""


def names() -> list[str]:
    return sorted(path.stem.removeprefix("_family_") for path in HERE.glob("_family_*.py"))


def section(name: str) -> ModuleType:
    return importlib.import_module(f"_family_{name}")


def finite(value: Any) -> Any:
    """JSON has no NaN: null, which the reports show as such."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(path: Path, text: str) -> None:
    beside = path.with_suffix(".tmp")
    beside.write_text(text)
    os.replace(beside, path)


def page(stored: dict[str, Any]) -> str:
    lines = [INTRODUCTION]
    for name in names():
        if name not in stored:
            continue
        part = section(name)
        lines += [f"\n## {part.TITLE}\n", heading(stored[name]["run"])]
        results = [{row: dict(cells) for row, cells in seed.items()} for seed in stored[name]["results"]]
        for seed in results:
            for cells in seed.values():
                cells.update({k: math.nan for k, v in cells.items() if v is None})
        lines += part.report(results)
    return "\n".join(lines).rstrip() + "\n"


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", metavar="SECTION", choices=names(), help=f"of {', '.join(names())}"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--quick", action="store_true", help="tiny budgets, for a look whether it runs")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page anew")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of family.json and family.md")
    args = parser.parse_args(given)
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    store = args.out / "family.json"
    stored: dict[str, Any] = {}
    for name in [] if args.report else args.only or names():
        began, part, results = time.perf_counter(), section(name), []
        for seed in args.seeds:
            results.append(finite(part.measure(args.quick, seed)))
            print(f"{name}, seed {seed}: {time.perf_counter() - began:.0f} s so far", flush=True)
        seconds = round(time.perf_counter() - began, 1)
        run = provenance(args.seeds) | {"quick": args.quick, "seconds": seconds}
        stored = (
            json.loads(store.read_text()) if store.exists() else {}
        )  # another process may have added its own
        stored[name] = {"run": run, "results": results}
        write(store, json.dumps({key: stored[key] for key in sorted(stored)}, indent=1) + "\n")
    stored = json.loads(store.read_text()) if store.exists() else {}
    write(args.out / "family.md", page(stored))
    print(f"{args.out / 'family.md'}")


if __name__ == "__main__":
    main()
