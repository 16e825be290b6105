"""Log-likelihood of rows under a model whose log Z is known: in nats and in bits per dimension."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from ebm.errors import BadInput
from ebm.evaluation.asked import asked

if TYPE_CHECKING:
    from ebm.detector import Detector

CHUNK = 1024
UNITS = {
    "user": "density in user units",
    "model": "density in the model's own coordinates: its preprocessing is no change of variables",
    "mass": "probability",
}


class Likelihood(NamedTuple):
    """Of n rows over d dimensions: mean log p (nats a row), its standard error over rows, bits per dimension
    -mean / (d log 2), how many rows lie outside the support (log p = -inf), and what p is a density of."""

    mean_log_p: float
    standard_error: float
    bits_per_dim: float
    n_rows: int
    n_dims: int
    n_outside: int
    unit: str


def log_densities(
    detector: Detector, rows: Any, log_z: float, *, term: str | None = None, sigma: float | None = None
) -> tuple[np.ndarray, str]:
    """log p(x) = -E(z) - log Z + log |dz / dx| of rows (N, ...) in user units, (N,) float64, and its unit, a key of
    `UNITS`: z = (x - mean) / sd adds minus the sum of log sd, an image's scaling d log(2 / (high - low)), so that a
    density is one of user units (of a grey level, where pixels are 0 to 255); rows of zeros and ones and counts have
    probabilities. At a noise level p is the density of rows with that noise.

    Raises:
        BadInput: rows that do not fit.
    """
    what = asked(detector, term, sigma)
    x = torch.from_numpy(detector.preprocessor.transform(rows))
    with torch.no_grad():
        parts = [what.energy(part.to(detector.device)).double().cpu() for part in x.split(CHUNK)]
    log_p = -torch.cat(parts).numpy() - log_z
    if what.space != "real":
        return log_p, "mass"
    volume = log_volume(detector.preprocessor)
    return (log_p, "model") if volume is None else (log_p + volume, "user")


def log_volume(preprocessor: Any) -> float | None:
    """log |dz / dx| of a preprocessing that is affine coordinate by coordinate; None of others."""
    from ebm.composed_energy import affine

    way = affine(preprocessor)
    if way is None:
        return None
    return float(np.broadcast_to(np.log(np.abs(way[0])), preprocessor.shape).sum())


def likelihood(
    detector: Detector, rows: Any, log_z: float, *, term: str | None = None, sigma: float | None = None
) -> Likelihood:
    """The mean over rows (N, ...) in user units; arguments as `log_densities`."""
    log_p, unit = log_densities(detector, rows, log_z, term=term, sigma=sigma)
    if len(log_p) == 0:
        raise BadInput("no rows to take the likelihood of")
    n, d = len(log_p), math.prod(detector.preprocessor.shape)
    outside = int(np.isneginf(log_p).sum())
    mean = float(log_p.mean())
    error = float(log_p.std(ddof=1) / math.sqrt(n)) if n > 1 and not outside else math.nan
    return Likelihood(mean, error, bits_per_dim(mean, d), n, d, outside, unit)


def bits_per_dim(mean_log_p: float, d: int) -> float:
    """-mean log p / (d log 2)."""
    return -mean_log_p / (d * math.log(2))
