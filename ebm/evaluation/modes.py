"""Whether samples reach all the modes of a distribution, in the right proportions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ebm.errors import BadInput


class ModeCoverage(NamedTuple):
    """covered: share of the modes that have a sample within the radius; kl: KL of the histogram of samples over modes
    (each counted at its nearest) to the true shares, nats; near: share of samples within the radius of their mode;
    shares: (K,) the histogram."""

    covered: float
    kl: float
    near: float
    shares: np.ndarray


def mode_coverage(
    samples: ArrayLike, modes: ArrayLike, radius: float, weights: ArrayLike | None = None
) -> ModeCoverage:
    """Samples (N, ...) beside known modes (K, ...).

    kl = sum_k q_k log(q_k / w_k), q_k the share of samples nearest to mode k: 0 where the shares are right, and
    log(1 / w_k) where all are at mode k. By chance alone it is about (K - 1) / (2 N).

    Args:
        radius: within which a sample counts as of its mode, in the samples' units; some three standard deviations.
        weights: w (K,), positive, the true shares; equal by default.

    Raises:
        BadInput: no samples or modes, shapes or lengths that do not go together, or a weight that is not positive.
    """
    x, m = (np.asarray(a, dtype=np.float64) for a in (samples, modes))
    if len(x) == 0 or len(m) == 0 or x.shape[1:] != m.shape[1:]:
        raise BadInput(f"expected samples and modes of one shape, got {x.shape} and {m.shape}")
    w = np.full(len(m), 1.0) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != (len(m),) or not (w > 0).all():
        raise BadInput(f"expected {len(m)} positive weights")
    flat, places = x.reshape(len(x), -1), m.reshape(len(m), -1)
    distance = np.stack([np.linalg.norm(flat - place, axis=1) for place in places], axis=1)
    nearest = distance.argmin(axis=1)
    close = distance.min(axis=1) <= radius
    hit = np.unique(nearest[close])
    q = np.bincount(nearest, minlength=len(m)) / len(x)
    seen = q > 0
    kl = float((q[seen] * np.log(q[seen] / (w / w.sum())[seen])).sum())
    return ModeCoverage(len(hit) / len(m), kl, float(close.mean()), q)
