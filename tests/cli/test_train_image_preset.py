"""`ebm train image`: from a folder of pictures to a model that scores, explains, denoises and generates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ebm import artifact
from ebm.cli.preset import PresetOptions, preset_config
from ebm.errors import BadInput
from ebm.training import presets


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset as it is, but for the length of the training and the width of the networks."""
    whole = presets.image

    def short() -> dict:
        values = whole()
        for term in values["terms"]:
            term["energy"] |= (
                {"widths": [4, 8], "blocks": 1, "rank": 8}
                if term["energy"]["kind"] == "unet"
                else {"widths": [4, 8], "latent": 4, "critic": [4, 4, 4]}
            )
            for stage in (term, *term.get("pretraining", ())):
                stage["training"] |= {"n_steps": 4, "batch_size": 8, "log_every": 2, "checkpoint_every": 2}
        return values

    monkeypatch.setattr(presets, "image", short)


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with parts/good and parts/bad: gray pictures of two sizes."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for label, count in (("good", 60), ("bad", 8)):
        folder = tmp_path / "parts" / label
        folder.mkdir(parents=True)
        for i in range(count):
            side = 10 if i % 2 else 14
            pixels = rng.integers(100, 156, (side, side), dtype=np.uint8)
            if label == "bad":
                pixels[:5, :5] = 0
            Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return tmp_path


def test_a_folder_of_pictures_becomes_a_model(command, parts):
    options = ("--data", "parts", "--name", "parts", "--normal", "good", "--size", "12x16")
    answer = command("train", "image", *options, "--json", ok=True)
    path = parts / answer.json["path"]
    manifest = artifact.verify(path)
    assert (manifest.input["height"], manifest.input["width"]) == (12, 16)
    assert (manifest.data.n_train, manifest.data.n_calibration, manifest.data.n_test) == (48, 6, 6)
    assert manifest.link == "softplus" and manifest.weights == "float16" and "auroc" in manifest.metrics
    detector = artifact.load(path)
    assert detector.can >= {"score", "explain", "denoise", "generate", "impute"}
    again = artifact.load(path).energies(np.full((3, 12, 16), 120.0))
    assert (detector.energies(np.full((3, 12, 16), 120.0)) == again).all()
    assert detector.generate(2, seed=1, n_steps=3).samples.shape == (2, 12, 16)


@pytest.mark.usefixtures("parts")
def test_options_of_the_other_preset_are_refused():
    with pytest.raises(BadInput, match="--contamination: not an option of the preset 'image'"):
        preset_config("image", PresetOptions(Path("parts"), "x", contamination="auto"))
    with pytest.raises(BadInput, match="--size: not an option of the preset 'tabular'"):
        preset_config("tabular", PresetOptions(Path("parts"), "x", size="8x8"))


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("size", ["64", "64x", "axb", "8x8x3"])
def test_a_size_is_two_numbers(size):
    with pytest.raises(BadInput, match=f"--size {size}: height and width in pixels, as 64x64"):
        preset_config("image", PresetOptions(Path("parts"), "x", size=size))


@pytest.mark.usefixtures("parts")
def test_sizes_that_differ_need_a_size(command):
    error = command("train", "image", "--data", "parts", "--name", "parts", "--normal", "good").error()
    assert "size" in error and "parts/" in error
