from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from ebm import artifact


@pytest.fixture
def pictures(published: Path):
    return artifact.load(published / "pictures" / "1")


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    values = np.clip(load_digits().images[:5] + rng.normal(0, 2, (5, 8, 8)), 0, 16).astype(np.float32)
    np.save(tmp_path / "noisy.npy", values)
    return tmp_path / "noisy.npy"


def test_denoise_an_array(ebm, noisy, tmp_path, pictures):
    out = tmp_path / "clean.npy"
    answer = ebm(
        "denoise", "pictures", noisy, "-o", out, "--sigma", 0.3, "--n-steps", 2, "--json", ok=True
    ).json
    assert answer["rows"] == 5 and answer["output"] == str(out)
    expected = pictures.denoise(np.load(noisy), sigma=0.3, n_steps=2)
    np.testing.assert_array_equal(np.load(out), expected)
    assert not np.allclose(expected, np.load(noisy))


def test_flat_rows_stay_flat(ebm, noisy, tmp_path, pictures):
    np.save(tmp_path / "flat.npy", np.load(noisy).reshape(5, 64))
    ebm("denoise", "pictures", tmp_path / "flat.npy", "-o", tmp_path / "out.npy", ok=True)
    out = np.load(tmp_path / "out.npy")
    assert out.shape == (5, 64)
    np.testing.assert_array_equal(out.reshape(5, 8, 8), pictures.denoise(np.load(noisy)))


def test_flat_rows_keep_their_names(ebm, noisy, tmp_path, pictures):
    flat = np.load(noisy).reshape(5, 64)
    names = ",".join(f"p{i}" for i in range(64))
    np.savetxt(tmp_path / "flat.csv", flat, delimiter=",", header=names, comments="")
    ebm("denoise", "pictures", tmp_path / "flat.csv", "-o", tmp_path / "out.csv", ok=True)
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == names
    out = np.loadtxt(tmp_path / "out.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(out, pictures.denoise(flat).reshape(5, 64), rtol=1e-5, atol=1e-5)


def test_denoise_a_picture(ebm, tmp_path, pictures):
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    ebm("denoise", "pictures", tmp_path / "in.png", "-o", tmp_path / "out.png", ok=True)
    with Image.open(tmp_path / "out.png") as picture:
        out = np.asarray(picture)
    expected = pictures.denoise(pixels[None] * np.float32(16 / 255))[0] * 255 / 16
    assert out.shape == (8, 8)
    np.testing.assert_allclose(out, expected, atol=0.51)


def test_denoise_rows_keeps_other_columns(ebm, rows, tmp_path, published):
    ebm("denoise", "table", rows, "-o", tmp_path / "clean.csv", ok=True)
    with (tmp_path / "clean.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == ["id", "d", "remark", "b, c", "a"]
    assert [line["remark"] for line in table] == ['x, "y"', "plain", ""]
    values = np.array([[0.3, 0.2, 0.1], [9, 9, 9], [1, 0, -0.5]], dtype=np.float32)
    expected = artifact.load(published / "table" / "1").denoise(values)
    got = [[float(line[c]) for c in ("a", "b, c", "d")] for line in table]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_generate_is_the_library_s_answer_for_the_seed(ebm, tmp_path, pictures):
    def made(*args) -> np.ndarray:
        ebm("generate", "pictures", "-n", 3, "-o", tmp_path / "s.npy", *args, ok=True)
        return np.load(tmp_path / "s.npy")

    samples = made("--seed", 5)
    np.testing.assert_array_equal(samples, pictures.generate(3, seed=5).samples)
    np.testing.assert_array_equal(made("--seed", 5), samples)
    assert not np.array_equal(made("--seed", 6), samples)
    changed = made("--seed", 5, "--n-steps", 3, "--step-size", 0.1)
    np.testing.assert_array_equal(changed, pictures.generate(3, seed=5, n_steps=3, step_size=0.1).samples)


def test_snapshots(ebm, tmp_path, pictures):
    answer = ebm(
        "generate", "pictures", "-n", 2, "-o", tmp_path / "s.npy", "--keep-every", 2, "--json", ok=True
    ).json
    kept = np.load(answer["snapshots"])
    np.testing.assert_array_equal(kept, pictures.generate(2, keep_every=2).snapshots)
    assert len(kept) == 3


def test_diagnose(ebm, tmp_path, published):
    out = tmp_path / "s.npy"
    found = ebm("generate", "pictures", "-n", 3, "-o", out, "--diagnose", "--json", ok=True).json[
        "diagnostics"
    ]
    want = artifact.load(published / "pictures" / "1").generate(3, diagnose=True)
    assert found == want.diagnostics and found["n_chains"] == 3
    np.testing.assert_array_equal(np.load(out), want.samples)
    said = ebm("generate", "pictures", "-n", 3, "-o", out, "--diagnose", ok=True)
    assert f"3 chains, steps {found['n_warmup'] + 1} to {found['n_steps']}: energy" in said.out + said.err
    assert "diagnostics" not in ebm("generate", "pictures", "-n", 3, "-o", out, "--json", ok=True).json


def test_generate_pictures_and_rows(ebm, tmp_path, published):
    ebm("generate", "pictures", "-n", 5, "-o", tmp_path / "grid.png", ok=True)
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.width >= 3 * 8 and picture.height >= 2 * 8
    ebm("generate", "table", "-n", 4, "-o", tmp_path / "rows.parquet", ok=True)
    table = pq.read_table(tmp_path / "rows.parquet")
    assert table.column_names == ["a", "b, c", "d"]
    expected = artifact.load(published / "table" / "1").generate(4).samples
    np.testing.assert_array_equal(np.column_stack([c.to_numpy() for c in table.columns]), expected)


def test_what_a_model_cannot_do(ebm, rows, tmp_path):
    out = tmp_path / "out.npy"
    assert "cannot generate; it can explain, impute, score" in ebm("generate", "plain", "-o", out).error()
    assert "cannot denoise; it can explain, impute, score" in ebm("denoise", "plain", rows, "-o", out).error()
    assert "rows, not pictures" in ebm("generate", "table", "-o", tmp_path / "out.png").error()
    assert "rows, not pictures" in ebm("denoise", "table", rows, "-o", tmp_path / "out.png").error()
    assert not out.exists()


def test_bad_pictures(ebm, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "not.png").write_bytes(b"GIF89a")
    for name, message in (
        ("cut", "cut.png"),
        ("not", "not.png"),
        ("none", "no such"),
    ):
        args = ("denoise", "pictures", tmp_path / f"{name}.png", "-o", tmp_path / "out.png")
        assert message in ebm(*args).error()
    assert not (tmp_path / "out.png").exists()


def test_pictures_of_another_size_are_fitted_and_said_to_be(ebm, tmp_path):
    """A frame of one value is what its border's median puts around a smaller picture."""
    small = np.random.default_rng(0).integers(0, 256, (6, 6), dtype=np.uint8)
    small[0] = small[-1] = small[:, 0] = small[:, -1] = 40
    for name, pixels in (("small", small), ("framed", np.pad(small, 1, constant_values=40))):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    said = {}
    for name in ("small", "framed"):
        out = tmp_path / f"{name}.npy"
        said[name] = ebm("denoise", "pictures", tmp_path / f"{name}.png", "-o", out, ok=True).err
    assert "small.png: 1 picture was fitted to 8 x 8 pixels" in said["small"]
    assert "fitted" not in said["framed"]
    np.testing.assert_array_equal(np.load(tmp_path / "small.npy"), np.load(tmp_path / "framed.npy"))


@pytest.mark.parametrize("args", [("--sigma", "-1"), ("--sigma", "nan")])
def test_bad_sigma(ebm, noisy, tmp_path, args):
    assert "sigma" in ebm("denoise", "pictures", noisy, "-o", tmp_path / "out.npy", *args).error()


def test_bad_sampler_arguments(ebm, tmp_path):
    assert "step_size" in ebm("generate", "pictures", "-o", tmp_path / "o.npy", "--step-size", 0).error()
    assert ebm("generate", "pictures", "-o", tmp_path / "o.npy", "-n", 0).code == 2


def test_bad_rows_are_listed_and_the_others_denoised(ebm, tmp_path):
    (tmp_path / "rows.csv").write_text('id,a,"b, c",d\n1,0.1,0.2,0.3\n2,9,odd,9\n3,,1,1\n4,1,0,-0.5\n')
    said = ebm("denoise", "table", tmp_path / "rows.csv", "-o", tmp_path / "out.parquet", ok=True).err
    assert "out.parquet: 2 denoised" in said and "2 could not be denoised" in said
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["id"].to_pylist() == ["1", "2", "3", "4"] and table["d"].null_count == 2
    with (tmp_path / "out.parquet.rejects.csv").open(newline="") as file:
        assert [line["row"] for line in csv.DictReader(file)] == ["1", "2"]
    args = ("denoise", "table", tmp_path / "rows.csv", "-o", tmp_path / "none.csv", "--on-error", "fail")
    assert "rows.csv: row 1, column 'b, c'" in ebm(*args).error()
    assert not (tmp_path / "none.csv").exists()


def test_folders_of_parts_go_on_where_they_were(ebm, tmp_path, pictures, published):
    from ebm.batch.run import BatchRun
    from ebm.batch.spec import BatchSpec, GenerateOptions

    out = tmp_path / "samples"
    how = {"options": GenerateOptions(n=9, seed=3), "format": "npy", "rows_per_chunk": 4, "summary": False}
    with BatchRun.open(BatchSpec(model=str(published / "pictures" / "1"), output=str(out), **how)) as run:
        steps = run.steps()
        next(steps)
        steps.close()
    args = ("generate", "pictures", "-n", 9, "-o", out, "--seed", 3, "--format", "npy", "--chunk-rows", 4)
    said = ebm(*args, ok=True).err
    assert "going on at row " in said and "9 samples, seed 3" in said
    made = [np.load(path) for path in sorted(out.glob("part-*.npy"))]
    assert [len(part) for part in made] == [4, 4, 1]
    np.testing.assert_array_equal(made[0], pictures.generate(4, seed=3).samples)
    assert "holds the output of an earlier run" in ebm(*args[:-1], 3).error()
    answer = ebm(*args[:-1], 3, "--overwrite", "--json", ok=True).json
    assert answer["parts"] == 3 and answer["rows"] == 9 and answer["output"] == str(out)


def test_a_folder_of_pictures_to_a_url(ebm, tmp_path, pictures):
    import fsspec

    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    (tmp_path / "noisy").mkdir()
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "noisy" / f"{i}.png")
    ebm("denoise", "pictures", tmp_path / "noisy", "-o", "memory://made/clean.npy", "--sigma", 0.3, ok=True)
    with fsspec.open("memory://made/clean.npy", "rb") as file:
        got = np.load(file)  # type: ignore[arg-type]
    wanted = pictures.denoise(pixels * np.float32(16 / 255), sigma=0.3)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    grid = ebm("denoise", "pictures", tmp_path / "noisy", "-o", tmp_path / "grid.png", ok=True)
    assert "3 denoised" in grid.err and (tmp_path / "grid.png").stat().st_size
