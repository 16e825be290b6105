"""Where output may go, what is refused before any work, and what two processes may not do at once."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_files import check_scores, random_rows, read_rejects, rejects_of, spec_of, write_rows

from ebm.batch.run import BatchRun, Busy, discard, run_batch
from ebm.errors import BadInput, Cancelled

ROWS = random_rows(2, 300, bad=0.03)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_rows(ROWS, tmp_path / "in.parquet")


def stopped(spec, known, after: int = 2) -> None:
    """Leave `after` chunks."""
    stops = iter([False] * after + [True])
    with pytest.raises(Cancelled, match=f"stopped after {after * spec.rows_per_chunk:,} rows"):
        run_batch(spec, detector=known, should_stop=lambda: next(stops))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("none/out.parquet", "the folder .*none does not exist"),
        ("out.xlsx", "must end in .csv or .parquet"),
        ("in.parquet", "onto the input"),
        ("busy", "is a folder that is there already, and no output of a run"),
        ("file", "is a file"),
        ("taken.parquet", "is a folder"),
        ("strange.csv", r"strange.csv.partial: is there, and is no unfinished run \(it holds 'mine.txt'\)"),
        ("odd.csv", "odd.csv.partial: is there, and is no unfinished run"),
        ("in.parquet/out.csv", "the folder .* does not exist"),
    ],
)
def test_places_that_are_refused(known, source: Path, tmp_path: Path, output: str, message: str) -> None:
    for folder in ("busy", "taken.parquet", "strange.csv.partial"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.txt").write_text("mine")
    for file in ("file", "odd.csv.partial"):
        (tmp_path / file).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    for fresh in (False, True):
        with pytest.raises(BadInput, match=message):
            run_batch(spec_of(source, tmp_path / output), detector=known, fresh=fresh)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_within_its_input_or_around_it(known, source: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    source.rename(parts / "a.parquet")
    for output in (parts / "out", parts / "out.csv", tmp_path / "parts"):
        with pytest.raises(BadInput, match="input"):
            run_batch(spec_of(parts, output), detector=known)
    for output in (parts, parts / "a.parquet"):
        with pytest.raises(BadInput, match="input"):
            run_batch(spec_of(parts / "a.parquet", output), detector=known)
    run_batch(spec_of(parts, tmp_path / "b.parquet"), detector=known)
    run_batch(spec_of(tmp_path / "b.parquet", tmp_path / "c.parquet"), detector=known)
    with pytest.raises(BadInput, match="onto the input"):
        write_rows(ROWS, tmp_path / "c.csv.rejects.csv")
        run_batch(spec_of(tmp_path / "c.csv.rejects.csv", tmp_path / "c.csv"), detector=known)


def test_a_folder_is_replaced_only_when_told_to(known, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_batch(spec_of(source, out, rows_per_chunk=10), detector=known)
    (out / "part-000003.parquet").touch()
    other = spec_of(source, out, rows_per_chunk=100, fpr=0.2)
    with pytest.raises(BadInput, match="holds the output of an earlier run"):
        run_batch(other, detector=known)
    run_batch(other.model_copy(update={"overwrite": True}), detector=known)
    assert len(list(out.glob("part-*"))) == 3 and len(list(tmp_path.iterdir())) == 2
    check_scores(ROWS, known, out, fpr=0.2)


def test_a_file_is_replaced_and_what_lay_beside_it(known, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    run_batch(spec_of(source, out), detector=known)
    assert read_rejects(rejects_of(out))
    good = write_rows(random_rows(3, 50), tmp_path / "good.csv")
    run_batch(spec_of(good, out, summary=False), detector=known)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good.csv", "in.parquet", "out.csv"]


def test_another_run_is_not_gone_on_with(known, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    spec = spec_of(source, out, rows_per_chunk=50)
    stopped(spec, known)
    with pytest.raises(BadInput, match="holds an unfinished run with another options; finish"):
        run_batch(spec_of(source, out, rows_per_chunk=50, fpr=0.3), detector=known)
    with pytest.raises(BadInput, match="another rows per chunk"):
        run_batch(spec_of(source, out, rows_per_chunk=60), detector=known)
    write_rows(random_rows(7, 200), source)
    with pytest.raises(BadInput, match="another input"):
        run_batch(spec, detector=known)
    discard(spec_of(source, out, rows_per_chunk=50, fpr=0.3))
    assert (tmp_path / "out.parquet.partial").exists(), "another's"
    run_batch(spec, detector=known, fresh=True)
    check_scores(random_rows(7, 200), known, out)


def test_what_is_nobodys_is_not_taken_for_ones_own(known, source: Path, tmp_path: Path) -> None:
    spec = spec_of(source, tmp_path / "out.csv", rows_per_chunk=50)
    stopped(spec, known)
    (tmp_path / "out.csv.partial" / ".run.json").unlink()
    write_rows(random_rows(9, 120), source)
    run_batch(spec, detector=known)
    check_scores(random_rows(9, 120), known, tmp_path / "out.csv")


def test_discard_leaves_nothing(known, source: Path, tmp_path: Path) -> None:
    spec = spec_of(source, tmp_path / "out.parquet", rows_per_chunk=50)
    discard(spec)
    stopped(spec, known)
    discard(spec)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.parquet"]


def test_an_input_that_changes_meanwhile_is_not_published(known, source: Path, tmp_path: Path) -> None:
    with BatchRun.open(spec_of(source, tmp_path / "out.csv", rows_per_chunk=50), detector=known) as run:
        for _ in run.steps():
            os.utime(source, ns=(1, 1))
        with pytest.raises(BadInput, match="in.parquet: was changed while it was read"):
            run.finish()
    assert not (tmp_path / "out.csv").exists()


def test_nothing_is_published_before_all_is_there(known, source: Path, tmp_path: Path) -> None:
    with BatchRun.open(spec_of(source, tmp_path / "out.csv", rows_per_chunk=50), detector=known) as run:
        with pytest.raises(BadInput, match="not all rows are done"):
            run.finish()
        next(iter(run.steps()))
        with pytest.raises(BadInput, match="not all rows are done"):
            run.finish()
    assert not (tmp_path / "out.csv").exists()


def test_two_at_once(known, source: Path, tmp_path: Path) -> None:
    spec = spec_of(source, tmp_path / "out.csv", rows_per_chunk=50)
    with BatchRun.open(spec, detector=known) as one:
        steps = one.steps()
        next(steps)
        with BatchRun.open(spec, detector=known) as other:
            for work in (
                lambda other=other: next(other.steps()),
                other.finish,
                lambda o=other: next(o.todo()),
            ):
                with pytest.raises(Busy, match=rf"out.csv.partial: process {os.getpid()} is at work on it"):
                    work()
        for attempt in (lambda: BatchRun.open(spec, detector=known, fresh=True), lambda: discard(spec)):
            with pytest.raises(Busy):
                attempt()
        with pytest.raises(Busy):
            BatchRun.open(spec.model_copy(update={"rows_per_chunk": 20}), detector=known)
        list(steps)
        one.finish()
    check_scores(ROWS, known, tmp_path / "out.csv")


def test_what_is_published_is_found_again(known, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    spec = spec_of(source, out, rows_per_chunk=50)
    first = run_batch(spec, detector=known)
    with BatchRun.open(spec, detector=known) as run:
        assert run.complete and run.resumed and (run.rows_done, run.rejected) == (300, first["rejected"])
        assert list(run.steps()) == list(run.todo()) == [] and run.finish() == first == run.finish()
    out.write_bytes(b"altered")
    assert run_batch(spec, detector=known)["seconds"] >= 0
    check_scores(ROWS, known, out)


def test_the_first_bad_row_fails_a_run_that_is_to_fail(known, source: Path, tmp_path: Path) -> None:
    first = int(np.flatnonzero(~ROWS.good)[0])
    spec = spec_of(source, tmp_path / "out.csv", rows_per_chunk=5, on_error="fail")
    with pytest.raises(BadInput, match=rf"in.parquet: row {first}, column '[abc]' is ") as caught:
        run_batch(spec, detector=known)
    assert caught.value.row == first and caught.value.column in ("a", "b", "c")
    assert [p.name for p in tmp_path.iterdir()] == ["in.parquet"], "it could never go on"


def test_a_file_of_ragged_rows_only_is_refused(known, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b,c\n" + "1,2\n" * 20)
    with pytest.raises(BadInput, match="in.csv: row 0 has 2 cells"):
        run_batch(spec_of(tmp_path / "in.csv", tmp_path / "out.csv"), detector=known)
    assert [p.name for p in tmp_path.iterdir()] == ["in.csv"]


def test_dictionaries_that_differ_and_nested_columns(known, tmp_path: Path) -> None:
    n = 200
    words = pa.array([f"word {i}" for i in range(n)]).dictionary_encode()
    table = pa.table(
        {
            "a": np.zeros(n),
            "b": np.ones(n),
            "c": np.ones(n),
            "d": words,
            "deep": [[{"x": i}] for i in range(n)],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    for name in ("out.arrow", "out.parquet", "arrow", "parquet"):
        out = tmp_path / name
        format = {} if "." in name else {"format": name}
        run_batch(spec_of(tmp_path / "in.parquet", out, rows_per_chunk=64, fdr=0.1, **format), detector=known)
        files = sorted(out.glob("part-*")) if out.is_dir() else [out]
        read = [
            pa.ipc.open_file(f).read_all() if "arrow" in f.name else pq.ParquetFile(f).read() for f in files
        ]
        assert [cell for t in read for cell in t["d"].to_pylist()] == words.to_pylist()
        assert [cell for t in read for cell in t["deep"].to_pylist()] == table["deep"].to_pylist()
    with pytest.raises(BadInput, match="column 'deep' of type .* cannot be written as CSV"):
        run_batch(spec_of(tmp_path / "in.parquet", tmp_path / "out.csv"), detector=known)
    assert not list(tmp_path.glob("out.csv*"))


def test_a_limit_on_the_size_of_files_stops_it_with_the_reason(known, source: Path, tmp_path: Path) -> None:
    """As a full disk does: the system refuses to write on."""
    out = tmp_path / "out.csv"
    spec = spec_of(source, out, rows_per_chunk=50)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, before[1]))
        with pytest.raises(OSError, match=r"out.csv.partial/assembled.csv: File too large"):
            run_batch(spec, detector=known)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not out.exists()
    with BatchRun.open(spec, detector=known) as run:
        assert run.rows_done == 300 and list(run.steps()) == []
        run.finish()
    check_scores(ROWS, known, out)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_disk_that_is_full(known, tmp_path: Path) -> None:
    rows, disk = random_rows(3, 20_000), tmp_path / "disk"
    source = write_rows(rows, tmp_path / "in.parquet")
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True
    ).returncode:
        pytest.skip("mounting is refused here")
    try:
        spec = spec_of(source, disk / "out.parquet", rows_per_chunk=1000)
        with pytest.raises(OSError, match="out.parquet.partial/.*No space left on device"):
            run_batch(spec, detector=known)
        assert [p.name for p in disk.iterdir()] == ["out.parquet.partial"]
        kept = len(list(disk.glob("*/part-*.json")))
        assert kept > 3
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        with BatchRun.open(spec, detector=known) as run:
            assert run.rows_done == kept * 1000
        run_batch(spec, detector=known)
        check_scores(rows, known, disk / "out.parquet")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_folder_that_cannot_be_written(known, source: Path) -> None:
    with pytest.raises(OSError, match=r"/proc/out.parquet.partial: "):
        run_batch(spec_of(source, "/proc/out.parquet"), detector=known)


def test_the_published_summary_is_json(known, source: Path, tmp_path: Path) -> None:
    found = run_batch(spec_of(source, tmp_path / "out"), detector=known)
    assert json.loads((tmp_path / "out" / "_summary.json").read_text()) == json.loads(json.dumps(found))
