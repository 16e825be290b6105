"""Generated rows: chunk by chunk the same, whatever was interrupted, and of few rows the library's own answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ebm.batch.run import BatchRun, run_batch
from ebm.batch.seeds import groups, rows_together, seed_of
from ebm.batch.spec import BatchSpec, GenerateOptions
from ebm.detector import Detector
from ebm.errors import BadInput, Unsupported


@pytest.fixture(autouse=True)
def few_rows_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebm.batch.generate.rows_together", lambda _: 4)


def spec(output: Path, n: int, **more: Any) -> BatchSpec:
    how = {name: more.pop(name) for name in ("seed", "n_steps", "step_size") if name in more}
    return BatchSpec(model="tiny", output=str(output), options=GenerateOptions(n=n, **how), **more)


def test_groups_cover_a_chunk_and_end_at_the_same_rows() -> None:
    assert list(groups(0, 10, 4)) == [(0, 4), (4, 8), (8, 10)]
    assert list(groups(6, 7, 4)) == [(0, 2), (2, 6), (6, 7)]
    assert list(groups(8, 4, 4)) == [(0, 4)]
    assert (
        rows_together((30,)) == 1024 and rows_together((28, 28)) == 256 and rows_together((512, 512, 3)) == 16
    )


def test_seeds_differ_and_fit() -> None:
    seeds = [seed_of(seed, row) for seed in (0, 1, 2**63 - 1) for row in range(0, 4096, 64)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(7, 0) == 7
    assert seed_of(7, 64) == seed_of(7, 64) == 3794388254371088862, "runs of earlier versions would change"


def test_a_few_rows_are_the_library_s(tiny: Detector, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    summary = run_batch(spec(out, 3, seed=5, n_steps=2, step_size=0.1), detector=tiny)
    np.testing.assert_array_equal(np.load(out), tiny.generate(3, seed=5, n_steps=2, step_size=0.1).samples)
    assert summary["rows"] == summary["generated"] == 3 and summary["seed"] == 5
    assert summary["rejected"] == 0


def test_every_group_has_its_seed_and_chunks_do_not_matter(tiny: Detector, tmp_path: Path) -> None:
    for rows_per_chunk in (4, 8, 12):
        out = tmp_path / f"{rows_per_chunk}.npy"
        run_batch(spec(out, 10, seed=3, rows_per_chunk=rows_per_chunk), detector=tiny)
    made = np.load(tmp_path / "4.npy")
    wanted = [tiny.generate(n, seed=seed_of(3, row)).samples for row, n in ((0, 4), (4, 4), (8, 2))]
    np.testing.assert_array_equal(made, np.concatenate(wanted))
    assert len(np.unique(made.reshape(10, -1), axis=0)) == 10
    for other in ("8.npy", "12.npy"):
        assert (tmp_path / other).read_bytes() == (tmp_path / "4.npy").read_bytes()


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.npy", "out"])
def test_an_interrupted_run_goes_on(tiny: Detector, tmp_path: Path, name: str) -> None:
    whole, cut = tmp_path / "whole" / name, tmp_path / "cut" / name
    for path in (whole, cut):
        path.parent.mkdir()
    run_batch(spec(whole, 19, rows_per_chunk=4), detector=tiny)
    with BatchRun.open(spec(cut, 19, rows_per_chunk=4), detector=tiny) as run:
        steps = run.steps()
        assert next(steps).index == 0
        steps.close()
    assert not cut.exists()
    with BatchRun.open(spec(cut, 19, rows_per_chunk=4), detector=tiny) as run:
        assert run.resumed and 4 <= run.rows_done < 19 and run.n_rows == 19
        left = list(range(run.rows_done // 4, 5))
        assert [done.index for done in run.steps()] == left
        run.finish()
    parts = sorted(whole.glob("part-*")) if whole.is_dir() else [whole]
    assert len(parts) == (5 if whole.is_dir() else 1)
    for path in parts:
        assert (cut / path.name if whole.is_dir() else cut).read_bytes() == path.read_bytes()


def test_processes_may_do_chunks_in_any_order(tiny: Detector, tmp_path: Path) -> None:
    run_batch(spec(tmp_path / "one.npy", 11, rows_per_chunk=4), detector=tiny)
    with BatchRun.open(spec(tmp_path / "two.npy", 11, rows_per_chunk=4), detector=tiny) as run:
        for index, mark in reversed(list(run.todo())):
            run.do(index, mark)
        run.finish()
    assert (tmp_path / "two.npy").read_bytes() == (tmp_path / "one.npy").read_bytes()


def test_rows_are_columns_with_the_model_s_names(tmp_path: Path) -> None:
    from ebm import artifact

    model = artifact.load(Path(__file__).parents[2] / "models" / "breast-cancer" / "2")
    out = tmp_path / "out.parquet"
    run_batch(spec(out, 6, n_steps=1), detector=model)
    table = pq.read_table(out)
    assert table.column_names == model.columns and table.num_rows == 6
    wanted = np.concatenate(
        [model.generate(n, seed=seed_of(0, row), n_steps=1).samples for row, n in ((0, 4), (4, 2))]
    )
    np.testing.assert_array_equal(np.column_stack([c.to_numpy() for c in table.columns]), wanted)


def test_pictures_are_columns_of_pixels(tiny: Detector, tmp_path: Path) -> None:
    run_batch(spec(tmp_path / "out.parquet", 2), detector=tiny)
    table: pa.Table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == [f"x{i}" for i in range(64)]
    flat = np.column_stack([column.to_numpy() for column in table.columns])
    np.testing.assert_array_equal(flat, tiny.generate(2).samples.reshape(2, 64))


def test_what_cannot_be_is_said_before_anything_is_written(
    tiny: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="takes no input"):
        run_batch(spec(tmp_path / "out.npy", 2, input="rows.npy"), detector=tiny)
    monkeypatch.setattr(tiny, "sampling", None)
    with pytest.raises(Unsupported, match="cannot generate; it can"):
        run_batch(spec(tmp_path / "out.npy", 2), detector=tiny)
    assert list(tmp_path.iterdir()) == []
