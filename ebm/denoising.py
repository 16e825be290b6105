"""The likely clean version of noisy rows, from user units to user units; `ebm.restoration` has the steps."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ebm import noise_level, restoration
from ebm.errors import BadInput, Unsupported
from ebm.generation import check_seed, to_user
from ebm.impulse import N_STEPS, impulse_steps
from ebm.preprocessing import Preprocessor
from ebm.restoration import DenoiseMethod
from ebm.steps import Progress, Steps
from ebm.types import Energy

Noise = Literal["gaussian", "impulse"]
NOISES: tuple[str, ...] = get_args(Noise)


def denoise_steps(
    preprocessor: Preprocessor,
    energy: Energy,
    level_offsets: Tensor,
    values: Any,
    *,
    sigma: float | None,
    n_steps: int | None,
    method: DenoiseMethod,
    seed: int,
    noise: Noise = "gaussian",
) -> Steps[Progress, None, np.ndarray]:
    """See `Detector.denoise_steps`; `energy` is noise-conditional, `level_offsets` are its own."""
    if method not in restoration.METHODS:
        raise BadInput(f"method must be one of {', '.join(restoration.METHODS)}, got {method!r}")
    impulse = check_noise(noise, preprocessor, sigma, method)
    default = N_STEPS if impulse else restoration.METHODS[method]
    n_steps = default if n_steps is None else n_steps
    if n_steps < 1:
        raise BadInput(f"n_steps must be at least 1, got {n_steps}")
    if sigma is not None and not 0 < sigma <= 100:
        raise BadInput(f"sigma must lie in (0, 100], got {sigma:g}")
    check_seed(seed)
    device = level_offsets.device
    x = torch.from_numpy(preprocessor.transform(values)).to(device)
    if len(x) == 0:
        return preprocessor.inverse(x.cpu().numpy())
    if sigma is None and not impulse:
        levels = noise_level.estimate_sigma(energy, x, level_offsets)
    else:
        levels = torch.full((len(x),), float(sigma or 0), device=device)
    smallest = noise_level.SIGMA_GRID[0]
    if impulse:
        chain = impulse_steps(energy, x, n_steps)
    elif method == "langevin":
        generator = torch.Generator(device).manual_seed(seed)
        chain = restoration.langevin_denoise_steps(energy, x, levels, n_steps, smallest, generator)
    else:
        chain = restoration.denoise_steps(energy, x, levels, n_steps, smallest)
    for i, step in enumerate(chain, 1):
        x = step
        yield Progress(i, n_steps)
    bad = (~torch.isfinite(x.flatten(1)).all(1)).nonzero()
    if len(bad):
        row = int(bad[0])
        raise BadInput(f"row {row}: it lies too far from the training data to be denoised", row=row)
    return to_user(preprocessor, x)


def check_noise(noise: str, preprocessor: Preprocessor, sigma: float | None, method: str) -> bool:
    """Whether the noise is of impulses.

    Raises:
        Unsupported: impulses in rows of a table. BadInput: an unknown kind, or options that go with Gaussian noise.
    """
    if noise not in NOISES:
        raise BadInput(f"noise must be one of {', '.join(NOISES)}, got {noise!r}")
    if noise == "gaussian":
        return False
    if preprocessor.kind != "image":
        raise Unsupported(
            "noise 'impulse' is of pictures; the model has rows: set the cells to null and impute"
        )
    if sigma is not None or method != "posterior_mean":
        raise BadInput(
            "noise 'impulse' takes neither sigma nor method 'langevin': lost pixels have no noise level"
        )
    return True
