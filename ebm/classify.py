"""Class probabilities of joint models, which have one energy for each class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ebm import cells
from ebm.answers import Scores
from ebm.energies import Expert, ProductOfExperts
from ebm.errors import BadInput, Unsupported
from ebm.preprocessing import Preprocessor
from ebm.steps import Progress, Steps

PART = 1024  # rows between two pauses


@runtime_checkable
class JointEnergy(Protocol):
    """An energy E(x, y) of rows and classes: p(x, y) is proportional to exp(-E(x, y)).

    Called like any energy it answers E(x) = -log sum_y exp(-E(x, y)), the energy of p(x); and p(y | x) =
    softmax_y(-E(x, y)), in which the partition function cancels (Grathwohl et al. 2020, where -E(x, y) is the y-th
    logit of a classifier).
    """

    @property
    def classes(self) -> Sequence[str]:
        """K names, in the order of `class_energies`."""
        ...

    def class_energies(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        """E(x, y): x (B, ...) -> (B, K)."""
        ...


@dataclass(frozen=True, eq=False)
class Classified:
    """Of N rows and K classes.

    classes: K names.
    label: N of them, the likeliest of each row; the first where several are.
    probabilities: (N, K) p(y | x), float64; rows sum to 1. Says which class, not whether x is any of them: see p_value.
    class_energy: (N, K) E(x, y).
    energy, p_value: (N,) of the model as a whole, as `score` gives them.
    """

    classes: list[str]
    label: list[str]
    probabilities: np.ndarray
    class_energy: np.ndarray
    energy: np.ndarray
    p_value: np.ndarray


def joint_expert(product: ProductOfExperts) -> Expert | None:
    """The first expert whose energy is joint; None where there is none."""
    for expert in product.experts:
        if isinstance(product.terms[expert.term], JointEnergy):
            return expert
    return None


def class_names(product: ProductOfExperts) -> list[str]:
    """The classes of that expert; none where there is none."""
    return [] if joint_expert(product) is None else [str(name) for name in joint_energy(product)[0].classes]


def joint_energy(product: ProductOfExperts) -> tuple[JointEnergy, float | None]:
    """That expert's energy, and the noise level at which it scores.

    Raises:
        Unsupported: there is none.
    """
    expert = joint_expert(product)
    if expert is None:
        raise Unsupported("no energy of this model has classes")
    energy = product.terms[expert.term]
    assert isinstance(energy, JointEnergy)
    return energy, expert.sigma


@dataclass(frozen=True)
class OneClass:
    """E(x, y) as an energy of x, for one y: that of p(x | y), up to a constant."""

    joint: JointEnergy
    place: int

    def __call__(self, x: Tensor, sigma: Tensor | float | None = None) -> Tensor:
        return self.joint.class_energies(x, sigma=sigma)[:, self.place]


def one_class(energy: object, label: int | str) -> OneClass:
    """E(x, y) of the class `label`; 3 and "3" are the same.

    Raises:
        Unsupported: the energy has no classes. BadInput: there is no such class; names those that there are.
    """
    if not isinstance(energy, JointEnergy):
        raise Unsupported(
            "class: this model generates by the energy E(x) of all its rows, not by E(x, class)"
        )
    names = [str(name) for name in energy.classes]
    if str(label) not in names:
        raise BadInput(f"class: there is no '{str(label)[:40]}'; there are {', '.join(names)}")
    return OneClass(energy, names.index(str(label)))


def classify_steps(
    preprocessor: Preprocessor, product: ProductOfExperts, score: Callable[[Any], Scores], values: Any
) -> Steps[Progress, None, Classified]:
    """See `Detector.classify`. Pauses after every `PART` rows.

    Args:
        score: rows in user units -> their energies and p-values.

    Raises:
        BadInput: rows that do not fit. Unsupported: no energy has classes.
    """
    energy, sigma = joint_energy(product)
    names, device = class_names(product), product.scales.device
    rows = cells.as_rows(preprocessor, values)
    x = torch.from_numpy(preprocessor.transform(rows))
    by_class = np.empty((len(x), len(names)), np.float32)
    whole, p_value = np.empty(len(x), np.float32), np.empty(len(x))
    for first in range(0, len(x), PART):
        part = slice(first, first + PART)
        with torch.no_grad():
            by_class[part] = energy.class_energies(x[part].to(device), sigma=sigma).float().cpu().numpy()
        scores = score(rows[part])
        whole[part], p_value[part] = scores.energy, scores.p_value
        yield Progress(min(first + PART, len(x)), len(x))
    likely = probabilities(by_class)
    label = [names[k] for k in likely.argmax(1)]
    return Classified(names, label, likely, by_class, whole, p_value)


def probabilities(class_energy: np.ndarray) -> np.ndarray:
    """softmax(-E) of each row of (N, K), float64. Rows with no finite energy are as likely any class: 1 / K."""
    e = class_energy.astype(np.float64)
    lowest = e.min(axis=1, keepdims=True)
    known = np.isfinite(lowest)
    weight = np.exp(-np.where(known, e - np.where(known, lowest, 0.0), 0.0))
    return weight / weight.sum(axis=1, keepdims=True)
