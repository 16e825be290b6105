"""What an image model has learnt so far, as three pictures: of it half trained as of it done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ebm import restoration
from ebm.evaluation.corruptions import corrupt_all
from ebm.pictures import grid, save_png
from ebm.samplers.gradient import energy_and_gradient
from ebm.types import EnergyFn

SIGMAS = (0.1, 0.25, 0.5)
SHOWN = 8  # held-out images in the strip of denoising
SCALE = 3
LANGEVIN_STEPS, LANGEVIN_STEP = 60, 0.01
START_SIGMA, LADDER = 2.0, 20


def draw_progress(
    energy: Any, x: Tensor, folder: Path, step: int, *, seed: int = 0, sigma: float = 0.25
) -> list[Path]:
    """samples-<step>.png, denoising-<step>.png and energies-<step>.png of an energy module in `folder`; their paths.

    The weights and their gradients are left as they are; the module comes back in the mode (train or eval) it was in.

    Args:
        energy: takes x (B, C, H, W) in [-1, 1], and sigma where it is `noise_conditional`.
        x: held-out normal images (N, C, H, W) of the module's device; some hundred are plenty.
        seed: of all that is random: the same weights, the same pictures.
        sigma: noise level at which a noise-conditional energy's energies are shown.
    """
    training = getattr(energy, "training", False)
    generator = Generator(x.device).manual_seed(seed)
    if training:
        energy.eval()
    try:
        paths = [folder / f"{kind}-{step}.png" for kind in ("samples", "denoising", "energies")]
        save_png(samples_picture(energy, x, generator), paths[0])
        save_png(denoising_picture(energy, x, generator), paths[1])
        draw_energies(at_level(energy, sigma), x, paths[2], seed=seed)
        return paths
    finally:
        if training:
            energy.train()


def at_level(energy: Any, sigma: float) -> EnergyFn:
    """The energy as a function of x alone, at noise level `sigma` where it knows of levels."""
    if not getattr(energy, "noise_conditional", False):
        return lambda x: energy(x)
    return lambda x: energy(x, sigma=torch.full((len(x),), sigma, device=x.device))


def samples_picture(energy: Any, x: Tensor, generator: Generator, n: int = 64) -> np.ndarray:
    """A grid of n draws, uint8 (H, W[, 3]), from noise about the mean of x: down a ladder of noise levels where the
    energy is noise-conditional, else by a short Langevin chain, which shows whether valleys of the energy look like
    data, and is no fair sample."""
    start = x.mean(0) + x.std(0) * _normal((n, *x.shape[1:]), x, generator)
    if getattr(energy, "noise_conditional", False):
        state = start + START_SIGMA * _normal(start.shape, x, generator)
        levels = torch.full((n,), START_SIGMA, device=x.device)
        with torch.no_grad():
            *_, state = restoration.denoise_steps(energy, state, levels, LADDER, SIGMAS[0] / 2)
    else:
        state = start
        for _ in range(LANGEVIN_STEPS):
            _, gradient = energy_and_gradient(energy, state)
            noise = (2 * LANGEVIN_STEP) ** 0.5 * 0.1 * _normal(state.shape, x, generator)
            state = (state - LANGEVIN_STEP * gradient.clamp(-10, 10) + noise).clamp(-1, 1)
    return grid(_images(state), -1, 1, scale=SCALE)


def denoising_picture(energy: Any, x: Tensor, generator: Generator) -> np.ndarray:
    """A column for each of the first images: clean, then noisy and denoised at sigma .1, .25 and .5; uint8.

    Denoised by `restore` where the energy has it, else by x - sigma^2 grad E; an energy that knows of no noise levels
    takes the same step, which is then only what its slope says.
    """
    clean = x[:SHOWN]
    lines = [clean]
    for sigma in SIGMAS:
        noisy = clean + sigma * _normal(clean.shape, x, generator)
        lines += [noisy, denoised(energy, noisy, sigma)]
    return grid(np.concatenate([_images(line) for line in lines]), -1, 1, scale=SCALE, across=len(clean))


def denoised(energy: Any, x: Tensor, sigma: float) -> Tensor:
    """The energy's likely clean version of x (B, C, H, W), which carries noise of standard deviation `sigma`."""
    if hasattr(energy, "restore"):
        with torch.no_grad():
            return energy.restore(x, torch.full((len(x),), sigma, device=x.device))
    _, gradient = energy_and_gradient(at_level(energy, sigma), x)
    return x - sigma**2 * gradient


def draw_energies(energy: EnergyFn, x: Tensor, path: Path, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Histograms of E(x) of the images x (N, C, H, W), and of x damaged in each of the ways of
    `ebm.evaluation.corruptions`. Returns the energies by kind, that of x itself as "normal"."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and needed only here
    from matplotlib.figure import Figure

    damaged = corrupt_all(x.detach().cpu().numpy(), seed)
    energies = {"normal": _energies(energy, x)}
    for kind, rows in damaged.items():
        energies[kind] = _energies(energy, torch.from_numpy(rows).to(x.device, x.dtype))
    finite = np.concatenate(list(energies.values()))
    finite = finite[np.isfinite(finite)]
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    if len(finite):
        low, high = np.quantile(finite, (0.0, 0.98))
        edges = np.linspace(low, max(high, low + 1e-6), 41)
        for kind, values in energies.items():
            shown = np.clip(values[np.isfinite(values)], edges[0], edges[-1])
            if kind == "normal":
                axis.hist(shown, edges, color="black", alpha=0.35, label=kind)
            else:
                axis.hist(shown, edges, histtype="step", label=kind)
        axis.legend(loc="upper right", fontsize="xx-small")  # "best" takes seconds to find
    axis.set(
        title="energy: normal images and damaged ones", xlabel="E(x), lower is more normal", ylabel="images"
    )
    figure.savefig(path, dpi=110)
    return energies


def _energies(energy: EnergyFn, x: Tensor) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([energy(part).float().cpu() for part in x.split(256)]).numpy()


def _normal(shape: Any, x: Tensor, generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype)


def _images(x: Tensor) -> np.ndarray:
    """(N, C, H, W) to (N, H, W) or (N, H, W, 3), NaN as black; more than three channels by their mean."""
    images = np.nan_to_num(x.detach().float().cpu().numpy(), nan=-1.0).transpose(0, 2, 3, 1)
    return images if images.shape[3] == 3 else images.mean(3)
