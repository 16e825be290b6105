"""Denoising in dB: each noise-conditional term, the detector's own calls, a blind denoiser, and filters."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _images_data import Sizes, Split
from _images_filters import biharmonic, blocks, psnr, salt_and_pepper, tuned
from _images_model import Fitted, noise_conditional, to_user
from _images_nets import apply, blind_denoiser
from torch import nn

from ebm.energies.unet_body import UNet
from ebm.errors import EBMError
from ebm.samplers.posterior import posterior_mean
from ebm.training.config import TrainConfig

SIGMAS = (0.1, 0.25, 0.5)
SHARES = (0.05, 0.1)
BLOCK, FRAME, DRAWS = 8, 6, 2
TRIED = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0)  # noise levels to take salt and pepper for
Figures = dict[str, Any]


class Task:
    """The same clean and noisy images for everybody: test images, and training images to choose parameters on."""

    def __init__(self, split: Split, seed: int, sizes: Sizes):
        rng = np.random.default_rng([seed, 2])
        self.clean = split.normal[: sizes.denoised]
        self.known = split.train[rng.permutation(len(split.train))[: sizes.tuned]]
        self.noisy = {s: noisy(self.clean, s, rng) for s in SIGMAS}
        self.known_noisy = {s: noisy(self.known, s, rng) for s in SIGMAS}
        self.peppered = {p: salt_and_pepper(self.clean, p, rng) for p in SHARES}
        self.known_peppered = {p: salt_and_pepper(self.known, p, rng) for p in SHARES}
        self.filled = self.clean[: sizes.filled]
        self.missing = blocks(self.filled.shape, BLOCK, FRAME, rng)

    def gaussian(self, call: Callable[[np.ndarray, float], np.ndarray]) -> dict[str, float]:
        """PSNR by noise level of call(noisy, sigma)."""
        return {f"{s:g}": psnr(call(self.noisy[s], s), self.clean) for s in SIGMAS}

    def pepper(self, call: Callable[[np.ndarray, float], np.ndarray]) -> dict[str, float]:
        """PSNR by share of struck pixels of call(peppered, share)."""
        return {f"{p:.0%}": psnr(call(self.peppered[p], p), self.clean) for p in SHARES}


def noisy(x: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return (x + sigma * rng.normal(size=x.shape)).astype(np.float32)


def restored(term: nn.Module, x: np.ndarray, sigma: float) -> np.ndarray:
    """The mean of the clean image given x (n, H, W), by the term's denoiser or its gradient; 100 at a time."""
    return apply(lambda part: posterior_mean(term, part, torch.full((len(part),), sigma)).detach(), x, 100)[
        :, 0
    ]


def terms(fitted: Fitted, task: Task) -> Figures:
    """By noise-conditional term: PSNR at each noise level, and of salt and pepper taken for the level that is best on
    training images."""
    found = {}
    for name, term in noise_conditional(fitted.detector).items():
        began = time.process_time()

        def call(x: np.ndarray, sigma: float, term: nn.Module = term) -> np.ndarray:
            return restored(term, x, sigma)

        figures = task.gaussian(call)
        spent = 1e3 * (time.process_time() - began) / (len(SIGMAS) * len(task.clean))
        level = {
            p: max(TRIED, key=lambda s, p=p: psnr(call(task.known_peppered[p], s), task.known))
            for p in SHARES
        }
        found[name] = {
            "gaussian": figures,
            "pepper": task.pepper(lambda x, p, call=call, level=level: call(x, level[p])),
            "ms_an_image": spent,
        }
    return found


def calls(fitted: Fitted, config: TrainConfig, task: Task, seed: int) -> Figures:
    """The detector's own calls: the noise level estimated, and a missing block."""
    detector = fitted.detector
    transform = detector.preprocessor.transform

    def estimated(x: np.ndarray, _: float) -> np.ndarray:
        parts = [
            detector.denoise(to_user(config, part), sigma=None)
            for part in np.array_split(x, max(1, len(x) // 100))
        ]
        return transform(np.concatenate(parts))[:, 0]

    try:
        figures: Figures = {"gaussian": task.gaussian(estimated), "pepper": task.pepper(estimated)}
        began = time.process_time()
        rows = np.where(task.missing, np.nan, to_user(config, task.filled))
        found = transform(detector.impute(rows, n_draws=DRAWS, seed=seed).rows)[:, 0]
    except EBMError as error:
        return {"error": str(error)}
    spent = (time.process_time() - began) / len(rows)
    return figures | {"block": psnr(found, task.filled, task.missing), "seconds_an_image": spent}


def blind(config: TrainConfig, task: Task, split: Split, seed: int, work: Path) -> Figures:
    """A denoiser of the same network as the noise-conditional term, as long in training, that is not told the noise."""
    body, n_steps, batch = network(config, split.train.shape[1:], seed)
    path = (
        work
        / f"blind-{seed}-{n_steps}-{sum(p.numel() for p in body.parameters())}-{len(split.train)}.safetensors"
    )
    net, seconds = blind_denoiser(body, split.train, n_steps, batch, seed, path)

    def call(x: np.ndarray, _: float) -> np.ndarray:
        return apply(net, x)[:, 0]

    return {
        "gaussian": task.gaussian(call),
        "pepper": task.pepper(call),
        "cpu": {"all": seconds},
        "parameters": sum(p.numel() for p in net.parameters()),
        "n_steps": n_steps,
    }


def network(config: TrainConfig, shape: tuple[int, ...], seed: int) -> tuple[nn.Module, int, int]:
    """A fresh U-Net as the first noise-conditional term with one has it, and that term's training steps and batch size;
    a small one where no term has any."""
    torch.manual_seed(seed)
    for term in config.terms:
        if term.energy.kind in ("restoration", "unet"):
            built = term.energy.build((1, *shape))
            body = next((m for m in built.modules() if isinstance(m, UNet)), None)
            if body is not None:
                return body, term.training.n_steps, term.training.batch_size
    loop = config.terms[-1].training
    return UNet(1, 1, (16, 32, 64), 1), loop.n_steps, loop.batch_size


def filters(task: Task) -> Figures:
    """skimage's NL-means, total variation, median and biharmonic inpainting, tuned on training images."""
    found: Figures = {
        "noisy": {"gaussian": task.gaussian(lambda x, _: x), "pepper": task.pepper(lambda x, _: x)}
    }
    for name in ("NL-means", "TV"):
        made = {s: tuned(name, task.known, task.known_noisy[s], s) for s in SIGMAS}
        found[name] = {
            "gaussian": task.gaussian(lambda x, s, made=made: made[s][0](x)),
            "options": {f"{s:g}": options for s, (_, options) in made.items()},
        }
    made = {p: tuned("median", task.known, task.known_peppered[p]) for p in SHARES}
    found["median"] = {
        "pepper": task.pepper(lambda x, p: made[p][0](x)),
        "options": {f"{p:.0%}": options for p, (_, options) in made.items()},
    }
    filled = biharmonic(task.filled, task.missing)
    mean = np.broadcast_to(task.known.mean(0), task.filled.shape)
    found["biharmonic"] = {"block": psnr(filled, task.filled, task.missing)}
    found["mean training image"] = {"block": psnr(mean, task.filled, task.missing)}
    return found
