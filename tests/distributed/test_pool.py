"""The asker's side, with a driver that is a few lines of Python instead of Ray."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ebm
from ebm import errors
from ebm.batch.run import BatchRun
from ebm.batch.spec import BatchSpec, ScoreOptions
from ebm.distributed import pool, run_ray
from ebm.distributed import run as run_module
from ebm.distributed.messages import error_as_json, error_of
from ebm.distributed.worker import ChunkWorker
from ebm.errors import BadInput, Cancelled, EBMError

MODEL = str(Path(__file__).parents[2] / "models" / "breast-cancer" / "2")
# Does the chunks as an actor does, one after the other.
HONEST = """
import json, sys
import numpy as np
from ebm.distributed.worker import ChunkWorker
order = json.loads(sys.stdin.readline())
worker = ChunkWorker(order["spec"], order["version"])
for item in order["items"]:
    batch = {name: np.array([value]) for name, value in zip(("index", "row", "offset"), item)}
    print(worker(batch)["said"][0], flush=True)
print(json.dumps({"end": True}), flush=True)
sys.stdin.read()
"""
Driver = Callable[[str], None]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Put a script in the place of the driver; Ray need not be installed for it."""
    monkeypatch.setattr(run_module, "find_spec", lambda name: object())

    def use(script: str) -> None:
        monkeypatch.setattr(pool, "DRIVER", [sys.executable, "-c", script])

    return use


@pytest.fixture
def spec(rows: Callable[[int], Path], tmp_path: Path) -> BatchSpec:
    return BatchSpec(
        model=MODEL,
        input=str(rows(90)),
        output=str(tmp_path / "out"),
        options=ScoreOptions(),
        rows_per_chunk=20,
    )


@pytest.fixture
def begun(spec: BatchSpec) -> int:
    """The same run, begun in this process: how many of its five chunks are durable."""
    with BatchRun.open(spec) as run:
        steps = run.steps()
        next(steps), next(steps)
        steps.close()
        run.refresh()
        return run.rows_done // 20


def test_what_is_not_done_is_spread_and_published(
    driver: Driver, spec: BatchSpec, begun: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(HONEST)
    monkeypatch.chdir(tmp_path)  # relative places are those of the asker, not of the driver
    seen = []
    short = spec.model_copy(update={"input": "rows.parquet", "output": "out"})
    summary = run_ray(short, on_progress=lambda run, chunk: seen.append((chunk.index, run.rows_done)))
    assert begun < 5 and [index for index, _ in seen] == list(range(begun, 5))
    assert seen[-1][1] == summary["rows"] == 90
    assert sorted(path.name for path in (tmp_path / "out").glob("part-*")) == [
        f"part-00000{i}.parquet" for i in range(5)
    ]


def test_an_error_of_an_actor_is_the_asker_s(driver: Driver, spec: BatchSpec, tmp_path: Path) -> None:
    line = json.dumps(error_as_json(BadInput("row 7 is odd", row=7, column="a")))
    driver(f"input(); print('{line}', flush=True)")
    with pytest.raises(BadInput, match="row 7 is odd") as caught:
        run_ray(spec)
    assert (caught.value.row, caught.value.column) == (7, "a")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


def test_a_row_that_fails_the_run_leaves_nothing_in_the_way(
    driver: Driver, spec: BatchSpec, begun: int, tmp_path: Path
) -> None:
    assert begun and (tmp_path / "out.partial").exists()
    line = json.dumps(error_as_json(OSError(28, "No space left on device", "/x")))
    driver(f"input(); print('{line}', flush=True)")
    with pytest.raises(OSError, match="No space left"):
        run_ray(spec)
    assert (tmp_path / "out.partial").exists()  # there may be space later
    line = json.dumps(error_as_json(BadInput("row 87 is odd", row=87)))
    driver(f"input(); print('{line}', flush=True)")
    with pytest.raises(BadInput, match="row 87"):
        run_ray(spec)
    assert not (tmp_path / "out.partial").exists()


def test_a_driver_that_dies_is_said_with_its_last_words(driver: Driver, spec: BatchSpec, begun: int) -> None:
    driver("import sys; sys.stderr.write('first\\nthe cluster is on fire\\n\\n'); sys.exit(3)")
    with pytest.raises(EBMError, match=r"Ray broke off \(exit status 3\): the cluster is on fire$"):
        run_ray(spec)
    with BatchRun.open(spec) as run:  # nothing is lost by it
        assert run.resumed and run.rows_done == 20 * begun


def test_when_told_to_stop_the_driver_is_ended_and_done_chunks_stay(
    driver: Driver, spec: BatchSpec, begun: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "SHUTDOWN_S", 0.1)  # this driver does not listen
    pid = tmp_path / "pid"
    driver(f"import os, time; print(os.getpid(), file=open({str(pid)!r}, 'w'), flush=True); time.sleep(600)")
    with pytest.raises(Cancelled):
        run_ray(spec, should_stop=lambda: pid.exists() and pid.read_text() != "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    with BatchRun.open(spec) as run:
        assert run.resumed and run.rows_done == 20 * begun


def test_the_driver_sees_the_end_of_its_asker_and_nothing_of_it_is_left(
    driver: Driver, tmp_path: Path
) -> None:
    ended = tmp_path / "ended"
    driver(
        "import os, sys; print('{\"chunk\": [0, 1, 0, 0]}', flush=True); open('here', 'w')\n"
        f"sys.stdin.read(); open({str(ended)!r}, 'w').write(os.getcwd())"
    )
    order = {"spec": "", "version": "", "items": [], "actors": 1, "cores": 1, "gpu": False}
    with pytest.raises(ZeroDivisionError), pool.Pool(address=None, **order) as driven:
        assert next(line for line in driven.lines(0.1) if line is not None) == [0, 1, 0, 0]
        raise ZeroDivisionError  # whatever goes wrong
    assert Path(ended.read_text()).name.startswith("ebm-ray-") and not Path(ended.read_text()).exists()


def test_workers_of_another_version_refuse(spec: BatchSpec) -> None:
    batch = {name: np.array([0]) for name in ("index", "row", "offset")}
    (said,) = ChunkWorker(spec.model_dump_json(), "0.0.1")(batch)["said"]
    assert "one version everywhere" in str(error_of(json.loads(said)))


def test_parts_that_this_machine_does_not_see(
    driver: Driver, spec: BatchSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "VISIBLE_S", 0.0)
    driver("import json; input(); print(json.dumps({'chunk': [0, 20, 0, 1]}), flush=True); input()")
    with pytest.raises(BadInput, match="not seen from this machine.*storage that all machines share"):
        run_ray(spec)


def test_what_has_no_middle_to_read_from_is_refused_before_ray_starts(
    driver: Driver, tmp_path: Path, spec: BatchSpec
) -> None:
    import gzip

    driver("raise SystemExit('started')")
    with gzip.open(tmp_path / "rows.csv.gz", "wt") as file:
        file.write("\n".join(",".join("1" * 30) for _ in range(50)))
    zipped = spec.model_copy(update={"input": str(tmp_path / "rows.csv.gz")})
    with pytest.raises(BadInput, match="only be read from its beginning.*Parquet"):
        run_ray(zipped)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, spec: BatchSpec) -> None:
    monkeypatch.setattr(run_module, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'ebm-service\[ray\]'"):
        run_ray(spec)


@pytest.mark.parametrize(
    "error",
    [
        BadInput("no", row=3, column=2),
        OSError(28, "No space left on device", "/x/part-000001.parquet"),
        OSError("/x: No space left on device"),
        errors.BadArtifact("no manifest"),
        errors.Unsupported("cannot denoise"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_travel_as_json(error: Exception) -> None:
    again = error_of(json.loads(json.dumps(error_as_json(error))))
    assert type(again) is type(error) and str(again) == str(error)
    assert getattr(again, "row", None) == getattr(error, "row", None)


def test_a_bug_in_an_actor_says_where_it_is() -> None:
    batch = {name: np.array([0]) for name in ("index", "row", "offset")}
    (said,) = ChunkWorker("{}", ebm.__version__)(batch)["said"]
    error = error_of(json.loads(said))
    assert type(error) is EBMError and "line" in str(error) and str(error).startswith("ValidationError")


def test_waiting_for_what_is_written_can_be_stopped(driver: Driver, spec: BatchSpec) -> None:
    driver("import json; input(); print(json.dumps({'chunk': [0, 20, 0, 1]}), flush=True); input()")
    until = time.monotonic() + 0.5
    with pytest.raises(Cancelled):
        run_ray(spec, should_stop=lambda: time.monotonic() > until)
