"""Denoised files: a row for every row, the library's clean version in it, whatever was interrupted or is unreadable."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ebm import artifact
from ebm.batch.run import BatchRun, run_batch
from ebm.batch.seeds import seed_of
from ebm.batch.spec import BatchSpec, DenoiseOptions
from ebm.detector import Detector
from ebm.errors import BadInput, Unsupported
from ebm.fitting import fit_detector
from ebm.training.config import TrainConfig

MODELS = Path(__file__).parents[2] / "models"
TOGETHER = 4


@pytest.fixture(autouse=True)
def few_rows_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebm.batch.denoise.rows_together", lambda _: TOGETHER)


@pytest.fixture(scope="module")
def table_model() -> Detector:
    return artifact.load(MODELS / "breast-cancer" / "2")


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Fourteen benign rows, a little noisy."""
    from sklearn.datasets import load_breast_cancer

    values = load_breast_cancer().data[-14:]
    noise = np.random.default_rng(0).normal(0, 0.2, values.shape)
    return (values * (1 + noise)).astype(np.float32)


def spec(given: Path, output: Path, **more: Any) -> BatchSpec:
    how = {name: more.pop(name) for name in list(more) if name in DenoiseOptions.model_fields}
    return BatchSpec(model="m", input=str(given), output=str(output), options=DenoiseOptions(**how), **more)


def in_groups(model: Detector, values: Any, seed: int = 0, **how: Any) -> np.ndarray:
    """What the library gives for the groups of rows, each with its seed."""
    starts = range(0, len(values), TOGETHER)
    parts = [model.denoise(values[i : i + TOGETHER], seed=seed_of(seed, i), **how) for i in starts]
    return np.concatenate(parts)


def write_table(path: Path, model: Detector, values: np.ndarray) -> Path:
    """Own columns before, between and after the model's, which stand in another order."""
    names = list(reversed(model.columns or []))
    columns: dict[str, Any] = {"id": np.arange(len(values)) + 100}
    columns |= {name: values[:, (model.columns or []).index(name)] for name in names[:10]}
    columns["remark"] = [f'n. {i}, "ä"' for i in range(len(values))]
    columns |= {name: values[:, (model.columns or []).index(name)] for name in names[10:]}
    table = pa.table(columns)
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


def read(path: Path) -> pa.Table:
    return pq.read_table(path) if path.suffix == ".parquet" else pyarrow.csv.read_csv(path)


@pytest.mark.parametrize("given", ["rows.parquet", "rows.csv"])
@pytest.mark.parametrize("name", ["out.parquet", "out.csv"])
@pytest.mark.parametrize("rows_per_chunk", [4, 8, 100])
def test_clean_values_in_place_of_the_model_s_columns(
    table_model: Detector, rows: np.ndarray, tmp_path: Path, given: str, name: str, rows_per_chunk: int
) -> None:
    path = write_table(tmp_path / given, table_model, rows)
    out = tmp_path / name
    summary = run_batch(spec(path, out, sigma=0.4, rows_per_chunk=rows_per_chunk), detector=table_model)
    table = read(out)
    assert table.column_names == read(path).column_names
    # What is passed through from CSV stays the text that it was.
    assert [int(cell) for cell in table["id"].to_pylist()] == list(range(100, 114))
    assert table["remark"].to_pylist() == read(path)["remark"].to_pylist()
    got = np.column_stack([table[column].to_numpy() for column in table_model.columns or []])
    np.testing.assert_allclose(got, in_groups(table_model, rows, sigma=0.4), rtol=1e-4)
    np.testing.assert_allclose(got, table_model.denoise(rows, sigma=0.4), rtol=1e-3)
    assert summary["rows"] == summary["denoised"] == 14 and summary["rejected"] == 0
    assert summary["sigma"] == 0.4 and summary["method"] == "posterior_mean"


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.npy", "out"])
def test_rows_that_cannot_be_denoised_are_null_and_listed(
    table_model: Detector, rows: np.ndarray, tmp_path: Path, name: str
) -> None:
    bad = rows.copy()
    bad[3, 7], bad[9, 0] = np.nan, np.inf
    bad[4:8] = 1e30  # all of one group: finite, and no clean version is
    path = write_table(tmp_path / "rows.parquet", table_model, bad)
    out = tmp_path / name
    summary = run_batch(spec(path, out, rows_per_chunk=8), detector=table_model)
    wrong = [3, 4, 5, 6, 7, 9]
    good = [i for i in range(14) if i not in wrong]
    assert summary["rows"] == 14 and summary["rejected"] == 6 and summary["denoised"] == 8
    assert summary["rejects"] == str(out / "_rejects.csv" if name == "out" else f"{out}.rejects.csv")
    with Path(summary["rejects"]).open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert [int(one["row"]) for one in listed] == wrong
    assert listed[0]["column"] == (table_model.columns or [])[7]
    assert listed[1]["reason"] == "lies too far from the training data to be denoised"
    if name == "out.npy":
        got = np.load(out)
    else:
        table = (
            pa.concat_tables([read(p) for p in sorted(out.glob("part-*"))]) if name == "out" else read(out)
        )
        assert table["id"].to_pylist() == list(range(100, 114))  # own columns stay
        columns = [table[column] for column in table_model.columns or []]
        assert {column.null_count for column in columns} == {6}
        got = np.column_stack([column.to_numpy() for column in columns])
    assert np.isnan(got[wrong]).all()
    kept = bad[good]
    wanted = [table_model.denoise(kept[a:b]) for a, b in ((0, 3), (3, 6), (6, 8))]
    np.testing.assert_allclose(got[good], np.concatenate(wanted), rtol=1e-6)


def test_a_run_may_fail_at_the_first(table_model: Detector, rows: np.ndarray, tmp_path: Path) -> None:
    rows = rows.copy()
    rows[11] = 1e30
    path = write_table(tmp_path / "rows.parquet", table_model, rows)
    with pytest.raises(BadInput, match=r"rows.parquet: row 11, lies too far") as refused:
        run_batch(spec(path, tmp_path / "out.csv", on_error="fail"), detector=table_model)
    assert refused.value.row == 11 and not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_pictures_of_an_array(tiny: Detector, digits: np.ndarray, tmp_path: Path, suffix: str) -> None:
    np.save(tmp_path / "rows.npy", digits[:10])
    out = tmp_path / f"out{suffix}"
    run_batch(spec(tmp_path / "rows.npy", out, sigma=0.3, rows_per_chunk=8), detector=tiny)
    wanted = in_groups(tiny, digits[:10], sigma=0.3)
    if suffix == ".npy":
        np.testing.assert_array_equal(np.load(out), wanted)
        return
    table = read(out)
    assert table.column_names == [f"x{i}" for i in range(64)]
    np.testing.assert_array_equal(
        np.column_stack([c.to_numpy() for c in table.columns]), wanted.reshape(10, 64)
    )


def test_flat_rows_stay_flat(tiny: Detector, digits: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", digits[:6].reshape(6, 64))
    run_batch(spec(tmp_path / "rows.npy", tmp_path / "out.npy"), detector=tiny)
    wanted = in_groups(tiny, digits[:6]).reshape(6, 64)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), wanted)
    names = [f"pixel {i}" for i in range(64)]  # the model has none of its own
    pq.write_table(pa.table(list(digits[:6].reshape(6, 64).T), names=names), tmp_path / "rows.parquet")
    run_batch(spec(tmp_path / "rows.parquet", tmp_path / "out.parquet"), detector=tiny)
    table = read(tmp_path / "out.parquet")
    assert table.column_names == names
    np.testing.assert_array_equal(np.column_stack([c.to_numpy() for c in table.columns]), wanted)


def test_a_folder_of_pictures(tiny: Detector, digits: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, image in enumerate(digits[:14]):
        Image.fromarray((image * 255 / 16).round().astype(np.uint8)).save(folder / f"{i:02}.png")
    (folder / "09.png").write_bytes(b"no picture")
    for out in (tmp_path / "out.npy", tmp_path / "out.parquet"):
        assert run_batch(spec(folder, out, rows_per_chunk=8), detector=tiny)["rejected"] == 1
    values = np.load(tmp_path / "out.npy")
    assert values.shape == (14, 8, 8)
    assert [i for i in range(14) if not np.isfinite(values[i]).all()] == [9] and np.isnan(values[9]).all()
    table = read(tmp_path / "out.parquet")
    assert table.column_names == ["file", *(f"x{i}" for i in range(64))]
    assert table["file"].to_pylist() == [f"{i:02}.png" for i in range(14)]
    assert table["x9"].null_count == 1
    flat = np.column_stack([table[f"x{i}"].to_numpy() for i in range(64)])
    np.testing.assert_array_equal(flat, values.reshape(14, 64))


def test_random_draws_have_a_seed_for_every_group(tiny: Detector, digits: np.ndarray, tmp_path: Path) -> None:
    how: dict[str, Any] = {"sigma": 0.5, "method": "langevin", "n_steps": 3}
    same = np.repeat(digits[:1], 10, axis=0)
    np.save(tmp_path / "rows.npy", same)
    for rows_per_chunk, seed in ((4, 7), (8, 7), (4, 8)):
        out = tmp_path / f"{rows_per_chunk}-{seed}.npy"
        run_batch(
            spec(tmp_path / "rows.npy", out, seed=seed, rows_per_chunk=rows_per_chunk, **how), detector=tiny
        )
    drawn = np.load(tmp_path / "4-7.npy")
    np.testing.assert_array_equal(drawn, in_groups(tiny, same, seed=7, **how))
    assert len(np.unique(drawn.reshape(10, -1), axis=0)) == 10
    assert (tmp_path / "8-7.npy").read_bytes() == (tmp_path / "4-7.npy").read_bytes()
    assert not np.array_equal(np.load(tmp_path / "4-8.npy"), drawn)


@pytest.mark.parametrize("name", ["out.parquet", "out.npy"])
def test_an_interrupted_run_goes_on(
    table_model: Detector, rows: np.ndarray, tmp_path: Path, name: str
) -> None:
    path = write_table(tmp_path / "rows.parquet", table_model, rows)
    whole, cut = tmp_path / f"whole-{name}", tmp_path / f"cut-{name}"
    how: dict[str, Any] = {"rows_per_chunk": 4, "method": "langevin", "n_steps": 3, "seed": 1}
    run_batch(spec(path, whole, **how), detector=table_model)
    with BatchRun.open(spec(path, cut, **how), detector=table_model) as run:
        steps = run.steps()
        assert [next(steps).index, next(steps).index] == [0, 1]
        steps.close()
    assert not cut.exists()
    with BatchRun.open(spec(path, cut, **how), detector=table_model) as run:
        assert run.resumed and 8 <= run.rows_done < 14
        left = list(range(run.rows_done // 4, 4))
        assert [done.index for done in run.steps()] == left
        run.finish()
    assert cut.read_bytes() == whole.read_bytes()


PEOPLE = {
    "name": "people",
    "data": {"kind": "builtin", "name": "digits"},
    "preprocessing": {"kind": "mixed"},
    "terms": [
        {
            "name": "network",
            "energy": {"kind": "residual", "width": 16, "depth": 1},
            "objective": {"kind": "dsm", "sigma_min": 0.1, "sigma_max": 4.0},
            "training": {"n_steps": 20},
            "sigmas": [0.3],
        }
    ],
    "sampling": {
        "term": "network",
        "sampler": {"kind": "annealed_langevin", "sigma_min": 0.1, "sigma_max": 4.0, "n_levels": 3},
    },
}


def people(n: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 5, n)
    return pa.table(
        {
            "age": pa.array(age, mask=rng.random(n) < 0.1),
            "city": rng.choice(["Bonn", "Rome"], n),
            "member": rng.random(n) < 0.5,
        }
    )


def test_rows_of_mixed_types(tmp_path: Path) -> None:
    model = fit_detector(TrainConfig.model_validate(PEOPLE), people(80, 0), people(40, 1))
    given = people(10, 2)
    city = given["city"].to_pylist()
    given = given.append_column("remark", pa.array([f"r{i}" for i in range(10)]))
    lost = given.set_column(1, "city", pa.array([None, None, None, None, *city[4:8], None, "Bonn"]))
    pq.write_table(lost, tmp_path / "rows.parquet")
    out = tmp_path / "out.parquet"
    summary = run_batch(spec(tmp_path / "rows.parquet", out, rows_per_chunk=4), detector=model)
    table = read(out)
    assert summary["rejected"] == 5 and table.column_names == ["age", "city", "member", "remark"]
    assert table["remark"].to_pylist() == given["remark"].to_pylist()
    kept = given.slice(4, 4).select(["age", "city", "member"])
    assert table.slice(4, 4).drop_columns(["remark"]).to_pylist() == model.denoise(kept).to_pylist()  # type: ignore[attr-defined]
    for row in (0, 1, 2, 3, 8):
        assert table.slice(row, 1).to_pylist() == [
            {"age": None, "city": None, "member": None, "remark": f"r{row}"}
        ]
    with pytest.raises(BadInput, match="rows of mixed types"):
        run_batch(spec(tmp_path / "rows.parquet", tmp_path / "out.npy"), detector=model)


def test_what_cannot_be_is_said_before_anything_is_written(
    tiny: Detector, table_model: Detector, digits: np.ndarray, rows: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "rows.npy", digits[:6])
    given, out = tmp_path / "rows.npy", tmp_path / "out.npy"
    with pytest.raises(BadInput, match="takes neither sigma"):
        BatchRun.open(spec(given, out, noise="impulse", sigma=1.0), detector=tiny)
    with pytest.raises(Unsupported, match="is of pictures"):
        path = write_table(tmp_path / "rows.parquet", table_model, rows)
        run_batch(spec(path, out, noise="impulse"), detector=table_model)
    with pytest.raises(BadInput, match="sigma must lie in"):
        run_batch(spec(given, out, sigma=1000.0), detector=tiny)
    plain = artifact.load(MODELS / "breast-cancer" / "2")
    plain.sampling = None
    with pytest.raises(Unsupported, match="cannot denoise; it can"):
        run_batch(spec(given, out), detector=plain)
    assert {path.name for path in tmp_path.iterdir()} == {"rows.npy", "rows.parquet"}
