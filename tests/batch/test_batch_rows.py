"""Whatever the sizes, formats, chunks, bad rows and interruptions: output rows are input rows, scored as in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from batch_files import (
    Rows,
    bytes_of,
    check_scores,
    random_rows,
    read_rejects,
    rejects_of,
    spec_of,
    write_rows,
)

from ebm.batch import run as running
from ebm.batch.run import BatchRun, run_batch
from ebm.detector import Detector
from ebm.errors import Cancelled

SOURCES = ["in.parquet", "in.csv", "in.csv.gz", "in.arrow", "in.npy"]
OUTPUTS = ["out.parquet", "out.csv", "out.csv.gz", "out.arrow", "out.npy", "parquet", "csv", "arrow", "npy"]


def spec_for(seed: int, folder: Path) -> tuple[Rows, object, Path, dict[str, float]]:
    rng = np.random.default_rng(seed)
    rows = random_rows(seed, int(rng.integers(1, 600)), bad=float(rng.choice([0, 0.01, 0.3])))
    source = write_rows(rows, folder / SOURCES[seed % len(SOURCES)])
    name = OUTPUTS[seed % len(OUTPUTS)]
    rates = [{}, {"fpr": 0.2}, {"fdr": 0.3}][seed % 3]
    kind = {} if "." in name else {"format": name}
    chunk = (
        int(rng.choice([1, 7, 64, 200, 1000])) if len(rows.values) < 80 else int(rng.choice([64, 97, 300]))
    )
    return rows, spec_of(source, folder / name, rows_per_chunk=chunk, **kind, **rates), folder / name, rates


@pytest.mark.parametrize("seed", range(45))
def test_every_row_in_order_with_the_energy_of_one_call(known: Detector, tmp_path: Path, seed: int) -> None:
    rows, spec, output, rates = spec_for(seed, tmp_path)
    summary = run_batch(spec, detector=known)
    check_scores(rows, known, output, **rates)
    bad = np.flatnonzero(~rows.good).tolist()
    assert [row for row, *_ in read_rejects(rejects_of(output))] == bad
    assert summary["rows"] == len(rows.values) and summary["rejected"] == len(bad)
    assert not (tmp_path / f"{output.name}.partial").exists()


@pytest.mark.parametrize("seed", range(0, 45, 4))
def test_stopped_at_every_chunk_and_gone_on_with_it_is_the_same(
    known: Detector, tmp_path: Path, seed: int
) -> None:
    (tmp_path / "once").mkdir()
    rows, spec, output, rates = spec_for(seed, tmp_path / "once")
    run_batch(spec, detector=known)
    again = tmp_path / "again"
    again.mkdir()
    spec = spec.model_copy(update={"output": str(again / output.name)})
    chunks = -(-len(rows.values) // spec.rows_per_chunk)
    for stop in range(min(chunks, 9)):
        stops = iter([False, True])
        with pytest.raises(Cancelled), BatchRun.open(spec, detector=known) as run:
            assert run.rows_done == min(stop * spec.rows_per_chunk, len(rows.values))
            for _ in run.steps(lambda stops=stops: next(stops)):
                pass
            raise Cancelled("no chunk was left")
    run_batch(spec, detector=known)
    check_scores(rows, known, again / output.name, **rates)
    theirs, mine = (bytes_of(place / output.name) for place in (tmp_path / "once", again))
    assert {k: v.replace(b"/once/", b"/again/") for k, v in theirs.items()} == mine


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.npy", "folder"])
def test_what_fails_within_a_chunk_is_done_again(
    known: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rows, output = random_rows(3, 500, bad=0.02), tmp_path / name
    spec = spec_of(write_rows(rows, tmp_path / "in.parquet"), output, rows_per_chunk=97)
    write, countdown = running.write_part, [2]

    def failing(file, part, *rest):
        countdown[0] -= 1
        if countdown[0] == 0:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        write(file, part, *rest)

    monkeypatch.setattr(running, "write_part", failing)
    for _ in range(3):
        countdown[0] = 2
        # What waited behind the part that failed may be written: a hole is filled like any chunk.
        with pytest.raises(OSError, match=r"part-00000\d\.\w+: No space left on device"):
            run_batch(spec, detector=known)
        assert not output.exists()
        assert not [p for p in (tmp_path / f"{name}.partial").iterdir() if p.suffix == ".tmp"]
    monkeypatch.undo()
    with BatchRun.open(spec, detector=known) as run:
        assert run.resumed and 3 * 97 <= run.rows_done < 500
    run_batch(spec, detector=known)
    check_scores(rows, known, output)


def test_chunks_in_any_order_by_several_runs_are_the_same(known: Detector, tmp_path: Path) -> None:
    rows = random_rows(5, 900, bad=0.02)
    source = write_rows(rows, tmp_path / "in.parquet")
    run_batch(spec_of(source, tmp_path / "a.parquet", rows_per_chunk=100, fdr=0.2), detector=known)
    spec = spec_of(source, tmp_path / "b.parquet", rows_per_chunk=100, fdr=0.2)
    with BatchRun.open(spec, detector=known) as driver:
        todo = list(driver.todo())
        assert [index for index, _ in todo] == list(range(9))
        for index, mark in np.random.default_rng(0).permutation(np.array(todo, object)):
            with BatchRun.open(spec, detector=known) as actor:
                done = actor.do(index, tuple(mark))
                assert done == actor.do(index, tuple(mark)), "twice is the same"
        assert driver.rows_done == 0
        driver.refresh()
        assert driver.rows_done == 900 and list(driver.todo()) == []
        driver.finish()
    check_scores(rows, known, tmp_path / "b.parquet", fdr=0.2)
    one, other = (bytes_of(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert {k.replace("a.", "b.", 1): v.replace(b"/a.", b"/b.") for k, v in one.items()} == other


def test_urls_are_as_good_as_paths(known: Detector, tmp_path: Path) -> None:
    import fsspec

    rows = random_rows(6, 300, bad=0.05)
    memory = fsspec.filesystem("memory")
    source = write_rows(rows, tmp_path / "in.parquet")
    memory.pipe("/batch/in.parquet", source.read_bytes())
    for name in ("out.parquet", "folder"):
        spec = spec_of("memory://batch/in.parquet", f"memory://batch/{name}", rows_per_chunk=64, fdr=0.3)
        stops = iter([False, False, False, True])
        with pytest.raises(Cancelled):
            run_batch(spec, detector=known, should_stop=lambda stops=stops: next(stops))
        run_batch(spec, detector=known)
        memory.get(f"/batch/{name}", str(tmp_path / name), recursive=True)
        check_scores(rows, known, tmp_path / name, fdr=0.3)
        assert not memory.exists(f"/batch/{name}.partial")
        assert run_batch(spec, detector=known)["rows"] == 300, "published already"
    assert memory.exists("/batch/folder/_rejects.csv") and memory.exists("/batch/out.parquet.rejects.csv")


def test_a_folder_of_csv_is_one_file(known: Detector, tmp_path: Path) -> None:
    rows = random_rows(7, 300, bad=0.05)
    parts = tmp_path / "parts"
    parts.mkdir()
    for at in range(0, 300, 100):
        cut = Rows(rows.values[at : at + 100], rows.table.slice(at, 100))
        write_rows(cut, parts / f"part-{at:03d}.csv")
    run_batch(spec_of(parts, tmp_path / "out.csv", rows_per_chunk=64), detector=known)
    check_scores(rows, known, tmp_path / "out.csv")
