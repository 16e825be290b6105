"""Killed at any call to the system: what is left goes on, and the result is the same to the byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from batch_files import bytes_of, check_scores, random_rows, spec_of, write_rows

from ebm.batch.run import BatchRun, run_batch
from ebm.detector import Detector

EVENTS = {
    "open",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.truncate",
    "shutil.rmtree",
    "os.listdir",
}


def in_a_child(work: Callable[[], object], folder: Path, die_at: int | None) -> int | None:
    """Run `work` in a process that kills itself (-9) at its die_at-th call to the system about `folder`; how many there
    were, where it lived to tell."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, none of which the child needs
        pid = os.fork()
    if pid == 0:
        seen = [0]

        def watch(event: str, args: tuple) -> None:
            if event in EVENTS and any(str(folder) in str(arg) for arg in args):
                seen[0] += 1
                if seen[0] == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            sys.addaudithook(watch)
            work()
            os.write(writing, str(seen[0]).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        told = file.read()
    status = os.waitpid(pid, 0)[1]
    assert status in (0, signal.SIGKILL), "the child failed by itself"
    return int(told) if status == 0 else None


@pytest.fixture
def case(known: Detector, tmp_path: Path, request: pytest.FixtureRequest):
    """Rows, the run of them, and what an uninterrupted run leaves."""
    name, rates = request.param
    rows = random_rows(8, 230, bad=0.05)
    source = write_rows(rows, tmp_path / "in.parquet")
    for folder in ("once", "killed"):
        (tmp_path / folder).mkdir()
    spec = spec_of(source, tmp_path / "once" / name, rows_per_chunk=64, **rates)
    run_batch(spec, detector=known)
    whole = bytes_of(tmp_path / "once" / name)
    whole = {key: data.replace(b"/once/", b"/killed/") for key, data in whole.items()}
    return rows, spec.model_copy(update={"output": str(tmp_path / "killed" / name)}), whole, rates


CASES = [("out.parquet", {}), ("out.csv", {"fdr": 0.3}), ("folder", {}), ("folder", {"fdr": 0.3})]


@pytest.mark.parametrize("case", CASES, indirect=True, ids=lambda c: f"{c[0]}-{'fdr' if c[1] else 'fpr'}")
@pytest.mark.parametrize("every", [19, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_call_to_the_system(known: Detector, case, every: int) -> None:
    rows, spec, whole, rates = case
    output = Path(spec.output)
    calls = in_a_child(lambda: run_batch(spec, detector=known, fresh=True), output.parent, None)
    assert calls is not None and calls > 60
    for die_at in range(3, calls, every):
        for left in output.parent.iterdir():
            left.rename(output.parent.parent / f"{die_at}-{left.name}")
        assert in_a_child(lambda: run_batch(spec, detector=known), output.parent, die_at) is None
        # Killed once more on the way, sometimes within what was being cleared up.
        in_a_child(lambda: run_batch(spec, detector=known), output.parent, 1 + die_at % 23)
        run_batch(spec, detector=known)
        check_scores(rows, known, output, **rates)
        assert bytes_of(output) == whole, f"killed at call {die_at} of {calls}"
        beside = {output.name} | {
            output.name + end for end in (".summary.json", ".rejects.csv") if output.suffix
        }
        assert {p.name for p in output.parent.iterdir()} == beside


def test_no_chunk_is_done_twice_but_the_one_that_was_under_way(known: Detector, tmp_path: Path) -> None:
    rows = random_rows(8, 640)
    spec = spec_of(write_rows(rows, tmp_path / "in.parquet"), tmp_path / "out.parquet", rows_per_chunk=64)
    done = tmp_path / "chunks"

    def work() -> None:
        with BatchRun.open(spec, detector=known) as run:
            for chunk in run.steps():
                with done.open("a") as file:
                    file.write(f"{chunk.index}\n")
            run.finish()

    for die_at in (40, 33, 47, 25):
        in_a_child(work, tmp_path / "out.parquet", die_at)
    work()
    chunks = [int(line) for line in done.read_text().split()]
    # A kill may fall between a chunk's being durable and its being told.
    assert set(chunks) | {0, 1, 2, 3, 4, 5, 6, 7, 8, 9} == set(range(10)) and len(chunks) == len(set(chunks))
    check_scores(rows, known, tmp_path / "out.parquet")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_command_killed_thirty_times(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    root = Path(__file__).parents[2]
    model = root / "models" / "breast-cancer" / "2"
    names = [c["name"] for c in json.loads((model / "manifest.json").read_text())["input"]["columns"]]
    values = np.random.default_rng(0).lognormal(size=(60_000, len(names)))
    table = pa.table({"id": np.arange(60_000)} | {name: values[:, j] for j, name in enumerate(names)})
    pq.write_table(table, tmp_path / "in.parquet")

    def command(name: str) -> list[str]:
        code = "from ebm.cli import main; main()"
        out = [str(tmp_path / "in.parquet"), "-o", str(tmp_path / name), "--chunk-rows", "500"]
        return [sys.executable, "-c", code, "score", str(model), *out]

    subprocess.run(command("once.parquet"), check=True, capture_output=True)
    staging, rng = tmp_path / "out.parquet.partial", np.random.default_rng(1)
    kept = 0
    for _ in range(30):
        process = subprocess.Popen(command("out.parquet"), stderr=subprocess.PIPE)
        aim = kept + int(rng.integers(1, 5))
        while process.poll() is None and len(list(staging.glob("part-*.json"))) < aim:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.01)
        process.kill()
        process.communicate()
        now = len(list(staging.glob("part-*.json")))
        assert now >= kept
        kept = now
    subprocess.run(command("out.parquet"), check=True, capture_output=True)
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "once.parquet").read_bytes()
