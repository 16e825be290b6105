"""The script from files to tables on a few noisy squares: every section, and what an interrupted run finds again."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import _images_cd
import _images_denoise
import _images_generate
import _images_peers
import images
import numpy as np
import pytest
import yaml
from _images_data import Sizes

TINY = Sizes(calibration=10, families=8, maps=2, denoised=4, filled=1, generated=6, tuned=3)
LOOP = {"n_steps": 2, "batch_size": 8, "log_every": 1, "checkpoint_every": 1}
NEGATIVES = {"kinds": {"gray": 1, "cutmix": 1}}
ENERGY = {"kind": "reconstruction", "latent": 2, "widths": [2, 2], "critic": [2, 2, 2]}
EXPECTED = (
    "**the detector**", "its critic alone", "its density at 0.3 alone", "kNN5, PCA50", "autoencoder",
    "peer: PCA100 residual", "the digits model: explain", "`density`, sigma given", "NL-means", "biharmonic",
    "U-Net that is told no sigma", "real test images", "as configured", "### cd, K = 0", "Digits, 8x8",
)  # fmt: skip


def pretrained(name: str, objective: dict[str, object]) -> dict[str, object]:
    first = {"objective": {"kind": "reconstruction"}, "training": LOOP | {"only": ["autoencoder"]}}
    return {
        "name": name,
        "energy": ENERGY,
        "pretraining": [first],
        "objective": objective | {"negatives": NEGATIVES},
        "training": LOOP,
    }


@pytest.fixture
def files(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for part, n in (("train", 60), ("t10k", 24)):
        values = rng.integers(0, 40, (n, 28, 28))
        values[:, 8:20, 8:20] += 150
        for stem, array in (("images-idx3", values), ("labels-idx1", rng.permutation(n) % 10)):
            head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
            with gzip.open(tmp_path / f"{part}-{stem}-ubyte.gz", "wb") as file:
                file.write(head + array.astype(np.uint8).tobytes())
    np.savez(tmp_path / "mnist.npz", test=rng.integers(0, 256, (9, 28, 28)).astype(np.uint8))
    base = {
        "data": {"kind": "builtin", "name": "digits"},
        "preprocessing": {"kind": "image", "low": 0, "high": 255},
    }
    sampling = {"term": "density", "sampler": {"kind": "ancestral", "n_levels": 2}}
    unet = {"kind": "unet", "widths": [2, 4], "blocks": 1, "rank": 2}
    density = {
        "name": "density",
        "energy": unet,
        "objective": {"kind": "dsm", "sigma_max": 2.0},
        "training": LOOP,
        "sigmas": [0.3],
    }
    contrast = pretrained("critic", {"kind": "contrast"})
    model = base | {"name": "tiny", "terms": [contrast, density], "sampling": sampling}
    chains = base | {"name": "tiny-cd", "terms": [pretrained("chains", {"kind": "cd", "k_steps": 1})]}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(model))
    (tmp_path / "cd.yaml").write_text(yaml.safe_dump(chains))
    return tmp_path


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "FULL", TINY)
    monkeypatch.setattr(_images_cd, "EVERY", 1)
    monkeypatch.setattr(_images_denoise, "DRAWS", 1)
    monkeypatch.setattr(_images_peers, "AUTOENCODER_STEPS", 2)
    monkeypatch.setattr(_images_generate, "CLASSIFIER_STEPS", 2)


@pytest.mark.slow
def test_every_section(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("skimage", reason="the extra 'bench' is not installed")
    given = ["--config", str(files / "model.yaml"), "--cd", str(files / "cd.yaml"), "--seeds", "0"]
    given += ["--data-dir", str(files), "--mnist", str(files / "mnist.npz"), "--out", str(files / "r.json")]
    given += ["--work", str(files / "work")]
    images.main(given)
    told = capsys.readouterr().out
    for line in EXPECTED:
        assert line in told, line
    # 'gray' and 'cutmix' resemble two of the nine.
    assert "mean of 7 unlike any negative" in told
    assert (
        "| *resembled by a training negative* |  |  | no | no | no | yes | no | no | no | no | yes |" in told
    )
    store = images.Cells(files / "r.json", [0])
    chains = store.cells["cd/0/cd"]
    assert [c["step"] for c in chains["curve"]] == [1, 2] and chains["updates"] == {"chains": 2}
    assert [c["step"] for c in chains["checkpoints"]] == [1, 2]
    # All is found again: nothing is fitted, and the tables come without data too.
    monkeypatch.setattr(images, "fitted", None)
    images.main(given)
    assert capsys.readouterr().out.count("as stored") == len(store.cells)
    images.main(["--out", str(files / "r.json"), "--seeds", "0"])
    assert told.endswith(capsys.readouterr().out)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    given = ["--data-dir", str(tmp_path), "--config", str(images.CONFIGS / "digits.yaml")]
    with pytest.raises(SystemExit, match="neither train-labels-idx1-ubyte nor"):
        images.main([*given, "--out", str(tmp_path / "r.json")])


def test_settings_of_one_section_void_no_other(tmp_path: Path) -> None:
    store = images.Cells(tmp_path / "r.json", [0])
    assert store.get("a/0/x", [1], lambda: {"v": 1}) == {"v": 1}
    store.get("b/0/x", [2], lambda: {"v": 2})
    again = images.Cells(tmp_path / "r.json", [0])
    assert again.has("a/0/x", [1]) and not again.has("a/0/x", [3])
    again.get("a/0/x", [3], lambda: {"v": 3})
    assert images.Cells(tmp_path / "r.json", [0]).cells == {"a/0/x": {"v": 3}, "b/0/x": {"v": 2}}
    assert images.Cells(tmp_path / "r.json", [1]).section("a") == {}
