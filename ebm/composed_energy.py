"""A weighted sum of several models' energies in one coordinate space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebm.answers import SamplingState
from ebm.detector import Detector
from ebm.errors import Unsupported
from ebm.generation import sampling_energy
from ebm.preprocessing import Preprocessor, ScaleImage, Standardize
from ebm.samplers import AncestralConfig, AnnealedLangevinConfig, GibbsConfig
from ebm.types import Energy


@dataclass(frozen=True, eq=False)
class Affine:
    """z' = factor z + shift, coordinate by coordinate: from the first model's preprocessed space to another's.

    `size` is the geometric mean of the factors, by which lengths, and so noise levels, grow."""

    factor: Tensor
    shift: Tensor
    size: float


@dataclass(frozen=True, eq=False)
class Member:
    """One model: what samples it, its weight, and the way to its coordinates."""

    name: str
    energy: Energy
    sampler: Any
    n_steps: int
    weight: float
    state: SamplingState
    way: Affine

    @property
    def annealed(self) -> bool:
        return isinstance(self.sampler, AnnealedLangevinConfig)


class WeightedSum:
    """E(x, sigma) = sum_i (w_i / W) E_i(factor_i x + shift_i, size_i sigma), W = sum_i |w_i|, in the first model's
    coordinates. Sampled at temperature T / W it is sum_i w_i E_i at temperature T, with steps that stay stable however
    many models there are, for a weighted mean is no more curved than its parts.

    Where not all members anneal, those that do stay at their smallest level, in their own units."""

    def __init__(self, members: Sequence[Member]):
        self.members = list(members)
        self.total = sum(abs(m.weight) for m in members)
        self.annealed = all(m.annealed for m in members)

    def __call__(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        whole = x.new_zeros(len(x))
        for m in self.members:
            own = x * m.way.factor + m.way.shift
            level = m.sampler.sigma_min if m.annealed else None
            if self.annealed and sigma is not None:
                level = sigma * m.way.size
            whole = whole + (m.weight / self.total) * m.energy(own, sigma=level)
        return whole


def member(detector: Detector, weight: float, base: Detector) -> Member:
    """A model on its way from the coordinates of `base`.

    Raises:
        Unsupported: it has no sampler, or one of ancestral steps or of hidden units, or there is no such way.
    """
    require_sampler(detector)
    config, state = detector.manifest.sampling, detector.sampling
    assert config is not None and state is not None
    energy = sampling_energy(detector.energy.terms, config)
    way = _way(base, detector)
    if isinstance(config.sampler, AncestralConfig):
        raise Unsupported(
            f"model '{detector.name}' samples by ancestral steps, which follow one model's noise levels: a product "
            "of models cannot; a mixture can"
        )
    if getattr(detector.preprocessor, "binary", False) or isinstance(config.sampler, GibbsConfig):
        raise Unsupported(
            f"model '{detector.name}' is of zeros and ones or samples hidden units of its own: a product of models, "
            "which follows gradients, cannot; a mixture can"
        )
    return Member(detector.name, energy, config.sampler, config.n_steps, weight, state, way)


def require_sampler(detector: Detector) -> None:
    """Raises Unsupported where a model cannot generate."""
    if "generate" not in detector.can:
        able = ", ".join(sorted(detector.can))
        raise Unsupported(f"model '{detector.name}' cannot generate; it can: {able}")


def _way(base: Detector, other: Detector) -> Affine:
    """From the base's preprocessed coordinates to the other's."""
    a, b = base.preprocessor, other.preprocessor
    if _same(a, b):
        one = torch.ones((), device=base.device)
        return Affine(one, torch.zeros_like(one), 1.0)
    for detector in (base, other):
        if affine(detector.preprocessor) is None:
            raise Unsupported(
                f"models '{base.name}' and '{other.name}' have no common coordinates: the preprocessing of "
                f"'{detector.name}' is no elementwise affine map of its input, and the two differ"
            )
    (factor_a, shift_a), (factor_b, shift_b) = affine(a), affine(b)  # type: ignore[misc]
    factor = factor_b / factor_a
    shift = shift_b - factor * shift_a
    size = float(np.exp(np.log(factor).mean()))
    return Affine(_tensor(factor, base), _tensor(shift, base), size)


def affine(preprocessor: Preprocessor) -> tuple[np.ndarray, np.ndarray] | None:
    """(factor, shift), float64, with transform(x) = factor x + shift elementwise; None where it is no such map."""
    if getattr(preprocessor, "binary", False):  # though it is one of images, or of a table, too
        return None
    if isinstance(preprocessor, Standardize):
        arrays = preprocessor.arrays()
        return 1 / arrays["sd"], -arrays["mean"] / arrays["sd"]
    if isinstance(preprocessor, ScaleImage):
        low, high = preprocessor.arrays()["range"]
        factor = np.full((), 2 / (high - low))
        return factor, -low * factor - 1
    return None


def _same(a: Preprocessor, b: Preprocessor) -> bool:
    one, two = a.arrays(), b.arrays()
    return (
        type(a) is type(b) and one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)
    )


def _tensor(values: np.ndarray, detector: Detector) -> Tensor:
    return torch.from_numpy(np.asarray(values)).to(detector.device, torch.float32)
