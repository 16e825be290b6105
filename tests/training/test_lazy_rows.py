"""Images that stay bytes until a batch wants them train to the very same weights as images held as numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ebm import fitting
from ebm.data.pixels import Pixels
from ebm.energies import ConvConfig, ConvEnergy
from ebm.objectives import DSMConfig
from ebm.preprocessing import ImageConfig
from ebm.training import stages
from ebm.training.checkpoint import load
from ebm.training.config import LoopConfig, ModelConfig
from ebm.training.loop import Trainer, make_fabric

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
LOOP = LoopConfig(n_steps=6, batch_size=8, warmup_steps=1, checkpoint_every=2)


def trainer(rows: object) -> Trainer:
    torch.manual_seed(0)
    energy = ConvEnergy((1, 8, 8), ConvConfig(widths=(4,)))
    energy.fit(Pixels(IMAGES, ImageConfig().build().fit(IMAGES)).batch(torch.arange(50)))
    return Trainer(energy, DSMConfig(sigma_min=0.3).build(), rows, LOOP, make_fabric("cpu"), seed=3)  # type: ignore[arg-type]


def test_bytes_and_numbers_train_to_the_same_weights(tmp_path):
    pixels = Pixels(IMAGES, ImageConfig().build().fit(IMAGES))
    resident = trainer(pixels.batch(torch.arange(50))).run(path=tmp_path / "a.safetensors").state_dict()
    lazy = trainer(pixels).run(path=tmp_path / "b.safetensors").state_dict()
    assert all(torch.equal(resident[name], lazy[name]) for name in resident)
    a, b = load(tmp_path / "a.safetensors")[0], load(tmp_path / "b.safetensors")[0]
    assert torch.equal(a["batches"], b["batches"])  # batches prepared ahead of time count for nothing


def test_a_run_on_bytes_resumes_exactly(tmp_path):
    pixels = Pixels(IMAGES, ImageConfig().build().fit(IMAGES))
    whole = trainer(pixels).run().state_dict()
    path, asked = tmp_path / "c.safetensors", iter([False, False, False, True])
    with pytest.raises(Exception, match="stopped at step 4"):
        trainer(pixels).run(path=path, should_stop=lambda: next(asked))
    resumed = trainer(pixels).run(path=path, resume=True).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_fit_of_many_images_keeps_bytes(monkeypatch):
    monkeypatch.setattr(fitting, "IN_MEMORY", 4 * 64 * 20)  # room for 20 of the 50 as float32
    seen: list[object] = []
    whole = stages.Trainer
    monkeypatch.setattr(stages, "Trainer", lambda *a, **k: seen.append(a[2]) or whole(*a, **k))
    config = ModelConfig.model_validate(
        {
            "preprocessing": {"kind": "image"},
            "terms": [
                {
                    "name": "network",
                    "energy": {"kind": "conv", "widths": [4]},
                    "objective": {"kind": "dsm", "sigma_min": 0.3},
                    "training": LOOP.model_dump(),
                }
            ],
        }
    )
    detector = fitting.fit_detector(config, IMAGES[:40], IMAGES[40:])
    assert [type(rows) for rows in seen] == [Pixels]
    assert detector.manifest.data.n_train == 40 and np.isfinite(detector.energies(IMAGES)).all()
