"""The likely clean version of noisy rows, from user units to user units; `ebm.restoration` has the steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebm import noise_level, restoration
from ebm.errors import BadInput
from ebm.generation import check_seed, to_user
from ebm.preprocessing import Preprocessor
from ebm.restoration import DenoiseMethod
from ebm.steps import Progress, Steps
from ebm.types import Energy


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
) -> Steps[Progress, None, np.ndarray]:
    """See `Detector.denoise_steps`; `energy` is noise-conditional, `level_offsets` are its own."""
    if method not in restoration.METHODS:
        raise BadInput(f"method must be one of {', '.join(restoration.METHODS)}, got {method!r}")
    n_steps = restoration.METHODS[method] if n_steps is None else n_steps
    if n_steps < 1:
        raise BadInput(f"n_steps must be at least 1, got {n_steps}")
    if sigma is not None and not 0 < sigma <= 100:
        raise BadInput(f"sigma must lie in (0, 100], got {sigma:g}")
    check_seed(seed)
    device = level_offsets.device
    x = torch.from_numpy(preprocessor.transform(values)).to(device)
    if len(x) == 0:
        return preprocessor.inverse(x.cpu().numpy())
    if sigma is None:
        levels = noise_level.estimate_sigma(energy, x, level_offsets)
    else:
        levels = torch.full((len(x),), float(sigma), device=device)
    smallest = noise_level.SIGMA_GRID[0]
    if method == "langevin":
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
