"""The service under load, beside LitServe, MLServer, FastAPI with pydantic lists, and a bare Starlette echo.

    python benchmarks/service.py                      # everything, about forty minutes
    python benchmarks/service.py --quick              # a smoke run of every part; nothing is stored
    python benchmarks/service.py --only single batch  # some parts; the others keep what was stored
    python benchmarks/service.py --skip-peers         # without LitServe and MLServer
    python benchmarks/service.py --show               # the stored table

Every server is a process of its own on 127.0.0.1; the load comes from another process. What is compared runs by turns
in the same run, on the same cores, with the same torch and number of threads; who is not measured is stopped. Ratios
are medians over the rounds, with the lowest and the highest. No server logs requests; this service keeps its metrics.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of this process, which only trains the small model

from _common import RESULTS, provenance
from _service_measure import FULL, QUICK, Pace
from _service_model import Workplace, prepare
from _service_report import Parts, markdown, print_table

PARTS = ("single", "batch", "generation", "overload", "reload", "start")
SEEDS = [0, 1, 2, 3, 4]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="seconds a part, one round, nothing stored")
    parser.add_argument("--skip-peers", action="store_true", help="without LitServe, MLServer and FastAPI")
    parser.add_argument("--show", action="store_true", help="print what is stored")
    parser.add_argument("--rounds", type=int, help="rounds of each comparison; default 5")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of every server; default 1")
    parser.add_argument("--log-level", default="warning", help="of this service; 'info' logs each request")
    parser.add_argument("--out", type=Path, help="JSON file; default benchmarks/results/service.json")
    args = parser.parse_args()

    pace = QUICK if args.quick else FULL
    if args.rounds:
        pace = Pace(**(vars(pace) | {"rounds": args.rounds}))
    parts = Parts(args.out or (None if args.quick else RESULTS / "service.json"))
    if not args.show:
        _prepare_process()
        with tempfile.TemporaryDirectory(prefix="ebm-bench-") as folder:
            logs = Path(folder) / "logs"
            logs.mkdir()
            print("training the small model", flush=True)
            place = prepare(Path(folder))
            for name in PARTS:
                if name in args.only:
                    print(f"{name}:", flush=True)
                    parts.add(name, _provenance(args), _measured(name, place, logs, pace, args))
    print_table(parts.rows(list(PARTS)))
    if parts.path is not None and parts.found and not args.show:
        parts.path.with_suffix(".md").write_text(markdown(parts, list(PARTS), __doc__ or ""))
    if any(one["met"] is False for _, one in parts.rows(list(PARTS))):
        print("some targets are not met", file=sys.stderr)


def _measured(
    name: str, place: Workplace, logs: Path, pace: Pace, args: argparse.Namespace
) -> dict[str, Any]:
    """A part's result; a part that cannot run says so in the table and leaves the others be."""
    import _service_batch
    import _service_generation
    import _service_overload
    import _service_reload
    import _service_single
    import _service_start

    peers, threads, level = not args.skip_peers, args.threads, args.log_level
    try:
        if name == "single":
            return _service_single.run(place, logs, pace, threads, level, peers)
        if name == "batch":
            return _service_batch.run(place, logs, pace, threads, level, peers)
        if name == "start":
            return _service_start.run(logs, pace)
        module = {
            "generation": _service_generation,
            "overload": _service_overload,
            "reload": _service_reload,
        }[name]
        return module.run(place, logs, pace, threads, level)
    except RuntimeError as error:
        return {"rows": [{"title": name, "target": "runs", "reached": str(error), "met": False}]}


def _provenance(args: argparse.Namespace) -> dict[str, Any]:
    import importlib.metadata

    run = provenance(SEEDS)
    ours = ("uvicorn", "uvloop", "httptools", "starlette", "fastapi", "pydantic", "orjson")
    run["versions"] |= {package: importlib.metadata.version(package) for package in ours}
    if not args.skip_peers:
        from _service_specs import PACKAGES

        run["versions"] |= dict(packages[0].split("==") for packages in PACKAGES.values())
    return run


def _prepare_process() -> None:
    if not Path("/proc/self/stat").exists():
        raise SystemExit("this benchmark reads /proc, and so needs Linux")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a thousand connections, in every process


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
