"""`ebm explain`, `ebm impute` and `ebm denoise --method langevin` with pictures, against the library's own answers."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from ebm import artifact
from ebm.detector import Detector
from ebm.heat_map import heat_picture


@pytest.fixture
def pictures(published: Path) -> Detector:
    return artifact.load(published / "pictures" / "1")


@pytest.fixture
def pixels(tmp_path: Path) -> np.ndarray:
    """(8, 8) uint8, a digit with a bright spot, also in spot.png."""
    values = (load_digits().images[0] / 16 * 255).astype(np.uint8)
    values[6:, :2] = 255
    Image.fromarray(values).save(tmp_path / "spot.png")
    return values


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def units(pixels: np.ndarray) -> np.ndarray:
    return pixels[None] * np.float32(16 / 255)


def test_a_heat_map(ebm, pictures, pixels, tmp_path):
    out = tmp_path / "heat.png"
    result = ebm("explain", "pictures", tmp_path / "spot.png", "-o", out, ok=True)
    want = pictures.explain(units(pixels))
    assert "heat.png: 1 rows, 1 above" in result.err
    np.testing.assert_allclose(opened(out).astype(float), heat_picture(want, 0, 16), atol=2)
    assert opened(out).shape == (256, 256, 3)


def test_the_source_of_a_heat_map(ebm, pictures, pixels, tmp_path):
    out, spot = tmp_path / "heat.png", tmp_path / "spot.png"
    for method in ("gradient", "contributions"):
        want = pictures.explain(units(pixels), method=method)
        ebm("explain", "pictures", spot, "-o", out, "--method", method, ok=True)
        np.testing.assert_allclose(opened(out).astype(float), heat_picture(want, 0, 16), atol=2)
        (row,) = ebm("explain", "pictures", spot, "--json", "--method", method, ok=True).json["rows"]
        np.testing.assert_allclose(row["anomaly_map"], want.anomaly_map[0], rtol=1e-3, atol=1e-3)
        assert row["map_method"] == method
    assert "by method 'local'" in ebm("explain", "pictures", spot, "-o", out, "--method", "local").error()


def test_the_same_as_json_and_as_a_table(ebm, pictures, pixels, tmp_path):
    want = pictures.explain(units(pixels))
    (row,) = ebm("explain", "pictures", tmp_path / "spot.png", "--json", "--top", 3, ok=True).json["rows"]
    np.testing.assert_allclose(row["heat_map"], want.heat_map[0], rtol=1e-3, atol=1e-3)
    assert [one["column"] for one in row["columns"]] == [want.name(int(j)) for j in want.ranking[0, :3]]
    assert row["columns"][0]["value"] == pytest.approx(want.cell(0, int(want.ranking[0, 0]))[0], rel=1e-5)
    ebm("explain", "pictures", tmp_path / "spot.png", "-o", tmp_path / "why.csv", "--sparse", ok=True)
    (line,) = csv.DictReader((tmp_path / "why.csv").read_text().splitlines())
    sparse = pictures.explain(units(pixels), sparse=True)
    assert line["file"] == "spot.png" and line["column_1"] == sparse.name(int(sparse.ranking[0, 0]))
    assert float(line["normal_energy"]) == pytest.approx(sparse.normal_energy[0], rel=1e-4)


def test_a_masked_picture(ebm, pictures, pixels, tmp_path):
    mask = np.zeros((8, 8), np.uint8)
    mask[6:, :2] = 200
    Image.fromarray(mask).save(tmp_path / "mask.png")
    out = tmp_path / "filled.png"
    args = ("impute", "pictures", tmp_path / "spot.png", "--mask", tmp_path / "mask.png", "--draws", 4)
    answer = ebm(*args, "-o", out, "--json", ok=True).json
    assert (answer["rows"], answer["rows_with_nulls"], answer["nulls"]) == (1, 1, 4)
    want = pictures.impute(np.where(mask > 0, np.nan, units(pixels).astype(float)), n_draws=4).rows[0]
    np.testing.assert_allclose(opened(out), want / 16 * 255, atol=0.6)
    np.testing.assert_array_equal(opened(out)[mask == 0], pixels[mask == 0])
    ebm(*args, "-o", tmp_path / "filled.csv", "--spread", ok=True)
    (line,) = csv.DictReader((tmp_path / "filled.csv").read_text().splitlines())
    assert len(line) == 128 and float(line["x49"]) == pytest.approx(want[6, 1], rel=1e-4)
    assert line["x0_spread"] == "" and float(line["x49_spread"]) >= 0


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 64)])
def test_missing_pixels_of_an_array(ebm, pictures, tmp_path, shape):
    rows = load_digits().images[:2].copy()
    rows[1, 2:5, 3] = np.nan
    np.save(tmp_path / "holes.npy", rows.reshape(shape))
    ebm("impute", "pictures", tmp_path / "holes.npy", "-o", tmp_path / "f.npy", "--draws", 3, ok=True)
    found = np.load(tmp_path / "f.npy")
    assert found.shape == shape
    np.testing.assert_allclose(found.reshape(2, 8, 8), pictures.impute(rows, n_draws=3).rows, rtol=1e-5)


def test_denoising_by_langevin(ebm, pictures, tmp_path):
    noisy = np.clip(load_digits().images[:3] + np.random.default_rng(0).normal(0, 2, (3, 8, 8)), 0, 16)
    np.save(tmp_path / "noisy.npy", noisy)
    args = ("denoise", "pictures", tmp_path / "noisy.npy", "-o", tmp_path / "c.npy", "--method", "langevin")
    answer = ebm(*args, "--seed", 3, "--sigma", 0.5, "--json", ok=True).json
    assert (answer["method"], answer["seed"], answer["sigma"]) == ("langevin", 3, 0.5)
    want = pictures.denoise(noisy, sigma=0.5, method="langevin", seed=3)
    np.testing.assert_allclose(np.load(tmp_path / "c.npy"), want, rtol=1e-5, atol=1e-5)
    ebm(*args, "--seed", 4, "--sigma", 0.5, ok=True)
    assert not np.allclose(np.load(tmp_path / "c.npy"), want)


@pytest.mark.usefixtures("pixels")
def test_what_does_not_fit(ebm, rows, tmp_path):
    out = tmp_path / "out.png"
    assert "rows, not pictures" in ebm("explain", "table", rows, "-o", out).error()
    assert "rows, not pictures" in ebm("impute", "table", rows, "-o", out).error()
    Image.new("L", (9, 8)).save(tmp_path / "mask.png")
    spot, mask = tmp_path / "spot.png", tmp_path / "mask.png"
    assert "mask.png: is 9 wide" in ebm("impute", "pictures", spot, "--mask", mask, "-o", out).error()
    other = ebm("impute", "table", rows, "--mask", mask, "-o", tmp_path / "o.csv").error()
    assert "--mask: model table has rows, not pictures" in other
    assert ebm("denoise", "pictures", spot, "-o", out, "--method", "magic").code == 2
    assert not out.exists()
