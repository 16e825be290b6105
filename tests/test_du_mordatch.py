"""The recipe of Du and Mordatch: its numbers, and all that a run of it writes, on digits at reduced size."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ebm.cli.train import shown
from ebm.config import read_yaml, validate
from ebm.detector import Detector
from ebm.objectives import PersistentCDConfig
from ebm.objectives.chains import contrastive_loss
from ebm.runs import train
from ebm.samplers import LangevinConfig
from ebm.training.config import TrainConfig

CONFIGS = Path(__file__).parents[1] / "configs"
N, K = 8, 3
FEW = {"kind": "builtin", "name": "digits", "normal": [0]}


def small(path: str, **changes: Any) -> TrainConfig:
    values = read_yaml(TrainConfig, CONFIGS / path).model_dump(mode="json") | changes
    (term,) = values["terms"]
    term["training"] |= {"n_steps": N, "batch_size": 16, "log_every": 1}
    term["objective"] |= {"k_steps": K, "buffer_size": 32}
    values["sampling"]["n_steps"] = 5
    return validate(TrainConfig, values, path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Detector, Path]:
    folder = tmp_path_factory.mktemp("recipe") / "run"
    return train(small("family/du-mordatch-digits.yaml", data=FEW), run_dir=folder), folder


@pytest.mark.parametrize("path", ["mnist-cd.yaml", "family/du-mordatch-digits.yaml"])
def test_the_numbers_are_those_of_the_recipe(path: str) -> None:
    (term,) = read_yaml(TrainConfig, CONFIGS / path).terms
    chain = LangevinConfig(step_size=10.0, noise_scale=0.005, clip=0.03, box=(-1.0, 1.0))
    size = 8192 if path == "mnist-cd.yaml" else 1024
    assert term.objective == PersistentCDConfig(
        k_steps=60, sampler=chain, buffer_size=size, fresh_share=0.05, l2=0.1, data_noise=0.005
    )
    loop = term.training
    assert (loop.betas, loop.clip, loop.weight_decay) == ((0.0, 0.999), 0.1, 0.0)
    assert loop.learning_rate == (1e-4 if path == "mnist-cd.yaml" else 1e-3)


def test_the_loss_is_its_parts() -> None:
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1), torch.nn.Flatten(0))
    data, negatives = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    real, fake = linear(data).detach(), linear(negatives).detach()
    for l2 in (0.0, 0.1):
        out = contrastive_loss(linear, data, negatives, l2)
        found = out.metrics
        assert found["cd"] == pytest.approx(float(real.mean() - fake.mean()), abs=1e-6) == -found["gap"]
        assert found["reg"] == pytest.approx(l2 * float((real**2).mean() + (fake**2).mean()), abs=1e-6)
        assert float(out.loss.detach()) == pytest.approx(found["cd"] + found["reg"], abs=1e-6)


def test_the_line_of_progress() -> None:
    figures = {"loss": 1.0, "cd": 0.75, "reg": 0.25, "real": 2.0, "fake": 1.25, "gap": -0.75, "spread": 3.0}
    assert shown(figures) == "loss 1  reg 0.25  cd 0.75  real 2  fake 1.25"
    assert shown({"loss": 1.0, "gap": 0.5}) == "loss 1  gap 0.5"


def test_live_metrics(run: tuple[Detector, Path]) -> None:
    _, folder = run
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, N + 1))
    for line in steps:
        assert {"reg", "cd", "real", "fake", "saturation"} <= line.keys()
        assert line["loss"] == pytest.approx(line["cd"] + line["reg"], abs=1e-6)
        assert line["cd"] == pytest.approx(line["real"] - line["fake"], abs=1e-6)
    looks = [(line["term"], line["step"]) for line in lines if "noise/uniform_auroc" in line]
    assert looks == [("chains", 2), ("chains", 4), ("chains", 6), ("model", N)]
    with Image.open(folder / "curves.png") as picture:
        assert picture.width > 3.5 * picture.height, "three panels: loss, energies, noise"


def test_the_noise_check_is_of_the_model(run: tuple[Detector, Path]) -> None:
    """A net after eight steps: the notes say so exactly where an AUROC is below one half by more than chance."""
    detector, folder = run
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    bad = [k for k in ("uniform", "gaussian", "shuffled") if last[f"noise/{k}_auroc"] < 0.5 - 0.08]
    notes = [note for note in detector.manifest.notes if note.startswith("noise check")]
    assert len(notes) == bool(bad) and all(f"{k} noise (AUROC" in notes[0] for k in bad)


def test_pictures_of_chains(run: tuple[Detector, Path]) -> None:
    _, folder = run
    pictures = {path.name for path in (folder / "pictures" / "chains").iterdir()}
    assert {f"chain-{step}.png" for step in (2, 4, 6)} <= pictures
    for path, columns in ((folder / "pictures/chains/chain-2.png", 4), (folder / "chain.png", 5)):
        with Image.open(path) as picture:  # 0, 1, 2, 3 of the objective's chain; 0, 1, 2, 4, 5 of the model's
            assert picture.width == columns * (64 + 18) + 18
            assert np.ptp(np.asarray(picture.convert("L"))) > 200


def test_a_model_that_likes_noise_says_so(tmp_path: Path) -> None:
    """A kernel energy turned upside down, for which a negative weight is enough."""
    values = small("family/du-mordatch-digits.yaml", data=FEW).model_dump(mode="json")
    values["terms"] = [{"name": "turned", "energy": {"kind": "kernel"}, "weight": -1.0}]
    values["sampling"] = None
    detector = train(validate(TrainConfig, values, "turned"), run_dir=tmp_path / "run")
    (note,) = detector.manifest.notes
    assert note.startswith("noise check: to this model, uniform noise (AUROC 0.00)")
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text())["noise/uniform_auroc"] == 0.0


def test_the_recipe_for_mnist_reads_an_idx_file(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)
    file = tmp_path / "data" / "mnist" / "train-images-idx3-ubyte"
    file.parent.mkdir(parents=True)
    file.write_bytes(struct.pack(">IIII", 0x803, *images.shape) + images.tobytes())
    data = {"kind": "file", "path": "../data/mnist/train-images-idx3-ubyte"}
    config = small("mnist-cd.yaml", data=data, split={"train": 0.6, "calibration": 0.2})
    config = config.model_copy(update={"precision": "32-true"})
    (tmp_path / "configs").mkdir()
    detector = train(config, base_dir=tmp_path / "configs")
    assert detector.input_shape == (28, 28) and np.isfinite(detector.energies(images[:3])).all()
