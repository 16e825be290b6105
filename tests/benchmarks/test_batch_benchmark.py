"""The benchmark of batches: its rows, its stopwatch, and what it makes of figures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import _batch_data
import _batch_job
import _batch_measure
import _batch_memory
import _batch_ray
import _batch_speed
import batch
import numpy as np
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from _batch_data import DIGITS, TABLES, Workplace, blocks, columns_of
from _batch_measure import QUICK, Pace, Ran, run, spread, told
from _batch_report import markdown
from _service_report import Parts

TINY = Pace(**(vars(QUICK) | {"rounds": 2, "rows": dict.fromkeys(QUICK.rows, 50), "csv": 20}))


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    for model in QUICK.rows:
        (tmp_path / "models" / model / "1").mkdir(parents=True)
    return Workplace(tmp_path)


def test_rows_are_drawn_by_their_seed_and_one_in_a_hundred_is_shifted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (first,), (again,), (other,) = (list(blocks(TABLES, 20_000, seed)) for seed in (0, 0, 1))
    assert first.dtype == np.float32 and first.shape == (20_000, 30)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert [len(block) for block in blocks(TABLES, 2**17 + 5, 0)] == [2**17, 5]
    monkeypatch.setattr(_batch_data, "SHIFTED", 0)
    (plain,) = blocks(TABLES, 20_000, 0)
    shifted = (first > plain).sum(1)
    assert 0.008 < (shifted > 0).mean() < 0.012 and shifted.max() == 3 and (first >= plain).all()
    (digits,) = blocks(DIGITS, 100, 0)
    assert digits.shape == (100, 64) and digits.min() >= 0 and digits.max() <= 16


def test_files_have_the_rows_and_two_more_columns(place: Workplace) -> None:
    one, folder, csv = (place.rows(TABLES, 45, layout) for layout in ("parquet", "folder", "csv"))
    names = ["number", "site", *columns_of(TABLES)]
    for table in (pq.read_table(one), pq.read_table(folder), pc.read_csv(csv)):
        assert table.column_names == names and table["number"].to_pylist() == list(range(45))
    assert len(list(folder.iterdir())) == 8 and place.rows(TABLES, 45, "folder") == folder
    assert pq.read_table(place.rows(DIGITS, 45)).num_columns == 64
    place.remove(one)
    assert not one.exists() and folder.exists() and csv.exists()


def test_a_command_is_timed_and_its_last_word_is_kept() -> None:
    code = "import json; held = bytearray(300 << 20); print(json.dumps({'rows': 7}))"
    big = run([sys.executable, "-c", code])
    small = run([sys.executable, "-c", "print('{}')"])
    assert big.said == {"rows": 7} and big.peak_mib > small.peak_mib + 250 and big.wall_s > 0
    with pytest.raises(RuntimeError, match="the reason$"):
        run([sys.executable, "-c", "import sys; sys.exit('first\\nthe reason')"])


def test_spread_and_its_words() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert told(spread([3.0, 1.0, 2.0])) == "2.00 (1.00 to 3.00)"
    assert told(spread([2.0]), "{:.0f}") == "2"


def fake(monkeypatch: pytest.MonkeyPatch, seconds: float, anomalies: int = 4) -> None:
    """In process: 50 rows in one second. `ebm score`: so many rows in `seconds`."""

    def script(name: str, *_: object) -> Ran:
        assert name in ("_batch_inprocess.py", "_batch_peer.py")
        return Ran(1.5, 1.0, 100.0, {"rows": 50, "seconds": 1.0, "anomalies": 4})

    def score(_: Path, __: str, rows: Path, output: Path) -> Ran:
        output.touch()
        n = 20 if rows.suffix == ".csv" else 50
        return Ran(seconds + 1, seconds, 200.0, {"rows": n, "seconds": seconds, "anomalies": anomalies})

    monkeypatch.setattr(_batch_speed, "script", script)
    monkeypatch.setattr(_batch_speed, "score", score)


def test_speed_compares_within_a_round_and_counts_tables(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, seconds=1.1)  # .909 of in process
    found = _batch_speed.run(place, TINY)
    met = {one["title"]: one["met"] for one in found["rows"]}
    assert met["network: ebm score, parquet"] and met["breast-cancer: ebm score, folder"]
    assert met["network: ebm score, csv"] is None and met["digits: ebm score, parquet"] is None
    assert found["figures"]["network"]["layouts"]["csv"]["ratio"]["median"] == pytest.approx(20 / 1.1 / 50)
    fake(monkeypatch, seconds=1.2)
    met = {one["title"]: one["met"] for one in _batch_speed.run(place, TINY)["rows"]}
    assert met["network: ebm score, parquet"] is False
    fake(monkeypatch, seconds=1.0, anomalies=5)
    with pytest.raises(RuntimeError, match="5 anomalies, in process 4"):
        _batch_speed.run(place, TINY)


def test_memory_job_and_ray_against_their_targets(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([400.0, 430.0, 400.0, 450.0])
    monkeypatch.setattr(_batch_memory, "score", lambda *_: Ran(1, 1, next(peaks), {}))
    small = Pace(**(vars(TINY) | {"memory": (10, 30), "ray": 40}))
    assert [_batch_memory.run(place, small)["rows"][0]["met"] for _ in range(2)] == [True, False]

    rates = {"0": 90.0, "1": 100.0, "2": 171.0}

    def script(_: str, *given: object) -> Ran:
        return Ran(9.0, 1, 1, {"rows_per_s": rates[str(given[3])], "start_s": 2.0})

    monkeypatch.setattr(_batch_ray, "script", script)
    assert _batch_ray.run(place, small)["rows"][0]["met"] is True
    rates["2"] = 169.0
    assert _batch_ray.run(place, small)["rows"][0]["met"] is False


class FakeServer:
    """Answers with a job that waited one second and took three."""

    def __init__(self, state: str = "succeeded"):
        created, started = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"
        error = {"detail": "no space"} if state == "failed" else None
        self.job = {"id": "a", "created": created, "started": started, "error": error}
        self.states = iter(["running", "running", state])

    def request(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        assert (method, path) == ("POST", "/v1/jobs") and json.loads(body)["kind"] == "score"
        return 202, json.dumps(self.job | {"state": "queued"}).encode()

    def get(self, path: str) -> tuple[int, bytes]:
        assert path == "/v1/jobs/a"
        return 200, json.dumps(self.job | {"state": next(self.states)}).encode()


def test_a_job_is_waited_for_and_its_wait_is_told_apart(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_batch_job, "POLL_S", 0.0)
    server: Any = FakeServer()
    found = _batch_job._job(server, place, "network", Path("rows.parquet"))
    assert found["wait_s"] == 1.0 and found["work_s"] == pytest.approx(found["whole_s"] - 1.0)
    server = FakeServer("failed")
    with pytest.raises(RuntimeError, match="the job failed: no space"):
        _batch_job._job(server, place, "network", Path("rows.parquet"))


def test_a_part_that_cannot_run_is_a_row_and_the_table_has_it(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Ran:
        raise RuntimeError("Ray is | not there")

    monkeypatch.setattr(_batch_ray, "script", fails)
    parts = Parts(tmp_path / "batch.json")
    parts.add("ray", batch._provenance(), batch.measured("ray", place, TINY))
    text = markdown(parts, list(batch.PARTS), batch.__doc__ or "")
    assert (
        "## ray" in text
        and "| ray | runs | Ray is / not there | NOT MET |" in text
        and "## speed" not in text
    )


def test_the_environment_of_a_command_is_one_thread_and_nothing_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EBM_THREADS", "9")
    monkeypatch.setenv("OMP_NUM_THREADS", "9")
    found = _batch_measure.environment()
    assert found["OMP_NUM_THREADS"] == "1" and "EBM_THREADS" not in found
