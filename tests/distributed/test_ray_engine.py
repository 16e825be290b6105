"""Ray itself, on this machine with two actors: what one process would make, through deaths and bad rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from ebm.batch.run import run_batch
from ebm.batch.spec import BatchSpec, ScoreOptions
from ebm.distributed import run_ray
from ebm.errors import BadInput, Cancelled

pytestmark = pytest.mark.ray

MODEL = str(Path(__file__).parents[2] / "models" / "breast-cancer" / "2")
OURS = {"path", "seconds", "run", "rejects"}  # of a summary: what differs by name or by clock
Rows = Callable[[int], Path]


def spec_of(place: Path, output: Path, **more: object) -> BatchSpec:
    given = {"model": MODEL, "input": str(place), "output": str(output), "options": ScoreOptions(fdr=0.1)}
    return BatchSpec.model_validate(given | more)


def plain(summary: dict) -> dict:
    return {
        key: plain(value) if isinstance(value, dict) else value
        for key, value in summary.items()
        if key not in OURS
    }


def wait_for(what: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    give_up = time.monotonic() + 120
    while not what():
        assert time.monotonic() < give_up
        assert process is None or process.poll() is None, "it ended before"
        time.sleep(0.01)


def test_two_actors_make_what_one_process_makes_bad_rows_included(rows: Rows, tmp_path: Path) -> None:
    table = pq.read_table(rows(1000))
    place = tmp_path / "rows.csv"
    pc.write_csv(table, place)
    lines = place.read_text().splitlines()
    for bad, text in {3: "1,2,3", 500: lines[501].replace(lines[501].split(",")[0], "tall", 1)}.items():
        lines[bad + 1] = text
    place.write_text("\n".join(lines) + "\n")
    alone = run_batch(spec_of(place, tmp_path / "alone.csv", rows_per_chunk=90))
    told = []
    spread = run_ray(
        spec_of(place, tmp_path / "spread.csv", rows_per_chunk=90),
        actors=2,
        on_progress=lambda run, chunk: told.append((chunk.index, run.rows_done)),
    )
    assert (tmp_path / "spread.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()
    rejects = [(tmp_path / f"{name}.csv.rejects.csv").read_bytes() for name in ("alone", "spread")]
    assert rejects[0] == rejects[1] and rejects[0].count(b"\n") == 3
    assert plain(spread) == plain(alone) and spread["rows"] == 1000 and spread["rejected"] == 2
    assert sorted(index for index, _ in told) == list(range(12)) and told[-1][1] == 1000
    assert not list(tmp_path.glob("*.partial"))


def begin(spec: BatchSpec) -> tuple[subprocess.Popen[bytes], list[psutil.Process]]:
    """A process of its own at work on the run, with all that it has started, once some chunks are durable."""
    code = (
        "import sys; from ebm.batch.spec import BatchSpec; from ebm.distributed import run_ray;"
        "run_ray(BatchSpec.model_validate_json(sys.argv[1]), actors=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, spec.model_dump_json()], start_new_session=True)
    partial = Path(f"{spec.output}.partial")
    wait_for(lambda: len(list(partial.glob("part-*.json"))) >= 4, process)
    return process, psutil.Process(process.pid).children(recursive=True)


def durable(folder: Path) -> dict[str, tuple[int, int]]:
    """The parts of a staging folder whose chunk is done: which file it is, and of when."""
    parts = [entry.with_suffix(".parquet") for entry in folder.glob("part-*.json")]
    return {part.name: (part.stat().st_ino, part.stat().st_mtime_ns) for part in parts}


def test_killed_and_run_again_no_row_is_lost_and_no_chunk_done_twice(rows: Rows, tmp_path: Path) -> None:
    spec = spec_of(rows(24_000), tmp_path / "out", rows_per_chunk=400, options=ScoreOptions(fpr=0.05))
    process, started = begin(spec)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(started, timeout=60)  # Ray and its actors have nobody to work for
    # Ray's own reporting agents, which hold no model and no file of ours, look for their parent only now and then.
    agents = [left for left in alive if left.is_running() and left.name().endswith("Agent")]
    for left in agents:
        left.kill()
    assert [left for left in alive if left.is_running() and left not in agents] == []
    done = durable(tmp_path / "out.partial")
    assert 4 <= len(done) < 60
    redone = []
    summary = run_ray(spec, actors=1, on_progress=lambda _, chunk: redone.append(chunk.index))
    assert summary["rows"] == 24_000 and len(redone) == len(set(redone)) == 60 - len(done)
    parts = {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in (tmp_path / "out").glob("part-*.p*")
    }
    assert len(parts) == 60 and done.items() <= parts.items()
    alone = spec.model_copy(update={"output": str(tmp_path / "alone")})
    run_batch(alone)
    for name in parts:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


@pytest.mark.slow
def test_an_actor_that_is_killed_is_started_again(rows: Rows, tmp_path: Path) -> None:
    spec = spec_of(rows(30_000), tmp_path / "out.parquet", rows_per_chunk=200)
    process, started = begin(spec)
    victim = next(one for one in started if one.is_running() and "MapWorker" in " ".join(one.cmdline()))
    victim.kill()
    assert process.wait(120) == 0
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["number"].to_pylist() == list(range(30_000)) and table["energy"].null_count == 0


@pytest.mark.slow
def test_a_local_run_goes_on_with_what_ray_has_done(rows: Rows, tmp_path: Path) -> None:
    spec = spec_of(rows(30_000), tmp_path / "out.parquet", rows_per_chunk=200)
    chunks: list[int] = []
    with pytest.raises(Cancelled):
        run_ray(
            spec,
            actors=2,
            on_progress=lambda _, chunk: chunks.append(chunk.index),
            should_stop=lambda: len(chunks) > 5,
        )
    more: list[int] = []
    assert run_batch(spec, on_progress=lambda _, chunk: more.append(chunk.index))["rows"] == 30_000
    assert len(more) <= 150 - len(chunks)


@pytest.mark.slow
def test_a_bad_row_fails_the_run_where_that_was_asked_for(rows: Rows, tmp_path: Path) -> None:
    table = pq.read_table(rows(1000)).to_pandas()
    table.loc[777, "mean radius"] = float("nan")
    table.to_parquet(tmp_path / "holes.parquet")
    spec = spec_of(tmp_path / "holes.parquet", tmp_path / "out.parquet", rows_per_chunk=90, on_error="fail")
    with pytest.raises(BadInput, match="777") as caught:
        run_ray(spec, actors=2)
    assert caught.value.row == 777
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holes.parquet", "rows.parquet"]


@pytest.mark.slow
def test_a_cluster_that_is_not_there(rows: Rows, tmp_path: Path) -> None:
    spec = spec_of(rows(100), tmp_path / "out.parquet")
    with pytest.raises(BadInput, match="no Ray at 127.0.0.1:1: no answer"):
        run_ray(spec, address="127.0.0.1:1")
